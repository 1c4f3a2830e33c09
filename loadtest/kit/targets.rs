//! Vegeta's JSON targets: one line each, with the body in base64 and Firehose's headers.
//!
//! The request id is the URL's fragment as well. A fragment is never sent, but vegeta's results
//! repeat the URL, so that the number of a request is known even if nobody answered it.

use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use base64_simd::STANDARD;
use serde_json::json;

use crate::load::{Body, Load};
use crate::options::access_key;

/// The delivery stream that the load comes from.
const SOURCE_ARN: &str = "arn:aws:firehose:eu-west-1:111122223333:deliverystream/load";

/// Firehose's limit.
const COMMON_ATTRIBUTES_MAX: usize = 50;

/// What `loadtest targets` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Where the gateway takes deliveries.
    #[arg(long)]
    pub url: String,
    /// Access key; the header is left out without one. Other users of this machine can see it here:
    /// `--key-file` hides it.
    #[arg(long, conflicts_with = "key_file")]
    pub key: Option<String>,
    /// The file that holds the access key.
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Common attributes of the delivery stream.
    #[arg(long, value_name = "KEY=VALUE", value_parser = attribute)]
    pub common_attributes: Vec<(String, String)>,
    /// So many targets; endless if left out.
    #[arg(long, value_name = "N")]
    pub requests: Option<u64>,
    /// Name of the run: a dimension of every metric and a part of every request id.
    #[arg(long, default_value = "by-hand")]
    pub run: String,
    /// Number of the first request.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub first: u64,
    /// What the bodies are made of.
    #[command(flatten)]
    pub load: Load,
}

/// Reads `key=value`.
///
/// # Errors
/// If there is no `=`.
pub fn attribute(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("must be KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Writes targets to standard output until there are enough or nobody reads on.
///
/// # Errors
/// If the options are wrong or standard output cannot be written to.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let gzip = options.load.gzip > 0;
    let key = access_key(options.key.as_deref(), options.key_file.as_deref())?.unwrap_or_default();
    let targets = Targets::new(&options.url, &key, &options.common_attributes, gzip)?;
    let bodies = options.load.bodies(&options.run, options.first)?;
    let enough = options.requests.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
    let mut out = std::io::stdout().lock();
    let mut line = Vec::new();
    for body in bodies.take(enough) {
        line.clear();
        targets.write(&body, &mut line);
        match out.write_all(&line) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            written => written.context("standard output")?,
        }
    }
    match out.flush() {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Writes targets of one destination.
#[derive(Clone, Debug)]
pub struct Targets {
    /// Up to the request id in the URL.
    before_url_id: String,
    /// From there up to the request id in the header.
    before_header_id: String,
    /// From there up to the body.
    before_body: String,
}

impl Targets {
    /// Targets with Firehose's headers; without a header for an empty access key or no attributes.
    ///
    /// # Errors
    /// If the URL is none or has a fragment, or there are too many common attributes.
    pub fn new(
        url: &str,
        key: &str,
        common_attributes: &[(String, String)],
        gzip: bool,
    ) -> anyhow::Result<Self> {
        let parsed = reqwest::Url::parse(url).with_context(|| format!("URL {url:?}"))?;
        ensure!(matches!(parsed.scheme(), "http" | "https"), "{url:?} is no HTTP URL");
        ensure!(parsed.fragment().is_none(), "{url:?} has a fragment");
        ensure!(
            common_attributes.len() <= COMMON_ATTRIBUTES_MAX,
            "a stream has no more than {COMMON_ATTRIBUTES_MAX} common attributes"
        );
        let mut headers = vec![
            ("Content-Type", "application/json".to_owned()),
            ("User-Agent", "Amazon Kinesis Data Firehose Agent/1.0".to_owned()),
            ("X-Amz-Firehose-Protocol-Version", "1.0".to_owned()),
            ("X-Amz-Firehose-Source-Arn", SOURCE_ARN.to_owned()),
        ];
        if gzip {
            headers.push(("Content-Encoding", "gzip".to_owned()));
        }
        if !key.is_empty() {
            headers.push(("X-Amz-Firehose-Access-Key", key.to_owned()));
        }
        if !common_attributes.is_empty() {
            let pairs = common_attributes.iter().map(|(key, value)| (key.clone(), json!(value)));
            let pairs: serde_json::Map<_, _> = pairs.collect();
            let text = json!({ "commonAttributes": pairs }).to_string();
            headers.push(("X-Amz-Firehose-Common-Attributes", text));
        }
        let headers = headers.iter().map(|(name, value)| format!("\"{name}\":[{}],", json!(value)));
        let mut quoted = json!(url).to_string();
        quoted.pop();
        Ok(Self {
            before_url_id: format!("{{\"method\":\"POST\",\"url\":{quoted}#"),
            before_header_id: format!(
                "\",\"header\":{{{}\"X-Amz-Firehose-Request-Id\":[\"",
                headers.collect::<String>()
            ),
            before_body: "\"]},\"body\":\"".to_owned(),
        })
    }

    /// Appends the line of one body.
    pub fn write(&self, body: &Body, out: &mut Vec<u8>) {
        out.extend_from_slice(self.before_url_id.as_bytes());
        out.extend_from_slice(body.request_id.as_bytes());
        out.extend_from_slice(self.before_header_id.as_bytes());
        out.extend_from_slice(body.request_id.as_bytes());
        out.extend_from_slice(self.before_body.as_bytes());
        STANDARD.encode_append(&body.bytes, out);
        out.extend_from_slice(b"\"}\n");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_one_line_with_all_that_firehose_sends() {
        let body =
            Body { number: 7, request_id: "id-7".to_owned(), points: 1..2, bytes: vec![0xff; 4] };
        let attributes = [("a".to_owned(), "b \"c\"".to_owned())];
        let targets = Targets::new("http://h:1/p?q=1", "k\"\n", &attributes, true).unwrap();
        let mut line = Vec::new();
        targets.write(&body, &mut line);
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let target: serde_json::Value = serde_json::from_slice(&line).unwrap();
        let expected = json!({
            "method": "POST",
            "url": "http://h:1/p?q=1#id-7",
            "header": {
                "Content-Type": ["application/json"],
                "User-Agent": ["Amazon Kinesis Data Firehose Agent/1.0"],
                "X-Amz-Firehose-Protocol-Version": ["1.0"],
                "X-Amz-Firehose-Source-Arn": [SOURCE_ARN],
                "Content-Encoding": ["gzip"],
                "X-Amz-Firehose-Access-Key": ["k\"\n"],
                "X-Amz-Firehose-Common-Attributes": ["{\"commonAttributes\":{\"a\":\"b \\\"c\\\"\"}}"],
                "X-Amz-Firehose-Request-Id": ["id-7"],
            },
            "body": "/////w==",
        });
        assert_eq!(target, expected);

        let bare = Targets::new("http://h/", "", &[], false).unwrap();
        line.clear();
        bare.write(&body, &mut line);
        let text = String::from_utf8(line).unwrap();
        for absent in ["Encoding", "Access-Key", "Common-Attributes"] {
            assert!(!text.contains(absent), "{text}");
        }
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for url in ["", "h:1", "ftp://h/", "http://h/#x"] {
            assert!(Targets::new(url, "k", &[], true).is_err(), "{url}");
        }
    }
}
