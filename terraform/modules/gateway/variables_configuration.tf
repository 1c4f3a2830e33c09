# What the gateway is told: destinations, deadlines, keys.

variable "remote_write" {
  description = <<-EOT
    Destinations, in the order of the configuration file:
    `url` with `name`; `required = false` makes one best effort; `workspace` names the AMP workspace that tasks may write to,
    `assume_role` a role through which they do (another account's); `settings` is YAML with further keys of the
    `remote_write` block (`queue_config`, `write_relabel_configs`, `basic_auth`...), in which `$${NAME}` stands for one of `secrets`.
  EOT
  type = list(object({
    name        = string
    url         = string
    required    = optional(bool, true)
    workspace   = optional(object({ arn = string }))
    assume_role = optional(object({ arn = string, external_id = optional(string) }))
    settings    = optional(string, "{}")
  }))

  validation {
    condition     = length(var.remote_write) >= 1 && length(var.remote_write) == length(distinct(var.remote_write[*].name))
    error_message = "At least one destination, and each name once."
  }

  validation {
    condition     = alltrue([for one in var.remote_write : can(regex("^https?://[^/]+/", one.url)) && !endswith(one.url, "/")])
    error_message = "A url is http(s)://HOST/PATH without a slash at its end: AMP answers 403 to that."
  }

  validation {
    condition     = anytrue([for one in var.remote_write : one.required])
    error_message = "At least one destination must be required: a 200 would promise nothing."
  }

  validation {
    condition = alltrue([
      for one in var.remote_write : can(keys(yamldecode(one.settings))) && length(setintersection(try(keys(yamldecode(one.settings)), []), ["name", "url", "required"])) == 0
    ])
    error_message = "settings is a YAML mapping without name, url and required, which have their own attributes."
  }
}

variable "configuration" {
  description = "Further configuration as YAML: `cloudwatch`, `global`, `relabel_configs`, `log`, `server.common_attributes`... What this module decides (listeners, path, keys, deadlines, destinations) may not stand in it."
  type        = string
  default     = "{}"

  validation {
    condition     = can(keys(yamldecode(var.configuration)))
    error_message = "configuration is a YAML mapping."
  }

  validation {
    condition = !can(yamldecode(var.configuration).remote_write) && length(setintersection(
      try(keys(yamldecode(var.configuration).server), []),
      ["listen_address", "path", "access_keys", "request_deadline", "idle_timeout", "shutdown_delay", "drain_deadline", "tls_config", "insecure_allow_unauthenticated"],
    )) == 0 && !can(yamldecode(var.configuration).telemetry.listen_address)
    error_message = "remote_write, listeners, path, access keys and deadlines are inputs of this module, not part of configuration."
  }
}

variable "secrets" {
  description = "Environment variables of the task that come from Secrets Manager or the parameter store: name to ARN (with `:json-key::` if one is wanted)."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.secrets) : can(regex("^[A-Z][A-Z0-9_]*$", name)) && !startswith(name, "SLUICEGATE_")])
    error_message = "Names are upper-case letters, digits and underscores, and SLUICEGATE_ is taken."
  }
}

variable "secrets_kms_keys" {
  description = "KMS keys of `secrets` and of given access keys, where they are not AWS's own: tasks are allowed to decrypt with them."
  type        = list(object({ arn = string }))
  default     = []
}

variable "path" {
  description = "Path of the endpoint."
  type        = string
  default     = "/firehose"

  validation {
    condition     = can(regex("^/[A-Za-z0-9/_.-]{1,127}$", var.path)) && !contains(["/healthz", "/readyz"], var.path)
    error_message = "The path begins with / and has letters, digits and /_.- ; /healthz and /readyz are taken."
  }
}

variable "request_deadline_seconds" {
  description = "Time from a request's headers to its answer. Firehose gives up after 180 s."
  type        = number
  default     = 150

  validation {
    condition     = var.request_deadline_seconds >= 10 && var.request_deadline_seconds <= 175
    error_message = "10 to 175 s: it must be answered before Firehose's 180 s are over."
  }
}

variable "drain_deadline_seconds" {
  description = "Time after the stop signal at which requests in flight are given up. Fargate kills after 120 s."
  type        = number
  default     = 100

  validation {
    condition     = var.drain_deadline_seconds >= 20 && var.drain_deadline_seconds <= 115
    error_message = "20 to 115 s: the tasks are killed 120 s after the stop signal."
  }
}

variable "access_keys" {
  description = <<-EOT
    Access keys that the gateway takes; streams use the first. A key is generated unless `given` (its value stands in
    `access_key_values`) or `secret_arn` names a secret that holds {"api_key": "..."}. To rotate: append one, apply; move
    it to the front, apply; when `sluicegate_access_key_last_used_timestamp_seconds` of the old one stands still, take that out.
  EOT
  type = list(object({
    name       = string
    given      = optional(bool, false)
    secret_arn = optional(string)
  }))
  default = [{ name = "primary" }]

  validation {
    condition     = length(var.access_keys) >= 1 && length(var.access_keys) == length(distinct(var.access_keys[*].name))
    error_message = "At least one access key, and each name once."
  }

  validation {
    condition     = alltrue([for key in var.access_keys : can(regex("^[a-z0-9][a-z0-9-]{0,39}$", key.name)) && !(key.given && key.secret_arn != null)])
    error_message = "A key's name has 1 to 40 lower-case letters, digits and hyphens; it is given, or in a secret, not both."
  }
}

variable "access_key_values" {
  description = "Values of the `given` access keys by name. Ephemeral: they stand neither in a plan nor in the state."
  type        = map(string)
  default     = {}
  ephemeral   = true
  sensitive   = true
}

variable "access_key_kms_key" {
  description = "KMS key that encrypts the secrets of access keys; without one, the account's `aws/secretsmanager` key."
  type        = object({ arn = string })
  default     = null
}

variable "access_key_replica_regions" {
  description = "Further regions with streams of this account: the access keys are copied there, where Firehose reads them."
  type        = set(string)
  default     = []
}

variable "secret_recovery_window_in_days" {
  description = "Days during which a deleted access key can be brought back; 0 deletes at once."
  type        = number
  default     = 7
}

variable "source_account_ids" {
  description = "AWS accounts whose Firehose streams are taken. Empty: this account alone."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for id in var.source_account_ids : can(regex("^[0-9]{12}$", id))])
    error_message = "Account ids have 12 digits."
  }
}
