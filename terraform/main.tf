# Everything for one account and region: network, workspace, gateway, stream, and who is told.

module "network" {
  source = "./modules/network"
  count  = var.network == null ? 1 : 0

  name       = var.name
  cidr_block = var.network_cidr_block
  nat        = var.nat
  tags       = var.tags
}

module "alarm_topic" {
  source = "./modules/alarm-topic"
  count  = var.alarm_topic == null ? 1 : 0

  name   = "${var.name}-alarms"
  emails = var.alarm_emails
  tags   = var.tags
}

module "workspace" {
  source = "./modules/workspace"
  count  = var.workspace == null ? 1 : 0

  name                       = var.name
  retention_days             = var.retention_days
  out_of_order_window_by_cli = var.out_of_order_window_by_cli
  rule_groups                = local.rule_groups
  alert_topic                = { arn = local.alarm_topic_arn }
  alarm_topic_arns           = [local.alarm_topic_arn]
  tags                       = var.tags
}

data "aws_prometheus_workspace" "existing" {
  count = var.workspace == null ? 0 : 1

  workspace_id = var.workspace.id
}

data "aws_region" "current" {}

locals {
  network = var.network != null ? var.network : {
    vpc_id                   = module.network[0].vpc_id
    load_balancer_subnet_ids = module.network[0].public_subnet_ids
    task_subnet_ids          = module.network[0].task_subnet_ids
    assign_public_ip         = module.network[0].tasks_need_public_ip
  }

  alarm_topic_arn = var.alarm_topic != null ? var.alarm_topic.arn : module.alarm_topic[0].arn

  workspace = var.workspace == null ? {
    id  = module.workspace[0].workspace_id
    arn = module.workspace[0].workspace_arn
    url = module.workspace[0].remote_write_url
    } : {
    id  = var.workspace.id
    arn = data.aws_prometheus_workspace.existing[0].arn
    url = "${data.aws_prometheus_workspace.existing[0].prometheus_endpoint}api/v1/remote_write"
  }

  # A rule file becomes a rule group namespace of its name.
  rules_directory = var.rules_directory != null ? var.rules_directory : "${path.module}/../deploy/prometheus/rules"
  rule_groups = {
    for file in fileset(local.rules_directory, "*.{yaml,yml}") : trimsuffix(trimsuffix(file, ".yaml"), ".yml") => file("${local.rules_directory}/${file}")
  }
}

module "gateway" {
  source = "./modules/gateway"

  name             = var.name
  image            = var.image
  cpu_architecture = var.cpu_architecture
  cpu              = var.cpu
  memory           = var.memory
  tasks_min        = var.tasks_min
  tasks_max        = var.tasks_max
  sidecars         = var.sidecars
  task_policies    = var.task_policies
  configuration    = var.configuration
  remote_write = concat([{
    name        = "amp"
    url         = local.workspace.url
    required    = true
    workspace   = { arn = local.workspace.arn }
    assume_role = null
    settings    = "{}"
  }], var.further_destinations)

  vpc_id                    = local.network.vpc_id
  load_balancer_subnet_ids  = local.network.load_balancer_subnet_ids
  task_subnet_ids           = local.network.task_subnet_ids
  assign_public_ip          = local.network.assign_public_ip
  telemetry_security_groups = var.telemetry_security_groups

  domain_name         = var.domain_name
  hosted_zone         = var.hosted_zone
  certificate_arn     = local.certificate_arn
  deletion_protection = var.deletion_protection
  access_logs         = var.access_logs
  web_acl             = var.web_acl

  access_keys                    = var.access_keys
  access_key_values              = var.access_key_values
  secret_recovery_window_in_days = var.secret_recovery_window_in_days

  wait_for_steady_state = var.wait_for_steady_state
  alarm_topic_arns      = [local.alarm_topic_arn]
  tags                  = var.tags
}

module "stream" {
  source = "./modules/stream"

  name                  = var.name
  endpoint_url          = module.gateway.endpoint_url
  access_key_secret_arn = module.gateway.access_key_secret_arn

  include               = var.include
  exclude               = var.exclude
  additional_statistics = var.additional_statistics
  output_format         = var.output_format
  common_attributes     = var.common_attributes
  backup_force_destroy  = var.backup_force_destroy

  alarm_topic_arns = [local.alarm_topic_arn]
  tags             = var.tags
}

module "dashboard" {
  source = "./modules/dashboard"

  name       = var.name
  streams    = [module.stream.dashboard_entry]
  gateway    = module.gateway.dashboard_entry
  workspaces = [{ region = data.aws_region.current.name, id = local.workspace.id }]
}
