# What tells that AMP refuses samples, or is about to.

# AMP counts discarded samples by reason. The query sums them all, over the workspaces of this account and region.
resource "aws_cloudwatch_metric_alarm" "discarded" {
  alarm_name          = "${var.name}-workspace-discarded-samples"
  alarm_description   = "AMP discards samples (of any workspace in ${local.region}); the gateway's sluicegate_samples_refused_total has the reasons."
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = local.tags

  metric_query {
    id          = "discarded"
    label       = "Discarded samples"
    expression  = "SELECT SUM(DiscardedSamples) FROM \"AWS/Prometheus\""
    period      = 60
    return_data = true
  }
}

resource "aws_cloudwatch_metric_alarm" "quota" {
  for_each = {
    ingestion-rate = { resource = "IngestionRate", text = "samples per second" }
    active-series  = { resource = "ActiveSeries", text = "active series" }
  }

  alarm_name          = "${var.name}-workspace-${each.key}"
  alarm_description   = "The workspace uses more than ${var.quota_alarm_percent} % of its quota of ${each.value.text}: ask for a higher one; beyond it AMP refuses whole requests or new series."
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.quota_alarm_percent
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = local.tags

  metric_query {
    id          = "percent"
    label       = "Use of the quota, percent"
    expression  = "(used / SERVICE_QUOTA(used)) * 100"
    return_data = true
  }

  metric_query {
    id = "used"

    metric {
      namespace   = "AWS/Usage"
      metric_name = "ResourceCount"
      period      = 60
      stat        = "Maximum"
      dimensions = {
        Service    = "Prometheus"
        Type       = "Resource"
        Class      = "None"
        Resource   = each.value.resource
        ResourceId = aws_prometheus_workspace.this.id
      }
    }
  }
}
