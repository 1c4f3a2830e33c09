variable "name" {
  description = "Name of everything, and prefix where names must differ."
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

# The gateway

variable "image" {
  description = "Container image of Sluicegate with registry and tag or digest."
  type        = string
}

variable "cpu_architecture" {
  description = "ARM64 or X86_64; must be one that the image has."
  type        = string
  default     = "ARM64"
}

variable "cpu" {
  description = "CPU units of a task."
  type        = number
  default     = 256
}

variable "memory" {
  description = "Memory of a task in MiB."
  type        = number
  default     = 512
}

variable "tasks_min" {
  description = "Tasks that always run."
  type        = number
  default     = 2
}

variable "tasks_max" {
  description = "Tasks that autoscaling may start."
  type        = number
  default     = 8
}

variable "configuration" {
  description = "Further configuration of the gateway as YAML (`cloudwatch`, `global`, `relabel_configs`...), as in `modules/gateway`."
  type        = string
  default     = "{}"
}

variable "further_destinations" {
  description = "Destinations beside the workspace, as `remote_write` of `modules/gateway`."
  type = list(object({
    name        = string
    url         = string
    required    = optional(bool, true)
    workspace   = optional(object({ arn = string }))
    assume_role = optional(object({ arn = string, external_id = optional(string) }))
    settings    = optional(string, "{}")
  }))
  default = []
}

variable "access_keys" {
  description = "Access keys that the gateway takes; the stream uses the first. For rotation see `modules/gateway`."
  type = list(object({
    name       = string
    given      = optional(bool, false)
    secret_arn = optional(string)
  }))
  default = [{ name = "primary" }]
}

variable "access_key_values" {
  description = "Values of the `given` access keys by name. Ephemeral: they stand neither in a plan nor in the state."
  type        = map(string)
  default     = {}
  ephemeral   = true
  sensitive   = true
}

variable "telemetry_security_groups" {
  description = "Security groups that may scrape the gateway's telemetry port, by a name of yours."
  type        = map(string)
  default     = {}
}

variable "sidecars" {
  description = "Further containers of the task as JSON, as in `modules/gateway`."
  type        = string
  default     = "[]"
}

variable "task_policies" {
  description = "Policies of the task role beside the module's own, name to JSON: what sidecars need."
  type        = map(string)
  default     = {}
}

variable "wait_for_steady_state" {
  description = "Let `terraform apply` wait until the tasks run."
  type        = bool
  default     = true
}

# Its public name

variable "domain_name" {
  description = "Host name of the endpoint."
  type        = string
}

variable "hosted_zone" {
  description = "Route 53 zone for the endpoint's record and the certificate's validation. Null: make the record yourself and give `certificate`."
  type        = object({ id = string })
  default     = null
}

variable "certificate" {
  description = "ACM certificate of `domain_name`, of this region. Null: one is requested and validated in `hosted_zone`."
  type        = object({ arn = string })
  default     = null

  validation {
    condition     = var.certificate != null || var.hosted_zone != null
    error_message = "Give a certificate, or a hosted_zone in which one can be validated."
  }
}

# Its network

variable "network" {
  description = "An existing network. Null makes one (`network_cidr_block`, `nat`)."
  type = object({
    vpc_id                   = string
    load_balancer_subnet_ids = list(string)
    task_subnet_ids          = list(string)
    assign_public_ip         = optional(bool, false)
  })
  default = null
}

variable "network_cidr_block" {
  description = "IPv4 range of the network that is made."
  type        = string
  default     = "10.90.0.0/20"
}

variable "nat" {
  description = "How tasks in the network that is made reach AWS: `single`, `per_zone` or `none`; see `modules/network`."
  type        = string
  default     = "single"
}

variable "deletion_protection" {
  description = "Protect the load balancer from deletion. Set it false before a teardown."
  type        = bool
  default     = true
}

variable "access_logs" {
  description = "Bucket (and prefix) for the load balancer's access logs."
  type = object({
    bucket = string
    prefix = optional(string)
  })
  default = null
}

variable "web_acl" {
  description = "WAFv2 web ACL of the load balancer."
  type        = object({ arn = string })
  default     = null
}

# The workspace

variable "workspace" {
  description = "An existing AMP workspace of this account and region. Null makes one."
  type        = object({ id = string })
  default     = null
}

variable "retention_days" {
  description = "Days that the workspace that is made keeps samples."
  type        = number
  default     = 150
}

variable "out_of_order_window_by_cli" {
  description = "Set the workspace's out-of-order window of 600 s by the AWS CLI during apply; see `modules/workspace`."
  type        = bool
  default     = true
}

variable "rules_directory" {
  description = "Directory of Prometheus rule files (*.yaml, *.yml) that the workspace that is made evaluates. Null: the project's own, `deploy/prometheus/rules`, where they are beside this configuration."
  type        = string
  default     = null
}

# The stream

variable "include" {
  description = "Namespaces (and metrics) to stream; empty: all. As in `modules/stream`."
  type = list(object({
    namespace    = string
    metric_names = optional(list(string), [])
  }))
  default = []
}

variable "exclude" {
  description = "Namespaces (and metrics) not to stream. As in `modules/stream`."
  type = list(object({
    namespace    = string
    metric_names = optional(list(string), [])
  }))
  default = []
}

variable "additional_statistics" {
  description = "Statistics beside the four that are always streamed. As in `modules/stream`."
  type = list(object({
    statistics = list(string)
    metrics = list(object({
      namespace   = string
      metric_name = string
    }))
  }))
  default = []
}

variable "output_format" {
  description = "Format of the stream: `opentelemetry1.0`, `opentelemetry0.7` or `json`."
  type        = string
  default     = "opentelemetry1.0"
}

variable "common_attributes" {
  description = "Attributes that Firehose adds to each request."
  type        = map(string)
  default     = {}
}

variable "backup_force_destroy" {
  description = "Let `terraform destroy` delete a backup bucket that still holds batches."
  type        = bool
  default     = false
}

# Being told

variable "alarm_emails" {
  description = "Addresses that are told of alarms."
  type        = set(string)
  default     = []
}

variable "alarm_topic" {
  description = "An existing SNS topic for alarms. Null makes one."
  type        = object({ arn = string })
  default     = null
}

variable "secret_recovery_window_in_days" {
  description = "Days during which a deleted access key can be brought back; 0 deletes at once."
  type        = number
  default     = 7
}
