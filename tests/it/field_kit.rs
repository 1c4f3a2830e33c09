//! A whole house between requests written by hand and a receiver that records: what the surprises of
//! the field are tried on.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may end so.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use sluicegate::decode::Reason;

use super::amp_front::{AmpFront, Guard};
use super::house::{Figures, KEY, Standing};
use super::process_kit::fresh_id;
use super::receive_door::{ARN, Answer, ID, envelope, line};

/// The headers of a request as Firehose sends it.
pub(crate) fn head() -> HeaderMap {
    let pairs = [
        ("content-type", "application/json"),
        ("x-amz-firehose-protocol-version", "1.0"),
        ("x-amz-firehose-request-id", ID),
        ("x-amz-firehose-source-arn", ARN),
        ("x-amz-firehose-access-key", KEY),
    ];
    let pairs = pairs.map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v)));
    pairs.into_iter().collect()
}

/// The same with one header replaced, or removed if `value` is empty.
pub(crate) fn head_with(name: &'static str, value: &str) -> HeaderMap {
    let mut head = head();
    head.remove(name);
    if !value.is_empty() {
        head.insert(name, HeaderValue::from_str(value).unwrap());
    }
    head
}

/// The house, what it sends to, and who sends to it.
pub(crate) struct Field {
    pub(crate) standing: Standing,
    pub(crate) front: AmpFront,
    pub(crate) client: reqwest::Client,
}

impl Field {
    /// A house with more lines in `server` and more sections; its one destination is the front.
    pub(crate) async fn open(server: &str, sections: &str) -> Self {
        Self::open_with(server, sections, "metadata_config: { send: false }").await
    }

    /// The same with other settings of the destination.
    pub(crate) async fn open_with(server: &str, sections: &str, destination: &str) -> Self {
        let front = AmpFront::start(Guard::Open).await;
        let url = front.url("/api/v1/remote_write");
        let rest = format!(
            "{sections}\nremote_write:\n  - {{ name: front, url: \"{url}\", {destination} }}"
        );
        let standing = Standing::start(server, &rest).await;
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { standing, front, client }
    }

    /// Posts a body; the answer has passed the checks of Firehose.
    pub(crate) async fn post(&self, head: HeaderMap, body: impl Into<reqwest::Body>) -> Answer {
        let url = self.standing.ingest_url("/firehose");
        let sent = self.client.post(url).headers(head).body(body).send().await.unwrap();
        Answer::checked(axum::http::Response::from(sent)).await
    }

    /// Every series with its samples, one text each: `name{label="value",...} time value`.
    pub(crate) fn stored(&self) -> Vec<String> {
        let mut all = Vec::new();
        for (labels, mut samples) in self.front.samples() {
            let mut series = String::new();
            for (name, value) in &labels {
                if name != "__name__" && name != "job" {
                    let comma = if series.is_empty() { "" } else { "," };
                    write!(series, "{comma}{name}={value:?}").unwrap();
                }
            }
            let name = labels.iter().find(|(name, _)| name == "__name__").unwrap();
            samples.sort_by_key(|sample| sample.0);
            let lines = samples.iter().map(|(at, v)| format!("{}{{{series}}} {at} {v:?}", name.1));
            all.extend(lines);
        }
        all.sort();
        all
    }

    /// Waits until nothing is held, and checks that nothing panicked and that the next good request
    /// is taken.
    pub(crate) async fn goes_on(&self) -> Figures {
        let figures = self.standing.rest().await;
        assert_eq!(figures.value("sluicegate_panics_total", &[]), 0.0);
        let id = fresh_id();
        let head = head_with("x-amz-firehose-request-id", &id);
        let answer = self.post(head, envelope(&id, &[line(7).as_bytes()])).await;
        assert_eq!((answer.status, answer.request_id), (200, id));
        figures
    }
}

/// What is counted as skipped, by reason.
pub(crate) fn skips(figures: &Figures) -> BTreeMap<String, u64> {
    let reasons = Reason::ALL.iter().map(|reason| reason.name());
    let counted = reasons.map(|reason| {
        let count = figures.value("sluicegate_records_skipped_total", &[("reason", reason)]);
        (reason.to_owned(), count as u64)
    });
    counted.filter(|(_, count)| *count > 0).collect()
}
