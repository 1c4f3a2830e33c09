//! The table of metrics. README.md lists the same; a test holds the two together.

use super::{Kind, Metric};

macro_rules! metrics {
    ($($(#[$doc:meta])* $id:ident = $name:literal, $kind:expr, [$($label:literal),*], $help:literal;)*) => {
        $(
            #[doc = $help]
            pub static $id: Metric =
                Metric { name: $name, kind: $kind, labels: &[$($label),*], help: $help };
        )*
        /// Every metric of the house.
        pub static ALL: &[&Metric] = &[$(&$id),*];
    };
}

const SECONDS: Kind = Kind::Histogram(&[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 150.0,
]);
const BYTES: Kind = Kind::Histogram(&[
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
    100_663_296.0,
]);
const AGE: Kind = Kind::Histogram(&[
    30.0, 60.0, 120.0, 180.0, 240.0, 300.0, 450.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 86400.0,
]);

metrics! {
    // The door.
    FIREHOSE_REQUESTS = "sluicegate_firehose_requests_total", Kind::Counter, ["code"],
        "Requests answered on the Firehose path, by HTTP status.";
    FIREHOSE_REQUEST_DURATION = "sluicegate_firehose_request_duration_seconds", SECONDS, [],
        "Time from a request's headers to its answer.";
    FIREHOSE_REQUEST_BODY = "sluicegate_firehose_request_body_bytes", BYTES, [],
        "Size of request bodies after decompression.";
    FIREHOSE_REQUEST_WIRE = "sluicegate_firehose_request_wire_bytes", BYTES, [],
        "Size of request bodies as they came.";
    FIREHOSE_REQUESTS_REPEATED = "sluicegate_firehose_requests_repeated_total", Kind::Counter, ["outcome"],
        "Requests that came again: joined (with one at work), settled (remembered, nothing is sent), resumed (sent to those destinations alone that had not settled it).";
    REQUEST_MEMORY_ENTRIES = "sluicegate_request_memory_entries", Kind::Gauge, [],
        "Requests at work or remembered, slices of large ones included.";
    CONNECTIONS = "sluicegate_connections", Kind::Gauge, ["listener"],
        "Open connections.";
    TLS_HANDSHAKE_FAILURES = "sluicegate_tls_handshake_failures_total", Kind::Counter, [],
        "TLS handshakes of the ingest listener that failed or took too long.";
    ACCESS_KEY_LAST_USED = "sluicegate_access_key_last_used_timestamp_seconds", Kind::Gauge, ["key"],
        "When a request last came in with this access key; 0 before the first.";
    ACCESS_KEY_BUDGET_USED = "sluicegate_access_key_budget_used_bytes", Kind::Gauge, ["key"],
        "Bytes of the budget that requests with this access key hold now.";
    FIREHOSE_REQUESTS_REFUSED = "sluicegate_firehose_requests_refused_total", Kind::Counter, ["key", "reason"],
        "Requests answered 503 for want of room, by access key (empty where there are none) and reason: budget (it is used up), key_budget (the key holds its part of it), destination (a required destination's share of it holds no more for the key).";
    STREAM_LAST_SUCCESS = "sluicegate_stream_last_success_timestamp_seconds", Kind::Gauge, ["stream"],
        "When a request of this Firehose stream was last answered 200.";
    STREAM_DATAPOINTS = "sluicegate_stream_datapoints_total", Kind::Counter, ["stream"],
        "CloudWatch data points decoded, by Firehose stream, those of requests that came again included.";
    BUDGET = "sluicegate_budget_bytes", Kind::Gauge, [],
        "The byte budget.";
    BUDGET_USED = "sluicegate_budget_used_bytes", Kind::Gauge, [],
        "Bytes of the budget that requests hold now.";
    PANICS = "sluicegate_panics_total", Kind::Counter, [],
        "Panics caught and answered 500. Each one is a fault of the gateway.";

    // Bytes to readings.
    RECORDS = "sluicegate_records_total", Kind::Counter, [],
        "Firehose records received.";
    RECORDS_SKIPPED = "sluicegate_records_skipped_total", Kind::Counter, ["reason"],
        "Records, lines, frames or data points that could not be decoded, by reason.";
    DATAPOINTS = "sluicegate_datapoints_total", Kind::Counter, ["format"],
        "CloudWatch data points decoded, by format, those of requests that came again included.";

    // Readings to series.
    SERIES_CACHE_HITS = "sluicegate_series_cache_hits_total", Kind::Counter, [],
        "Data points whose series were known.";
    SERIES_CACHE_MISSES = "sluicegate_series_cache_misses_total", Kind::Counter, [],
        "Data points whose series had to be made.";
    SERIES_CACHE_EVICTIONS = "sluicegate_series_cache_evictions_total", Kind::Counter, [],
        "Cached identities given up for newer ones.";
    SERIES_CACHE_BYTES = "sluicegate_series_cache_bytes", Kind::Gauge, [],
        "Memory of the cached identities.";
    SERIES_CACHE_LIMIT = "sluicegate_series_cache_limit_bytes", Kind::Gauge, [],
        "Memory that cached identities may take.";
    SERIES_CACHE_IDENTITIES = "sluicegate_series_cache_identities", Kind::Gauge, [],
        "Cached identities (one per CloudWatch metric, format and spelling).";
    LABEL_CONFLICTS = "sluicegate_label_conflicts_total", Kind::Counter, ["conflict"],
        "Labels renamed or dropped, and series not made, by kind of conflict.";
    SAMPLES_SUPERSEDED = "sluicegate_samples_superseded_total", Kind::Counter, ["destination"],
        "Samples replaced by a later one of the same series and timestamp in the same request.";
    SERIES_LIMITED = "sluicegate_series_limited_samples_total", Kind::Counter, ["limit"],
        "Samples of new series beyond `series_limit`, left out before any destination, each once per attempt, and not for requests that are answered from memory; by the limit that they met.";
    SERIES_LAST_HOUR = "sluicegate_series_last_hour", Kind::Gauge, [],
        "Distinct series of the last hour; 0 where no `series_limit` is set.";
    SERIES_LIMIT = "sluicegate_series_limit", Kind::Gauge, ["limit"],
        "Distinct series that an hour may have; 0: none set.";

    // The books.
    SAMPLES_RECEIVED = "sluicegate_samples_received_total", Kind::Counter, ["destination"],
        "Samples handed to a destination. Equals the sum of its outcomes and what is in flight.";
    SAMPLES = "sluicegate_samples_total", Kind::Counter, ["destination", "outcome"],
        "Samples settled, by outcome: delivered; partial (of requests of which the receiver stored some and refused at least one); refused (for good); aged_out (too old for the destination); too_new (too far ahead of the clock); dropped (best effort only); lost (given up on in this request: Firehose sends them again).";
    SAMPLES_REFUSED = "sluicegate_samples_refused_total", Kind::Counter, ["destination", "reason"],
        "Refused samples by reason: exact where refusals were isolated, one per answer where the receiver names only the first (a lower bound).";
    SAMPLES_IN_FLIGHT = "sluicegate_samples_in_flight", Kind::Gauge, ["destination"],
        "Samples handed to a destination and not yet settled.";
    DATAPOINT_AGE = "sluicegate_datapoint_age_seconds", AGE, ["namespace"],
        "Age of data points when they were delivered: now minus the end of their period.";

    // The remote.
    REMOTE_WRITE_REQUESTS = "sluicegate_remote_write_requests_total", Kind::Counter, ["destination", "code"],
        "Remote-write requests by HTTP status, or `error` where no answer came.";
    REMOTE_WRITE_DURATION = "sluicegate_remote_write_request_duration_seconds", SECONDS, ["destination"],
        "Time of one remote-write request.";
    REMOTE_WRITE_BYTES = "sluicegate_remote_write_bytes_total", Kind::Counter, ["destination"],
        "Compressed bytes sent.";
    REMOTE_WRITE_RETRIES = "sluicegate_remote_write_retries_total", Kind::Counter, ["destination"],
        "Remote-write requests sent again after a failure.";
    REMOTE_WRITE_ISOLATION = "sluicegate_remote_write_isolation_requests_total", Kind::Counter, ["destination"],
        "Extra requests sent to tell refused samples from good ones.";
    REMOTE_WRITE_LANES = "sluicegate_remote_write_lanes", Kind::Gauge, ["destination"],
        "Lanes of the destination.";
    CREDENTIALS_REFRESHES = "sluicegate_credentials_refreshes_total", Kind::Counter, ["destination", "result"],
        "Fetches of AWS credentials, by result: success or failure.";
    CREDENTIALS_EXPIRY = "sluicegate_credentials_expiry_timestamp_seconds", Kind::Gauge, ["destination"],
        "When the AWS credentials in use expire; 0 where they do not.";

    // The house.
    BUILD_INFO = "sluicegate_build_info", Kind::Gauge, ["version"],
        "1, with the version.";
    CONFIG_RELOAD_SUCCESSFUL = "sluicegate_config_last_reload_successful", Kind::Gauge, [],
        "1 if the configuration was good when it was last read.";
    CONFIG_RELOAD_SUCCESS_TIME = "sluicegate_config_last_reload_success_timestamp_seconds", Kind::Gauge, [],
        "When the configuration in force was read.";
    READY = "sluicegate_ready", Kind::Gauge, [],
        "1 while accepting, 0 while draining.";
}
