# What tells that the stream falters. Everything here is about one region and one account.

locals {
  firehose_dimensions = { DeliveryStreamName = var.name }
  stream_dimensions   = { MetricStreamName = var.name }

  error_namespace = "Sluicegate/Firehose"
  error_metric    = "${var.name}-backup-errors"

  # `periods` of a minute are looked at, `datapoints` of them must be bad.
  alarms = {
    delivery-failing = {
      text      = "The gateway answers too few of Firehose's attempts with 200; the log group /aws/kinesisfirehose/${var.name} has the answers."
      namespace = "AWS/Firehose", metric = "DeliveryToHttpEndpoint.Success", dimensions = local.firehose_dimensions
      statistic = "Average", operator = "LessThanThreshold", threshold = var.delivery_success_alarm_ratio
      periods   = 10, datapoints = 5, missing = "notBreaching"
    }
    data-stale = {
      text      = "The oldest batch that Firehose holds waits too long: it goes to S3 after ${var.retry_duration_seconds} s, and AMP takes nothing older than an hour."
      namespace = "AWS/Firehose", metric = "DeliveryToHttpEndpoint.DataFreshness", dimensions = local.firehose_dimensions
      statistic = "Maximum", operator = "GreaterThanThreshold", threshold = var.data_freshness_alarm_seconds
      periods   = 5, datapoints = 3, missing = "notBreaching"
    }
    data-in-backup = {
      text      = "Batches were given up on and went to ${local.bucket_name}."
      namespace = "AWS/Firehose", metric = "BackupToS3.Records", dimensions = local.firehose_dimensions
      statistic = "Sum", operator = "GreaterThanThreshold", threshold = 0
      periods   = 1, datapoints = 1, missing = "notBreaching"
    }
    backup-failing = {
      text      = "Firehose cannot write to ${local.bucket_name}: while delivery fails, too, the whole stream stands still."
      namespace = "AWS/Firehose", metric = "BackupToS3.Success", dimensions = local.firehose_dimensions
      statistic = "Average", operator = "LessThanThreshold", threshold = 1
      periods   = 5, datapoints = 1, missing = "notBreaching"
    }
    backup-errors = {
      text      = "Firehose logs errors of S3 or its key: see the log stream BackupDelivery of /aws/kinesisfirehose/${var.name}."
      namespace = local.error_namespace, metric = local.error_metric, dimensions = {}
      statistic = "Sum", operator = "GreaterThanThreshold", threshold = 0
      periods   = 5, datapoints = 1, missing = "notBreaching"
    }
    throttled = {
      text      = "CloudWatch writes more than the Firehose stream takes: ask for a higher quota."
      namespace = "AWS/Firehose", metric = "ThrottledRecords", dimensions = local.firehose_dimensions
      statistic = "Sum", operator = "GreaterThanThreshold", threshold = 0
      periods   = 5, datapoints = 3, missing = "notBreaching"
    }
    publish-errors = {
      text      = "CloudWatch cannot write the metric stream to Firehose: look at the role ${local.role_prefix}-stream."
      namespace = "AWS/CloudWatch/MetricStreams", metric = "PublishErrorRate", dimensions = local.stream_dimensions
      statistic = "Average", operator = "GreaterThanThreshold", threshold = 0
      periods   = 10, datapoints = 5, missing = "notBreaching"
    }
    silent = {
      text      = "The metric stream sends no updates: it is stopped, or its filters match nothing."
      namespace = "AWS/CloudWatch/MetricStreams", metric = "MetricUpdate", dimensions = local.stream_dimensions
      statistic = "Sum", operator = "LessThanThreshold", threshold = 1
      periods   = 15, datapoints = 15, missing = "breaching"
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-stream-${each.key}"
  alarm_description   = each.value.text
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  comparison_operator = each.value.operator
  threshold           = each.value.threshold
  period              = 60
  evaluation_periods  = each.value.periods
  datapoints_to_alarm = each.value.datapoints
  treat_missing_data  = each.value.missing
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = local.tags
}

# Firehose's own metrics speak of backups that it wrote; of those that it could not write its log does.
resource "aws_cloudwatch_log_metric_filter" "backup_errors" {
  name           = local.error_metric
  log_group_name = aws_cloudwatch_log_group.firehose.name
  pattern        = "{ ($.errorCode = \"S3.*\") || ($.errorCode = \"Kms.*\") || ($.errorCode = \"KMS.*\") }"

  metric_transformation {
    namespace = local.error_namespace
    name      = local.error_metric
    value     = "1"
  }
}
