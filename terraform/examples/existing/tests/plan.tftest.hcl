# Everything that exists is used, and nothing of it made.

# The provider is real but has no credentials and reaches nothing: what it would ask AWS for is overridden.
# (A mock provider refuses modules with ephemeral resources, which keep the access key out of the plan.)
provider "aws" {
  region                      = "eu-west-1"
  access_key                  = "none"
  secret_key                  = "none"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
}

override_data {
  target          = module.gateway.data.aws_caller_identity.current
  override_during = plan
  values          = { account_id = "111122223333" }
}

override_data {
  target          = module.stream.data.aws_caller_identity.current
  override_during = plan
  values          = { account_id = "111122223333" }
}

override_data {
  target          = module.gateway.data.aws_subnet.task[0]
  override_during = plan
  values          = { availability_zone = "eu-west-1a" }
}

override_data {
  target          = module.gateway.data.aws_subnet.task[1]
  override_during = plan
  values          = { availability_zone = "eu-west-1b" }
}

override_data {
  target          = data.aws_subnets.public
  override_during = plan
  values          = { ids = ["subnet-a", "subnet-b"] }
}

override_data {
  target          = data.aws_subnets.private
  override_during = plan
  values          = { ids = ["subnet-c", "subnet-d"] }
}

override_data {
  target          = data.aws_ecs_cluster.this
  override_during = plan
  values          = { arn = "arn:aws:ecs:eu-west-1:111122223333:cluster/shared" }
}

override_data {
  target          = data.aws_prometheus_workspace.this
  override_during = plan
  values          = { arn = "arn:aws:aps:eu-west-1:111122223333:workspace/ws-1", prometheus_endpoint = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1/" }
}

variables {
  image                     = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/sluicegate:1.2.3"
  domain_name               = "metrics.example.com"
  certificate_arn           = "arn:aws:acm:eu-west-1:111122223333:certificate/00000000-0000-0000-0000-000000000000"
  vpc_id                    = "vpc-1"
  cluster_name              = "shared"
  workspace_id              = "ws-1"
  alarm_topic_arn           = "arn:aws:sns:eu-west-1:111122223333:alarms"
  access_key                = "not-a-secret"
  prometheus_password_arn   = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prometheus-AbCdEf"
  scraper_security_group_id = "sg-1"
}

run "plan" {
  command = plan

  assert {
    condition     = [for one in yamldecode(module.gateway.configuration).remote_write : "${one.name} ${one.required}"] == ["amp true", "prometheus false"]
    error_message = "AMP is waited for, the copy is not."
  }
  assert {
    condition     = yamldecode(module.gateway.configuration).remote_write[1].basic_auth.password == "$${PROMETHEUS_PASSWORD}"
    error_message = "The password stands in the secret alone."
  }
  assert {
    condition     = !strcontains(module.gateway.configuration, var.access_key)
    error_message = "The key stands nowhere."
  }
  assert {
    condition     = module.gateway.cluster_name == "shared"
    error_message = "The existing cluster."
  }
}
