variable "name" {
  description = "Name of the secret. Another value wants another name: keys are replaced side by side, never in place."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9/_+=.@-]{1,200}$", var.name))
    error_message = "A secret's name has 1 to 200 letters, digits or /_+=.@-."
  }
}

variable "given" {
  description = "Whether the key is given in `value`; otherwise AWS Secrets Manager generates one of 64 letters and digits."
  type        = bool
  default     = false
}

variable "value" {
  description = "The access key, if `given`. Ephemeral: it stands neither in a plan nor in the state."
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true
}

variable "kms_key_arn" {
  description = "KMS key that encrypts the secret; without one, the account's `aws/secretsmanager` key."
  type        = string
  default     = null
}

variable "replica_regions" {
  description = "Further regions that hold a copy: Firehose reads the secret in its own region."
  type        = set(string)
  default     = []
}

variable "recovery_window_in_days" {
  description = "Days during which a deleted secret can be brought back; 0 deletes at once."
  type        = number
  default     = 7

  validation {
    condition     = var.recovery_window_in_days == 0 || (var.recovery_window_in_days >= 7 && var.recovery_window_in_days <= 30)
    error_message = "The recovery window is 0 or 7 to 30 days."
  }
}

variable "tags" {
  description = "Tags of every resource."
  type        = map(string)
  default     = {}
}
