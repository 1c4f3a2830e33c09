# What must be right about the workspace, asserted on the plan.

mock_provider "aws" {
  source          = "../../tests/mocks"
  override_during = plan
}

variables {
  alarm_topic_arns = ["arn:aws:sns:eu-west-1:111122223333:alarms"]
}

run "defaults" {
  command = plan

  assert {
    condition     = output.out_of_order_window_command == "aws amp update-workspace-configuration --region eu-west-1 --workspace-id ws-mocked --out-of-order-time-window-in-seconds 600"
    error_message = "The out-of-order window is 600 s."
  }
  assert {
    condition     = length(terraform_data.out_of_order_window) == 1 && terraform_data.out_of_order_window[0].triggers_replace[1] == 600
    error_message = "It is set on apply."
  }
  assert {
    condition     = aws_prometheus_workspace_configuration.this.retention_period_in_days == 150
    error_message = "Samples are kept 150 days."
  }
  assert {
    condition     = output.remote_write_url == "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-mocked/api/v1/remote_write" && !endswith(output.query_url, "/")
    error_message = "The URLs have no slash at their end."
  }
  assert {
    condition     = yamldecode(output.grafana_data_source).datasources[0].jsonData.sigV4Region == "eu-west-1" && yamldecode(output.grafana_data_source).datasources[0].url == output.query_url
    error_message = "Grafana's data source."
  }
  assert {
    condition     = length(aws_prometheus_alert_manager_definition.this) == 0 && length(aws_prometheus_rule_group_namespace.this) == 0
    error_message = "Rules and alert manager are made where asked for."
  }
  assert {
    condition     = toset(flatten([for one in data.aws_iam_policy_document.log_delivery.statement[0].condition : one.values])) == toset(["111122223333", "arn:aws:logs:eu-west-1:111122223333:*"])
    error_message = "Logs are delivered for this account alone."
  }
}

run "rules_alerts_and_limits" {
  command = plan

  variables {
    rule_groups   = { gateway = "groups: [{name: a, rules: [{record: x, expr: vector(1)}]}]" }
    alert_topic   = { arn = "arn:aws:sns:eu-west-1:111122223333:alerts" }
    series_limits = [{ labels = { account_id = "444455556666" }, max_series = 1000 }, { labels = {}, max_series = 500000 }]

    out_of_order_window_by_cli = false
  }

  assert {
    condition     = aws_prometheus_rule_group_namespace.this["gateway"].data == var.rule_groups["gateway"]
    error_message = "The rule file is taken as it is."
  }
  assert {
    condition     = yamldecode(yamldecode(aws_prometheus_alert_manager_definition.this[0].definition).alertmanager_config).receivers[0].sns_configs[0].topic_arn == var.alert_topic.arn
    error_message = "Alerts go to the topic."
  }
  assert {
    condition     = yamldecode(yamldecode(aws_prometheus_alert_manager_definition.this[0].definition).alertmanager_config).route.receiver == yamldecode(yamldecode(aws_prometheus_alert_manager_definition.this[0].definition).alertmanager_config).receivers[0].name
    error_message = "The route leads to the receiver."
  }
  assert {
    condition     = length(aws_prometheus_workspace_configuration.this.limits_per_label_set) == 2
    error_message = "Limits by label set."
  }
  assert {
    condition     = length(terraform_data.out_of_order_window) == 0
    error_message = "The CLI is not used where it is not wanted."
  }
}

run "alarms" {
  command = plan

  assert {
    condition     = one(aws_cloudwatch_metric_alarm.discarded.metric_query).expression == "SELECT SUM(DiscardedSamples) FROM \"AWS/Prometheus\""
    error_message = "Discarded samples alarm."
  }
  assert {
    condition = toset(flatten([for one in aws_cloudwatch_metric_alarm.quota : [
      for query in one.metric_query : [for metric in query.metric : "${metric.namespace} ${metric.dimensions.Resource} ${metric.dimensions.ResourceId}"]
    ]])) == toset(["AWS/Usage IngestionRate ws-mocked", "AWS/Usage ActiveSeries ws-mocked"])
    error_message = "The use of the quotas alarms."
  }
  assert {
    condition     = alltrue([for one in concat(values(aws_cloudwatch_metric_alarm.quota), [aws_cloudwatch_metric_alarm.discarded]) : one.alarm_actions == toset(var.alarm_topic_arns) && one.ok_actions == toset(var.alarm_topic_arns)])
    error_message = "Each alarm tells the topic, of its end, too."
  }
}

run "refused" {
  command = plan

  variables {
    retention_days              = 1096
    out_of_order_window_seconds = 601
    rule_groups                 = { bad = "no rules" }
    alert_manager_definition    = "route: {}"
    quota_alarm_percent         = 100
  }

  expect_failures = [var.retention_days, var.out_of_order_window_seconds, var.rule_groups, var.alert_manager_definition, var.quota_alarm_percent]
}

run "too_many_rules" {
  command = plan

  variables {
    rule_groups = { many = yamlencode({ groups = [for group in range(3) : { name = "g${group}", rules = [for rule in range(700) : { record = "r${rule}", expr = "1" }] }] }) }
  }

  expect_failures = [var.rule_groups]
}

run "too_large_rules" {
  command = plan

  variables {
    rule_groups = { large = format("groups: [{name: g, rules: []}]\n#%1000000s", "") }
  }

  expect_failures = [var.rule_groups]
}
