# What tells that the gateway falters. Firehose keeps the batches meanwhile: two hours to act.

locals {
  load_balancer_dimensions = { LoadBalancer = aws_lb.this.arn_suffix }
  target_dimensions        = { LoadBalancer = aws_lb.this.arn_suffix, TargetGroup = aws_lb_target_group.this.arn_suffix }
  service_dimensions       = { ClusterName = local.cluster_name, ServiceName = aws_ecs_service.this.name }

  alarms = {
    load-balancer-5xx = {
      text       = "The load balancer itself answers 5xx: no healthy task, or connections cut."
      namespace  = "AWS/ApplicationELB"
      metric     = "HTTPCode_ELB_5XX_Count"
      dimensions = local.load_balancer_dimensions
      statistic  = "Sum"
      operator   = "GreaterThanThreshold"
      threshold  = 0
      periods    = 5
      datapoints = 3
      missing    = "notBreaching"
    }
    unhealthy-hosts = {
      text       = "Tasks are not ready for longer than a deployment takes."
      namespace  = "AWS/ApplicationELB"
      metric     = "UnHealthyHostCount"
      dimensions = local.target_dimensions
      statistic  = "Maximum"
      operator   = "GreaterThanThreshold"
      threshold  = 0
      periods    = 10
      datapoints = 10
      missing    = "notBreaching"
    }
    # Every running task reports its CPU once a minute: the number of reports is the number of tasks,
    # in any cluster, with Container Insights or without.
    running-tasks = {
      text       = "Fewer than ${var.tasks_min} tasks run."
      namespace  = "AWS/ECS"
      metric     = "CPUUtilization"
      dimensions = local.service_dimensions
      statistic  = "SampleCount"
      operator   = "LessThanThreshold"
      threshold  = var.tasks_min
      periods    = 5
      datapoints = 5
      missing    = "breaching"
    }
    memory = {
      text       = "Tasks use more than 90 % of their memory: a larger `memory`, or a smaller server.budget."
      namespace  = "AWS/ECS"
      metric     = "MemoryUtilization"
      dimensions = local.service_dimensions
      statistic  = "Maximum"
      operator   = "GreaterThanThreshold"
      threshold  = 90
      periods    = 10
      datapoints = 5
      missing    = "notBreaching"
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-gateway-${each.key}"
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

# The gateway answers 503 when it has no room or a destination does not take samples. Now and then is
# how it keeps its memory; a lasting part of all requests is an outage.
resource "aws_cloudwatch_metric_alarm" "target_5xx" {
  alarm_name          = "${var.name}-gateway-5xx"
  alarm_description   = "More than ${var.alarm_5xx_percent} % of the requests are answered 5xx: a destination does not take samples in time, or there are too few tasks. Firehose repeats them."
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.alarm_5xx_percent
  evaluation_periods  = 10
  datapoints_to_alarm = 5
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = local.tags

  metric_query {
    id          = "percent"
    label       = "Answered 5xx, percent"
    expression  = "IF(requests > 0, 100 * FILL(refused, 0) / requests, 0)"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = { refused = "HTTPCode_Target_5XX_Count", requests = "RequestCount" }
    content {
      id = metric_query.key

      metric {
        namespace   = "AWS/ApplicationELB"
        metric_name = metric_query.value
        period      = 60
        stat        = "Sum"
        dimensions  = local.target_dimensions
      }
    }
  }
}
