output "url" {
  description = "The dashboard in the console."
  value       = "https://${var.gateway.region}.console.aws.amazon.com/cloudwatch/home?region=${var.gateway.region}#dashboards/dashboard/${var.name}"
}

output "name" {
  description = "Name of the dashboard."
  value       = aws_cloudwatch_dashboard.this.dashboard_name
}
