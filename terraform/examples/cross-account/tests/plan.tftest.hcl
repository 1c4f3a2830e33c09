# The gateway writes through a role of the workspace's account, and takes streams of the workload's.

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
  alias                       = "workspace"
  region                      = "eu-west-1"
  access_key                  = "none"
  secret_key                  = "none"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
}

provider "aws" {
  alias                       = "workload"
  region                      = "eu-west-1"
  access_key                  = "none"
  secret_key                  = "none"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
}

override_data {
  target          = data.aws_caller_identity.gateway
  override_during = plan
  values          = { account_id = "111122223333" }
}

override_data {
  target          = module.gateway.data.aws_caller_identity.current
  override_during = plan
  values          = { account_id = "111122223333" }
}

override_data {
  target          = module.workspace.data.aws_caller_identity.current
  override_during = plan
  values          = { account_id = "444455556666" }
}

override_data {
  target          = module.stream.data.aws_caller_identity.current
  override_during = plan
  values          = { account_id = "777788889999" }
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

override_resource {
  target          = module.workspace.aws_prometheus_workspace.this
  override_during = plan
  values          = { id = "ws-new", arn = "arn:aws:aps:eu-west-1:444455556666:workspace/ws-new", prometheus_endpoint = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-new/" }
}

override_resource {
  target          = module.gateway.aws_iam_role.task
  override_during = plan
  values          = { arn = "arn:aws:iam::111122223333:role/sluicegate-task" }
}

variables {
  workspace_account_id = "444455556666"
  workload_account_id  = "777788889999"
  image                = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/sluicegate:1.2.3"
  domain_name          = "metrics.example.com"
  certificate_arn      = "arn:aws:acm:eu-west-1:111122223333:certificate/00000000-0000-0000-0000-000000000000"
  network = {
    vpc_id                   = "vpc-1"
    load_balancer_subnet_ids = ["subnet-a", "subnet-b"]
    task_subnet_ids          = ["subnet-c", "subnet-d"]
  }
  access_key = "not-a-secret"
}

run "plan" {
  command = plan

  assert {
    condition     = yamldecode(module.gateway.configuration).remote_write[0].sigv4 == { role_arn = "arn:aws:iam::444455556666:role/sluicegate-writer", external_id = "sluicegate-111122223333" }
    error_message = "The gateway assumes the writer's role."
  }
  assert {
    condition     = one(data.aws_iam_policy_document.writer.statement).actions == toset(["aps:RemoteWrite"]) && one(data.aws_iam_policy_document.writer.statement).resources == toset(["arn:aws:aps:eu-west-1:444455556666:workspace/ws-new"])
    error_message = "The writer's role writes to the workspace alone."
  }
  assert {
    condition     = one(one(data.aws_iam_policy_document.writer_trust.statement).principals).identifiers == toset(["arn:aws:iam::111122223333:role/sluicegate-task"]) && one(one(data.aws_iam_policy_document.writer_trust.statement).condition).values == tolist(["sluicegate-111122223333"])
    error_message = "Only the gateway's role may assume it, with the external id."
  }
  assert {
    condition     = yamldecode(module.gateway.configuration).server.access_keys[0].accounts == ["777788889999"]
    error_message = "Streams of the workload's account are taken."
  }
}
