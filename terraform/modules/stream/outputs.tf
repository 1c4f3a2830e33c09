output "region" {
  description = "Region of the stream."
  value       = local.region
}

output "metric_stream_name" {
  description = "Name of the metric stream."
  value       = aws_cloudwatch_metric_stream.this.name
}

output "metric_stream_arn" {
  description = "ARN of the metric stream."
  value       = aws_cloudwatch_metric_stream.this.arn
}

output "firehose_name" {
  description = "Name of the Firehose stream."
  value       = aws_kinesis_firehose_delivery_stream.this.name
}

output "firehose_arn" {
  description = "ARN of the Firehose stream, which the gateway sees as the source of requests."
  value       = aws_kinesis_firehose_delivery_stream.this.arn
}

output "backup_bucket" {
  description = "Bucket of the batches that could not be delivered in time."
  value       = aws_s3_bucket.failed.id
}

output "alarm_names" {
  description = "Alarms of the stream."
  value       = [for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_name]
}

output "dashboard_entry" {
  description = "What the dashboard module wants to know of this stream."
  value = {
    region        = local.region
    metric_stream = aws_cloudwatch_metric_stream.this.name
    firehose      = aws_kinesis_firehose_delivery_stream.this.name
  }
}

output "next_step" {
  description = "How to see that data flows, three minutes after the apply."
  value       = "aws cloudwatch get-metric-statistics --region ${local.region} --namespace AWS/Firehose --metric-name DeliveryToHttpEndpoint.Success --dimensions Name=DeliveryStreamName,Value=${aws_kinesis_firehose_delivery_stream.this.name} --start-time \"$(date -u -d '15 minutes ago' +%FT%TZ 2>/dev/null || date -u -v-15M +%FT%TZ)\" --end-time \"$(date -u +%FT%TZ)\" --period 60 --statistics Average"
}
