# Every hop of the path is on the dashboard, of every region.

mock_provider "aws" {}

variables {
  streams = [
    { region = "eu-west-1", metric_stream = "one", firehose = "one" },
    { region = "us-east-1", metric_stream = "two", firehose = "two" },
  ]
  gateway = {
    region        = "eu-west-1"
    load_balancer = "app/lb/1"
    target_group  = "targetgroup/tg/1"
    cluster       = "cluster"
    service       = "service"
  }
  workspaces = [{ region = "eu-west-1", id = "ws-1" }]
}

run "whole_path" {
  command = plan

  assert {
    condition = alltrue([for metric in [
      "MetricUpdate", "PublishErrorRate", "DeliveryToHttpEndpoint.Success", "DeliveryToHttpEndpoint.DataFreshness", "BackupToS3.Records",
      "HTTPCode_Target_5XX_Count", "TargetResponseTime", "HealthyHostCount", "CPUUtilization", "IngestionRate", "ActiveSeries", "DiscardedSamples",
    ] : strcontains(aws_cloudwatch_dashboard.this.dashboard_body, metric)])
    error_message = "A hop is missing."
  }
  assert {
    condition = alltrue(flatten([for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : [
      widget.x + widget.width <= 24,
      widget.type == "text" || length(try(widget.properties.metrics, [])) > 0,
    ]]))
    error_message = "Each widget fits the page and shows something."
  }
  assert {
    condition     = length(distinct([for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : "${widget.x},${widget.y}"])) == length(jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets)
    error_message = "No two widgets in one place."
  }
  assert {
    condition     = strcontains(aws_cloudwatch_dashboard.this.dashboard_body, "us-east-1")
    error_message = "Streams of other regions are shown."
  }
}

run "without_workspaces" {
  command = plan
  variables { workspaces = [] }

  assert {
    condition     = !strcontains(aws_cloudwatch_dashboard.this.dashboard_body, "IngestionRate")
    error_message = "No row for what is not there."
  }
}
