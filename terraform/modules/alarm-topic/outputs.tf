output "arn" {
  description = "ARN of the topic, for `alarm_topic_arns` of the other modules."
  value       = aws_sns_topic.this.arn
  depends_on  = [aws_sns_topic_policy.this]
}
