output "secret_arn" {
  description = "ARN of the secret, once it has a value."
  value       = aws_secretsmanager_secret.this.arn
  depends_on  = [aws_secretsmanager_secret_version.this]
}

output "secret_name" {
  description = "Name of the secret."
  value       = aws_secretsmanager_secret.this.name
}

output "show_command" {
  description = "Shell command that prints the key."
  value       = "aws secretsmanager get-secret-value --secret-id ${aws_secretsmanager_secret.this.name} --query SecretString --output text"
}
