"""Holds the plan of examples/complete, and what was applied to the imitation of AWS, to every part that must be there.

Usage: parts.py PLAN.json APPLIED.json (plans as `terraform show -json` has them; the second one was made after the apply
and changes nothing). What only AWS knows is unknown in a first plan, so the rights and what refers to other parts are
looked at in what was applied, which is of the same modules.
"""

import json
import sys


def resources(module):
    for one in module.get("resources", []):
        yield one
    for child in module.get("child_modules", []):
        yield from resources(child)


class Parts:
    """What resources are set to, by type and name, of all modules together."""

    def __init__(self, path):
        self.by_type = {}
        with open(path) as file:
            root = json.load(file)["planned_values"]["root_module"]
        for one in resources(root):
            if one["mode"] == "managed":
                self.by_type.setdefault(f"{one['type']}.{one['name']}", []).append(one.get("values", {}))

    def all(self, name):
        return self.by_type.get(name, [])

    def one(self, name):
        found = self.all(name)
        if len(found) != 1:
            raise LookupError(f"{len(found)} of {name}")
        return found[0]

    def kind(self, kind):
        return [one for name, found in self.by_type.items() if name.startswith(f"{kind}.") for one in found]


def container(parts):
    return json.loads(parts.one("aws_ecs_task_definition.this")["container_definitions"])[0]


def configuration(parts):
    """The text of the gateway's configuration: `key: value` lines of YAML that Terraform wrote."""
    text = next(one["value"] for one in container(parts)["environment"] if one["name"] == "SLUICEGATE_CONFIG_CONTENT")
    return dict(line.strip().replace('"', "").split(": ", 1) for line in text.splitlines() if ": " in line)


def seconds(parts, name):
    return int(configuration(parts)[name].rstrip("s"))


def alarms(parts):
    found = set()
    for one in parts.kind("aws_cloudwatch_metric_alarm"):
        found.update((one["metric_name"], one["alarm_name"]))
        for query in one["metric_query"]:
            found.update(metric["metric_name"] for metric in query["metric"])
            if query["expression"] and "DiscardedSamples" in query["expression"]:
                found.add("DiscardedSamples")
    return found


def ingress(parts, port):
    return [one for one in parts.kind("aws_vpc_security_group_ingress_rule") if one["from_port"] <= port <= one["to_port"]]


def statements(policy):
    return [(sorted([one["Action"]] if isinstance(one["Action"], str) else one["Action"]), one.get("Resource")) for one in json.loads(policy)["Statement"]]


def firehose(parts):
    return parts.one("aws_kinesis_firehose_delivery_stream.this")["http_endpoint_configuration"][0]


def tracked(parts):
    return {
        one["target_tracking_scaling_policy_configuration"][0]["predefined_metric_specification"][0]["predefined_metric_type"]
        for one in parts.kind("aws_appautoscaling_policy")
    }


PLAN = {
    "health check on /readyz": lambda p: p.one("aws_lb_target_group.this")["health_check"][0]["path"] == "/readyz",
    "HTTPS alone, TLS 1.2 or later": lambda p: [one["protocol"] for one in p.kind("aws_lb_listener")] == ["HTTPS"] and p.one("aws_lb_listener.https")["ssl_policy"].startswith("ELBSecurityPolicy-TLS13-1-"),
    "invalid header fields are dropped": lambda p: p.one("aws_lb.this")["drop_invalid_header_fields"],
    "deletion protection": lambda p: p.one("aws_lb.this")["enable_deletion_protection"],
    "the load balancer is open on 443 alone": lambda p: [one["from_port"] for one in ingress(p, 443)] == [443] and all(one["cidr_ipv4"] is None for port in (8080, 8081) for one in ingress(p, port)),
    "Fargate, ARM64, 0.25 vCPU, 512 MB": lambda p: [p.one("aws_ecs_task_definition.this")[key] for key in ("cpu", "memory", "requires_compatibilities")] == ["256", "512", ["FARGATE"]] and p.one("aws_ecs_task_definition.this")["runtime_platform"][0]["cpu_architecture"] == "ARM64",
    "two tasks at least, in two zones": lambda p: p.one("aws_ecs_service.this")["desired_count"] >= 2 and p.one("aws_appautoscaling_target.this")["min_capacity"] >= 2 and len({one["availability_zone"] for one in p.all("aws_subnet.private")}) >= 2,
    "circuit breaker with rollback": lambda p: p.one("aws_ecs_service.this")["deployment_circuit_breaker"] == [{"enable": True, "rollback": True}],
    "target tracking on CPU and on requests per target": lambda p: tracked(p) == {"ECSServiceAverageCPUUtilization", "ALBRequestCountPerTarget"},
    "the access key is generated, and in Secrets Manager": lambda p: p.all("aws_secretsmanager_secret.this") and not p.one("aws_secretsmanager_secret_version.this").get("secret_string"),
    "Firehose: GZIP, 60 s, 1 to 4 MB, two hours, FailedDataOnly": lambda p: [firehose(p)[key] for key in ("buffering_interval", "retry_duration", "s3_backup_mode")] == [60, 7200, "FailedDataOnly"] and 1 <= firehose(p)["buffering_size"] <= 4 and firehose(p)["request_configuration"][0]["content_encoding"] == "GZIP",
    "Firehose takes the key from Secrets Manager": lambda p: firehose(p)["secrets_manager_configuration"][0]["enabled"] and not firehose(p).get("access_key"),
    "S3: encrypted, not public, with lifecycle": lambda p: p.one("aws_s3_bucket_server_side_encryption_configuration.failed")["rule"][0]["apply_server_side_encryption_by_default"][0]["sse_algorithm"] == "aws:kms" and all(p.one("aws_s3_bucket_public_access_block.failed")[key] for key in ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets")) and p.one("aws_s3_bucket_lifecycle_configuration.failed")["rule"][0]["status"] == "Enabled",
    "metric stream with filters and additional statistics": lambda p: p.one("aws_cloudwatch_metric_stream.this")["include_filter"] and p.one("aws_cloudwatch_metric_stream.this")["statistics_configuration"],
    "AMP: workspace, retention, rules, alert manager, out-of-order window": lambda p: all(p.all(name) for name in ("aws_prometheus_workspace.this", "aws_prometheus_workspace_configuration.this", "aws_prometheus_alert_manager_definition.this", "terraform_data.out_of_order_window")),
    "alarms of the whole path": lambda p: alarms(p) >= {
        "DeliveryToHttpEndpoint.Success", "DeliveryToHttpEndpoint.DataFreshness", "BackupToS3.Records", "BackupToS3.Success", "PublishErrorRate",
        "HTTPCode_Target_5XX_Count", "HTTPCode_ELB_5XX_Count", "UnHealthyHostCount", "CPUUtilization", "DiscardedSamples", "sluicegate-workspace-ingestion-rate",
    },
    "dashboard, and who is told": lambda p: p.all("aws_cloudwatch_dashboard.this") and p.all("aws_sns_topic.this") and p.all("aws_sns_topic_subscription.email"),
}

APPLIED = {
    "idle timeout above the request deadline": lambda p: seconds(p, "request_deadline") < p.one("aws_lb.this")["idle_timeout"] < seconds(p, "idle_timeout"),
    "deregistration delay above the request deadline, and fits the drain": lambda p: seconds(p, "request_deadline") < int(p.one("aws_lb_target_group.this")["deregistration_delay"]) and seconds(p, "drain_deadline") < container(p)["stopTimeout"],
    "stopTimeout 120": lambda p: container(p)["stopTimeout"] == 120,
    "the telemetry port is open to nobody": lambda p: not ingress(p, 8081) and [one["containerPort"] for one in container(p)["portMappings"] if one["name"] == "telemetry"] == [8081] and p.one("aws_lb_target_group.this")["port"] == 8080,
    "read-only root file system, not root, no capabilities": lambda p: container(p)["readonlyRootFilesystem"] and container(p)["user"] == "65532:65532" and container(p)["linuxParameters"]["capabilities"]["drop"] == ["ALL"],
    "the ingest port is open to the load balancer alone": lambda p: [one["referenced_security_group_id"] for one in ingress(p, 8080)] == [p.one("aws_security_group.load_balancer")["id"]],
    "task role: aps:RemoteWrite on that workspace alone": lambda p: statements(p.one("aws_iam_role_policy.task")["policy"]) == [(["aps:RemoteWrite"], p.one("aws_prometheus_workspace.this")["arn"])],
    "task and Firehose use one secret": lambda p: container(p)["secrets"][0]["valueFrom"] == f"{firehose(p)['secrets_manager_configuration'][0]['secret_arn']}:api_key::",
    "Firehose may use the bucket's key": lambda p: any("kms:GenerateDataKey" in actions and resource == p.one("aws_kms_key.failed")["arn"] for actions, resource in statements(p.one("aws_iam_role_policy.firehose")["policy"])),
    "S3: TLS alone": lambda p: all(one["Effect"] == "Deny" for one in json.loads(p.one("aws_s3_bucket_policy.failed")["policy"])["Statement"]) and "aws:SecureTransport" in p.one("aws_s3_bucket_policy.failed")["policy"],
    "common attributes": lambda p: firehose(p)["request_configuration"][0]["common_attributes"] == [{"name": "team", "value": "tests"}],
    "rules are in the workspace": lambda p: {one["name"] for one in p.all("aws_prometheus_rule_group_namespace.this")} == {"one", "two"},
}


def main():
    plan, applied = Parts(sys.argv[1]), Parts(sys.argv[2])
    missing = []
    for what, of in [(PLAN, plan), (APPLIED, applied)]:
        for part, holds in what.items():
            try:
                good = holds(of)
            except (LookupError, KeyError, TypeError, StopIteration) as error:
                good, part = False, f"{part}: {error!r}"
            if not good:
                missing.append(part)
    # The zone is the imitation's; rules are in the plan only where deploy/ holds some.
    others = {"aws_route53_zone.this", "aws_prometheus_rule_group_namespace.this"}
    for name in sorted(set(applied.by_type) - set(plan.by_type) - others):
        missing.append(f"{name} was applied, but is not in the plan")
    if missing:
        sys.exit("\n".join(f"FAILED: {part}" for part in missing))


main()
