//! Reads one entry of `remote_write`: Prometheus's own block, and a few keys of ours.

use std::time::Duration;

use reqwest::Url;

use super::reader::Section;
use super::{auth, relabel};
use crate::deliver::Destination;
use crate::deliver::config::{
    Auth, BadRequest, Metadata, Queue, RESERVED_HEADERS, Tls, amp_region,
};
use crate::secret::{HIDDEN, Secret};
use crate::units::format_duration;

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// How far ahead of their clocks Prometheus, Cortex and Mimir take samples by default.
const FUTURE_LIMIT_DEFAULT: Duration = Duration::from_secs(600);

const LANES_DEFAULT: u32 = 2;
const LANES_MAX: u32 = 1024;

/// Reads an entry. Its name is empty if the file leaves it out; `None` if it has no usable URL.
pub(super) fn read(section: &Section<'_>, request_deadline: Duration) -> Option<Destination> {
    let url = url(section);
    let amp = url.as_ref().and_then(|url| amp_region(url.as_str())).map(str::to_owned);
    let name = section.filled("name").unwrap_or_default();
    let auth = auth::read(section, amp.as_deref(), url.as_ref());
    let is_http = url.as_ref().is_some_and(|url| url.scheme() == "http");
    let tls_config = section.section("tls_config", |tls| read_tls(tls, is_http));
    let headers = headers(section, amp.is_some());
    let write_relabel_configs = relabel::read(section, "write_relabel_configs");
    let queue_config =
        section.section("queue_config", |queue| read_queue(queue, amp.is_some(), request_deadline));
    let metadata_config = section.section("metadata_config", read_metadata);
    let remote_timeout = remote_timeout(section, request_deadline);
    pasted(section);
    let destination = Destination {
        name,
        url: url.as_ref().map(Url::to_string).unwrap_or_default(),
        required: section.bool("required").unwrap_or(true),
        auth: auth.unwrap_or_default(),
        headers,
        tls_config,
        write_relabel_configs,
        queue_config,
        metadata_config,
        remote_timeout,
        bad_request: section
            .choice(
                "bad_request",
                &[
                    ("auto", BadRequest::Auto),
                    ("partial", BadRequest::Partial),
                    ("isolate", BadRequest::Isolate),
                ],
            )
            .unwrap_or_default(),
        max_isolation_requests: section.count("max_isolation_requests", 0..=65_536).unwrap_or(512),
    };
    url.map(|_| destination)
}

fn url(section: &Section<'_>) -> Option<Url> {
    if !section.holds("url") {
        section.reader.fault(&section.path, "needs a url");
    }
    // The text is not shown: a password may stand in it.
    let text = section.filled("url")?;
    let Ok(url) = Url::parse(text.trim()) else {
        section.fault("url", "is no URL (expected http://... or https://...)");
        return None;
    };
    let fault = |message: &str| section.fault("url", message);
    if !["http", "https"].contains(&url.scheme()) {
        fault("is of a scheme that is not supported (expected http://... or https://...)");
        return None;
    }
    if !url.username().is_empty() || url.password().is_some() {
        fault("holds a user name or password (expected basic_auth)");
        return None;
    }
    if text.contains(HIDDEN) {
        fault("holds a secret that was hidden (expected the secret itself)");
        return None;
    }
    if url.fragment().is_some() {
        fault("holds a fragment (`#`), which is never sent");
        return None;
    }
    if amp_region(url.as_str()).is_some() {
        if url.scheme() == "http" {
            fault("Amazon Managed Service for Prometheus is reached by https only");
        }
        if url.path().ends_with("/remote_write/") {
            fault(
                "ends with a slash: that is another path, which answers 403 \"Missing \
                 Authentication Token\" (expected .../api/v1/remote_write)",
            );
        } else if !url.path().ends_with("/api/v1/remote_write") {
            fault("is no path to write to (expected .../workspaces/<id>/api/v1/remote_write)");
        }
    }
    Some(url)
}

fn remote_timeout(section: &Section<'_>, request_deadline: Duration) -> Duration {
    let said = section.duration("remote_timeout", MILLISECOND..=HOUR);
    let timeout = said.unwrap_or(Duration::from_secs(30).min(request_deadline / 2));
    shorter_than_deadline(section, "remote_timeout", timeout, request_deadline);
    timeout
}

fn shorter_than_deadline(section: &Section<'_>, key: &str, wait: Duration, deadline: Duration) {
    if wait >= deadline {
        let message = format!(
            "{key} ({}) must be shorter than server.request_deadline ({})",
            format_duration(wait),
            format_duration(deadline)
        );
        section.reader.relation([&section.at(key), "server.request_deadline"], message);
    }
}

fn read_tls(tls: &Section<'_>, is_http: bool) -> Tls {
    tls.unsupported(
        &["ca", "cert", "key", "ca_ref", "cert_ref", "key_ref"],
        "expected ca_file, cert_file and key_file",
    );
    tls.unsupported(&["server_name"], "the name is that of the URL");
    tls_versions(tls);
    let config = Tls {
        ca_file: tls.file("ca_file"),
        cert_file: tls.file("cert_file"),
        key_file: tls.file("key_file"),
        insecure_skip_verify: tls.bool("insecure_skip_verify").unwrap_or_default(),
    };
    for (one, other) in [("cert_file", "key_file"), ("key_file", "cert_file")] {
        if tls.says(one) && !tls.holds(other) {
            tls.fault(one, format!("needs {other} beside it"));
        }
    }
    let says_any = ["ca_file", "cert_file", "insecure_skip_verify"].iter().any(|key| tls.says(key));
    if is_http && says_any {
        tls.reader.note(&tls.path, "has no effect: the URL is http://");
    }
    if config.insecure_skip_verify {
        tls.note("insecure_skip_verify", "whoever answers is taken for the destination");
    }
    config
}

/// Versions of TLS that a block may name: TLS 1.2 and 1.3 are spoken, so it cannot be held to others.
fn tls_versions(tls: &Section<'_>) {
    for (key, harmless, why) in [
        ("min_version", ["TLS10", "TLS11", "TLS12"].as_slice(), "TLS 1.2 is the least"),
        ("max_version", ["TLS13"].as_slice(), "TLS 1.3 is the most"),
    ] {
        if !tls.says(key) {
            tls.without_effect(&[key], why);
            continue;
        }
        let expected = format!("{}: TLS 1.2 and 1.3 are spoken", harmless.join(", "));
        if tls.unlisted(key, &expected, |text| harmless.contains(&text)) {
            tls.note(key, format!("has no effect: {why}"));
        }
    }
}

fn headers(section: &Section<'_>, is_amp: bool) -> Vec<(String, Secret)> {
    let pairs = section.pairs("headers");
    for (name, value) in &pairs {
        let path = format!("{}.{name}", section.at("headers"));
        let fault = |message: &str| section.reader.fault(&path, message);
        let lower = name.to_ascii_lowercase();
        if reqwest::header::HeaderName::from_bytes(name.as_bytes()).is_err() {
            fault("is no header name");
        } else if RESERVED_HEADERS.contains(&lower.as_str()) {
            fault("is set by the gateway itself and cannot be changed");
        } else if is_amp && lower == "x-scope-orgid" {
            fault("Amazon Managed Service for Prometheus refuses requests that carry it");
        } else if reqwest::header::HeaderValue::from_str(value).is_err() {
            fault("holds characters that no HTTP header can carry");
        } else if value == HIDDEN {
            fault("stands for a secret that was hidden (expected the secret itself)");
        } else if pairs.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name)).count() > 1 {
            fault("stands twice, written differently");
        }
    }
    pairs.into_iter().map(|(name, value)| (name, Secret::new(value))).collect()
}

fn read_queue(queue: &Section<'_>, is_amp: bool, request_deadline: Duration) -> Queue {
    queue.without_effect(
        &["capacity", "batch_send_deadline"],
        "nothing is kept beyond the request that brought it; server.budget bounds what is held",
    );
    queue.without_effect(&["min_shards"], "the number of lanes is fixed: max_shards");
    queue.without_effect(&["retry_on_http_429"], "429 is always retried");
    let said_min = queue.duration("min_backoff", MILLISECOND..=HOUR);
    let said_max = queue.duration("max_backoff", MILLISECOND..=HOUR);
    let fits = (request_deadline / 2).max(MILLISECOND);
    let max_backoff = said_max
        .unwrap_or_else(|| Duration::from_secs(10).min(fits).max(said_min.unwrap_or_default()));
    let min_backoff = said_min.unwrap_or(Duration::from_millis(100).min(max_backoff));
    if min_backoff > max_backoff {
        let message = format!(
            "min_backoff ({}) must not be longer than max_backoff ({})",
            format_duration(min_backoff),
            format_duration(max_backoff)
        );
        let paths = [queue.at("min_backoff"), queue.at("max_backoff")];
        queue.reader.relation([&paths[0], &paths[1]], message);
    }
    let key = if said_max.is_some() || said_min.is_none() { "max_backoff" } else { "min_backoff" };
    shorter_than_deadline(queue, key, max_backoff, request_deadline);
    let age_limit = queue.duration("sample_age_limit", Duration::ZERO..=YEAR);
    let age_limit = age_limit.unwrap_or(if is_amp { HOUR } else { Duration::ZERO });
    if is_amp && (age_limit.is_zero() || age_limit > HOUR) {
        queue.note("sample_age_limit", "AMP refuses samples older than 1h whatever is set here");
    }
    let future_limit = queue.duration("sample_future_limit", Duration::ZERO..=YEAR);
    let future_limit = future_limit.unwrap_or(FUTURE_LIMIT_DEFAULT);
    Queue {
        max_shards: lanes(queue),
        max_samples_per_send: queue.count("max_samples_per_send", 1..=1_000_000).unwrap_or(5000)
            as usize,
        // Receivers refuse what unpacks to more than 32 MiB.
        max_bytes_per_send: queue
            .bytes("max_bytes_per_send", 16 << 10..=32 << 20)
            .unwrap_or(1_000_000),
        min_backoff,
        max_backoff,
        sample_age_limit: (!age_limit.is_zero()).then_some(age_limit),
        sample_future_limit: (!future_limit.is_zero()).then_some(future_limit),
    }
}

/// Prometheus knows no upper limit for shards, so a pasted number above ours is no fault.
fn lanes(queue: &Section<'_>) -> u32 {
    let Some(said) = queue.number("max_shards", 1..=u64::MAX) else { return LANES_DEFAULT };
    u32::try_from(said).ok().filter(|lanes| *lanes <= LANES_MAX).unwrap_or_else(|| {
        queue.note("max_shards", format!("is more than {LANES_MAX}, which is taken instead"));
        LANES_MAX
    })
}

fn read_metadata(metadata: &Section<'_>) -> Metadata {
    Metadata {
        send: metadata.bool("send").unwrap_or(true),
        send_interval: metadata
            .duration("send_interval", Duration::from_secs(1)..=YEAR)
            .unwrap_or(Duration::from_secs(60)),
        max_samples_per_send: metadata.count("max_samples_per_send", 1..=1_000_000).unwrap_or(500)
            as usize,
    }
}

/// What else may stand in a block that comes from a Prometheus configuration.
fn pasted(section: &Section<'_>) {
    section.without_effect(
        &["send_exemplars", "send_native_histograms"],
        "CloudWatch has neither exemplars nor histograms",
    );
    section.without_effect(&["follow_redirects"], "redirects are never followed");
    section.without_effect(&["enable_http2"], "HTTP/2 is used where the server offers it");
    section.without_effect(&["round_robin_dns"], "addresses are taken as the resolver gives them");
    section.without_effect(
        &["proxy_from_environment"],
        "HTTP_PROXY, HTTPS_PROXY and NO_PROXY are always respected",
    );
    section.unsupported(
        &["proxy_url", "no_proxy", "proxy_connect_header"],
        "set the environment variables HTTPS_PROXY and NO_PROXY",
    );
    section.unsupported(
        &["oauth2", "azuread", "google_iam", "http_headers"],
        "expected sigv4, basic_auth, authorization or headers",
    );
    let expected = "prometheus.WriteRequest: version 1.0 is spoken";
    section.unlisted("protobuf_message", expected, |text| text == "prometheus.WriteRequest");
}

/// Names the destinations that the file leaves unnamed after their host, and reports names that
/// stand twice.
pub(super) fn settle_names(reader: &super::reader::Reader<'_>, list: &mut [(String, Destination)]) {
    for index in 0..list.len() {
        let (before, rest) = list.split_at_mut(index);
        let Some((path, destination)) = rest.first() else { continue };
        let twin = before.iter().find(|(_, other)| other.name == destination.name);
        if let Some((first, _)) = twin.filter(|_| !destination.name.is_empty()) {
            let message = format!("the name is that of {first} as well");
            reader.fault(&format!("{path}.name"), message);
        }
    }
    for index in 0..list.len() {
        let Some((_, unnamed)) = list.get(index).filter(|(_, one)| one.name.is_empty()) else {
            continue;
        };
        let host = Url::parse(&unnamed.url).ok().and_then(|url| url.host_str().map(str::to_owned));
        let host = host.unwrap_or_else(|| "remote".to_owned());
        let taken = |name: &str| list.iter().any(|(_, other)| other.name == name);
        let mut name = host.clone();
        let mut number = 2;
        while taken(&name) {
            name = format!("{host}-{number}");
            number += 1;
        }
        if let Some((_, unnamed)) = list.get_mut(index) {
            unnamed.name = name;
        }
    }
}

/// Whether a destination's credentials would travel in clear text.
pub(super) fn travels_in_clear(destination: &Destination) -> bool {
    let sends_secret =
        matches!(destination.auth, Auth::BasicAuth { .. } | Auth::Authorization { .. });
    let local = ["http://127.", "http://localhost", "http://[::1]"];
    sends_secret
        && destination.url.starts_with("http://")
        && !local.iter().any(|prefix| destination.url.starts_with(prefix))
}
