# The tasks: stateless, at least two, in two zones; any of them may be killed at any time.

resource "aws_ecs_cluster" "this" {
  count = var.cluster == null ? 1 : 0

  name = var.name
  tags = local.tags

  setting {
    name  = "containerInsights"
    value = var.container_insights
  }
}

locals {
  cluster_arn  = var.cluster == null ? one(aws_ecs_cluster.this[*].arn) : var.cluster.arn
  cluster_name = var.cluster == null ? one(aws_ecs_cluster.this[*].name) : var.cluster.name

  container = {
    name                   = "sluicegate"
    image                  = var.image
    essential              = true
    command                = ["serve"]
    user                   = "65532:65532"
    readonlyRootFilesystem = true
    stopTimeout            = local.stop_timeout_seconds
    # A limit of its own: a third of it is the gateway's budget.
    memory = var.memory - sum(concat([0], [for container in jsondecode(var.sidecars) : container.memory]))

    linuxParameters = { capabilities = { drop = ["ALL"] } }
    # No request needs more than its connection; ALB and lanes stay far below.
    ulimits = [{ name = "nofile", softLimit = 65536, hardLimit = 65536 }]

    portMappings = [
      { name = "ingest", containerPort = local.ingest_port, protocol = "tcp" },
      { name = "telemetry", containerPort = local.telemetry_port, protocol = "tcp" },
    ]

    environment = [{ name = "SLUICEGATE_CONFIG_CONTENT", value = local.configuration }]

    secrets = concat(
      [for key in var.access_keys : { name = local.access_key_variables[key.name], valueFrom = "${local.access_key_secret_arns[key.name]}:api_key::" }],
      [for name, arn in var.secrets : { name = name, valueFrom = arn }],
    )

    # Alive, not ready: a draining task must not be killed for it.
    healthCheck = {
      command     = ["CMD", var.binary, "healthcheck"]
      interval    = 10
      timeout     = 5
      retries     = 3
      startPeriod = 15
    }

    # The gateway never waits for its log.
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this.name
        awslogs-region        = local.region
        awslogs-stream-prefix = "task"
        mode                  = "non-blocking"
        max-buffer-size       = "4m"
      }
    }
  }
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/ecs/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.log_kms_key_arn
  tags              = local.tags
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  task_role_arn            = aws_iam_role.task.arn
  execution_role_arn       = aws_iam_role.execution.arn
  tags                     = local.tags

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.cpu_architecture
  }

  container_definitions = jsonencode(concat(
    [local.container],
    [for container in jsondecode(var.sidecars) : merge(container, { essential = false })],
  ))

  lifecycle {
    precondition {
      condition     = local.shutdown_delay_seconds < local.drain_deadline_seconds && local.drain_deadline_seconds < local.stop_timeout_seconds
      error_message = "The drain must end before the task is killed."
    }
    precondition {
      # ECS takes 64 KiB for the whole definition.
      condition     = length(local.configuration) < 48 * 1024
      error_message = "The configuration is too long for a task definition: 48 KiB at most."
    }
  }
}

# Two subnets may be in one zone: AWS is asked.
data "aws_subnet" "task" {
  count = length(var.task_subnet_ids)
  id    = var.task_subnet_ids[count.index]
}

resource "aws_ecs_service" "this" {
  name             = var.name
  cluster          = local.cluster_arn
  task_definition  = aws_ecs_task_definition.this.arn
  launch_type      = "FARGATE"
  platform_version = "LATEST"
  desired_count    = var.tasks_min
  propagate_tags   = "SERVICE"
  tags             = local.tags

  # A new version is complete before the old one goes.
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  availability_zone_rebalancing      = "ENABLED"
  health_check_grace_period_seconds  = 30
  enable_execute_command             = false # there is no shell
  wait_for_steady_state              = var.wait_for_steady_state

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.task_subnet_ids
    security_groups  = [aws_security_group.tasks.id]
    assign_public_ip = var.assign_public_ip
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.this.arn
    container_name   = "sluicegate"
    container_port   = local.ingest_port
  }

  lifecycle {
    ignore_changes = [desired_count] # autoscaling's

    precondition {
      condition     = length(distinct(data.aws_subnet.task[*].availability_zone)) >= 2
      error_message = "The subnets of the tasks must be in two zones."
    }
  }

  # The first task needs its rights, and a target group that a listener uses.
  depends_on = [aws_iam_role_policy.execution, aws_iam_role_policy.task, aws_iam_role_policy.sidecars, aws_lb_listener_rule.firehose]
}
