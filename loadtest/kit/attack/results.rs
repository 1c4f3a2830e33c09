//! Vegeta's results, as `vegeta encode -to json` writes them.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use base64_simd::STANDARD;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use sluicegate::demo::contract;

use super::Answer;
use crate::load::request_id::RequestIds;

/// What vegeta says when it finds no target.
const NO_TARGETS: &str = "no targets to attack";

/// One line; what else is in it is of no interest.
#[derive(Debug, Deserialize)]
struct Line {
    code: u16,
    timestamp: String,
    /// Nanoseconds.
    latency: u64,
    #[serde(default)]
    bytes_out: u64,
    #[serde(default)]
    error: String,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    url: String,
    #[serde(default)]
    headers: Option<BTreeMap<String, Vec<String>>>,
}

/// An answer, and in what it breaks Firehose's contract.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Result {
    pub(super) answer: Answer,
    pub(super) breach: Option<String>,
}

/// Reads one line; None if it is of no request. `began` is the beginning of the first stage,
/// nanoseconds since 1970.
///
/// # Errors
/// If it is no result.
pub(super) fn read(
    line: &str,
    stage: usize,
    ids: RequestIds,
    began_ns: u64,
) -> anyhow::Result<Option<Result>> {
    let line: Line = serde_json::from_str(line).context("no result of vegeta")?;
    if line.url.is_empty() && line.error == NO_TARGETS {
        return Ok(None);
    }
    let at_ns =
        nanoseconds(&line.timestamp).with_context(|| format!("{:?} is no time", line.timestamp))?;
    let id = line.url.rsplit_once('#').map_or("", |(_, id)| id);
    let mut error = without_address(&line.error).to_owned();
    let mut breach = None;
    if line.code != 0 {
        match line.contract(id) {
            Ok(Some(message)) if line.code != 200 => {
                error.push_str(": ");
                error.push_str(&message);
            }
            Ok(_) => {}
            Err(what) => breach = Some(format!("{}: {what}", line.code)),
        }
    }
    let answer = Answer {
        number: ids.number(id),
        stage,
        code: line.code,
        at: Duration::from_nanos(at_ns.saturating_sub(began_ns)),
        latency: Duration::from_nanos(line.latency),
        bytes_out: line.bytes_out,
        error,
    };
    Ok(Some(Result { answer, breach }))
}

impl Line {
    /// Holds the answer against what Firehose demands; gives the message in it.
    fn contract(&self, id: &str) -> std::result::Result<Option<String>, String> {
        let mut headers = HeaderMap::new();
        for (name, values) in self.headers.iter().flatten() {
            for value in values {
                let name = HeaderName::try_from(name.as_str());
                if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value.as_str())) {
                    headers.append(name, value);
                }
            }
        }
        let body = self.body.as_deref().unwrap_or_default();
        let body = STANDARD.decode_to_vec(body).map_err(|_| "no base64".to_owned())?;
        contract::check(self.code, &headers, &body, id)
    }
}

/// An error without the address of the request, which differs each time: `Post "http://…": `.
pub(super) fn without_address(error: &str) -> &str {
    let rest = error.strip_prefix("Post \"").and_then(|rest| rest.split_once("\": "));
    rest.map_or(error, |(_, what)| what)
}

/// Nanoseconds since 1970 of a time such as `2026-11-21T18:06:42.677524425Z` (RFC 3339).
fn nanoseconds(text: &str) -> Option<u64> {
    let (date, time) = text.split_once('T')?;
    let (time, east_s) = zone(time)?;
    let (clock, fraction) = time.split_once('.').unwrap_or((time, ""));
    let date: Vec<i64> =
        date.split('-').map(str::parse).collect::<std::result::Result<_, _>>().ok()?;
    let clock: Vec<i64> =
        clock.split(':').map(str::parse).collect::<std::result::Result<_, _>>().ok()?;
    let ([year, month @ 1..=12, day @ 1..=31], [hour, minute, second]) = (&date[..], &clock[..])
    else {
        return None;
    };
    // Days since 1970 in the proleptic Gregorian calendar; the year begins in March.
    let (year, month) = if *month > 2 { (*year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (month * 153 + 2) / 5
        + day
        - 1
        - 719_468;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second - east_s;
    let fraction =
        if fraction.is_empty() { 0 } else { format!("{fraction:0<9}").get(..9)?.parse().ok()? };
    u64::try_from(seconds).ok()?.checked_mul(1_000_000_000)?.checked_add(fraction)
}

/// Parts the zone from a time of day: seconds east of Greenwich.
fn zone(time: &str) -> Option<(&str, i64)> {
    if let Some(time) = time.strip_suffix('Z') {
        return Some((time, 0));
    }
    let at = time.rfind(['+', '-'])?;
    let (time, zone) = time.split_at_checked(at)?;
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let east = (hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?) * 60;
    Some((time, if zone.starts_with('-') { -east } else { east }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const TOLD: &str = r#""content-type":["application/json"],"Content-Length":["50"]"#;

    fn line(code: u16, error: &str, id: &str, body: &str, headers: &str) -> String {
        let body = STANDARD.encode_to_string(body);
        format!(
            r#"{{"attack":"0","seq":4,"code":{code},"timestamp":"2026-11-21T18:06:42.677524425Z",
            "latency":2002987974,"bytes_out":7,"bytes_in":0,"error":{error:?},"body":"{body}",
            "method":"POST","url":"http://127.0.0.1:1/x?y=1#{id}","headers":{{{headers}}}}}"#
        )
    }

    fn began() -> u64 {
        nanoseconds("2026-11-21T19:06:40+01:00").unwrap()
    }

    #[test]
    fn results_are_read() {
        let ids = RequestIds::of("r");
        let id = ids.id(5);
        let success = format!(r#"{{"requestId":"{id}","timestamp":1}}"#);
        let other = r#"{"requestId":"x","timestamp":1}"#;
        let busy = format!(r#"{{"requestId":"{id}","timestamp":1,"errorMessage":"busy"}}"#);
        let timeout = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
        let posted = format!("Post \"http://127.0.0.1:1/x?y=1#{id}\": {timeout}");
        for (code, told, body, headers, error, breach) in [
            (200, "", success.as_str(), TOLD, "", None),
            (503, "503 Service Unavailable", &busy, TOLD, "503 Service Unavailable: busy", None),
            (200, "", other, TOLD, "", Some("200: ")),
            (200, "", &success, "", "", Some("200: no content type")),
            (502, "502 Bad Gateway", "<html>", "", "502 Bad Gateway", Some("502: no content type")),
            (0, &posted, "", "", timeout, None),
            (0, "EOF", "", "", "EOF", None),
        ] {
            let text = line(code, told, &id, body, headers);
            let result = read(&text, 3, ids, began()).unwrap().unwrap();
            let expected = Answer {
                number: Some(5),
                stage: 3,
                code,
                at: Duration::from_nanos(2_677_524_425),
                latency: Duration::from_nanos(2_002_987_974),
                bytes_out: 7,
                error: error.to_owned(),
            };
            assert_eq!(result.answer, expected);
            let told = result.breach.as_deref();
            let same = match breach {
                Some(breach) => told.is_some_and(|told| told.starts_with(breach)),
                None => told.is_none(),
            };
            assert!(same, "{told:?} {breach:?}");
        }
    }

    #[test]
    fn bodies_may_be_null_and_targets_run_out() {
        let ids = RequestIds::of("r");
        let text = |error: &str, url: &str| {
            format!(
                r#"{{"attack":"","seq":3,"code":0,"timestamp":"2026-11-21T18:06:48.5Z","latency":7156,
                "bytes_out":0,"bytes_in":0,"error":{error:?},"body":null,"method":"","url":{url:?},
                "headers":null}}"#
            )
        };
        assert_eq!(read(&text(NO_TARGETS, ""), 0, ids, began()).unwrap(), None);
        let foreign = read(&text("EOF", "http://h/#id"), 0, ids, began()).unwrap().unwrap();
        assert_eq!((foreign.answer.number, foreign.answer.at.as_millis()), (None, 8_500));
        for broken in ["", "{}", "nonsense"] {
            assert!(read(broken, 0, ids, 0).is_err(), "{broken}");
        }
    }

    #[test]
    fn times_are_read() {
        for (text, ns) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1970-01-01T01:00:00.5+01:00", Some(500_000_000)),
            ("2000-02-29T23:59:59.000000001-00:30", Some(951_870_599_000_000_001)),
            ("2026-11-21T18:06:42.677524425Z", Some(1_795_284_402_677_524_425)),
            ("2026-13-21T18:06:42Z", None),
            ("2026-11-21 18:06:42Z", None),
            ("2026-11-21T18:06Z", None),
            ("2026-11-21T18:06:42", None),
            ("1969-12-31T23:59:59Z", None),
        ] {
            assert_eq!(nanoseconds(text), ns, "{text}");
        }
    }
}
