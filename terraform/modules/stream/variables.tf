variable "name" {
  description = "Name of the metric stream and its Firehose stream, and prefix of what belongs to them."
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

# Where to

variable "endpoint_url" {
  description = "URL of the gateway's endpoint, as its module's output `endpoint_url` says. Firehose takes HTTPS on port 443 only."
  type        = string

  validation {
    condition     = can(regex("^https://[^/:]+(:443)?/", var.endpoint_url)) && length(var.endpoint_url) <= 1000
    error_message = "The endpoint is an https:// URL with a path, on port 443, of at most 1000 characters."
  }
}

variable "access_key_secret_arn" {
  description = "Secret of this region that holds the access key as {\"api_key\": \"...\"}: output `access_key_secret_arns` of the gateway. Or set `copy_access_key`."
  type        = string
  default     = null

  validation {
    condition     = (var.access_key_secret_arn == null) == var.copy_access_key
    error_message = "Give either access_key_secret_arn, or copy_access_key with access_key."
  }
}

variable "copy_access_key" {
  description = "Keep `access_key` in a secret of this stream's own. For another account, which cannot read the gateway's secret."
  type        = bool
  default     = false
}

variable "access_key" {
  description = "The access key, with `copy_access_key`. Ephemeral: it stands neither in a plan nor in the state."
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true
}

variable "access_key_name" {
  description = "Name of the copied key; a new one when the key changes, as in `access_keys` of the gateway."
  type        = string
  default     = "primary"

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{0,39}$", var.access_key_name))
    error_message = "The key's name has 1 to 40 lower-case letters, digits and hyphens."
  }
}

variable "access_key_kms_key" {
  description = "KMS key of the access key's secret, if it is not the account's `aws/secretsmanager`: the stream is allowed to decrypt with it."
  type        = object({ arn = string })
  default     = null
}

variable "secret_recovery_window_in_days" {
  description = "Days during which the copied key's secret can be brought back once deleted; 0 deletes at once."
  type        = number
  default     = 7
}

# What

variable "include" {
  description = "Namespaces to stream, and in them the metrics; without `metric_names` all of them. Empty: every namespace. Not together with `exclude`."
  type = list(object({
    namespace    = string
    metric_names = optional(list(string), [])
  }))
  default = []

  validation {
    condition     = length(var.include) == length(distinct(var.include[*].namespace))
    error_message = "A namespace may stand in include once."
  }

  validation {
    condition     = length(var.include) + length(flatten(var.include[*].metric_names)) <= 1000
    error_message = "CloudWatch takes 1000 namespaces and metric names."
  }
}

variable "exclude" {
  description = "Namespaces not to stream, or metrics of them. Not together with `include`."
  type = list(object({
    namespace    = string
    metric_names = optional(list(string), [])
  }))
  default = []

  validation {
    condition     = length(var.exclude) == 0 || length(var.include) == 0
    error_message = "A metric stream has include or exclude filters, never both."
  }

  validation {
    condition     = length(var.exclude) + length(flatten(var.exclude[*].metric_names)) <= 1000
    error_message = "CloudWatch takes 1000 namespaces and metric names."
  }
}

variable "output_format" {
  description = "`opentelemetry1.0`, `opentelemetry0.7` or `json`. OpenTelemetry is half the size; only JSON carries statistics other than percentiles."
  type        = string
  default     = "opentelemetry1.0"

  validation {
    condition     = contains(["opentelemetry1.0", "opentelemetry0.7", "json"], var.output_format)
    error_message = "output_format is opentelemetry1.0, opentelemetry0.7 or json."
  }
}

variable "additional_statistics" {
  description = "Statistics beside minimum, maximum, sum and sample count. Each started five of them on a metric cost one more metric update."
  type = list(object({
    statistics = list(string)
    metrics = list(object({
      namespace   = string
      metric_name = string
    }))
  }))
  default = []

  validation {
    condition = length(var.additional_statistics) <= 100 && alltrue([
      for entry in var.additional_statistics : length(entry.statistics) >= 1 && length(entry.statistics) <= 20
      && length(entry.metrics) >= 1 && length(entry.metrics) <= 100
    ])
    error_message = "CloudWatch takes 100 entries of at most 20 statistics and 100 metrics."
  }

  validation {
    condition = var.output_format == "json" || alltrue([
      for statistic in flatten(var.additional_statistics[*].statistics) : can(regex("^p[0-9]{1,2}([.][0-9]{1,10})?$|^p100$", statistic))
    ])
    error_message = "Only percentiles (p99, p99.9) fit OpenTelemetry; other statistics want output_format = \"json\"."
  }
}

variable "include_linked_accounts_metrics" {
  description = "Stream the metrics of linked source accounts, too; for a monitoring account."
  type        = bool
  default     = false
}

variable "common_attributes" {
  description = "Attributes that Firehose adds to each request; those named in the gateway's `server.common_attributes` become labels."
  type        = map(string)
  default     = {}

  validation {
    condition = length(var.common_attributes) <= 50 && alltrue([
      for name, value in var.common_attributes : length(name) >= 1 && length(name) <= 256 && length(value) <= 1024
    ])
    error_message = "Firehose takes 50 attributes with names of 1 to 256 and values of up to 1024 characters."
  }
}

# How

variable "buffering_size_mb" {
  description = "Firehose delivers when it has so many MB, or after 60 s."
  type        = number
  default     = 1

  validation {
    condition     = var.buffering_size_mb >= 1 && var.buffering_size_mb <= 4
    error_message = "1 to 4 MB: larger batches make large steps in the gateway's memory."
  }
}

variable "retry_duration_seconds" {
  description = "How long Firehose repeats a batch before it goes to the backup bucket."
  type        = number
  default     = 7200

  validation {
    condition     = var.retry_duration_seconds >= 300 && var.retry_duration_seconds <= 7200
    error_message = "300 to 7200 s. Firehose is the queue: a short time loses samples to the bucket in an outage."
  }
}

variable "kms_key_arn" {
  description = "KMS key of the backup bucket. Without one the module makes a key with rotation."
  type        = string
  default     = null
}

variable "create_kms_key" {
  description = "Whether the module makes the bucket's key; set false together with `kms_key_arn`."
  type        = bool
  default     = true

  validation {
    condition     = var.create_kms_key == (var.kms_key_arn == null)
    error_message = "Either the module makes the key, or kms_key_arn names one (with create_kms_key = false)."
  }
}

variable "backup_retention_days" {
  description = "Days after which undelivered batches are deleted from the backup bucket."
  type        = number
  default     = 30

  validation {
    condition     = var.backup_retention_days >= 1
    error_message = "At least one day."
  }
}

variable "backup_force_destroy" {
  description = "Let `terraform destroy` delete a backup bucket that still holds batches."
  type        = bool
  default     = false
}

variable "log_retention_days" {
  description = "Days that Firehose's error log is kept."
  type        = number
  default     = 30
}

variable "log_kms_key_arn" {
  description = "KMS key of the error log; its policy must let CloudWatch Logs use it."
  type        = string
  default     = null
}

# Being told

variable "alarm_topic_arns" {
  description = "SNS topics of this region that alarms notify."
  type        = list(string)
  default     = []
}

variable "data_freshness_alarm_seconds" {
  description = "Alarm when the oldest batch that Firehose holds is older than this."
  type        = number
  default     = 300

  validation {
    condition     = var.data_freshness_alarm_seconds >= 120
    error_message = "At least 120 s: a minute of buffering and a minute of slack."
  }
}

variable "delivery_success_alarm_ratio" {
  description = "Alarm when less than this part of the delivery attempts succeeds."
  type        = number
  default     = 0.95

  validation {
    condition     = var.delivery_success_alarm_ratio > 0 && var.delivery_success_alarm_ratio <= 1
    error_message = "A ratio above 0, at most 1."
  }
}
