//! Reads `server`, and with it the relations between its deadlines, sizes and keys.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::reader::{Reader, Section};
use super::{memory, server_tls};
use crate::receive::{AccessKey, Config, KeySource, OnUndecodable, key_part_bytes_max};
use crate::secret::Secret;
use crate::units::{format_bytes, format_duration};

/// Firehose gives an endpoint up to this long to answer.
const FIREHOSE_PATIENCE: Duration = Duration::from_secs(180);
/// Fargate kills a task at most this long after it was told to stop.
const KILL_GRACE: Duration = Duration::from_secs(120);
const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

/// The least budget with which anything can be received.
pub(super) const BUDGET_BYTES_MIN: u64 = 1 << 20;
/// The largest body that Firehose may send: 64 MiB of records in Base64, and their envelope.
const CONTRACT_BODY_BYTES: u64 = 86 << 20;
const BODY_BYTES_DEFAULT: u64 = 96 << 20;
/// The longest access key that Firehose takes.
const KEY_BYTES_MAX: usize = 4096;

pub(super) fn read(section: &Section<'_>, memory_limit: Option<u64>) -> Config {
    let insecure = section.bool("insecure_allow_unauthenticated").unwrap_or_default();
    let access_keys = access_keys(section, insecure);
    let (budget, max_body_size) = sizes(section, memory_limit);
    let request_deadline = below(
        section,
        ("request_deadline", Duration::from_secs(150)),
        SECOND,
        (FIREHOSE_PATIENCE, "after which Firehose takes a request for lost"),
    );
    let drain_deadline = below(
        section,
        ("drain_deadline", Duration::from_secs(100)),
        Duration::ZERO,
        (KILL_GRACE, "after which Fargate kills a task that was told to stop"),
    );
    let config = Config {
        listen_address: section
            .address("listen_address")
            .unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080)),
        path: path(section),
        access_keys,
        insecure_allow_unauthenticated: insecure,
        common_attributes: section.strings("common_attributes").unwrap_or_default(),
        on_undecodable: section
            .choice(
                "on_undecodable",
                &[("skip", OnUndecodable::Skip), ("reject", OnUndecodable::Reject)],
            )
            .unwrap_or_default(),
        request_deadline,
        budget,
        max_body_size,
        max_connections: section.count("max_connections", 1..=1_000_000).unwrap_or(256) as usize,
        max_requests_per_connection: section
            .count("max_requests_per_connection", 0..=u32::MAX)
            .unwrap_or(10_000),
        tls_config: section.block("tls_config", server_tls::read).flatten(),
        // Common attributes alone may be 64 KB, since Firehose sends them in one header.
        max_header_size: section.bytes("max_header_size", 8 << 10..=16 << 20).unwrap_or(128 << 10),
        read_header_timeout: section
            .duration("read_header_timeout", MILLISECOND..=FIREHOSE_PATIENCE)
            .unwrap_or(Duration::from_secs(10)),
        read_timeout: section
            .duration("read_timeout", MILLISECOND..=FIREHOSE_PATIENCE)
            .unwrap_or(Duration::from_secs(60).min(request_deadline)),
        idle_timeout: section
            .duration("idle_timeout", MILLISECOND..=24 * HOUR)
            .unwrap_or(Duration::from_secs(200)),
        shutdown_delay: section
            .duration("shutdown_delay", Duration::ZERO..=KILL_GRACE)
            .unwrap_or(Duration::from_secs(10).min(drain_deadline / 2)),
        drain_deadline,
    };
    check_waits(section, &config);
    config
}

/// A duration with its default, from `least` to below a limit that is not ours.
fn below(
    section: &Section<'_>,
    (key, default): (&'static str, Duration),
    least: Duration,
    (limit, whose): (Duration, &str),
) -> Duration {
    let Some(said) = section.duration(key, least..=Duration::MAX) else { return default };
    if said < limit {
        return said;
    }
    let (said, limit) = (format_duration(said), format_duration(limit));
    section.fault(key, format!("{said} must be shorter than the {limit} {whose}"));
    default
}

fn check_waits(section: &Section<'_>, config: &Config) {
    let relation =
        |lesser: (&str, Duration), greater: (&str, Duration), must: &str, holds: bool| {
            if !holds {
                let message = format!(
                    "{} ({}) must {must} {} ({})",
                    lesser.0,
                    format_duration(lesser.1),
                    greater.0,
                    format_duration(greater.1)
                );
                section.reader.relation([&section.at(lesser.0), &section.at(greater.0)], message);
            }
        };
    let deadline = ("request_deadline", config.request_deadline);
    let read = ("read_timeout", config.read_timeout);
    relation(read, deadline, "not be longer than", read.1 <= deadline.1);
    let delay = ("shutdown_delay", config.shutdown_delay);
    let drain = ("drain_deadline", config.drain_deadline);
    relation(
        delay,
        drain,
        "be shorter than",
        delay.1 < drain.1 || drain.1.is_zero() && delay.1.is_zero(),
    );
    if config.idle_timeout <= Duration::from_secs(60) {
        section.note(
            "idle_timeout",
            "not longer than the 60s after which a load balancer closes idle connections by \
             default: some of its requests will meet a closed connection",
        );
    }
}

fn path(section: &Section<'_>) -> String {
    let legal = |path: &str| {
        path.starts_with('/')
            && path.bytes().all(|b| b.is_ascii_graphic() && !b"?#{}*\"<>\\^`|".contains(&b))
    };
    section
        .parsed("path", "a path such as /firehose", |text| {
            legal(&text.text).then(|| text.text.clone())
        })
        .filter(|path| {
            let taken = ["/healthz", "/readyz"].contains(&path.as_str());
            if taken {
                section.fault("path", "is the path of a health check (expected another one)");
            }
            !taken
        })
        .unwrap_or_else(|| "/firehose".to_owned())
}

/// The budget and the largest body, which [`fit_body`] holds against it.
fn sizes(section: &Section<'_>, memory_limit: Option<u64>) -> (u64, u64) {
    let said_budget = section.bytes("budget", BUDGET_BYTES_MIN..=1 << 44);
    let budget = said_budget.unwrap_or_else(|| memory::default_budget_bytes(memory_limit));
    let body = section.bytes("max_body_size", 1 << 10..=1 << 40).unwrap_or(BODY_BYTES_DEFAULT);
    if let (Some(said), Some(limit)) = (said_budget, memory_limit)
        && said > limit
    {
        let limit = format_bytes(limit);
        section.note("budget", format!("is more than the container's memory limit ({limit})"));
    }
    (budget, body)
}

/// Brings the largest body in line with what one key may hold of what the table of known series
/// leaves of the budget. A body has to fit in together with a tenth of its samples, which are about
/// five times as large, so the default of one follows the other; `is_said` tells whether the file
/// names one.
pub(super) fn fit_body(reader: &Reader<'_>, server: &mut Config, is_said: bool, table_bytes: u64) {
    const BODY: &str = "server.max_body_size";
    const BUDGET: &str = "server.budget";
    let room = server.budget.saturating_sub(table_bytes);
    let keys = server.access_keys.len();
    let part = key_part_bytes_max(room, keys);
    if !is_said {
        server.max_body_size = default_body_bytes(part);
    }
    let body = server.max_body_size;
    if body > part {
        let said = format_bytes(body);
        let message = match (keys, table_bytes) {
            (0 | 1, 0) => {
                format!("max_body_size ({said}) must fit into budget ({})", format_bytes(room))
            }
            (0 | 1, _) => format!(
                "max_body_size ({said}) must fit into what the table of known series leaves of \
                 budget ({})",
                format_bytes(room >> 20 << 20)
            ),
            _ => format!(
                "max_body_size ({said}) must fit into the {} of budget ({}) that one of {keys} \
                 access keys may hold",
                format_bytes(part),
                format_bytes(server.budget)
            ),
        };
        reader.relation([BODY, BUDGET], message);
        return;
    }
    if body < CONTRACT_BODY_BYTES {
        let message = format!(
            "bodies above {} are refused, and Firehose may send up to {} if its buffer is set so \
             (64 MiB of records)",
            format_bytes(body),
            format_bytes(CONTRACT_BODY_BYTES)
        );
        reader.note(if is_said { BODY } else { BUDGET }, message);
    }
    if body > part / 3 * 2 {
        let message = format!(
            "bodies above {}, two thirds of what their sender may hold of the budget, may find no \
             room beside their own samples and be refused for ever",
            format_bytes(part / 3 * 2)
        );
        reader.note(BODY, message);
    }
}

/// Two thirds of what the sender may hold, in whole MiB where there are any.
fn default_body_bytes(part: u64) -> u64 {
    let bytes = BODY_BYTES_DEFAULT.min(part / 3 * 2);
    if bytes < 1 << 20 { bytes } else { bytes & !0xF_FFFF }
}

fn access_keys(section: &Section<'_>, insecure: bool) -> Vec<AccessKey> {
    let mut position = 0;
    let mut names: HashMap<String, String> = HashMap::new();
    let said = section.sections("access_keys", |entry| {
        position += 1;
        let name = entry.filled("name").unwrap_or_else(|| format!("key-{position}"));
        if let Some(first) = names.insert(name.clone(), entry.path.clone()) {
            let key = if entry.says("name") { "name" } else { "" };
            let path = if key.is_empty() { entry.path.clone() } else { entry.at(key) };
            entry.reader.fault(&path, format!("the name `{name}` is that of {first} as well"));
        }
        let (key, file) = (entry.secret("key"), entry.file("key_file"));
        match (entry.holds("key"), entry.holds("key_file")) {
            (true, true) => entry.fault("key", "stands beside key_file (expected one of them)"),
            (false, false) => entry.reader.fault(&entry.path, "needs key or key_file"),
            _ => {}
        }
        if let Some(trouble) = key.as_ref().and_then(key_trouble) {
            entry.fault("key", trouble);
        }
        let source_arns = globs(entry);
        let accounts = entry.strings("accounts").unwrap_or_default();
        for (index, account) in accounts.iter().enumerate() {
            if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
                let path = format!("{}[{index}]", entry.at("accounts"));
                entry.reader.fault(&path, "is no AWS account id (expected 12 digits)");
            }
        }
        let source = key.map(KeySource::Key).or(file.map(KeySource::KeyFile))?;
        Some(AccessKey { name, source, source_arns, accounts })
    });
    match &said {
        Some(keys) if !keys.is_empty() => {
            if insecure {
                section.fault(
                    "insecure_allow_unauthenticated",
                    "stands beside access_keys (expected one of them)",
                );
            }
        }
        _ if insecure => {
            section.note("insecure_allow_unauthenticated", "anyone who reaches the port may write");
        }
        _ => section.reader.fault(
            &section.at("access_keys"),
            "no access key: list one, or set the environment variable SLUICEGATE_ACCESS_KEY to the \
             key that the Firehose stream sends (to run without any, say \
             insecure_allow_unauthenticated: true)",
        ),
    }
    said.unwrap_or_default().into_iter().flatten().collect()
}

fn globs(entry: &Section<'_>) -> Vec<String> {
    let globs = entry.strings("source_arns").unwrap_or_default();
    for (index, glob) in globs.iter().enumerate() {
        if !glob.starts_with("arn:") && !glob.starts_with('*') {
            let path = format!("{}[{index}]", entry.at("source_arns"));
            entry.reader.fault(
                &path,
                "matches no ARN (expected arn:aws:firehose:<region>:<account>:deliverystream/<name>, \
                 * and ? allowed)",
            );
        }
    }
    globs
}

/// What keeps a key from ever being sent by Firehose.
fn key_trouble(key: &Secret) -> Option<&'static str> {
    #[derive(serde::Deserialize)]
    struct Wrapped {
        api_key: String,
    }
    let text = key.expose();
    let inner = if text.trim_start().starts_with('{') {
        match serde_json::from_str::<Wrapped>(text) {
            Ok(wrapped) => wrapped.api_key,
            Err(_) => {
                return Some(r#"begins with a brace but is not of the form {"api_key":"..."}"#);
            }
        }
    } else {
        text.to_owned()
    };
    if inner.is_empty() {
        Some("is empty")
    } else if inner.len() > KEY_BYTES_MAX {
        Some("is longer than the 4096 bytes that Firehose takes")
    } else if !inner.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        Some("holds characters that no HTTP header can carry")
    } else {
        None
    }
}
