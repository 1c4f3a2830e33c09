# What must be right about the gateway, asserted on the plan.

# The provider is real but has no credentials and reaches nothing: what it would ask AWS for is overridden.
# (A mock provider refuses modules with ephemeral resources, which keep the access key out of the plan.)
provider "aws" {
  region                      = "eu-west-1"
  access_key                  = "none"
  secret_key                  = "none"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
}

override_data {
  target          = data.aws_caller_identity.current
  override_during = plan
  values          = { account_id = "111122223333" }
}

override_data {
  target          = data.aws_subnet.task[0]
  override_during = plan
  values          = { availability_zone = "eu-west-1a" }
}

override_data {
  target          = data.aws_subnet.task[1]
  override_during = plan
  values          = { availability_zone = "eu-west-1b" }
}

override_resource {
  target          = module.access_key["primary"].aws_secretsmanager_secret.this
  override_during = plan
  values          = { id = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:primary-AbCdEf", arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:primary-AbCdEf" }
}

override_resource {
  target          = aws_lb.this
  override_during = plan
  values          = { arn_suffix = "app/mocked/0123456789abcdef", arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:loadbalancer/app/mocked/0123456789abcdef" }
}

override_resource {
  target          = aws_lb_target_group.this
  override_during = plan
  values          = { arn_suffix = "targetgroup/mocked/0123456789abcdef", arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/mocked/0123456789abcdef" }
}

override_resource {
  target          = aws_security_group.load_balancer
  override_during = plan
  values          = { id = "sg-load-balancer" }
}

override_resource {
  target          = aws_security_group.tasks
  override_during = plan
  values          = { id = "sg-tasks" }
}

override_resource {
  target          = aws_cloudwatch_log_group.this
  override_during = plan
  values          = { arn = "arn:aws:logs:eu-west-1:111122223333:log-group:/ecs/sluicegate" }
}

variables {
  image                    = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/sluicegate:1.2.3"
  domain_name              = "metrics.example.com"
  certificate_arn          = "arn:aws:acm:eu-west-1:111122223333:certificate/00000000-0000-0000-0000-000000000000"
  vpc_id                   = "vpc-1"
  load_balancer_subnet_ids = ["subnet-a", "subnet-b"]
  task_subnet_ids          = ["subnet-c", "subnet-d"]
  remote_write = [{
    name      = "amp"
    url       = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write"
    workspace = { arn = "arn:aws:aps:eu-west-1:111122223333:workspace/ws-1" }
  }]
  alarm_topic_arns = ["arn:aws:sns:eu-west-1:111122223333:alarms"]
}

run "times_fit_into_one_another" {
  command = plan

  assert {
    condition     = aws_lb.this.idle_timeout > var.request_deadline_seconds
    error_message = "An idle timeout below the deadline cuts requests that are about to be answered."
  }
  assert {
    condition     = tonumber(trimsuffix(yamldecode(output.configuration).server.idle_timeout, "s")) > aws_lb.this.idle_timeout
    error_message = "The load balancer must close idle connections first."
  }
  assert {
    condition     = yamldecode(output.configuration).server.request_deadline == "150s" && var.request_deadline_seconds < 180
    error_message = "The deadline must be told to the gateway, and be below Firehose's 180 s."
  }
  assert {
    condition     = tonumber(aws_lb_target_group.this.deregistration_delay) > var.request_deadline_seconds
    error_message = "Deregistration must let a request take its whole deadline."
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].stopTimeout == 120
    error_message = "stopTimeout must be the 120 s that Fargate grants."
  }
  assert {
    condition = (
      tonumber(trimsuffix(yamldecode(output.configuration).server.drain_deadline, "s")) < jsondecode(aws_ecs_task_definition.this.container_definitions)[0].stopTimeout
      && tonumber(trimsuffix(yamldecode(output.configuration).server.drain_deadline, "s")) <= tonumber(aws_lb_target_group.this.deregistration_delay)
      && tonumber(trimsuffix(yamldecode(output.configuration).server.shutdown_delay, "s")) * 2 <= tonumber(trimsuffix(yamldecode(output.configuration).server.drain_deadline, "s"))
    )
    error_message = "The drain must end before the kill, inside the deregistration delay, and be at least twice the shutdown delay."
  }
  assert {
    # Two failed checks and the gateway's own delay: no new requests come when it stops taking them.
    condition     = aws_lb_target_group.this.health_check[0].interval * aws_lb_target_group.this.health_check[0].unhealthy_threshold <= tonumber(trimsuffix(yamldecode(output.configuration).server.shutdown_delay, "s"))
    error_message = "The load balancer must see that a task is not ready within the shutdown delay."
  }
}

run "times_fit_at_the_longest_deadline" {
  command = plan

  variables {
    request_deadline_seconds = 175
    drain_deadline_seconds   = 115
  }

  assert {
    condition     = aws_lb.this.idle_timeout > 175 && tonumber(aws_lb_target_group.this.deregistration_delay) > 175
    error_message = "The load balancer's times must follow the deadline."
  }
  assert {
    condition     = tonumber(trimsuffix(yamldecode(output.configuration).server.idle_timeout, "s")) > aws_lb.this.idle_timeout
    error_message = "The gateway's idle timeout must follow, too."
  }
}

run "public_end" {
  command = plan

  assert {
    condition     = aws_lb_target_group.this.health_check[0].path == "/readyz" && aws_lb_target_group.this.health_check[0].port == "traffic-port"
    error_message = "Health is /readyz on the ingest port."
  }
  assert {
    condition     = aws_lb_listener.https.protocol == "HTTPS" && aws_lb_listener.https.port == 443
    error_message = "HTTPS on 443 only."
  }
  assert {
    condition     = startswith(aws_lb_listener.https.ssl_policy, "ELBSecurityPolicy-TLS13-1-")
    error_message = "TLS 1.2 or later."
  }
  assert {
    condition     = aws_lb_listener.https.default_action[0].type == "fixed-response" && aws_lb_listener.https.default_action[0].fixed_response[0].status_code == "404"
    error_message = "Other paths are answered 404 by the load balancer: never a redirect, never the gateway."
  }
  assert {
    condition     = one(aws_lb_listener_rule.firehose.condition).path_pattern[0].values == toset(["/firehose"])
    error_message = "The endpoint's path alone reaches the gateway."
  }
  assert {
    condition     = aws_lb.this.drop_invalid_header_fields && aws_lb.this.enable_deletion_protection && !aws_lb.this.internal
    error_message = "Invalid headers are dropped, deletion is protected, Firehose can reach it."
  }
  assert {
    condition     = length(aws_lb.this.access_logs) == 0 && length(aws_wafv2_web_acl_association.this) == 0 && length(aws_route53_record.this) == 0
    error_message = "Access logs, WAF and the DNS record are made only where asked for."
  }
  assert {
    condition     = output.endpoint_url == "https://metrics.example.com/firehose"
    error_message = "The endpoint's URL."
  }
}

run "what_can_be_attached" {
  command = plan

  variables {
    deletion_protection = false
    access_logs         = { bucket = "logs", prefix = "alb" }
    web_acl             = { arn = "arn:aws:wafv2:eu-west-1:111122223333:regional/webacl/a/b" }
    hosted_zone         = { id = "Z1" }
  }

  assert {
    condition     = !aws_lb.this.enable_deletion_protection && aws_lb.this.access_logs[0].enabled && aws_lb.this.access_logs[0].bucket == "logs"
    error_message = "Deletion protection and access logs are inputs."
  }
  assert {
    condition     = aws_wafv2_web_acl_association.this[0].web_acl_arn == var.web_acl.arn
    error_message = "A web ACL can be attached."
  }
  assert {
    condition     = aws_route53_record.this["A"].name == "metrics.example.com"
    error_message = "The record of the domain."
  }
}

run "ports" {
  command = plan

  assert {
    condition     = aws_vpc_security_group_ingress_rule.from_load_balancer.from_port == 8080 && aws_vpc_security_group_ingress_rule.from_load_balancer.to_port == 8080 && aws_vpc_security_group_ingress_rule.from_load_balancer.cidr_ipv4 == null && aws_vpc_security_group_ingress_rule.from_load_balancer.referenced_security_group_id == aws_security_group.load_balancer.id
    error_message = "The ingest port is open to the load balancer alone."
  }
  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.telemetry) == 0
    error_message = "The telemetry port is open to nobody unless asked for."
  }
  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.https : rule.from_port == 443 && rule.to_port == 443])
    error_message = "The load balancer is open on 443 alone."
  }
  assert {
    condition     = aws_vpc_security_group_egress_rule.to_tasks.from_port == 8080 && aws_vpc_security_group_egress_rule.to_tasks.cidr_ipv4 == null
    error_message = "The load balancer reaches the tasks' ingest port alone."
  }
  assert {
    condition     = one(aws_ecs_service.this.load_balancer).container_port == 8080 && aws_lb_target_group.this.port == 8080 && aws_lb_target_group.this.target_type == "ip"
    error_message = "Only the ingest port is behind the load balancer."
  }
  assert {
    condition     = yamldecode(output.configuration).server.listen_address == "0.0.0.0:8080" && yamldecode(output.configuration).telemetry.listen_address == "0.0.0.0:8081"
    error_message = "The gateway listens where the groups say."
  }
}

run "telemetry_for_named_groups" {
  command = plan

  variables {
    telemetry_security_groups = { prometheus = "sg-1" }
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.telemetry["prometheus"].referenced_security_group_id == "sg-1" && aws_vpc_security_group_ingress_rule.telemetry["prometheus"].cidr_ipv4 == null && aws_vpc_security_group_ingress_rule.telemetry["prometheus"].from_port == 8081
    error_message = "A scraper's group reaches the telemetry port."
  }
}

run "tasks" {
  command = plan

  assert {
    condition     = aws_ecs_task_definition.this.cpu == "256" && aws_ecs_task_definition.this.memory == "512" && aws_ecs_task_definition.this.runtime_platform[0].cpu_architecture == "ARM64"
    error_message = "ARM64, a quarter vCPU and 512 MB by default."
  }
  assert {
    condition     = aws_ecs_task_definition.this.requires_compatibilities == toset(["FARGATE"]) && aws_ecs_service.this.launch_type == "FARGATE"
    error_message = "Fargate."
  }
  assert {
    condition     = aws_ecs_service.this.desired_count >= 2 && aws_appautoscaling_target.this.min_capacity >= 2
    error_message = "At least two tasks."
  }
  assert {
    condition     = aws_ecs_service.this.deployment_circuit_breaker[0].enable && aws_ecs_service.this.deployment_circuit_breaker[0].rollback
    error_message = "A circuit breaker with rollback."
  }
  assert {
    condition     = aws_ecs_service.this.deployment_minimum_healthy_percent == 100
    error_message = "A new version is complete before the old one goes."
  }
  assert {
    condition     = !aws_ecs_service.this.network_configuration[0].assign_public_ip && !aws_ecs_service.this.enable_execute_command
    error_message = "No public addresses, no shell."
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].readonlyRootFilesystem
    error_message = "The root file system is read-only."
  }
  assert {
    condition     = !startswith(jsondecode(aws_ecs_task_definition.this.container_definitions)[0].user, "0") && jsondecode(aws_ecs_task_definition.this.container_definitions)[0].linuxParameters.capabilities.drop == ["ALL"]
    error_message = "Not root, and no capabilities."
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].healthCheck.command == ["CMD", "/sluicegate", "healthcheck"]
    error_message = "The container's health is the binary's own check: there is no shell."
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].logConfiguration.options.mode == "non-blocking"
    error_message = "The gateway must not wait for its log."
  }
  assert {
    condition     = aws_appautoscaling_policy.cpu.target_tracking_scaling_policy_configuration[0].predefined_metric_specification[0].predefined_metric_type == "ECSServiceAverageCPUUtilization"
    error_message = "Tracking of CPU."
  }
  assert {
    condition     = aws_appautoscaling_policy.requests.target_tracking_scaling_policy_configuration[0].predefined_metric_specification[0].predefined_metric_type == "ALBRequestCountPerTarget" && aws_appautoscaling_policy.requests.target_tracking_scaling_policy_configuration[0].predefined_metric_specification[0].resource_label == "app/mocked/0123456789abcdef/targetgroup/mocked/0123456789abcdef"
    error_message = "Tracking of requests per target."
  }
  assert {
    condition     = length(aws_ecs_cluster.this) == 1 && output.cluster_name == "sluicegate"
    error_message = "A cluster of its own."
  }
}

run "tasks_in_one_zone_are_refused" {
  command = plan

  override_data {
    target          = data.aws_subnet.task[1]
    override_during = plan
    values          = { availability_zone = "eu-west-1a" }
  }

  expect_failures = [aws_ecs_service.this]
}

run "a_cluster_that_exists" {
  command = plan

  variables {
    cluster = { arn = "arn:aws:ecs:eu-west-1:111122223333:cluster/other", name = "other" }
  }

  assert {
    condition     = length(aws_ecs_cluster.this) == 0 && aws_ecs_service.this.cluster == var.cluster.arn && aws_appautoscaling_target.this.resource_id == "service/other/sluicegate"
    error_message = "An existing cluster is used."
  }
}
