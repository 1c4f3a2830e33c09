# The access keys: each a secret of its own, so that two are taken while one replaces the other.

module "access_key" {
  source   = "../access-key"
  for_each = { for key in var.access_keys : key.name => key if key.secret_arn == null }

  name                    = "${var.name}/access-key/${each.key}"
  given                   = each.value.given
  value                   = try(var.access_key_values[each.key], null)
  kms_key_arn             = one(var.access_key_kms_key[*].arn)
  replica_regions         = var.access_key_replica_regions
  recovery_window_in_days = var.secret_recovery_window_in_days
  tags                    = local.tags
}

locals {
  access_key_secret_arns = { for key in var.access_keys : key.name =>
    key.secret_arn != null ? key.secret_arn : module.access_key[key.name].secret_arn
  }

  # The first is the one in use. A replica has the primary's ARN but for the region.
  access_key_in_use = local.access_key_secret_arns[var.access_keys[0].name]
  access_key_arns_by_region = merge(
    { (local.region) = local.access_key_in_use },
    { for region in var.access_key_replica_regions : region => replace(local.access_key_in_use, ":secretsmanager:${local.region}:", ":secretsmanager:${region}:") },
  )

  decryption_keys = concat(var.access_key_kms_key[*].arn, var.secrets_kms_keys[*].arn)

  # Of arn:...:secret:NAME:json-key:stage:version the permission is for the secret itself.
  secret_arns    = [for arn in values(var.secrets) : join(":", slice(split(":", arn), 0, 7)) if can(regex(":secretsmanager:", arn))]
  parameter_arns = [for arn in values(var.secrets) : arn if can(regex(":ssm:", arn))]
}
