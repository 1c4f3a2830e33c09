# The access key: the gateway's secret, or a copy of this stream's own.

module "access_key" {
  source = "../access-key"
  count  = var.copy_access_key ? 1 : 0

  name                    = "${var.name}/stream-access-key/${var.access_key_name}"
  given                   = true
  value                   = var.access_key
  kms_key_arn             = one(var.access_key_kms_key[*].arn)
  recovery_window_in_days = var.secret_recovery_window_in_days
  tags                    = local.tags
}

locals {
  access_key_secret_arn = var.copy_access_key ? one(module.access_key[*].secret_arn) : var.access_key_secret_arn
}
