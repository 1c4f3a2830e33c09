output "endpoint_url" {
  description = "URL for the streams' `endpoint_url`."
  value       = "https://${var.domain_name}${var.path}"
}

output "access_key_secret_arn" {
  description = "Secret of the access key in use, in this region: for the streams' `access_key_secret_arn`."
  value       = local.access_key_in_use
}

output "access_key_secret_arns" {
  description = "The same by region, for streams in `access_key_replica_regions`."
  value       = local.access_key_arns_by_region
}

output "load_balancer_dns_name" {
  description = "Where a DNS record of `domain_name` must point, as an alias or CNAME."
  value       = aws_lb.this.dns_name
}

output "load_balancer_arn" {
  description = "ARN of the load balancer."
  value       = aws_lb.this.arn
}

output "task_role_arn" {
  description = "Role of the tasks, for a trust policy or a workspace's resource policy in another account."
  value       = aws_iam_role.task.arn
}

output "task_role_name" {
  description = "Name of that role, to attach what sidecars need."
  value       = aws_iam_role.task.name
}

output "task_security_group_id" {
  description = "Security group of the tasks."
  value       = aws_security_group.tasks.id
}

output "service_name" {
  description = "Name of the ECS service."
  value       = aws_ecs_service.this.name
}

output "cluster_name" {
  description = "Name of the ECS cluster."
  value       = local.cluster_name
}

output "log_group_name" {
  description = "Log group of the gateway."
  value       = aws_cloudwatch_log_group.this.name
}

output "containers" {
  description = "Containers of a task, and the memory of each in MiB."
  value       = { for container in jsondecode(aws_ecs_task_definition.this.container_definitions) : container.name => container.memory }
}

output "configuration" {
  description = "The configuration file that tasks read; without secrets."
  value       = local.configuration
}

output "alarm_names" {
  description = "Alarms of the gateway."
  value       = concat([aws_cloudwatch_metric_alarm.target_5xx.alarm_name], [for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_name])
}

output "dashboard_entry" {
  description = "What the dashboard module wants to know of this gateway."
  value = {
    region        = local.region
    load_balancer = aws_lb.this.arn_suffix
    target_group  = aws_lb_target_group.this.arn_suffix
    cluster       = local.cluster_name
    service       = aws_ecs_service.this.name
  }
}

output "next_steps" {
  description = "How to see that the gateway answers."
  value       = <<-EOT
    ${var.hosted_zone != null ? "The record ${var.domain_name} was made." : "1. Point ${var.domain_name} to ${aws_lb.this.dns_name} (CNAME or alias)."}
    Try the endpoint; the answer is 200 and {"requestId":"test",...}:
      KEY=$(aws secretsmanager get-secret-value --region ${local.region} --secret-id '${local.access_key_in_use}' --query SecretString --output text | jq -r .api_key)
      curl -i 'https://${var.domain_name}${var.path}' -H 'Content-Type: application/json' -H "X-Amz-Firehose-Access-Key: $KEY" \
        -H 'X-Amz-Firehose-Request-Id: test' -H 'X-Amz-Firehose-Protocol-Version: 1.0' \
        -H 'X-Amz-Firehose-Source-Arn: arn:${local.partition}:firehose:${local.region}:${try(var.source_account_ids[0], local.account_id)}:deliverystream/test' \
        -d '{"requestId":"test","timestamp":1700000000000,"records":[]}'
    Watch the log: aws logs tail --region ${local.region} --follow ${aws_cloudwatch_log_group.this.name}
  EOT
}
