# CloudWatch's half: which metrics go to Firehose.

resource "aws_cloudwatch_metric_stream" "this" {
  name                            = var.name
  firehose_arn                    = aws_kinesis_firehose_delivery_stream.this.arn
  role_arn                        = aws_iam_role.metric_stream.arn
  output_format                   = var.output_format
  include_linked_accounts_metrics = var.include_linked_accounts_metrics
  tags                            = local.tags

  dynamic "include_filter" {
    for_each = var.include
    content {
      namespace    = include_filter.value.namespace
      metric_names = include_filter.value.metric_names
    }
  }

  dynamic "exclude_filter" {
    for_each = var.exclude
    content {
      namespace    = exclude_filter.value.namespace
      metric_names = exclude_filter.value.metric_names
    }
  }

  dynamic "statistics_configuration" {
    for_each = var.additional_statistics
    content {
      additional_statistics = statistics_configuration.value.statistics

      dynamic "include_metric" {
        for_each = statistics_configuration.value.metrics
        content {
          namespace   = include_metric.value.namespace
          metric_name = include_metric.value.metric_name
        }
      }
    }
  }

  # A stream that may not yet write to Firehose drops its first minutes.
  depends_on = [aws_iam_role_policy.metric_stream]
}

# CloudWatch documents no condition keys for this trust, so none is asked for. What the role may do
# is write to one Firehose stream.
data "aws_iam_policy_document" "metric_stream_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["streams.metrics.cloudwatch.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "metric_stream" {
  statement {
    sid       = "WriteToFirehose"
    actions   = ["firehose:PutRecord", "firehose:PutRecordBatch"]
    resources = [aws_kinesis_firehose_delivery_stream.this.arn]
  }
}

resource "aws_iam_role" "metric_stream" {
  name               = "${local.role_prefix}-stream"
  description        = "CloudWatch writes the metric stream ${var.name} to Firehose"
  assume_role_policy = data.aws_iam_policy_document.metric_stream_trust.json
  tags               = local.tags
}

resource "aws_iam_role_policy" "metric_stream" {
  name   = "firehose"
  role   = aws_iam_role.metric_stream.id
  policy = data.aws_iam_policy_document.metric_stream.json
}
