# What the mock provider answers in plans: identifiers in the form that the provider's own checks want.

mock_data "aws_caller_identity" {
  defaults = {
    account_id = "111122223333"
    arn        = "arn:aws:iam::111122223333:user/test"
  }
}

mock_data "aws_partition" {
  defaults = {
    partition  = "aws"
    dns_suffix = "amazonaws.com"
  }
}

mock_data "aws_region" {
  defaults = {
    name = "eu-west-1"
  }
}

mock_data "aws_availability_zones" {
  defaults = {
    names = ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
  }
}

mock_data "aws_iam_policy_document" {
  defaults = {
    json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}"
  }
}

mock_data "aws_prometheus_workspace" {
  defaults = {
    arn                 = "arn:aws:aps:eu-west-1:111122223333:workspace/ws-existing"
    prometheus_endpoint = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-existing/"
  }
}

mock_data "aws_ecs_cluster" {
  defaults = {
    arn = "arn:aws:ecs:eu-west-1:111122223333:cluster/existing"
  }
}

mock_data "aws_subnets" {
  defaults = {
    ids = ["subnet-1", "subnet-2"]
  }
}

mock_resource "aws_prometheus_workspace" {
  defaults = {
    id                  = "ws-mocked"
    arn                 = "arn:aws:aps:eu-west-1:111122223333:workspace/ws-mocked"
    prometheus_endpoint = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-mocked/"
  }
}

mock_resource "aws_iam_role" {
  defaults = {
    id  = "role"
    arn = "arn:aws:iam::111122223333:role/mocked"
  }
}

mock_resource "aws_secretsmanager_secret" {
  defaults = {
    id  = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:mocked-AbCdEf"
    arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:mocked-AbCdEf"
  }
}

mock_resource "aws_lb" {
  defaults = {
    id         = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:loadbalancer/app/mocked/0123456789abcdef"
    arn        = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:loadbalancer/app/mocked/0123456789abcdef"
    arn_suffix = "app/mocked/0123456789abcdef"
    dns_name   = "mocked-1.eu-west-1.elb.amazonaws.com"
    zone_id    = "Z32O12XQLNTSW2"
  }
}

mock_resource "aws_lb_target_group" {
  defaults = {
    id         = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/mocked/0123456789abcdef"
    arn        = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/mocked/0123456789abcdef"
    arn_suffix = "targetgroup/mocked/0123456789abcdef"
  }
}

mock_resource "aws_lb_listener" {
  defaults = {
    id  = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:listener/app/mocked/0123456789abcdef/0123456789abcdef"
    arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:listener/app/mocked/0123456789abcdef/0123456789abcdef"
  }
}

mock_resource "aws_ecs_cluster" {
  defaults = {
    id  = "arn:aws:ecs:eu-west-1:111122223333:cluster/sluicegate"
    arn = "arn:aws:ecs:eu-west-1:111122223333:cluster/sluicegate"
  }
}

mock_resource "aws_ecs_task_definition" {
  defaults = {
    arn = "arn:aws:ecs:eu-west-1:111122223333:task-definition/sluicegate:1"
  }
}

mock_resource "aws_cloudwatch_log_group" {
  defaults = {
    arn = "arn:aws:logs:eu-west-1:111122223333:log-group:mocked"
  }
}

mock_resource "aws_kinesis_firehose_delivery_stream" {
  defaults = {
    arn = "arn:aws:firehose:eu-west-1:111122223333:deliverystream/mocked"
  }
}

mock_resource "aws_cloudwatch_metric_stream" {
  defaults = {
    arn = "arn:aws:cloudwatch:eu-west-1:111122223333:metric-stream/mocked"
  }
}

mock_resource "aws_s3_bucket" {
  defaults = {
    id  = "mocked-bucket"
    arn = "arn:aws:s3:::mocked-bucket"
  }
}

mock_resource "aws_kms_key" {
  defaults = {
    arn    = "arn:aws:kms:eu-west-1:111122223333:key/00000000-0000-0000-0000-000000000000"
    key_id = "00000000-0000-0000-0000-000000000000"
  }
}

mock_resource "aws_sns_topic" {
  defaults = {
    id  = "arn:aws:sns:eu-west-1:111122223333:mocked"
    arn = "arn:aws:sns:eu-west-1:111122223333:mocked"
  }
}

mock_resource "aws_acm_certificate" {
  defaults = {
    arn = "arn:aws:acm:eu-west-1:111122223333:certificate/00000000-0000-0000-0000-000000000000"
    domain_validation_options = [{
      domain_name           = "metrics.example.com"
      resource_record_name  = "_x.metrics.example.com."
      resource_record_type  = "CNAME"
      resource_record_value = "_y.acm-validations.aws."
    }]
  }
}

mock_resource "aws_acm_certificate_validation" {
  defaults = {
    certificate_arn = "arn:aws:acm:eu-west-1:111122223333:certificate/00000000-0000-0000-0000-000000000000"
  }
}
