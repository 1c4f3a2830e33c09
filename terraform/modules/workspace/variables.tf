variable "name" {
  description = "Alias of the workspace, and prefix of what belongs to it."
  type        = string
  default     = "sluicegate"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,25}$", var.name))
    error_message = "The name has 2 to 26 lower-case letters, digits and hyphens, and begins with a letter."
  }
}

variable "tags" {
  description = "Tags of every resource."
  type        = map(string)
  default     = {}
}

variable "kms_key_arn" {
  description = "KMS key that encrypts the workspace; cannot be changed later. Without one, a key that AWS owns."
  type        = string
  default     = null
}

variable "retention_days" {
  description = "Days that samples are kept."
  type        = number
  default     = 150

  validation {
    condition     = var.retention_days >= 1 && var.retention_days <= 1095
    error_message = "1 to 1095 days."
  }
}

variable "series_limits" {
  description = "Limits of active series by label set, e.g. for one account. An empty label set is everything that no other matches."
  type = list(object({
    labels     = map(string)
    max_series = number
  }))
  default = []

  validation {
    condition     = length(var.series_limits) <= 100
    error_message = "AMP takes 100 label sets."
  }
}

variable "out_of_order_window_seconds" {
  description = "How much older than the newest sample of the workspace a late sample may be. AMP begins with 60 s; CloudWatch is later than that. Null leaves it alone."
  type        = number
  default     = 600

  validation {
    condition     = var.out_of_order_window_seconds == null || try(var.out_of_order_window_seconds >= 0 && var.out_of_order_window_seconds <= 600, false)
    error_message = "0 to 600 s, or null."
  }
}

variable "out_of_order_window_by_cli" {
  description = <<-EOT
    Set the window during `terraform apply` by the AWS CLI (of June 2026 or later) on the machine that runs Terraform, since
    the AWS provider 5 has no argument for it. Where that machine has no CLI: false, and run the output
    `out_of_order_window_command` once by hand.
  EOT
  type        = bool
  default     = true
}

variable "aws_cli_environment" {
  description = "Environment of that AWS CLI, such as AWS_PROFILE where the provider assumes a role. No secrets: it stands in the state."
  type        = map(string)
  default     = {}
}

variable "rule_groups" {
  description = "Rule group namespaces: name to the text of a Prometheus rule file."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for text in values(var.rule_groups) : can(yamldecode(text).groups[0].rules)])
    error_message = "Each text must be a Prometheus rule file: YAML with a list `groups` that have `rules`."
  }

  validation {
    condition     = alltrue([for name in keys(var.rule_groups) : can(regex("^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", name))])
    error_message = "A rule group namespace has 1 to 64 letters, digits or _.-"
  }

  validation {
    condition     = alltrue([for text in values(var.rule_groups) : length(text) <= 1000000])
    error_message = "AMP takes rule files of 1 MB."
  }

  validation {
    condition     = try(sum(concat([0], flatten([for text in values(var.rule_groups) : [for group in yamldecode(text).groups : length(group.rules)]]))) <= 2000, true)
    error_message = "AMP takes 2000 rules in a workspace."
  }
}

variable "alert_topic" {
  description = "SNS topic of this region that is sent what the rules alert of; `modules/alarm-topic` makes one with the permission. Null: no alert manager, unless `alert_manager_definition` is set."
  type        = object({ arn = string })
  default     = null
}

variable "alert_manager_definition" {
  description = "Alert manager definition (YAML with the key `alertmanager_config`) in place of the one for `alert_topic`."
  type        = string
  default     = null

  validation {
    condition     = var.alert_manager_definition == null || can(yamldecode(yamldecode(var.alert_manager_definition).alertmanager_config).route)
    error_message = "The definition is YAML whose alertmanager_config holds the text of an Alertmanager configuration."
  }
}

variable "log_retention_days" {
  description = "Days that logs of rules and the alert manager are kept."
  type        = number
  default     = 30
}

variable "log_kms_key_arn" {
  description = "KMS key of the log group; its policy must let CloudWatch Logs use it."
  type        = string
  default     = null
}

variable "alarm_topic_arns" {
  description = "SNS topics of this region that alarms notify."
  type        = list(string)
  default     = []
}

variable "quota_alarm_percent" {
  description = "Alarm when ingestion or active series use more than this part of their quota."
  type        = number
  default     = 80

  validation {
    condition     = var.quota_alarm_percent > 0 && var.quota_alarm_percent < 100
    error_message = "Above 0, below 100."
  }
}
