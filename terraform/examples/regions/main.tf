# Streams of several regions into one gateway: the gateway and the workspace stand in one region, each
# further one has a metric stream, a Firehose stream, its backup bucket and its alarms.

provider "aws" {
  region = "eu-west-1"
}

provider "aws" {
  alias  = "us"
  region = "us-east-1"
}

provider "aws" {
  alias  = "asia"
  region = "ap-southeast-1"
}

variable "image" {
  description = "Container image of Sluicegate."
  type        = string
}

variable "domain_name" {
  description = "Host name of the endpoint."
  type        = string
}

variable "hosted_zone_id" {
  description = "Route 53 zone of the domain."
  type        = string
}

variable "certificate_arn" {
  description = "ACM certificate of the domain."
  type        = string
}

variable "alarm_emails" {
  description = "Who is told when metrics stop."
  type        = set(string)
}

module "network" {
  source = "../../modules/network"
  name   = "sluicegate"
}

module "workspace" {
  source = "../../modules/workspace"

  alert_topic      = { arn = module.alarms_eu.arn }
  alarm_topic_arns = [module.alarms_eu.arn]
}

module "gateway" {
  source = "../../modules/gateway"

  image           = var.image
  domain_name     = var.domain_name
  hosted_zone     = { id = var.hosted_zone_id }
  certificate_arn = var.certificate_arn

  vpc_id                   = module.network.vpc_id
  load_balancer_subnet_ids = module.network.public_subnet_ids
  task_subnet_ids          = module.network.task_subnet_ids
  assign_public_ip         = module.network.tasks_need_public_ip

  remote_write = [{
    name      = "amp"
    url       = module.workspace.remote_write_url
    workspace = { arn = module.workspace.workspace_arn }
  }]

  # Firehose reads the key in its own region: Secrets Manager keeps copies there.
  access_key_replica_regions = ["us-east-1", "ap-southeast-1"]
  alarm_topic_arns           = [module.alarms_eu.arn]
}

# An alarm notifies topics of its own region only.

module "alarms_eu" {
  source = "../../modules/alarm-topic"
  name   = "sluicegate-alarms"
  emails = var.alarm_emails
}

module "alarms_us" {
  source    = "../../modules/alarm-topic"
  providers = { aws = aws.us }
  name      = "sluicegate-alarms"
  emails    = var.alarm_emails
}

module "alarms_asia" {
  source    = "../../modules/alarm-topic"
  providers = { aws = aws.asia }
  name      = "sluicegate-alarms"
  emails    = var.alarm_emails
}

module "stream_eu" {
  source = "../../modules/stream"

  endpoint_url          = module.gateway.endpoint_url
  access_key_secret_arn = module.gateway.access_key_secret_arns["eu-west-1"]
  alarm_topic_arns      = [module.alarms_eu.arn]
}

module "stream_us" {
  source    = "../../modules/stream"
  providers = { aws = aws.us }

  endpoint_url          = module.gateway.endpoint_url
  access_key_secret_arn = module.gateway.access_key_secret_arns["us-east-1"]
  alarm_topic_arns      = [module.alarms_us.arn]
}

module "stream_asia" {
  source    = "../../modules/stream"
  providers = { aws = aws.asia }

  endpoint_url          = module.gateway.endpoint_url
  access_key_secret_arn = module.gateway.access_key_secret_arns["ap-southeast-1"]
  alarm_topic_arns      = [module.alarms_asia.arn]
}

module "dashboard" {
  source = "../../modules/dashboard"

  streams    = [module.stream_eu.dashboard_entry, module.stream_us.dashboard_entry, module.stream_asia.dashboard_entry]
  gateway    = module.gateway.dashboard_entry
  workspaces = [{ region = "eu-west-1", id = module.workspace.workspace_id }]
}

output "next_steps" {
  description = "How to see that the gateway answers."
  value       = module.gateway.next_steps
}
