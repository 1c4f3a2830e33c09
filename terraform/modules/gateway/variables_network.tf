# Where the gateway stands, who reaches it, and who is told.

variable "vpc_id" {
  description = "VPC of the load balancer and the tasks."
  type        = string
}

variable "load_balancer_subnet_ids" {
  description = "Public subnets of the load balancer, in two zones at least: Firehose delivers to public endpoints only."
  type        = list(string)

  validation {
    condition     = length(var.load_balancer_subnet_ids) >= 2
    error_message = "A load balancer wants subnets in two zones."
  }
}

variable "task_subnet_ids" {
  description = "Subnets of the tasks, in two zones at least, with a way to AMP, Secrets Manager, CloudWatch Logs and the image's registry."
  type        = list(string)

  validation {
    condition     = length(var.task_subnet_ids) >= 2
    error_message = "Tasks want subnets in two zones."
  }
}

variable "assign_public_ip" {
  description = "Give tasks public addresses; for subnets that reach AWS by an internet gateway alone. Nothing can connect to them but the load balancer."
  type        = bool
  default     = false
}

variable "certificate_arn" {
  description = "ACM certificate of `domain_name`, from this region. Firehose wants one that a public authority signed."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:acm:[a-z0-9-]+:[0-9]{12}:certificate/", var.certificate_arn))
    error_message = "certificate_arn is the ARN of an ACM certificate."
  }
}

variable "domain_name" {
  description = "Host name of the endpoint; its DNS record points to the load balancer."
  type        = string

  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?[.])+[a-z]{2,63}$", var.domain_name))
    error_message = "domain_name is a full host name in lower case."
  }
}

variable "hosted_zone" {
  description = "Route 53 zone in which the record of `domain_name` is made. Null: make it yourself; the output `next_steps` says how."
  type        = object({ id = string })
  default     = null
}

variable "tls_policy" {
  description = "TLS policy of the listener."
  type        = string
  default     = "ELBSecurityPolicy-TLS13-1-2-2021-06"

  validation {
    condition = contains([
      "ELBSecurityPolicy-TLS13-1-2-2021-06", "ELBSecurityPolicy-TLS13-1-2-Res-2021-06", "ELBSecurityPolicy-TLS13-1-3-2021-06",
      "ELBSecurityPolicy-TLS13-1-2-FIPS-2023-04", "ELBSecurityPolicy-TLS13-1-2-Res-FIPS-2023-04", "ELBSecurityPolicy-TLS13-1-3-FIPS-2023-04",
    ], var.tls_policy)
    error_message = "Only policies of TLS 1.2 and later."
  }
}

variable "ingress_cidr_blocks" {
  description = "IPv4 ranges that may connect. AWS publishes no source addresses for HTTP endpoint destinations, so that the access key is what guards."
  type        = set(string)
  default     = ["0.0.0.0/0"]

  validation {
    condition     = length(var.ingress_cidr_blocks) >= 1 && alltrue([for block in var.ingress_cidr_blocks : can(cidrhost(block, 0))])
    error_message = "At least one IPv4 range in CIDR form."
  }
}

variable "egress_ports" {
  description = "TCP ports that tasks may connect to. Destinations on other ports than 443 want theirs."
  type        = set(number)
  default     = [443]

  validation {
    condition     = contains(var.egress_ports, 443)
    error_message = "AWS is reached on port 443."
  }
}

variable "telemetry_security_groups" {
  description = "Security groups that may scrape the telemetry port (8081), by a name of yours. Nobody else reaches it."
  type        = map(string)
  default     = {}
}

variable "deletion_protection" {
  description = "Protect the load balancer from deletion. Set it false before a teardown."
  type        = bool
  default     = true
}

variable "access_logs" {
  description = "Bucket (and prefix) for the load balancer's access logs; its policy must let Elastic Load Balancing write."
  type = object({
    bucket = string
    prefix = optional(string)
  })
  default = null
}

variable "web_acl" {
  description = "WAFv2 web ACL of the load balancer. Its rules must let bodies of 64 MB pass."
  type        = object({ arn = string })
  default     = null
}

# Being told

variable "alarm_topic_arns" {
  description = "SNS topics of this region that alarms notify."
  type        = list(string)
  default     = []
}

variable "alarm_5xx_percent" {
  description = "Alarm when more than this part of the requests is answered 5xx by the gateway. Firehose repeats them."
  type        = number
  default     = 5

  validation {
    condition     = var.alarm_5xx_percent > 0 && var.alarm_5xx_percent < 100
    error_message = "Above 0, below 100."
  }
}
