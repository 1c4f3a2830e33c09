# What Firehose may do: read the access key, write undelivered batches to the bucket, log errors.

data "aws_iam_policy_document" "firehose_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["firehose.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "sts:ExternalId"
      values   = [local.account_id]
    }
  }
}

data "aws_iam_policy_document" "firehose" {
  statement {
    sid       = "ReadAccessKey"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [local.access_key_secret_arn]
  }

  dynamic "statement" {
    for_each = var.access_key_kms_key[*]
    content {
      sid       = "DecryptAccessKey"
      actions   = ["kms:Decrypt"]
      resources = [statement.value.arn]

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = ["secretsmanager.${local.region}.amazonaws.com"]
      }
    }
  }

  statement {
    sid       = "FindBackupBucket"
    actions   = ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"]
    resources = [aws_s3_bucket.failed.arn]
  }

  statement {
    sid       = "WriteBackup"
    actions   = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"]
    resources = ["${aws_s3_bucket.failed.arn}/*"]
  }

  statement {
    sid       = "EncryptBackup"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [local.bucket_kms_key_arn]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${local.region}.amazonaws.com"]
    }
    condition {
      test     = "StringLike"
      variable = "kms:EncryptionContext:aws:s3:arn"
      # With a bucket key S3's context is the bucket, without one the object.
      values = [aws_s3_bucket.failed.arn, "${aws_s3_bucket.failed.arn}/*"]
    }
  }

  statement {
    sid     = "LogErrors"
    actions = ["logs:PutLogEvents"]
    resources = [
      "${aws_cloudwatch_log_group.firehose.arn}:log-stream:${aws_cloudwatch_log_stream.delivery.name}",
      "${aws_cloudwatch_log_group.firehose.arn}:log-stream:${aws_cloudwatch_log_stream.backup.name}",
    ]
  }
}

resource "aws_iam_role" "firehose" {
  name               = "${local.role_prefix}-firehose"
  description        = "Firehose delivers ${var.name} to Sluicegate"
  assume_role_policy = data.aws_iam_policy_document.firehose_trust.json
  tags               = local.tags
}

resource "aws_iam_role_policy" "firehose" {
  name   = "delivery"
  role   = aws_iam_role.firehose.id
  policy = data.aws_iam_policy_document.firehose.json
}
