# What the roles may do, the secrets, the configuration, the alarms; and what is refused.

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
  image                    = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/team/sluicegate:1.2.3"
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

run "task_role_writes_to_one_workspace" {
  command = plan

  assert {
    condition     = length(data.aws_iam_policy_document.task.statement) == 1
    error_message = "One statement alone."
  }
  assert {
    condition     = data.aws_iam_policy_document.task.statement[0].actions == toset(["aps:RemoteWrite"]) && data.aws_iam_policy_document.task.statement[0].resources == toset(["arn:aws:aps:eu-west-1:111122223333:workspace/ws-1"])
    error_message = "aps:RemoteWrite on that workspace alone."
  }
  assert {
    condition = alltrue([for condition in data.aws_iam_policy_document.task_trust.statement[0].condition :
      (condition.variable == "aws:SourceAccount" && condition.values == tolist(["111122223333"])) || (condition.variable == "aws:SourceArn" && condition.values == tolist(["arn:aws:ecs:eu-west-1:111122223333:*"]))
    ]) && length(data.aws_iam_policy_document.task_trust.statement[0].condition) == 2
    error_message = "The roles are for ECS tasks of this account and region."
  }
}

run "task_role_assumes_named_roles" {
  command = plan

  variables {
    remote_write = [
      {
        name        = "other-account"
        url         = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-2/api/v1/remote_write"
        assume_role = { arn = "arn:aws:iam::444455556666:role/writer", external_id = "ours" }
      },
      {
        name      = "own"
        url       = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write"
        workspace = { arn = "arn:aws:aps:eu-west-1:111122223333:workspace/ws-1" }
      },
      {
        name     = "copy"
        url      = "http://prometheus.internal:9090/api/v1/write"
        required = false
        settings = "basic_auth: {username: me, password: \"$${PASSWORD}\"}"
      },
    ]
    secrets      = { PASSWORD = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prometheus-AbCdEf:password::" }
    egress_ports = [443, 9090]
  }

  assert {
    condition     = data.aws_iam_policy_document.task.statement[1].actions == toset(["sts:AssumeRole"]) && data.aws_iam_policy_document.task.statement[1].resources == toset(["arn:aws:iam::444455556666:role/writer"])
    error_message = "sts:AssumeRole on the named role alone."
  }
  assert {
    condition     = data.aws_iam_policy_document.task.statement[0].resources == toset(["arn:aws:aps:eu-west-1:111122223333:workspace/ws-1"])
    error_message = "Remote write directly to the own workspace alone."
  }
  assert {
    condition     = yamldecode(output.configuration).remote_write[0].sigv4 == { role_arn = "arn:aws:iam::444455556666:role/writer", external_id = "ours" }
    error_message = "The role and its external id stand in the configuration."
  }
  assert {
    condition     = !can(yamldecode(output.configuration).remote_write[1].sigv4)
    error_message = "No role where none is named."
  }
  assert {
    condition     = yamldecode(output.configuration).remote_write[2].basic_auth.password == "$${PASSWORD}" && yamldecode(output.configuration).remote_write[2].required == false
    error_message = "Settings reach the block, the secret by name only."
  }
  assert {
    condition     = contains([for secret in jsondecode(aws_ecs_task_definition.this.container_definitions)[0].secrets : secret.valueFrom if secret.name == "PASSWORD"], "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prometheus-AbCdEf:password::")
    error_message = "The secret is filled by ECS."
  }
  assert {
    condition = contains(flatten([for statement in data.aws_iam_policy_document.execution.statement : tolist(statement.resources) if statement.sid == "ReadSecrets"]),
    "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prometheus-AbCdEf")
    error_message = "ECS may read that secret, by its ARN without the key."
  }
  assert {
    condition     = toset(keys(aws_vpc_security_group_egress_rule.from_tasks)) == toset(["443", "9090"])
    error_message = "The destination's port is open outwards."
  }
}

run "execution_role" {
  command = plan

  assert {
    condition     = one([for statement in data.aws_iam_policy_document.execution.statement : statement if statement.sid == "PullImage"]).resources == toset(["arn:aws:ecr:eu-west-1:111122223333:repository/team/sluicegate"])
    error_message = "The image's repository alone."
  }
  assert {
    condition     = alltrue([for statement in data.aws_iam_policy_document.execution.statement : !contains(statement.resources, "*") if statement.sid != "SignInToRegistry"])
    error_message = "No wildcard where AWS takes a resource."
  }
  assert {
    condition     = alltrue([for statement in data.aws_iam_policy_document.execution.statement : alltrue([for action in statement.actions : !strcontains(action, "*")])])
    error_message = "No wildcard in actions."
  }
}

run "images_elsewhere_want_no_registry_rights" {
  command = plan

  variables {
    image = "registry.example.com/sluicegate@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  }

  assert {
    condition     = toset([for statement in data.aws_iam_policy_document.execution.statement : statement.sid]) == toset(["ReadSecrets", "WriteLog"])
    error_message = "No ECR rights without ECR."
  }
}

run "given_access_key" {
  command = plan

  variables {
    access_keys       = [{ name = "primary", given = true }]
    access_key_values = { primary = "not-a-secret" }
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].secrets == [{ name = "SLUICEGATE_KEY_PRIMARY", valueFrom = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:primary-AbCdEf:api_key::" }]
    error_message = "The task takes the key from the field api_key of the secret."
  }
  assert {
    condition     = !strcontains(aws_ecs_task_definition.this.container_definitions, "not-a-secret") && !strcontains(output.configuration, "not-a-secret")
    error_message = "The key itself stands nowhere."
  }
  assert {
    condition     = yamldecode(output.configuration).server.access_keys == [{ name = "primary", key = "$${SLUICEGATE_KEY_PRIMARY}", accounts = ["111122223333"] }]
    error_message = "The configuration names the variable, and this account alone."
  }
  assert {
    condition     = toset([for variable in jsondecode(aws_ecs_task_definition.this.container_definitions)[0].environment : variable.name]) == toset(["SLUICEGATE_CONFIG_CONTENT"])
    error_message = "Nothing but the configuration is in the plain environment."
  }
}

run "rotation_with_two_keys" {
  command = plan

  variables {
    access_keys = [
      { name = "2026-07", secret_arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:new-AbCdEf" },
      { name = "2026-01", secret_arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:old-AbCdEf" },
    ]
    access_key_replica_regions = ["us-east-1"]
    source_account_ids         = ["444455556666"]
  }

  assert {
    condition     = [for key in yamldecode(output.configuration).server.access_keys : key.name] == ["2026-07", "2026-01"] && yamldecode(output.configuration).server.access_keys[1].accounts == ["444455556666"]
    error_message = "The gateway takes both keys."
  }
  assert {
    condition     = output.access_key_secret_arn == "arn:aws:secretsmanager:eu-west-1:111122223333:secret:new-AbCdEf" && output.access_key_secret_arns["us-east-1"] == "arn:aws:secretsmanager:us-east-1:111122223333:secret:new-AbCdEf"
    error_message = "Streams use the first, in their own region."
  }
  assert {
    condition     = length(jsondecode(aws_ecs_task_definition.this.container_definitions)[0].secrets) == 2
    error_message = "The task knows both."
  }
}

run "further_configuration" {
  command = plan

  variables {
    configuration = "cloudwatch: {naming: otel}\nserver: {common_attributes: [team]}\nglobal: {external_labels: {cluster: prod}}"
  }

  assert {
    condition     = yamldecode(output.configuration).cloudwatch.naming == "otel" && yamldecode(output.configuration).server.common_attributes == ["team"] && yamldecode(output.configuration).server.path == "/firehose"
    error_message = "Further configuration and the module's own stand together."
  }
}

# The container definition of deploy/adot, as its README puts it into the task.
run "sidecars" {
  command = plan

  variables {
    memory = 1024
    sidecars = jsonencode([for container in jsondecode(file("../../../deploy/adot/sidecars.json")) : merge(container, {
      environment = [{ name = "AOT_CONFIG_CONTENT", value = file("../../../deploy/adot/amp.yaml") }]
    })])
    task_policies = { adot = file("../../../deploy/adot/task-policy.json") }
  }

  assert {
    condition     = { for container in jsondecode(aws_ecs_task_definition.this.container_definitions) : container.name => "${container.essential} ${container.memory}" } == { sluicegate = "true 768", adot-collector = "false 256" }
    error_message = "Sidecars stand beside the gateway, are not essential, and leave it the rest of the memory."
  }
  assert {
    condition     = one([for container in jsondecode(aws_ecs_task_definition.this.container_definitions) : container.environment[0].value if container.name == "adot-collector"]) == file("../../../deploy/adot/amp.yaml")
    error_message = "The collector has its configuration."
  }
  assert {
    condition     = aws_iam_role_policy.sidecars["adot"].policy != "" && keys(aws_iam_role_policy.sidecars) == ["adot"]
    error_message = "What a sidecar needs is the task role's."
  }
}

run "refused_sidecars" {
  command = plan

  variables {
    sidecars      = "[{\"name\":\"agent\",\"image\":\"agent:1\",\"memory\":257,\"essential\":true}]"
    task_policies = { remote-write = "{\"Statement\":[]}" }
  }

  expect_failures = [var.sidecars, var.task_policies]
}

run "refused_sidecars_without_memory" {
  command = plan

  variables {
    sidecars = "[{\"name\":\"agent\",\"image\":\"agent:1\"}]"
  }

  expect_failures = [var.sidecars]
}

run "alarms" {
  command = plan

  assert {
    condition     = toset(output.alarm_names) == toset(["sluicegate-gateway-5xx", "sluicegate-gateway-load-balancer-5xx", "sluicegate-gateway-memory", "sluicegate-gateway-running-tasks", "sluicegate-gateway-unhealthy-hosts"])
    error_message = "The gateway's alarms."
  }
  assert {
    condition     = alltrue([for alarm in concat(values(aws_cloudwatch_metric_alarm.this), [aws_cloudwatch_metric_alarm.target_5xx]) : alarm.alarm_actions == toset(var.alarm_topic_arns) && alarm.ok_actions == toset(var.alarm_topic_arns)])
    error_message = "Each alarm tells the topic, of its end, too."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["running-tasks"].statistic == "SampleCount" && aws_cloudwatch_metric_alarm.this["running-tasks"].period == 60 && aws_cloudwatch_metric_alarm.this["running-tasks"].threshold == 2 && aws_cloudwatch_metric_alarm.this["running-tasks"].treat_missing_data == "breaching"
    error_message = "Fewer tasks than the minimum, or none at all, alarm."
  }
}

run "refused" {
  command = plan

  variables {
    image                    = "registry.example.com/sluicegate"
    request_deadline_seconds = 180
    drain_deadline_seconds   = 120
    tasks_min                = 1
    memory                   = 4096
    tls_policy               = "ELBSecurityPolicy-2016-08"
    configuration            = "server: {request_deadline: 170s}"
    remote_write             = [{ name = "amp", url = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write/" }]
    access_keys              = []
    task_subnet_ids          = ["subnet-c"]
    load_balancer_subnet_ids = ["subnet-a"]
    path                     = "/readyz"
    source_account_ids       = ["12345"]
    secrets                  = { SLUICEGATE_CONFIG = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:x" }
    egress_ports             = [80]
    ingress_cidr_blocks      = []
    domain_name              = "localhost"
    certificate_arn          = "arn:aws:iam::111122223333:server-certificate/x"
  }

  expect_failures = [
    var.image, var.request_deadline_seconds, var.drain_deadline_seconds, var.tasks_min, var.memory, var.tls_policy, var.configuration,
    var.remote_write, var.access_keys, var.task_subnet_ids, var.load_balancer_subnet_ids, var.path, var.source_account_ids, var.secrets,
    var.egress_ports, var.ingress_cidr_blocks, var.domain_name, var.certificate_arn,
  ]
}

run "refused_too" {
  command = plan

  variables {
    image             = "registry.example.com/sluicegate:latest"
    remote_write      = [{ name = "amp", url = "https://example.com/api/v1/write", required = false }]
    configuration     = "remote_write: []"
    tasks_max         = 1
    access_keys       = [{ name = "both", given = true, secret_arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:x" }]
    name              = "Upper"
    cpu_architecture  = "arm64"
    alarm_5xx_percent = 100
    sidecars          = "{\"agent\":{\"name\":\"agent\",\"image\":\"agent:1\"}}"
  }

  expect_failures = [
    var.image, var.remote_write, var.configuration, var.tasks_max, var.access_keys, var.name, var.cpu_architecture, var.alarm_5xx_percent, var.sidecars,
  ]
}
