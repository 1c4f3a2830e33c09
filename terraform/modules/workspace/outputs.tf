output "workspace_id" {
  description = "Id of the workspace."
  value       = aws_prometheus_workspace.this.id
}

output "workspace_arn" {
  description = "ARN of the workspace, for the gateway's `remote_write[].workspace`."
  value       = aws_prometheus_workspace.this.arn
}

output "remote_write_url" {
  description = "URL for the gateway's `remote_write[].url`."
  value       = local.remote_write_url
}

output "query_url" {
  description = "URL of the Prometheus data source in Grafana."
  value       = trimsuffix(aws_prometheus_workspace.this.prometheus_endpoint, "/")
}

output "grafana_data_source" {
  description = "Data source provisioning file for Grafana (9.1 or later, with SigV4 enabled: GF_AUTH_SIGV4_AUTH_ENABLED=true)."
  value = yamlencode({
    apiVersion = 1
    datasources = [{
      name = "Sluicegate AMP"
      type = "prometheus"
      url  = trimsuffix(aws_prometheus_workspace.this.prometheus_endpoint, "/")
      jsonData = {
        httpMethod    = "POST"
        sigV4Auth     = true
        sigV4AuthType = "default"
        sigV4Region   = local.region
        timeInterval  = "60s"
      }
    }]
  })
}

output "out_of_order_window_command" {
  description = "Shell command that sets the out-of-order window, where Terraform does not run it."
  value       = local.out_of_order_window_command
}

output "alarm_names" {
  description = "Alarms of the workspace."
  value       = concat([aws_cloudwatch_metric_alarm.discarded.alarm_name], [for alarm in aws_cloudwatch_metric_alarm.quota : alarm.alarm_name])
}
