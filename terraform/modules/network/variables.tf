variable "name" {
  description = "Name of the network and prefix of its parts."
  type        = string
}

variable "cidr_block" {
  description = "IPv4 range of the VPC, /16 to /24; each zone gets a sixteenth for the load balancer and one for tasks."
  type        = string
  default     = "10.90.0.0/20"

  validation {
    condition     = can(cidrhost(var.cidr_block, 0)) && try(tonumber(split("/", var.cidr_block)[1]) >= 16 && tonumber(split("/", var.cidr_block)[1]) <= 24, false)
    error_message = "The range must be IPv4 and /16 to /24."
  }
}

variable "zone_count" {
  description = "Availability zones to use."
  type        = number
  default     = 2

  validation {
    condition     = var.zone_count >= 2 && var.zone_count <= 4
    error_message = "A load balancer wants two zones; four are supported."
  }
}

variable "nat" {
  description = <<-EOT
    How tasks reach AWS: `single` (one NAT gateway; should its zone fail, Firehose keeps the batches meanwhile),
    `per_zone` (one in each zone), or `none` (no NAT gateway and its price; tasks stand in public subnets with
    addresses of their own, behind security groups that let nothing in but the load balancer).
  EOT
  type        = string
  default     = "single"

  validation {
    condition     = contains(["single", "per_zone", "none"], var.nat)
    error_message = "nat is single, per_zone or none."
  }
}

variable "tags" {
  description = "Tags of every resource."
  type        = map(string)
  default     = {}
}
