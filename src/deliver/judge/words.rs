//! The words by which receivers say what was wrong with a request.

use super::{Reason, Refusal};

/// Characters of an answer that are kept for logs.
const MESSAGE_CHARS_MAX: usize = 512;

/// The request as a whole is too large: Cortex, Prometheus 3, VictoriaMetrics, Mimir.
const TOO_LARGE: &[&str] = &[
    "received message larger than max",
    "decoded size exceeds",
    "too big data size",
    "message size is larger than the allowed limit",
    "err-mimir-distributor-max-write-message-size",
    "err-mimir-distributor-max-write-request-data-item-size",
    "request body too large",
    "request entity too large",
    "write request too large",
];

/// The body is not what it says to be. Nothing was stored, and sending it again does not help.
const UNDECODABLE: &[&str] = &[
    "snappy: corrupt input",
    "s2: corrupt input",
    "snappy: decoded block is too large",
    "snappy: unsupported input",
    "snappy decode error",
    "proto: ",
    "cannot decompress",
    "cannot unmarshal",
    "empty labels found",
];

/// AWS's front refuses a signature with 400 as well as with 403 (common errors of its APIs:
/// `IncompleteSignature`, `RequestExpired`, ...). Nothing has reached the workspace then.
const UNSIGNED: &[&str] = &[
    "incompletesignature",
    "requestexpired",
    "request has expired",
    "signature expired",
    "invalidsignature",
    "signaturedoesnotmatch",
    "unrecognizedclient",
    "expiredtoken",
    "missing authentication token",
];

/// AWS's front, too busy.
const THROTTLED: &[&str] = &["throttling", "rate exceeded"];

/// Cortex and so Amazon Managed Service for Prometheus: one sample or series refused, the others
/// stored. From the distributor's and the ingester's validation errors.
const PARTIAL: &[&str] = &[
    ": err: ",
    "maxfailure (quorum)",
    "per-user series limit of ",
    "per-metric series limit of ",
    "per-labelset series limit of ",
    "timestamp too old: ",
    "timestamp too new: ",
    "series has too many labels (actual",
    "label value too long for metric",
    "label name too long",
    "labels size bytes exceeded",
    "duplicate label name:",
    "sample missing metric name",
    "sample invalid metric name",
    "sample invalid label",
    "labels not sorted",
];

/// Classes of refusals by their words, `-` and `_` read as spaces; the first that fits counts, so
/// the order matters: `out of order labels` is no matter of time, a window is no limit.
const REASONS: &[(&str, Reason)] = &[
    ("out of order labels", Reason::Other),
    ("labels not sorted", Reason::Other),
    ("duplicate label name", Reason::Other),
    ("too far in the future", Reason::TooNew),
    ("too far in future", Reason::TooNew),
    ("timestamp too new", Reason::TooNew),
    ("duplicate sample", Reason::Duplicate),
    ("duplicate timestamp", Reason::Duplicate),
    ("new value for timestamp", Reason::Duplicate),
    ("out of order rate limit", Reason::Limit),
    ("too old", Reason::TooOld),
    ("greater than max sample age", Reason::TooOld),
    ("out of bounds", Reason::TooOld),
    ("out of order", Reason::OutOfOrder),
    ("limit", Reason::Limit),
    ("too many", Reason::Limit),
    ("too long", Reason::Limit),
    ("exceed", Reason::Limit),
    ("max series", Reason::Limit),
    ("max label", Reason::Limit),
    ("rate limited", Reason::Limit),
];

/// Mimir names its errors (<https://grafana.com/docs/mimir/latest/manage/mimir-runbooks/>).
const MIMIR: &str = "err-mimir-";

pub(super) fn too_large(body: &str) -> bool {
    says(body, TOO_LARGE) || {
        let own = own_words(body);
        own.contains("message size of ") && own.contains("larger than the allowed limit")
    }
}

pub(super) fn undecodable(body: &str) -> bool {
    says(body, UNDECODABLE)
}

pub(super) fn unsigned(body: &str) -> bool {
    says(body, UNSIGNED)
}

pub(super) fn throttled(body: &str) -> bool {
    says(body, THROTTLED)
}

pub(super) fn partial(body: &str) -> bool {
    says(body, PARTIAL) || mimir_error(body).is_some()
}

pub(super) fn series_limit(body: &str) -> bool {
    says(
        body,
        &[
            "per-user series limit of ",
            "per-metric series limit of ",
            "per-labelset series limit of ",
            "err-mimir-max-series-per-",
        ],
    )
}

/// A token bucket that such a request can never pass whole if it holds more samples than the
/// bucket; not the limit on requests per second (`Rate exceeded`).
pub(super) fn over_rate(body: &str) -> bool {
    let own = own_words(body);
    own.contains("ingestion rate limit (") && own.contains("exceeded while adding")
}

pub(super) fn refusal(body: &str) -> Refusal {
    Refusal { reason: reason(body), message: cut(body) }
}

fn reason(body: &str) -> Reason {
    let said = mimir_error(body).map_or_else(|| own_words(body), str::to_owned);
    let said = said.replace(['-', '_'], " ");
    REASONS
        .iter()
        .find(|(words, _)| said.contains(words))
        .map_or(Reason::Other, |(_, reason)| *reason)
}

fn says(body: &str, words: &[&str]) -> bool {
    let own = own_words(body);
    words.iter().any(|words| own.contains(words))
}

/// What the receiver says itself, in lower case: series that it quotes come in braces or quotation
/// marks, and a label value may hold anything. Of a JSON answer, all of it.
fn own_words(body: &str) -> String {
    let body = body.trim_start();
    let quoted = if body.starts_with(['{', '"']) { None } else { body.find(['{', '"']) };
    body.get(..quoted.unwrap_or(body.len())).unwrap_or(body).to_ascii_lowercase()
}

/// The name of Mimir's error, which may come after the quoted series: the last that is there.
fn mimir_error(body: &str) -> Option<&str> {
    let name = body.get(body.rfind(MIMIR)? + MIMIR.len()..)?;
    let end = name.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(name.len());
    name.get(..end)
}

/// The text for a log: one line, at most 512 characters.
pub(super) fn cut(body: &str) -> String {
    body.trim()
        .chars()
        .take(MESSAGE_CHARS_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
