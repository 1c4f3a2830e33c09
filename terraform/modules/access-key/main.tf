# One access key, in the one form that Firehose reads: {"api_key": "..."}. The value is made or
# given while Terraform runs and goes to Secrets Manager alone.

# The length is known once this is made, that is, on apply: a plan of what is not there yet generates
# no key, and needs no right to do so.
resource "terraform_data" "length" {
  count = var.given ? 0 : 1
  input = 64
}

ephemeral "aws_secretsmanager_random_password" "generated" {
  count = var.given ? 0 : 1

  password_length     = terraform_data.length[0].output
  exclude_punctuation = true # the key travels in an HTTP header and a YAML file
}

resource "aws_secretsmanager_secret" "this" {
  name                    = var.name
  description             = "Access key of Firehose streams at Sluicegate"
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = var.recovery_window_in_days
  tags                    = var.tags

  dynamic "replica" {
    for_each = var.replica_regions
    content {
      region = replica.value
    }
  }
}

resource "aws_secretsmanager_secret_version" "this" {
  secret_id = aws_secretsmanager_secret.this.id
  secret_string_wo = jsonencode({
    api_key = var.given ? var.value : one(ephemeral.aws_secretsmanager_random_password.generated[*].random_password)
  })
  secret_string_wo_version = 1 # written once: a new key is a new secret
}
