# Recording and alerting rules, and whom the alerts go to.

resource "aws_prometheus_rule_group_namespace" "this" {
  for_each = var.rule_groups

  workspace_id = aws_prometheus_workspace.this.id
  name         = each.key
  data         = each.value
  tags         = local.tags
}

locals {
  # AMP wants the Alertmanager's configuration as a text inside its own YAML.
  alert_manager_for_topic = yamlencode({
    alertmanager_config = yamlencode({
      route = {
        receiver        = "sns"
        group_by        = ["alertname", "destination"]
        group_wait      = "30s"
        group_interval  = "5m"
        repeat_interval = "4h"
      }
      receivers = [{
        name = "sns"
        sns_configs = [{
          topic_arn     = one(var.alert_topic[*].arn)
          sigv4         = { region = local.region }
          send_resolved = true
          subject       = "[{{ .Status | toUpper }}] {{ .CommonLabels.alertname }}"
        }]
      }]
    })
  })
}

resource "aws_prometheus_alert_manager_definition" "this" {
  count = var.alert_topic != null || var.alert_manager_definition != null ? 1 : 0

  workspace_id = aws_prometheus_workspace.this.id
  definition   = var.alert_manager_definition != null ? var.alert_manager_definition : local.alert_manager_for_topic
}
