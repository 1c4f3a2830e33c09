output "endpoint_url" {
  description = "The gateway's endpoint; streams of other accounts and regions go here, too (`modules/stream`)."
  value       = module.gateway.endpoint_url
}

output "access_key_secret_arn" {
  description = "Secret of the access key in use."
  value       = module.gateway.access_key_secret_arn
}

output "workspace_id" {
  description = "The AMP workspace."
  value       = local.workspace.id
}

output "remote_write_url" {
  description = "Where the gateway writes."
  value       = local.workspace.url
}

output "grafana_data_source" {
  description = "Data source provisioning file for Grafana; null for an existing workspace."
  value       = one(module.workspace[*].grafana_data_source)
}

output "backup_bucket" {
  description = "Bucket of the batches that could not be delivered in two hours."
  value       = module.stream.backup_bucket
}

output "dashboard_url" {
  description = "The CloudWatch dashboard of the whole path."
  value       = module.dashboard.url
}

output "alarm_topic_arn" {
  description = "SNS topic of the alarms."
  value       = local.alarm_topic_arn
}

output "alarm_names" {
  description = "Every alarm."
  value       = concat(module.stream.alarm_names, module.gateway.alarm_names, flatten(module.workspace[*].alarm_names))
}

output "rule_groups" {
  description = "Rule files that the workspace evaluates."
  value       = keys(local.rule_groups)
}

output "task_role_arn" {
  description = "Role of the gateway's tasks."
  value       = module.gateway.task_role_arn
}

output "containers" {
  description = "Containers of a task, and the memory of each in MiB."
  value       = module.gateway.containers
}

output "configuration" {
  description = "The configuration file that the gateway reads; without secrets."
  value       = module.gateway.configuration
}

output "out_of_order_window_command" {
  description = "Shell command that sets the workspace's out-of-order window, where apply did not; null for an existing workspace."
  value       = one(module.workspace[*].out_of_order_window_command)
}

output "next_steps" {
  description = "How to see that metrics flow."
  value       = <<-EOT
    ${module.gateway.next_steps}
    Three minutes after the apply Firehose delivers:
      ${module.stream.next_step}
    Dashboard: ${module.dashboard.url}
  EOT
}
