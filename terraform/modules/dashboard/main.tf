# The whole path on one page, in the order that a sample takes: metric stream, Firehose, load balancer,
# tasks, workspace. Each widget has the title of the question that it answers.

locals {
  # One row per hop; `series` are CloudWatch's metric arrays, the last element of each its options.
  rows = [
    { hop = "## 1. CloudWatch metric streams", widgets = [
      {
        title = "How much is streamed? (metric updates a minute, billed)"
        series = [for stream in var.streams :
          ["AWS/CloudWatch/MetricStreams", "MetricUpdate", "MetricStreamName", stream.metric_stream, { stat = "Sum", region = stream.region, label = "${stream.metric_stream} ${stream.region}" }]
        ]
      },
      {
        title = "Can CloudWatch write to Firehose? (publish errors)"
        series = [for stream in var.streams :
          ["AWS/CloudWatch/MetricStreams", "PublishErrorRate", "MetricStreamName", stream.metric_stream, { stat = "Average", region = stream.region, label = "${stream.metric_stream} ${stream.region}" }]
        ]
      },
    ] },
    { hop = "## 2. Firehose", widgets = [
      {
        title = "Are deliveries answered 200? (part of attempts)"
        series = [for stream in var.streams :
          ["AWS/Firehose", "DeliveryToHttpEndpoint.Success", "DeliveryStreamName", stream.firehose, { stat = "Average", region = stream.region, label = "${stream.firehose} ${stream.region}" }]
        ]
      },
      {
        title = "How old is the oldest batch? (s)"
        series = [for stream in var.streams :
          ["AWS/Firehose", "DeliveryToHttpEndpoint.DataFreshness", "DeliveryStreamName", stream.firehose, { stat = "Maximum", region = stream.region, label = "${stream.firehose} ${stream.region}" }]
        ]
      },
      {
        title = "Was anything given up on? (records in the backup buckets)"
        series = [for stream in var.streams :
          ["AWS/Firehose", "BackupToS3.Records", "DeliveryStreamName", stream.firehose, { stat = "Sum", region = stream.region, label = "${stream.firehose} ${stream.region}" }]
        ]
      },
    ] },
    { hop = "## 3. Load balancer", widgets = [
      {
        title = "What does the gateway answer? (requests a minute)"
        series = [for metric in ["HTTPCode_Target_2XX_Count", "HTTPCode_Target_4XX_Count", "HTTPCode_Target_5XX_Count", "HTTPCode_ELB_5XX_Count"] :
          ["AWS/ApplicationELB", metric, "LoadBalancer", var.gateway.load_balancer, { stat = "Sum", region = var.gateway.region }]
        ]
      },
      {
        title = "How long does an answer take? (s)"
        series = [for stat in ["p50", "p99", "Maximum"] :
          ["AWS/ApplicationELB", "TargetResponseTime", "LoadBalancer", var.gateway.load_balancer, { stat = stat, region = var.gateway.region, label = stat }]
        ]
      },
      {
        title = "Are the tasks ready?"
        series = [for metric in ["HealthyHostCount", "UnHealthyHostCount"] :
          ["AWS/ApplicationELB", metric, "LoadBalancer", var.gateway.load_balancer, "TargetGroup", var.gateway.target_group, { stat = "Maximum", region = var.gateway.region }]
        ]
      },
    ] },
    { hop = "## 4. Tasks", widgets = [
      {
        title = "How many tasks run?"
        series = [
          ["AWS/ECS", "CPUUtilization", "ClusterName", var.gateway.cluster, "ServiceName", var.gateway.service, { stat = "SampleCount", period = 60, region = var.gateway.region, label = "tasks" }]
        ]
      },
      {
        title = "How busy are they? (percent)"
        series = [for metric in ["CPUUtilization", "MemoryUtilization"] :
          ["AWS/ECS", metric, "ClusterName", var.gateway.cluster, "ServiceName", var.gateway.service, { stat = "Maximum", region = var.gateway.region }]
        ]
      },
    ] },
    { hop = "## 5. Workspaces", widgets = [for widget in [
      {
        title = "How much is ingested? (samples per second, billed)"
        series = [for workspace in var.workspaces :
          ["AWS/Usage", "ResourceCount", "Service", "Prometheus", "Type", "Resource", "Class", "None", "Resource", "IngestionRate", "ResourceId", workspace.id, { stat = "Average", region = workspace.region, label = workspace.id }]
        ]
      },
      {
        title = "How many series are active?"
        series = [for workspace in var.workspaces :
          ["AWS/Usage", "ResourceCount", "Service", "Prometheus", "Type", "Resource", "Class", "None", "Resource", "ActiveSeries", "ResourceId", workspace.id, { stat = "Maximum", region = workspace.region, label = workspace.id }]
        ]
      },
      {
        title = "Does AMP discard samples? (by reason)"
        series = [for region in distinct(var.workspaces[*].region) :
          [{ expression = "SEARCH('Namespace=\"AWS/Prometheus\" MetricName=\"DiscardedSamples\"', 'Sum', 60)", region = region, id = "discarded${index(distinct(var.workspaces[*].region), region)}" }]
        ]
      },
    ] : widget if length(var.workspaces) > 0] },
  ]

  shown = [for row in local.rows : row if length(row.widgets) > 0]

  widgets = flatten([for number, row in local.shown : concat(
    [{
      type       = "text"
      x          = 0
      y          = number * 7
      width      = 24
      height     = 1
      properties = { markdown = row.hop, background = "transparent" }
    }],
    [for column, widget in row.widgets : {
      type   = "metric"
      x      = column * floor(24 / length(row.widgets))
      y      = number * 7 + 1
      width  = floor(24 / length(row.widgets))
      height = 6
      properties = {
        title   = widget.title
        view    = "timeSeries"
        region  = var.gateway.region
        period  = 60
        stacked = false
        yAxis   = { left = { min = 0 } }
        metrics = widget.series
      }
    }],
  )])
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name
  dashboard_body = jsonencode({ start = "-PT3H", widgets = local.widgets })
}
