provider "aws" {
  region                      = "eu-west-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
}

override_data {
  target = module.sluicegate.module.gateway.data.aws_caller_identity.current
  values = { account_id = "111122223333" }
}
override_data {
  target = module.sluicegate.module.stream.data.aws_caller_identity.current
  values = { account_id = "111122223333" }
}
override_data {
  target = module.sluicegate.module.workspace[0].data.aws_caller_identity.current
  values = { account_id = "111122223333" }
}
override_data {
  target = module.sluicegate.module.alarm_topic[0].data.aws_caller_identity.current
  values = { account_id = "111122223333" }
}
override_data {
  target = module.sluicegate.module.network[0].data.aws_availability_zones.available
  values = { names = ["eu-west-1a", "eu-west-1b"] }
}

variables {
  image          = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/sluicegate:1.2.3"
  domain_name    = "metrics.example.com"
  hosted_zone_id = "Z123"
  alarm_emails   = ["a@example.com"]
}

run "plan" {
  command = plan
}
