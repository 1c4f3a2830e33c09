# Every module, applied and destroyed against a local imitation of AWS (see ../../test).

terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

variable "endpoint" {
  description = "URL of the imitation."
  type        = string
}

provider "aws" {
  region                      = "eu-west-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  s3_use_path_style           = true

  endpoints {
    acm                    = var.endpoint
    amp                    = var.endpoint
    applicationautoscaling = var.endpoint
    cloudwatch             = var.endpoint
    cloudwatchlogs         = var.endpoint
    ec2                    = var.endpoint
    ecs                    = var.endpoint
    elbv2                  = var.endpoint
    firehose               = var.endpoint
    iam                    = var.endpoint
    kms                    = var.endpoint
    route53                = var.endpoint
    s3                     = var.endpoint
    s3control              = var.endpoint
    secretsmanager         = var.endpoint
    sns                    = var.endpoint
    sts                    = var.endpoint
    wafv2                  = var.endpoint
  }
}

resource "aws_route53_zone" "this" {
  name = "example.com"
}

module "sluicegate" {
  source = "../.."

  image        = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/sluicegate:1.2.3"
  domain_name  = "metrics.example.com"
  hosted_zone  = { id = aws_route53_zone.this.zone_id }
  alarm_emails = ["someone@example.com"]

  rules_directory                = "${path.module}/../rules"
  deletion_protection            = false
  backup_force_destroy           = true
  secret_recovery_window_in_days = 0
  wait_for_steady_state          = false

  include           = [{ namespace = "AWS/EC2" }]
  common_attributes = { team = "tests" }
}

output "configuration" {
  value = module.sluicegate.configuration
}

output "next_steps" {
  value = module.sluicegate.next_steps
}

output "access_key_secret_arn" {
  value = module.sluicegate.access_key_secret_arn
}

output "workspace_id" {
  value = module.sluicegate.workspace_id
}
