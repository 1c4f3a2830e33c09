# The key is generated when it is made, or given; it stands in no plan. What it looks like in Secrets
# Manager is asserted by an apply: see terraform/test.

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

variables {
  name = "sluicegate/access-key/primary"
}

run "generated" {
  command = plan

  assert {
    condition     = length(terraform_data.length) == 1 && terraform_data.length[0].input == 64
    error_message = "A key of 64 characters is generated."
  }
  assert {
    condition     = aws_secretsmanager_secret_version.this.secret_string == null && aws_secretsmanager_secret_version.this.secret_string_wo == null && aws_secretsmanager_secret_version.this.secret_string_wo_version == 1
    error_message = "The value is written only: neither plan nor state hold it, and it is written once."
  }
}

run "given" {
  command = plan

  variables {
    given           = true
    value           = "not-a-secret"
    replica_regions = ["us-east-1"]
  }

  assert {
    condition     = length(terraform_data.length) == 0 && aws_secretsmanager_secret_version.this.secret_string_wo == null && aws_secretsmanager_secret_version.this.secret_string == null
    error_message = "The given value is written only."
  }
  assert {
    condition     = [for one in aws_secretsmanager_secret.this.replica : one.region] == ["us-east-1"]
    error_message = "Copies for streams of other regions."
  }
}

run "refused" {
  command = plan

  variables {
    name                    = "a b"
    recovery_window_in_days = 3
  }

  expect_failures = [var.name, var.recovery_window_in_days]
}
