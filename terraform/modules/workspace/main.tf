# The workspace, how long it keeps samples, and whom it refuses.

data "aws_caller_identity" "current" {}
data "aws_region" "current" {}

locals {
  region = data.aws_region.current.name
  tags   = merge({ Application = "sluicegate", Component = "workspace" }, var.tags)

  remote_write_url = "${aws_prometheus_workspace.this.prometheus_endpoint}api/v1/remote_write"
}

resource "aws_prometheus_workspace" "this" {
  alias       = var.name
  kms_key_arn = var.kms_key_arn
  tags        = local.tags

  logging_configuration {
    log_group_arn = "${aws_cloudwatch_log_group.this.arn}:*"
  }

  # AMP delivers into log groups whose resource policy lets it.
  depends_on = [aws_cloudwatch_log_resource_policy.this]
}

resource "aws_prometheus_workspace_configuration" "this" {
  workspace_id             = aws_prometheus_workspace.this.id
  retention_period_in_days = var.retention_days

  dynamic "limits_per_label_set" {
    for_each = var.series_limits
    content {
      label_set = limits_per_label_set.value.labels

      limits {
        max_series = limits_per_label_set.value.max_series
      }
    }
  }
}
