variable "name" {
  description = "Name of the dashboard."
  type        = string
  default     = "sluicegate"

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,255}$", var.name))
    error_message = "A dashboard's name has letters, digits, hyphens and underscores."
  }
}

variable "streams" {
  description = "The streams, as their output `dashboard_entry` says. CloudWatch shows metrics of other regions, not of other accounts (unless they are linked)."
  type = list(object({
    region        = string
    metric_stream = string
    firehose      = string
  }))
}

variable "gateway" {
  description = "The gateway, as its output `dashboard_entry` says."
  type = object({
    region        = string
    load_balancer = string
    target_group  = string
    cluster       = string
    service       = string
  })
}

variable "workspaces" {
  description = "AMP workspaces that are written to, if any."
  type = list(object({
    region = string
    id     = string
  }))
  default = []
}
