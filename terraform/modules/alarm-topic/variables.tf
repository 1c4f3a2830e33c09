variable "name" {
  description = "Name of the topic."
  type        = string
}

variable "emails" {
  description = "Addresses that are told of alarms; each gets a mail to confirm."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for address in var.emails : can(regex("^[^@[:space:]]+@[^@[:space:]]+$", address))])
    error_message = "Each of the emails must be an address."
  }
}

variable "kms_key_arn" {
  description = "KMS key that encrypts the topic. Its policy must let cloudwatch.amazonaws.com (and aps.amazonaws.com) use it: the account's `aws/sns` key does not."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of every resource."
  type        = map(string)
  default     = {}
}
