//! The `Retry-After` header, RFC 9110 section 10.2.3: seconds or an HTTP date.

use std::time::{Duration, SystemTime};

/// Longest wait that is believed; whoever waits caps it further.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The wait that a receiver asks for, at most a day; none if the value is neither seconds nor a
/// date. A date that has passed is no wait.
#[must_use]
pub fn parse_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let wait = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number holds are a long wait all the same.
        value.parse().map_or(RETRY_AFTER_MAX, Duration::from_secs)
    } else {
        httpdate::parse_http_date(value).ok()?.duration_since(now).unwrap_or_default()
    };
    Some(wait.min(RETRY_AFTER_MAX))
}
