# The plan of everything from nothing holds every part.

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
  target          = module.sluicegate.module.gateway.data.aws_caller_identity.current
  override_during = plan
  values          = { account_id = "111122223333" }
}

override_data {
  target          = module.sluicegate.module.stream.data.aws_caller_identity.current
  override_during = plan
  values          = { account_id = "111122223333" }
}

override_data {
  target          = module.sluicegate.module.workspace[0].data.aws_caller_identity.current
  override_during = plan
  values          = { account_id = "111122223333" }
}

override_data {
  target          = module.sluicegate.module.alarm_topic[0].data.aws_caller_identity.current
  override_during = plan
  values          = { account_id = "111122223333" }
}

override_data {
  target          = module.sluicegate.module.network[0].data.aws_availability_zones.available
  override_during = plan
  values          = { names = ["eu-west-1a", "eu-west-1b"] }
}

override_resource {
  target          = module.sluicegate.module.workspace[0].aws_prometheus_workspace.this
  override_during = plan
  values          = { id = "ws-new", arn = "arn:aws:aps:eu-west-1:111122223333:workspace/ws-new", prometheus_endpoint = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-new/" }
}

override_resource {
  target          = module.sluicegate.module.gateway.module.access_key["primary"].aws_secretsmanager_secret.this
  override_during = plan
  values          = { id = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:primary-AbCdEf", arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:primary-AbCdEf" }
}

variables {
  image          = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/sluicegate:1.2.3"
  domain_name    = "metrics.example.com"
  hosted_zone_id = "Z123"
  alarm_emails   = ["someone@example.com"]
}

run "plan" {
  command = plan

  assert {
    condition     = yamldecode(module.sluicegate.configuration).cloudwatch.statistics == ["sum", "average", "maximum", "extended"]
    error_message = "The statistics that are chosen."
  }
  assert {
    condition     = yamldecode(output.grafana_data_source).datasources[0].url == "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-new"
    error_message = "Grafana is told where to ask."
  }
  assert {
    condition     = length(module.sluicegate.alarm_names) == 16 && startswith(output.dashboard_url, "https://eu-west-1.console.aws.amazon.com/")
    error_message = "Alarms and the dashboard."
  }
  assert {
    condition     = module.sluicegate.endpoint_url == "https://metrics.example.com/firehose" && module.sluicegate.access_key_secret_arn != null
    error_message = "Endpoint and access key."
  }
}

run "with_a_collector" {
  command = plan

  variables {
    collector = true
    teardown  = true
  }

  assert {
    condition     = module.sluicegate.containers == { sluicegate = 768, adot-collector = 256 }
    error_message = "The collector stands beside the gateway."
  }
}
