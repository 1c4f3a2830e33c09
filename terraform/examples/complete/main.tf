# From nothing to metrics on a dashboard, in one account: network, certificate, workspace, gateway,
# stream, alarms.

provider "aws" {
  region = var.region

  default_tags {
    tags = { Environment = "production" }
  }
}

variable "region" {
  description = "Region of everything."
  type        = string
  default     = "eu-west-1"
}

variable "image" {
  description = "Container image of Sluicegate."
  type        = string
}

variable "domain_name" {
  description = "Host name of the endpoint, within the hosted zone."
  type        = string
}

variable "hosted_zone_id" {
  description = "Route 53 zone of the domain."
  type        = string
}

variable "alarm_emails" {
  description = "Who is told when metrics stop."
  type        = set(string)
}

variable "collector" {
  description = "Run an ADOT collector beside the gateway (`deploy/adot`), which writes the gateway's own metrics to the workspace: the rules in `deploy/prometheus` and the gateway's dashboard want them."
  type        = bool
  default     = false
}

variable "teardown" {
  description = "Before `terraform destroy`, apply with true: takes the load balancer's deletion protection away, and lets the backup bucket go with what is in it and the access key without a time to bring it back."
  type        = bool
  default     = false
}

module "sluicegate" {
  source = "../.."

  image        = var.image
  domain_name  = var.domain_name
  hosted_zone  = { id = var.hosted_zone_id }
  alarm_emails = var.alarm_emails

  # The collector has 256 MiB of the task's memory.
  memory = var.collector ? 1024 : 512
  sidecars = var.collector ? jsonencode([for container in jsondecode(file("${path.module}/../../../deploy/adot/sidecars.json")) : merge(container, {
    environment = [
      { name = "AOT_CONFIG_CONTENT", value = file("${path.module}/../../../deploy/adot/amp.yaml") },
      { name = "AWS_PROMETHEUS_ENDPOINT", value = module.sluicegate.remote_write_url },
    ]
    logConfiguration = merge(container.logConfiguration, {
      options = merge(container.logConfiguration.options, { awslogs-region = var.region })
    })
  })]) : "[]"

  deletion_protection            = !var.teardown
  backup_force_destroy           = var.teardown
  secret_recovery_window_in_days = var.teardown ? 0 : 7

  # What most dashboards show; without this, everything is streamed and paid for.
  include = [
    { namespace = "AWS/ApplicationELB" },
    { namespace = "AWS/DynamoDB" },
    { namespace = "AWS/EC2" },
    { namespace = "AWS/Lambda" },
    { namespace = "AWS/RDS" },
    { namespace = "AWS/SQS" },
  ]

  additional_statistics = [{
    statistics = ["p50", "p99"]
    metrics = [
      { namespace = "AWS/ApplicationELB", metric_name = "TargetResponseTime" },
      { namespace = "AWS/Lambda", metric_name = "Duration" },
    ]
  }]

  configuration = yamlencode({
    cloudwatch = {
      # Five samples per data point unless told otherwise; each is billed by AMP.
      statistics = ["sum", "average", "maximum", "extended"]
      # What the overview in deploy/grafana shows beyond these.
      statistics_rules = [
        { namespace = "AWS/ApplicationELB", metric = "TargetResponseTime", statistics = ["sum", "average", "maximum", "sample_count", "extended"] },
        { namespace = "AWS/Lambda", metric = "Duration", statistics = ["sum", "average", "maximum", "sample_count", "extended"] },
        { namespace = "AWS/RDS", metric = "FreeStorageSpace", statistics = ["minimum", "average"] },
      ]
      series_limit = {
        per_hour = 500000
      }
    }
    global = {
      external_labels = { source = "cloudwatch" }
    }
  })
}

output "next_steps" {
  description = "How to see that metrics flow."
  value       = module.sluicegate.next_steps
}

output "grafana_data_source" {
  description = "Data source provisioning file for Grafana."
  value       = module.sluicegate.grafana_data_source
}

output "dashboard_url" {
  description = "The CloudWatch dashboard of the whole path."
  value       = module.sluicegate.dashboard_url
}
