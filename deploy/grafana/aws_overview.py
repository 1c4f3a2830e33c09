"""What CloudWatch says of six services, by the series names of the default dialect.

CloudWatch sums the same figures up over several sets of dimensions. Each query names the one set that it
wants, so that nothing is counted twice: dimensions that must be there (!="") and that must not (="").
"""

from panels import dashboard, graph, stat, steps, values_of

WHERE = 'account_id=~"$account", region=~"$region"'
# A sample says what happened in the minute that begins with it. All samples of the steps, each once: since a
# window holds both its ends (Prometheus 2, AMP), it ends a millisecond before the step.
STEP = "[$__interval] offset 1ms"
SECONDS = "($__interval_ms / 1000)"
EMPTY = "empty-panels"


def metric(name, *dimensions, without=()):
    """A series of these dimensions and no others of its kind."""
    labels = [WHERE] + [f'dimension_{d}!=""' for d in dimensions] + [f'dimension_{d}=""' for d in without]
    return f"{name}{{{', '.join(labels)}}}"


def by(*dimensions):
    return "by (account_id, region, " + ", ".join(f"dimension_{d}" for d in dimensions) + ")"


def total(series, group, window=STEP):
    return f"sum {group} (sum_over_time({series}{window}))"


def share(part, whole, group, window=STEP):
    """A part that CloudWatch leaves out where it is 0."""
    whole = total(whole, group, window)
    parts = part if isinstance(part, list) else [part]
    parts = " + ".join(f"({total(p, group, window)} or {whole} * 0)" for p in parts)
    return f"({parts}) / ({whole} > 0)"


def top(expression, count=10):
    return f"topk({count}, {expression})"


INSTANCE = by("InstanceId")
LB, TARGETS, DB, FUNCTION, QUEUE, TABLE = by("LoadBalancer"), by("LoadBalancer", "TargetGroup"), by("DBInstanceIdentifier"), by("FunctionName"), by("QueueName"), by("TableName")
NOT_LB = ("TargetGroup", "AvailabilityZone")


def ec2(name):
    return metric(f"aws_ec2_{name}", "InstanceId", without=("AutoScalingGroupName", "ImageId", "InstanceType"))


def alb(name):
    return metric(f"aws_applicationelb_{name}", "LoadBalancer", without=NOT_LB)


def targets(name):
    return metric(f"aws_applicationelb_{name}", "LoadBalancer", "TargetGroup", without=("AvailabilityZone",))


def rds(name):
    return metric(f"aws_rds_{name}", "DBInstanceIdentifier")


def lam(name):
    return metric(f"aws_lambda_{name}", "FunctionName", without=("Resource", "ExecutedVersion"))


def sqs(name):
    return metric(f"aws_sqs_{name}", "QueueName")


def dynamo(name, *more):
    without = ("GlobalSecondaryIndexName",) + (() if more else ("Operation",))
    return metric(f"aws_dynamodb_{name}", "TableName", *more, without=without)


FIVES = [alb("httpcode_target_5_xx_count_sum"), alb("httpcode_elb_5_xx_count_sum")]
FAILING = ec2("status_check_failed_instance_maximum")
RECENT = "[15m]"

ANSWERS = [
    stat("EC2: instances failing", f"sum(max {INSTANCE} (last_over_time({FAILING}{RECENT})) > bool 0)", unit="short", decimals=0,
         thresholds=steps("green", (1, "red")), runbook=EMPTY,
         bad="Instances whose status check failed, by their last minute within 15. Bad: more than 0; the operating system or its network does not answer."),
    stat("Load balancers: 5xx", share(FIVES, alb("request_count_sum"), "", RECENT), unit="percentunit", decimals=2,
         thresholds=steps("green", (0.01, "orange"), (0.05, "red")), runbook=EMPTY,
         bad="Part of all requests of the last 15 minutes, answered so by targets or by the load balancers themselves. Bad: more than 1 %."),
    stat("RDS: highest CPU", f"max(last_over_time({rds('cpuutilization_average')}{RECENT}))", unit="percent", decimals=0,
         thresholds=steps("green", (80, "orange"), (95, "red")), runbook=EMPTY,
         bad="Of all database instances. Bad: above 80 % for long."),
    stat("Lambda: errors", share(lam("errors_sum"), lam("invocations_sum"), "", RECENT), unit="percentunit", decimals=2,
         thresholds=steps("green", (0.01, "orange"), (0.05, "red")), runbook=EMPTY,
         bad="Part of all invocations of the last 15 minutes. Bad: more than 1 %."),
    stat("SQS: oldest message", f"max(last_over_time({sqs('approximate_age_of_oldest_message_maximum')}{RECENT}))", unit="s", decimals=0,
         thresholds=steps("green", (300, "orange"), (3600, "red")), runbook=EMPTY,
         bad="In all queues. Bad: more than a consumer may take; a message that is older than the queue's retention is lost."),
    stat("DynamoDB: throttled, last hour", f"{total(dynamo('throttled_requests_sum', 'Operation'), '', '[1h]')} or vector(0)", unit="short", decimals=0,
         thresholds=steps("green", (1, "orange"), (100, "red")), runbook=EMPTY,
         bad="Requests of all tables; CloudWatch says nothing where there are none. Bad: more than 0."),
]


def ten(title, query, legend, **rest):
    return graph(title, (top(query), legend), runbook=EMPTY, interval="1m", **rest)


EC2 = [
    ten("CPU", f"avg {INSTANCE} ({ec2('cpuutilization_average')})", "{{dimension_InstanceId}}", unit="percent", maximum=100, width=6,
        thresholds=steps("green", (80, "orange"), (95, "red")), bad="The ten busiest instances. Bad: above 80 % for long."),
    ten("Network in", f"{total(ec2('network_in_sum'), INSTANCE)} / {SECONDS}", "{{dimension_InstanceId}}", unit="Bps", width=6,
        bad="The ten instances that receive most. Bad: at what the instance type allows."),
    ten("Network out", f"{total(ec2('network_out_sum'), INSTANCE)} / {SECONDS}", "{{dimension_InstanceId}}", unit="Bps", width=6,
        bad="The ten instances that send most. Bad: at what the instance type allows, or more than you would pay for."),
    ten("Status checks failed", f"max {INSTANCE} ({FAILING})", "{{dimension_InstanceId}}", unit="short", maximum=1, width=6,
        thresholds=steps("green", (1, "red")), bad="1 while the instance check fails. Bad: 1 for more than two minutes."),
]

ALB = [
    ten("Requests", f"{total(alb('request_count_sum'), LB)} / {SECONDS}", "{{dimension_LoadBalancer}}", unit="reqps", width=6,
        bad="The ten busiest load balancers. Bad: a fall to 0, or a rise that nobody expects."),
    ten("5xx answers", share(FIVES, alb("request_count_sum"), LB), "{{dimension_LoadBalancer}}", unit="percentunit", width=6,
        thresholds=steps("green", (0.01, "orange"), (0.05, "red")), bad="Part of the requests, by targets or by the load balancer. Bad: more than 1 %."),
    graph("Response time of targets", (top(f"{total(targets('target_response_time_sum'), LB)} / ({total(targets('target_response_time_sample_count'), LB)} > 0)", 5), "{{dimension_LoadBalancer}} average"),
          (top(f"max {LB} ({targets('target_response_time_p99')})", 5), "{{dimension_LoadBalancer}} p99"), unit="s", width=6, interval="1m", runbook=EMPTY,
          bad="The five slowest. p99 is there if the stream has it as an additional statistic. Bad: above what your users bear."),
    ten("Unhealthy targets", f"max {TARGETS} ({targets('un_healthy_host_count_maximum')})", "{{dimension_TargetGroup}}", unit="short", width=6,
        thresholds=steps("green", (1, "red")), bad="By target group. Bad: more than 0 for longer than a deployment takes."),
]

RDS = [
    ten("CPU", f"avg {DB} ({rds('cpuutilization_average')})", "{{dimension_DBInstanceIdentifier}}", unit="percent", maximum=100, width=6,
        thresholds=steps("green", (80, "orange"), (95, "red")), bad="The ten busiest instances. Bad: above 80 % for long."),
    ten("Connections", f"max {DB} ({rds('database_connections_maximum')})", "{{dimension_DBInstanceIdentifier}}", unit="short", width=6,
        bad="Bad: near max_connections of the instance, or a line that only climbs."),
    graph("Free storage", (f"bottomk(10, min {DB} ({rds('free_storage_space_minimum')}))", "{{dimension_DBInstanceIdentifier}}"), unit="bytes", width=6, interval="1m", runbook=EMPTY,
          bad="The ten with the least. Bad: near 0, where the instance stops to write."),
    graph("Reads and writes", (top(f"avg {DB} ({rds('read_iops_average')})", 5), "{{dimension_DBInstanceIdentifier}} reads"),
          (top(f"avg {DB} ({rds('write_iops_average')})", 5), "{{dimension_DBInstanceIdentifier}} writes"), unit="iops", width=6, interval="1m", runbook=EMPTY,
          bad="The five with the most of each. Bad: at the provisioned rate, where latency rises."),
]

LAMBDA = [
    ten("Invocations", f"{total(lam('invocations_sum'), FUNCTION)} / {SECONDS}", "{{dimension_FunctionName}}", unit="cps",
        bad="The ten functions that run most. Bad: a fall to 0, or a rise that nobody expects."),
    graph("Errors and throttles", (top(share(lam("errors_sum"), lam("invocations_sum"), FUNCTION), 5), "{{dimension_FunctionName}} errors"),
          (top(share(lam("throttles_sum"), lam("invocations_sum"), FUNCTION), 5), "{{dimension_FunctionName}} throttles"),
          unit="percentunit", interval="1m", runbook=EMPTY, thresholds=steps("green", (0.01, "orange"), (0.05, "red")),
          bad="In proportion to invocations. Bad: more than 1 % errors; any throttles, which stand for a limit of concurrency."),
    graph("Duration", (top(f"{total(lam('duration_sum'), FUNCTION)} / ({total(lam('duration_sample_count'), FUNCTION)} > 0)", 5), "{{dimension_FunctionName}} average"),
          (top(f"max {FUNCTION} ({lam('duration_maximum')})", 5), "{{dimension_FunctionName}} maximum"), unit="ms", interval="1m", runbook=EMPTY,
          bad="The five slowest functions. Bad: a maximum near the function's timeout."),
]

SQS = [
    graph("Messages sent and deleted", (top(f"{total(sqs('number_of_messages_sent_sum'), QUEUE)} / {SECONDS}", 5), "{{dimension_QueueName}} sent"),
          (top(f"{total(sqs('number_of_messages_deleted_sum'), QUEUE)} / {SECONDS}", 5), "{{dimension_QueueName}} deleted"), unit="cps", interval="1m", runbook=EMPTY,
          bad="The five busiest queues. Bad: fewer deleted than sent for long."),
    ten("Messages visible", f"max {QUEUE} ({sqs('approximate_number_of_messages_visible_maximum')})", "{{dimension_QueueName}}", unit="short",
        bad="The ten longest queues. Bad: a line that only climbs; anything in a dead-letter queue."),
    ten("Age of the oldest message", f"max {QUEUE} ({sqs('approximate_age_of_oldest_message_maximum')})", "{{dimension_QueueName}}", unit="s",
        thresholds=steps("green", (300, "orange"), (3600, "red")), bad="Bad: more than the consumer may take."),
]

DYNAMODB = [
    graph("Capacity consumed", (top(f"{total(dynamo('consumed_read_capacity_units_sum'), TABLE)} / {SECONDS}", 5), "{{dimension_TableName}} read"),
          (top(f"{total(dynamo('consumed_write_capacity_units_sum'), TABLE)} / {SECONDS}", 5), "{{dimension_TableName}} write"), unit="cps", interval="1m", runbook=EMPTY,
          bad="Units per second of the five busiest tables. Bad: at the provisioned capacity, or more than you would pay for."),
    graph("Throttled requests", (f"{top(total(dynamo('throttled_requests_sum', 'Operation'), TABLE))} or vector(0)", "{{dimension_TableName}}"), unit="short", interval="1m", runbook=EMPTY,
          thresholds=steps("green", (1, "orange")), bad="By table. CloudWatch says nothing where there are none. Bad: more than 0 for long."),
    ten("Latency", f"avg {by('TableName', 'Operation')} ({dynamo('successful_request_latency_average', 'Operation')})", "{{dimension_TableName}} {{dimension_Operation}}", unit="ms",
        bad="Of requests that succeeded. Bad: above 10 ms for single items; scans take longer."),
]

BOARD = dashboard(
    uid="sluicegate-aws-overview", title="AWS overview", tags=["sluicegate", "aws"], since="now-3h",
    description="EC2, load balancers, RDS, Lambda, SQS and DynamoDB by CloudWatch's figures, in the default naming (cloudwatch.naming: yace). The last minutes are "
                "empty: CloudWatch and Firehose take 2 to 4.",
    see_also=("Gateway", "gateway"),
    variables=[values_of("account", "Account", "", "account_id"), values_of("region", "Region", "", "region")],
    rows=[("", ANSWERS), ("EC2", EC2), ("Application load balancers", ALB), ("RDS", RDS), ("Lambda", LAMBDA), ("SQS", SQS), ("DynamoDB", DYNAMODB)],
)
