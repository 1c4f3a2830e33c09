# Each stream uses the copy of the key in its own region, and tells the topic of its own region.

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

provider "aws" {
  alias                       = "us"
  region                      = "us-east-1"
  access_key                  = "none"
  secret_key                  = "none"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
}

provider "aws" {
  alias                       = "asia"
  region                      = "ap-southeast-1"
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
  target          = module.workspace.data.aws_caller_identity.current
  override_during = plan
  values          = { account_id = "111122223333" }
}

override_data {
  target          = module.stream_eu.data.aws_caller_identity.current
  override_during = plan
  values          = { account_id = "111122223333" }
}

override_data {
  target          = module.stream_us.data.aws_caller_identity.current
  override_during = plan
  values          = { account_id = "111122223333" }
}

override_data {
  target          = module.stream_asia.data.aws_caller_identity.current
  override_during = plan
  values          = { account_id = "111122223333" }
}

override_data {
  target          = module.alarms_eu.data.aws_caller_identity.current
  override_during = plan
  values          = { account_id = "111122223333" }
}

override_data {
  target          = module.alarms_us.data.aws_caller_identity.current
  override_during = plan
  values          = { account_id = "111122223333" }
}

override_data {
  target          = module.alarms_asia.data.aws_caller_identity.current
  override_during = plan
  values          = { account_id = "111122223333" }
}

override_data {
  target          = module.network.data.aws_availability_zones.available
  override_during = plan
  values          = { names = ["eu-west-1a", "eu-west-1b"] }
}

override_resource {
  target          = module.workspace.aws_prometheus_workspace.this
  override_during = plan
  values          = { id = "ws-new", arn = "arn:aws:aps:eu-west-1:111122223333:workspace/ws-new", prometheus_endpoint = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-new/" }
}

override_resource {
  target          = module.gateway.module.access_key["primary"].aws_secretsmanager_secret.this
  override_during = plan
  values          = { id = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:primary-AbCdEf", arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:primary-AbCdEf" }
}

variables {
  image           = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/sluicegate:1.2.3"
  domain_name     = "metrics.example.com"
  hosted_zone_id  = "Z123"
  certificate_arn = "arn:aws:acm:eu-west-1:111122223333:certificate/00000000-0000-0000-0000-000000000000"
  alarm_emails    = ["someone@example.com"]
}

run "plan" {
  command = plan

  assert {
    condition     = [module.stream_eu.region, module.stream_us.region, module.stream_asia.region] == ["eu-west-1", "us-east-1", "ap-southeast-1"]
    error_message = "A stream in each region."
  }
  assert {
    condition = module.gateway.access_key_secret_arns == {
      eu-west-1      = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:primary-AbCdEf"
      us-east-1      = "arn:aws:secretsmanager:us-east-1:111122223333:secret:primary-AbCdEf"
      ap-southeast-1 = "arn:aws:secretsmanager:ap-southeast-1:111122223333:secret:primary-AbCdEf"
    }
    error_message = "The key is copied to each region."
  }
}
