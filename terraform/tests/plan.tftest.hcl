# The composition for one account: everything is there, and fits together.

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
  target          = module.workspace[0].data.aws_caller_identity.current
  override_during = plan
  values          = { account_id = "111122223333" }
}

override_data {
  target          = module.alarm_topic[0].data.aws_caller_identity.current
  override_during = plan
  values          = { account_id = "111122223333" }
}

override_data {
  target          = module.network[0].data.aws_availability_zones.available
  override_during = plan
  values          = { names = ["eu-west-1a", "eu-west-1b"] }
}

override_resource {
  target          = module.workspace[0].aws_prometheus_workspace.this
  override_during = plan
  values          = { id = "ws-new", arn = "arn:aws:aps:eu-west-1:111122223333:workspace/ws-new", prometheus_endpoint = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-new/" }
}

override_resource {
  target          = module.gateway.module.access_key["primary"].aws_secretsmanager_secret.this
  override_during = plan
  values          = { id = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:primary-AbCdEf", arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:primary-AbCdEf" }
}

variables {
  image        = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/sluicegate:1.2.3"
  domain_name  = "metrics.example.com"
  hosted_zone  = { id = "Z123" }
  alarm_emails = ["someone@example.com"]
}

run "from_nothing" {
  command = plan

  assert {
    condition     = yamldecode(output.configuration).remote_write == [{ name = "amp", url = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-new/api/v1/remote_write", required = true }]
    error_message = "The gateway writes to the workspace that is made."
  }
  assert {
    condition     = output.access_key_secret_arn == "arn:aws:secretsmanager:eu-west-1:111122223333:secret:primary-AbCdEf"
    error_message = "Task and Firehose use one secret."
  }
  assert {
    condition     = length(aws_acm_certificate.this) == 1 && aws_route53_record.validation[0].zone_id == "Z123"
    error_message = "A certificate is requested and validated."
  }
  assert {
    condition     = length(module.network) == 1 && length(module.workspace) == 1 && length(module.alarm_topic) == 1
    error_message = "Network, workspace and topic are made."
  }
  assert {
    condition     = output.endpoint_url == "https://metrics.example.com/firehose"
    error_message = "The endpoint."
  }
  assert {
    condition     = length(output.alarm_names) == 16
    error_message = "Eight alarms of the stream, five of the gateway, three of the workspace."
  }
  assert {
    condition     = toset(output.rule_groups) == toset([for file in fileset("../deploy/prometheus/rules", "*.{yaml,yml}") : replace(file, "/[.]ya?ml$/", "")])
    error_message = "The project's own rules are in the workspace."
  }
  assert {
    condition     = strcontains(output.out_of_order_window_command, "--workspace-id ws-new --out-of-order-time-window-in-seconds 600")
    error_message = "The out-of-order window."
  }
}

run "rules_of_a_directory" {
  command = plan

  variables {
    rules_directory = "./tests/rules"
  }

  assert {
    condition     = output.rule_groups == ["one", "two"]
    error_message = "Each rule file, .yaml or .yml, becomes a rule group namespace; other files do not."
  }
}

run "into_what_is_there" {
  command = plan

  variables {
    network = {
      vpc_id                   = "vpc-1"
      load_balancer_subnet_ids = ["subnet-a", "subnet-b"]
      task_subnet_ids          = ["subnet-c", "subnet-d"]
    }
    workspace   = { id = "ws-existing" }
    certificate = { arn = "arn:aws:acm:eu-west-1:111122223333:certificate/00000000-0000-0000-0000-000000000000" }
    hosted_zone = null
    alarm_topic = { arn = "arn:aws:sns:eu-west-1:111122223333:existing" }
    further_destinations = [{
      name     = "prometheus"
      url      = "https://prometheus.example.com/api/v1/write"
      required = false
    }]
  }

  override_data {
    target          = data.aws_prometheus_workspace.existing[0]
    override_during = plan
    values = {
      arn                 = "arn:aws:aps:eu-west-1:111122223333:workspace/ws-existing"
      prometheus_endpoint = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-existing/"
    }
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

  assert {
    condition     = length(module.network) + length(module.workspace) + length(module.alarm_topic) + length(aws_acm_certificate.this) == 0
    error_message = "What is there is not made."
  }
  assert {
    condition     = [for one in yamldecode(output.configuration).remote_write : "${one.url} ${one.required}"] == ["https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-existing/api/v1/remote_write true", "https://prometheus.example.com/api/v1/write false"]
    error_message = "The existing workspace, and the further destination."
  }
  assert {
    condition     = output.alarm_topic_arn == var.alarm_topic.arn
    error_message = "The existing topic."
  }
}

run "refused" {
  command = plan

  variables {
    hosted_zone = null
  }

  expect_failures = [var.certificate]
}
