# Into what is there already: a VPC, an AMP workspace, an ECS cluster, a certificate, a topic. The
# modules are put together by hand; a self-hosted Prometheus gets a copy as best effort.

provider "aws" {
  region = var.region
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
  description = "Host name of the endpoint."
  type        = string
}

variable "certificate_arn" {
  description = "ACM certificate of the domain."
  type        = string
}

variable "vpc_id" {
  description = "The VPC; its subnets are found by the tag `tier`: `public` and `private`."
  type        = string
}

variable "cluster_name" {
  description = "The ECS cluster."
  type        = string
}

variable "workspace_id" {
  description = "The AMP workspace."
  type        = string
}

variable "alarm_topic_arn" {
  description = "SNS topic for alarms."
  type        = string
}

variable "access_key" {
  description = "An access key of your own making (TF_VAR_access_key). Ephemeral: it stands neither in a plan nor in the state."
  type        = string
  ephemeral   = true
  sensitive   = true
}

variable "prometheus_password_arn" {
  description = "Secret that holds the password of the self-hosted Prometheus."
  type        = string
}

variable "scraper_security_group_id" {
  description = "Security group of the Prometheus that scrapes the gateway."
  type        = string
}

data "aws_subnets" "public" {
  filter {
    name   = "vpc-id"
    values = [var.vpc_id]
  }
  tags = { tier = "public" }
}

data "aws_subnets" "private" {
  filter {
    name   = "vpc-id"
    values = [var.vpc_id]
  }
  tags = { tier = "private" }
}

data "aws_ecs_cluster" "this" {
  cluster_name = var.cluster_name
}

data "aws_prometheus_workspace" "this" {
  workspace_id = var.workspace_id
}

module "gateway" {
  source = "../../modules/gateway"

  image           = var.image
  domain_name     = var.domain_name
  certificate_arn = var.certificate_arn
  cluster         = { arn = data.aws_ecs_cluster.this.arn, name = var.cluster_name }

  vpc_id                    = var.vpc_id
  load_balancer_subnet_ids  = data.aws_subnets.public.ids
  task_subnet_ids           = data.aws_subnets.private.ids
  telemetry_security_groups = { prometheus = var.scraper_security_group_id }

  # A copy may be late or lost; the 200 waits for AMP alone.
  remote_write = [
    {
      name      = "amp"
      url       = "${data.aws_prometheus_workspace.this.prometheus_endpoint}api/v1/remote_write"
      workspace = { arn = data.aws_prometheus_workspace.this.arn }
    },
    {
      name     = "prometheus"
      url      = "https://prometheus.internal.example.com/api/v1/write"
      required = false
      settings = <<-EOT
        basic_auth:
          username: sluicegate
          password: $${PROMETHEUS_PASSWORD}
        write_relabel_configs:
          - source_labels: [__name__]
            regex: aws_(ec2|rds)_.*
            action: keep
      EOT
    },
  ]
  secrets = { PROMETHEUS_PASSWORD = var.prometheus_password_arn }

  access_keys       = [{ name = "own", given = true }]
  access_key_values = { own = var.access_key }

  alarm_topic_arns = [var.alarm_topic_arn]
}

module "stream" {
  source = "../../modules/stream"

  endpoint_url          = module.gateway.endpoint_url
  access_key_secret_arn = module.gateway.access_key_secret_arn
  alarm_topic_arns      = [var.alarm_topic_arn]

  exclude = [{ namespace = "AWS/Firehose" }, { namespace = "AWS/Usage" }]
}

output "next_steps" {
  description = "How to see that the gateway answers."
  value       = module.gateway.next_steps
}
