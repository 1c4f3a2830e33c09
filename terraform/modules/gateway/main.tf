# Names, and the times that must fit into one another.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
  region     = data.aws_region.current.name

  # IAM is global: the same name may stand in several regions.
  role_prefix = "${var.name}-${local.region}"

  tags = merge({ Application = "sluicegate", Component = "gateway" }, var.tags)

  ingest_port    = 8080
  telemetry_port = 8081
}

# A request: gateway's deadline < load balancer's idle timeout < gateway's idle timeout. While the
# gateway works, nothing travels on the connection: an idle timeout below the deadline would cut
# requests that are about to be answered. And the load balancer must be the one that closes an idle
# connection, or it sends a request into one that the gateway has just closed.
#
# A stop: the target is deregistered, and requests in flight may take their whole deadline before the
# load balancer cuts them. After the stop signal the gateway drains, and ends before it is killed.
locals {
  request_deadline_seconds     = var.request_deadline_seconds
  load_balancer_idle_seconds   = local.request_deadline_seconds + 20
  gateway_idle_seconds         = local.load_balancer_idle_seconds + 30
  deregistration_delay_seconds = local.request_deadline_seconds + 10

  shutdown_delay_seconds = 10
  drain_deadline_seconds = var.drain_deadline_seconds
  stop_timeout_seconds   = 120 # the most that Fargate grants
}
