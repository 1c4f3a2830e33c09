output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "public_subnet_ids" {
  description = "Subnets of the load balancer, one per zone."
  value       = aws_subnet.public[*].id
  depends_on  = [aws_route.internet, aws_route_table_association.public]
}

output "task_subnet_ids" {
  description = "Subnets of the tasks, one per zone."
  value       = var.nat == "none" ? aws_subnet.public[*].id : aws_subnet.private[*].id
  depends_on  = [aws_route.nat, aws_route_table_association.private]
}

output "tasks_need_public_ip" {
  description = "Whether tasks must have public addresses to reach AWS."
  value       = var.nat == "none"
}
