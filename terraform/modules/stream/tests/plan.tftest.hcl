# What must be right about a stream, asserted on the plan.

# The provider is real but has no credentials and reaches nothing: what it would ask AWS for is overridden.
# (A mock provider refuses modules with ephemeral resources, which keep the access key out of the plan.)
provider "aws" {
  region                      = "eu-west-1"
  access_key                  = "none"
  secret_key                  = "none"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
}

override_data {
  target          = data.aws_caller_identity.current
  override_during = plan
  values          = { account_id = "111122223333" }
}

override_resource {
  target          = aws_s3_bucket.failed
  override_during = plan
  values          = { id = "sluicegate-failed", arn = "arn:aws:s3:::sluicegate-failed" }
}

override_resource {
  target          = aws_kms_key.failed[0]
  override_during = plan
  values          = { arn = "arn:aws:kms:eu-west-1:111122223333:key/made", key_id = "made" }
}

override_resource {
  target          = aws_cloudwatch_log_group.firehose
  override_during = plan
  values          = { arn = "arn:aws:logs:eu-west-1:111122223333:log-group:/aws/kinesisfirehose/sluicegate" }
}

override_resource {
  target          = aws_iam_role.firehose
  override_during = plan
  values          = { arn = "arn:aws:iam::111122223333:role/firehose", id = "firehose" }
}

override_resource {
  target          = aws_iam_role.metric_stream
  override_during = plan
  values          = { arn = "arn:aws:iam::111122223333:role/stream", id = "stream" }
}

override_resource {
  target          = aws_kinesis_firehose_delivery_stream.this
  override_during = plan
  values          = { arn = "arn:aws:firehose:eu-west-1:111122223333:deliverystream/sluicegate" }
}

variables {
  endpoint_url          = "https://metrics.example.com/firehose"
  access_key_secret_arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:primary-AbCdEf"
  alarm_topic_arns      = ["arn:aws:sns:eu-west-1:111122223333:alarms"]
}

run "firehose" {
  command = plan

  variables {
    common_attributes = { team = "payments", stage = "prod" }
  }

  assert {
    condition     = aws_kinesis_firehose_delivery_stream.this.http_endpoint_configuration[0].request_configuration[0].content_encoding == "GZIP"
    error_message = "GZIP."
  }
  assert {
    condition     = aws_kinesis_firehose_delivery_stream.this.http_endpoint_configuration[0].buffering_interval == 60 && aws_kinesis_firehose_delivery_stream.this.http_endpoint_configuration[0].buffering_size >= 1 && aws_kinesis_firehose_delivery_stream.this.http_endpoint_configuration[0].buffering_size <= 4
    error_message = "60 s and 1 to 4 MB."
  }
  assert {
    condition     = aws_kinesis_firehose_delivery_stream.this.http_endpoint_configuration[0].retry_duration == 7200
    error_message = "Retries for two hours."
  }
  assert {
    condition     = aws_kinesis_firehose_delivery_stream.this.http_endpoint_configuration[0].s3_backup_mode == "FailedDataOnly" && aws_kinesis_firehose_delivery_stream.this.http_endpoint_configuration[0].s3_configuration[0].kms_key_arn == "arn:aws:kms:eu-west-1:111122223333:key/made"
    error_message = "What fails goes to S3, encrypted."
  }
  assert {
    condition     = aws_kinesis_firehose_delivery_stream.this.http_endpoint_configuration[0].secrets_manager_configuration[0].enabled && aws_kinesis_firehose_delivery_stream.this.http_endpoint_configuration[0].secrets_manager_configuration[0].secret_arn == var.access_key_secret_arn
    error_message = "The key comes from Secrets Manager."
  }
  assert {
    condition     = aws_kinesis_firehose_delivery_stream.this.http_endpoint_configuration[0].access_key == null
    error_message = "The key stands nowhere else."
  }
  assert {
    condition     = { for one in aws_kinesis_firehose_delivery_stream.this.http_endpoint_configuration[0].request_configuration[0].common_attributes : one.name => one.value } == { team = "payments", stage = "prod" }
    error_message = "Common attributes."
  }
  assert {
    condition     = aws_kinesis_firehose_delivery_stream.this.http_endpoint_configuration[0].cloudwatch_logging_options[0].enabled && aws_kinesis_firehose_delivery_stream.this.http_endpoint_configuration[0].s3_configuration[0].cloudwatch_logging_options[0].enabled
    error_message = "Delivery and backup log their errors."
  }
  assert {
    condition     = aws_kinesis_firehose_delivery_stream.this.server_side_encryption[0].enabled
    error_message = "What waits in Firehose is encrypted."
  }
}

run "rights" {
  command = plan

  assert {
    condition     = one(one(data.aws_iam_policy_document.firehose_trust.statement).condition).variable == "sts:ExternalId" && one(one(data.aws_iam_policy_document.firehose_trust.statement).condition).values == tolist(["111122223333"])
    error_message = "Firehose assumes the role for this account alone."
  }
  assert {
    condition = { for one in data.aws_iam_policy_document.firehose.statement : one.sid => sort(one.resources) } == {
      ReadAccessKey    = tolist(["arn:aws:secretsmanager:eu-west-1:111122223333:secret:primary-AbCdEf"])
      FindBackupBucket = tolist(["arn:aws:s3:::sluicegate-failed"])
      WriteBackup      = tolist(["arn:aws:s3:::sluicegate-failed/*"])
      EncryptBackup    = tolist(["arn:aws:kms:eu-west-1:111122223333:key/made"])
      LogErrors = tolist([
        "arn:aws:logs:eu-west-1:111122223333:log-group:/aws/kinesisfirehose/sluicegate:log-stream:BackupDelivery",
        "arn:aws:logs:eu-west-1:111122223333:log-group:/aws/kinesisfirehose/sluicegate:log-stream:DestinationDelivery",
      ])
    }
    error_message = "Each right is for one resource."
  }
  assert {
    condition     = alltrue([for one in data.aws_iam_policy_document.firehose.statement : alltrue([for action in one.actions : !strcontains(action, "*")])])
    error_message = "No wildcard in actions."
  }
  assert {
    condition = one([for one in data.aws_iam_policy_document.firehose.statement : one.actions if one.sid == "EncryptBackup"]) == toset(["kms:GenerateDataKey", "kms:Decrypt"]) && one([
      for one in data.aws_iam_policy_document.firehose.statement : { for condition in one.condition : condition.variable => condition.values } if one.sid == "EncryptBackup"
    ])["kms:ViaService"] == tolist(["s3.eu-west-1.amazonaws.com"])
    error_message = "The bucket's key, through S3 only: without it a failing delivery stops the whole stream."
  }
  assert {
    condition     = one(data.aws_iam_policy_document.metric_stream.statement).resources == toset(["arn:aws:firehose:eu-west-1:111122223333:deliverystream/sluicegate"]) && one(data.aws_iam_policy_document.metric_stream.statement).actions == toset(["firehose:PutRecord", "firehose:PutRecordBatch"])
    error_message = "CloudWatch writes to this Firehose stream alone."
  }
  assert {
    condition     = one(one(data.aws_iam_policy_document.metric_stream_trust.statement).principals).identifiers == toset(["streams.metrics.cloudwatch.amazonaws.com"])
    error_message = "Metric streams assume the role."
  }
}

run "backup_bucket" {
  command = plan

  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.failed.rule).apply_server_side_encryption_by_default).sse_algorithm == "aws:kms" && one(one(aws_s3_bucket_server_side_encryption_configuration.failed.rule).apply_server_side_encryption_by_default).kms_master_key_id == "arn:aws:kms:eu-west-1:111122223333:key/made" && aws_kms_key.failed[0].enable_key_rotation
    error_message = "Encrypted by a key with rotation."
  }
  assert {
    condition     = aws_s3_bucket_public_access_block.failed.block_public_acls && aws_s3_bucket_public_access_block.failed.block_public_policy && aws_s3_bucket_public_access_block.failed.ignore_public_acls && aws_s3_bucket_public_access_block.failed.restrict_public_buckets
    error_message = "No public access."
  }
  assert {
    condition = alltrue([for one in data.aws_iam_policy_document.tls_only.statement :
      one.effect == "Deny" && one.actions == toset(["s3:*"]) && one.resources == toset(["arn:aws:s3:::sluicegate-failed", "arn:aws:s3:::sluicegate-failed/*"]) && one(one.principals).identifiers == toset(["*"])
      ]) && { for one in data.aws_iam_policy_document.tls_only.statement : one(one.condition).variable => "${one(one.condition).test} ${one(one.condition).values[0]}" } == {
      "aws:SecureTransport" = "Bool false"
      "s3:TlsVersion"       = "NumericLessThan 1.2"
    }
    error_message = "TLS only, of the bucket and of what is in it."
  }
  assert {
    condition     = aws_s3_bucket_lifecycle_configuration.failed.rule[0].status == "Enabled" && aws_s3_bucket_lifecycle_configuration.failed.rule[0].expiration[0].days == 30
    error_message = "Batches are deleted in time."
  }
  assert {
    condition     = !aws_s3_bucket.failed.force_destroy && aws_s3_bucket.failed.bucket == "sluicegate-failed-111122223333-eu-west-1"
    error_message = "The bucket has a name of its own, and is not deleted with data in it."
  }
}

run "metric_stream" {
  command = plan

  variables {
    include = [{ namespace = "AWS/EC2", metric_names = ["CPUUtilization"] }, { namespace = "AWS/SQS" }]
    additional_statistics = [{
      statistics = ["p50", "p99.9"]
      metrics    = [{ namespace = "AWS/Lambda", metric_name = "Duration" }]
    }]
  }

  assert {
    condition     = { for one in aws_cloudwatch_metric_stream.this.include_filter : one.namespace => join(",", one.metric_names) } == { "AWS/EC2" = "CPUUtilization", "AWS/SQS" = "" }
    error_message = "Include filters."
  }
  assert {
    condition     = one(aws_cloudwatch_metric_stream.this.statistics_configuration).additional_statistics == toset(["p50", "p99.9"]) && one(one(aws_cloudwatch_metric_stream.this.statistics_configuration).include_metric).metric_name == "Duration"
    error_message = "Additional statistics."
  }
  assert {
    condition     = aws_cloudwatch_metric_stream.this.output_format == "opentelemetry1.0" && aws_cloudwatch_metric_stream.this.firehose_arn == "arn:aws:firehose:eu-west-1:111122223333:deliverystream/sluicegate" && length(aws_cloudwatch_metric_stream.this.exclude_filter) == 0
    error_message = "The stream goes to this Firehose."
  }
}

run "alarms" {
  command = plan

  assert {
    condition     = toset([for one in aws_cloudwatch_metric_alarm.this : "${one.namespace} ${one.metric_name}"]) == toset(["AWS/Firehose DeliveryToHttpEndpoint.Success", "AWS/Firehose DeliveryToHttpEndpoint.DataFreshness", "AWS/Firehose BackupToS3.Records", "AWS/Firehose BackupToS3.Success", "AWS/Firehose ThrottledRecords", "AWS/CloudWatch/MetricStreams PublishErrorRate", "AWS/CloudWatch/MetricStreams MetricUpdate", "Sluicegate/Firehose sluicegate-backup-errors"])
    error_message = "The stream's alarms."
  }
  assert {
    condition     = alltrue([for one in aws_cloudwatch_metric_alarm.this : one.alarm_actions == toset(var.alarm_topic_arns) && one.ok_actions == toset(var.alarm_topic_arns)])
    error_message = "Each alarm tells the topic, of its end, too."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["silent"].treat_missing_data == "breaching" && aws_cloudwatch_metric_alarm.this["data-stale"].threshold < var.retry_duration_seconds
    error_message = "Silence alarms, and staleness long before batches are given up."
  }
}

run "own_copy_of_the_key_and_keys_of_others" {
  command = plan

  variables {
    access_key_secret_arn = null
    copy_access_key       = true
    access_key            = "not-a-secret"
    access_key_kms_key    = { arn = "arn:aws:kms:eu-west-1:111122223333:key/secrets" }
    create_kms_key        = false
    kms_key_arn           = "arn:aws:kms:eu-west-1:111122223333:key/given"
    exclude               = [{ namespace = "AWS/Usage" }]
  }

  assert {
    condition     = length(aws_kms_key.failed) == 0 && aws_kinesis_firehose_delivery_stream.this.http_endpoint_configuration[0].s3_configuration[0].kms_key_arn == var.kms_key_arn
    error_message = "A given key is used."
  }
  assert {
    condition     = contains([for one in data.aws_iam_policy_document.firehose.statement : one.sid], "DecryptAccessKey")
    error_message = "The secret's key can be used."
  }
  assert {
    condition     = [for one in aws_cloudwatch_metric_stream.this.exclude_filter : one.namespace] == ["AWS/Usage"]
    error_message = "Exclude filters."
  }
}

run "refused" {
  command = plan

  variables {
    endpoint_url                 = "http://metrics.example.com/firehose"
    access_key_secret_arn        = null
    include                      = [{ namespace = "AWS/EC2" }, { namespace = "AWS/EC2" }]
    output_format                = "xml"
    buffering_size_mb            = 5
    retry_duration_seconds       = 7201
    create_kms_key               = false
    data_freshness_alarm_seconds = 60
    common_attributes            = { "" = "x" }
  }

  expect_failures = [
    var.endpoint_url, var.access_key_secret_arn, var.include, var.output_format, var.buffering_size_mb,
    var.retry_duration_seconds, var.create_kms_key, var.data_freshness_alarm_seconds, var.common_attributes,
  ]
}

run "refused_together" {
  command = plan

  variables {
    include               = [{ namespace = "AWS/EC2" }]
    exclude               = [{ namespace = "AWS/SQS" }]
    additional_statistics = [{ statistics = ["IQM"], metrics = [{ namespace = "AWS/EC2", metric_name = "CPUUtilization" }] }]
  }

  expect_failures = [var.exclude, var.additional_statistics]
}
