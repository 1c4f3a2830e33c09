//! The demo's CloudWatch metrics, and what each is called at the receiver.
//!
//! The series names and labels are written out, not computed, so that the demo's books are an
//! independent check of the naming.

/// How the values of a metric behave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Any real number up to a scale.
    Gauge(f64),
    /// Whole numbers up to a scale, often 0.
    Tally(f64),
    /// 0 nearly always.
    Flag,
}

/// A statistic besides the four that are always there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Extended {
    /// CloudWatch's name, the key in JSON.
    pub name: &'static str,
    /// The quantile in OpenTelemetry; none where those formats cannot carry the statistic.
    pub quantile: Option<f64>,
    /// The end of the series name.
    pub suffix: &'static str,
}

const P99: Extended = Extended { name: "p99", quantile: Some(0.99), suffix: "p99" };
const P999: Extended = Extended { name: "p99.9", quantile: Some(0.999), suffix: "p99_9" };
const TRIMMED: Extended =
    Extended { name: "TM(10%:90%)", quantile: None, suffix: "tm_10_percent_90_percent_" };

/// A CloudWatch metric that many resources have.
#[derive(Clone, Copy, Debug)]
pub struct Template {
    /// CloudWatch namespace.
    pub namespace: &'static str,
    /// CloudWatch metric name.
    pub name: &'static str,
    /// Unit as JSON spells it, and as OpenTelemetry does.
    pub unit: (&'static str, &'static str),
    /// Dimension names, the labels that become of them, and how their values begin.
    pub dimensions: &'static [(&'static str, &'static str, &'static str)],
    /// Further statistics.
    pub extended: &'static [Extended],
    /// Its values.
    pub kind: Kind,
    /// Series name without the statistic.
    pub series: &'static str,
}

const COUNT: (&str, &str) = ("Count", "{Count}");
const BYTES: (&str, &str) = ("Bytes", "By");
const PERCENT: (&str, &str) = ("Percent", "%");
const SECONDS: (&str, &str) = ("Seconds", "s");
const MILLIS: (&str, &str) = ("Milliseconds", "ms");
const PER_SECOND: (&str, &str) = ("Count/Second", "{Count}/s");
const NONE: (&str, &str) = ("None", "1");

type Dimensions = &'static [(&'static str, &'static str, &'static str)];

const INSTANCE: Dimensions = &[("InstanceId", "dimension_InstanceId", "i-0")];
const VOLUME: Dimensions = &[("VolumeId", "dimension_VolumeId", "vol-0")];
const BALANCER: Dimensions = &[("LoadBalancer", "dimension_LoadBalancer", "app/web/")];
const TARGETS: Dimensions = &[
    ("TargetGroup", "dimension_TargetGroup", "targetgroup/web/"),
    ("LoadBalancer", "dimension_LoadBalancer", "app/web/"),
];
const FUNCTION: Dimensions = &[("FunctionName", "dimension_FunctionName", "resize-")];
const QUEUE: Dimensions = &[("QueueName", "dimension_QueueName", "orders-")];
const DATABASE: Dimensions =
    &[("DBInstanceIdentifier", "dimension_DBInstanceIdentifier", "ledger \"blue\" \\ ")];
const TABLE: Dimensions = &[("TableName", "dimension_TableName", "carts-")];
const TABLE_OPERATION: Dimensions = &[
    ("TableName", "dimension_TableName", "carts-"),
    ("Operation", "dimension_Operation", "GetItem"),
];
const BUCKET: Dimensions = &[
    ("BucketName", "dimension_BucketName", "media-"),
    ("FilterId", "dimension_FilterId", "EntireBucket"),
];
const SHARDS: Dimensions = &[("StreamName", "dimension_StreamName", "clicks-")];
const DISK: Dimensions =
    &[("instance", "dimension_instance", "C: "), ("InstanceId", "dimension_InstanceId", "i-0")];
const CLUSTER: Dimensions = &[("ClusterName", "dimension_ClusterName", "prod-")];
const PAYMENT: Dimensions = &[
    ("payment-method", "dimension_payment_method", "card-"),
    ("Shop.Name", "dimension_Shop_Name", "north "),
];

const fn template(
    namespace: &'static str,
    name: &'static str,
    unit: (&'static str, &'static str),
    dimensions: Dimensions,
    extended: &'static [Extended],
    kind: Kind,
    series: &'static str,
) -> Template {
    Template { namespace, name, unit, dimensions, extended, kind, series }
}

/// Every metric of the demo.
#[rustfmt::skip]
pub const TEMPLATES: &[Template] = &[
    template("AWS/EC2", "CPUUtilization", PERCENT, INSTANCE, &[P99], Kind::Gauge(100.0), "aws_ec2_cpuutilization"),
    template("AWS/EC2", "NetworkIn", BYTES, INSTANCE, &[], Kind::Tally(9.0e9), "aws_ec2_network_in"),
    template("AWS/EC2", "NetworkOut", BYTES, INSTANCE, &[], Kind::Tally(2.0e9), "aws_ec2_network_out"),
    template("AWS/EC2", "EBSIOBalance%", PERCENT, INSTANCE, &[], Kind::Gauge(100.0), "aws_ec2_ebsiobalance_percent"),
    template("AWS/EC2", "StatusCheckFailed_Instance", COUNT, INSTANCE, &[], Kind::Flag, "aws_ec2_status_check_failed_instance"),
    template("AWS/EBS", "VolumeReadBytes", BYTES, VOLUME, &[], Kind::Tally(4.0e8), "aws_ebs_volume_read_bytes"),
    template("AWS/ApplicationELB", "TargetResponseTime", SECONDS, TARGETS, &[P99, P999, TRIMMED], Kind::Gauge(1.5), "aws_applicationelb_target_response_time"),
    template("AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", COUNT, BALANCER, &[], Kind::Flag, "aws_applicationelb_httpcode_target_5_xx_count"),
    template("AWS/ApplicationELB", "RequestCount", COUNT, BALANCER, &[], Kind::Tally(8000.0), "aws_applicationelb_request_count"),
    template("AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count", COUNT, BALANCER, &[], Kind::Flag, "aws_applicationelb_httpcode_elb_5_xx_count"),
    template("AWS/ApplicationELB", "UnHealthyHostCount", COUNT, TARGETS, &[], Kind::Flag, "aws_applicationelb_un_healthy_host_count"),
    template("AWS/Lambda", "Duration", MILLIS, FUNCTION, &[P99], Kind::Gauge(3000.0), "aws_lambda_duration"),
    template("AWS/Lambda", "Errors", COUNT, FUNCTION, &[], Kind::Flag, "aws_lambda_errors"),
    template("AWS/Lambda", "Invocations", COUNT, FUNCTION, &[], Kind::Tally(900.0), "aws_lambda_invocations"),
    template("AWS/Lambda", "Throttles", COUNT, FUNCTION, &[], Kind::Flag, "aws_lambda_throttles"),
    template("AWS/SQS", "NumberOfMessagesSent", COUNT, QUEUE, &[], Kind::Tally(500.0), "aws_sqs_number_of_messages_sent"),
    template("AWS/SQS", "NumberOfMessagesDeleted", COUNT, QUEUE, &[], Kind::Tally(500.0), "aws_sqs_number_of_messages_deleted"),
    template("AWS/SQS", "ApproximateNumberOfMessagesVisible", COUNT, QUEUE, &[], Kind::Tally(300.0), "aws_sqs_approximate_number_of_messages_visible"),
    template("AWS/SQS", "ApproximateAgeOfOldestMessage", SECONDS, QUEUE, &[], Kind::Tally(90.0), "aws_sqs_approximate_age_of_oldest_message"),
    template("AWS/RDS", "CPUUtilization", PERCENT, DATABASE, &[], Kind::Gauge(100.0), "aws_rds_cpuutilization"),
    template("AWS/RDS", "DatabaseConnections", COUNT, DATABASE, &[], Kind::Tally(200.0), "aws_rds_database_connections"),
    template("AWS/RDS", "ReadIOPS", PER_SECOND, DATABASE, &[], Kind::Gauge(1200.0), "aws_rds_read_iops"),
    template("AWS/RDS", "WriteIOPS", PER_SECOND, DATABASE, &[], Kind::Gauge(700.0), "aws_rds_write_iops"),
    template("AWS/RDS", "FreeStorageSpace", BYTES, DATABASE, &[], Kind::Tally(4.0e11), "aws_rds_free_storage_space"),
    template("AWS/RDS", "FreeableMemory", BYTES, DATABASE, &[], Kind::Tally(6.0e10), "aws_rds_freeable_memory"),
    template("AWS/DynamoDB", "ConsumedReadCapacityUnits", COUNT, TABLE, &[], Kind::Gauge(40.0), "aws_dynamodb_consumed_read_capacity_units"),
    template("AWS/DynamoDB", "ConsumedWriteCapacityUnits", COUNT, TABLE, &[], Kind::Gauge(25.0), "aws_dynamodb_consumed_write_capacity_units"),
    template("AWS/DynamoDB", "ThrottledRequests", COUNT, TABLE_OPERATION, &[], Kind::Flag, "aws_dynamodb_throttled_requests"),
    template("AWS/DynamoDB", "SuccessfulRequestLatency", MILLIS, TABLE_OPERATION, &[P99], Kind::Gauge(12.0), "aws_dynamodb_successful_request_latency"),
    template("AWS/S3", "AllRequests", COUNT, BUCKET, &[], Kind::Tally(3000.0), "aws_s3_all_requests"),
    template("AWS/S3", "4xxErrors", COUNT, BUCKET, &[], Kind::Flag, "aws_s3_4xx_errors"),
    template("AWS/Kinesis", "GetRecords.IteratorAgeMilliseconds", MILLIS, SHARDS, &[], Kind::Tally(60_000.0), "aws_kinesis_get_records_iterator_age_milliseconds"),
    template("CWAgent", "LogicalDisk % Free Space", PERCENT, DISK, &[], Kind::Gauge(100.0), "aws_cwagent_logical_disk__percent_free_space"),
    template("ECS/ContainerInsights", "CpuUtilized", NONE, CLUSTER, &[], Kind::Gauge(4096.0), "aws_ecs_containerinsights_cpu_utilized"),
    template("Shop/Checkout", "orderLatencyMs", MILLIS, PAYMENT, &[P99, P999], Kind::Gauge(800.0), "aws_shop_checkout_order_latency_ms"),
];

/// The accounts that the metrics are spread over.
pub const ACCOUNTS: [&str; 3] = ["111122223333", "222233334444", "333344445555"];

/// The regions that the metrics are spread over.
pub const REGIONS: [&str; 3] = ["eu-west-1", "us-east-1", "ap-southeast-2"];
