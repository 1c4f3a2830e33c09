variable "name" {
  description = "Name of the service, and prefix of what belongs to it."
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

# Image and tasks

variable "image" {
  description = "Container image of Sluicegate with registry and tag or digest, e.g. `111122223333.dkr.ecr.eu-west-1.amazonaws.com/sluicegate:1.0.0`."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]*(:[0-9]+)?/[a-z0-9][a-z0-9._/-]*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[a-f0-9]{64})?$", var.image))
    error_message = "The image is REGISTRY/REPOSITORY:TAG or REGISTRY/REPOSITORY@sha256:DIGEST."
  }

  validation {
    condition     = can(regex("(:[^/@]+|@sha256:[a-f0-9]{64})$", var.image)) && !endswith(var.image, ":latest")
    error_message = "Name a version or a digest: what `latest` is, a task that is started at night would decide."
  }
}

variable "binary" {
  description = "Path of the sluicegate binary in the image, for the container's health check."
  type        = string
  default     = "/sluicegate"
}

variable "cpu_architecture" {
  description = "ARM64 or X86_64; must be one that the image has."
  type        = string
  default     = "ARM64"

  validation {
    condition     = contains(["ARM64", "X86_64"], var.cpu_architecture)
    error_message = "cpu_architecture is ARM64 or X86_64."
  }
}

variable "cpu" {
  description = "CPU units of a task; 1024 are one vCPU."
  type        = number
  default     = 256

  validation {
    condition     = contains([256, 512, 1024, 2048, 4096], var.cpu)
    error_message = "cpu is 256, 512, 1024, 2048 or 4096."
  }
}

variable "memory" {
  description = "Memory of a task in MiB. A third of it is the gateway's budget of request bytes."
  type        = number
  default     = 512

  validation {
    condition = contains({
      256  = [512, 1024, 2048]
      512  = [1024, 2048, 3072, 4096]
      1024 = [for gib in range(2, 9) : gib * 1024]
      2048 = [for gib in range(4, 17) : gib * 1024]
      4096 = [for gib in range(8, 31) : gib * 1024]
    }[var.cpu], var.memory)
    error_message = "Fargate has no such memory for that cpu."
  }
}

variable "tasks_min" {
  description = "Tasks that always run, spread over the zones."
  type        = number
  default     = 2

  validation {
    condition     = var.tasks_min >= 2
    error_message = "At least two tasks, so that one zone may fail."
  }
}

variable "tasks_max" {
  description = "Tasks that autoscaling may start."
  type        = number
  default     = 8

  validation {
    condition     = var.tasks_max >= var.tasks_min
    error_message = "tasks_max is below tasks_min."
  }
}

variable "scale_cpu_percent" {
  description = "Average CPU use that autoscaling aims at."
  type        = number
  default     = 60

  validation {
    condition     = var.scale_cpu_percent >= 10 && var.scale_cpu_percent <= 90
    error_message = "10 to 90 percent."
  }
}

variable "scale_requests_per_task" {
  description = "Requests per task and minute that autoscaling aims at. A request is a batch of 1 to 4 MB of metrics."
  type        = number
  default     = 120

  validation {
    condition     = var.scale_requests_per_task >= 1
    error_message = "At least 1."
  }
}

variable "cluster" {
  description = "ECS cluster to run in. Null makes one."
  type = object({
    arn  = string
    name = string
  })
  default = null
}

variable "container_insights" {
  description = "Container Insights of the cluster that this module makes: `enabled`, `enhanced` or `disabled`. They are billed as custom metrics."
  type        = string
  default     = "enabled"

  validation {
    condition     = contains(["enabled", "enhanced", "disabled"], var.container_insights)
    error_message = "container_insights is enabled, enhanced or disabled."
  }
}

variable "wait_for_steady_state" {
  description = "Let `terraform apply` wait until the tasks run, and fail if they do not."
  type        = bool
  default     = true
}

variable "sidecars" {
  description = <<-EOT
    Further containers of the task as JSON, a list of container definitions such as an agent that scrapes
    `http://localhost:8081/metrics` (`deploy/adot`). They are not essential, and each names its `memory` in MiB: what they leave of
    the task's is the gateway's. Their rights are `task_policies`.
  EOT
  type        = string
  default     = "[]"

  validation {
    # A JSON object of containers is no list, though for would take it.
    condition     = can([for container in concat([], jsondecode(var.sidecars)) : regex("^[A-Za-z0-9_-]{1,255}$", container.name)])
    error_message = "sidecars is a JSON list of container definitions, each with a name."
  }

  validation {
    condition     = try(alltrue([for container in jsondecode(var.sidecars) : container.name != "sluicegate" && try(container.essential, false) == false]), true)
    error_message = "sluicegate is the gateway's own name, and no sidecar may be essential: the gateway would end with it."
  }

  validation {
    condition     = try(var.memory - sum(concat([0], [for container in jsondecode(var.sidecars) : container.memory])) >= 256, false) || !can(concat([], jsondecode(var.sidecars)))
    error_message = "Each sidecar names its memory in MiB, and they must leave 256 MiB of the task's memory to the gateway."
  }
}

variable "task_policies" {
  description = "Policies of the task role beside the module's own, name to JSON: what sidecars need."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name, policy in var.task_policies : can(regex("^[A-Za-z0-9_-]{1,64}$", name)) && name != "remote-write" && can(jsondecode(policy).Statement)])
    error_message = "A name has 1 to 64 letters, digits and _-, is not remote-write, and stands for a policy document."
  }
}

variable "log_retention_days" {
  description = "Days that the gateway's log is kept."
  type        = number
  default     = 30
}

variable "log_kms_key_arn" {
  description = "KMS key of the log group; its policy must let CloudWatch Logs use it."
  type        = string
  default     = null
}
