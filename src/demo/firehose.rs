//! A sender that follows Firehose's documented delivery and retry rules to the letter.
//!
//! Only a 200 whose answer keeps the contract is a success. 413 loses the batch for good. All else
//! is tried again, 1 s, 2 s, 4 s and so on, with 15 % jitter and at most 120 s apart, until the
//! retry duration has passed; then the batch goes to the backup bucket.
//! <https://docs.aws.amazon.com/firehose/latest/dev/httpdeliveryrequestresponse.html>

use std::fmt;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use bytes::Bytes;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use tokio::time::Instant;

use super::contract;
use super::dice::{Dice, fresh_seed};
use crate::secret::{Secret, hidden_in_url};

/// How a Firehose stream is set up.
#[derive(Clone)]
pub struct FirehoseConfig {
    /// The endpoint, with its path and query. (The real one takes `https` on port 443 only.)
    pub url: String,
    /// The access key; the header is left out without one.
    pub access_key: Option<Secret>,
    /// `arn:aws:firehose:<region>:<account>:deliverystream/<name>`
    pub source_arn: String,
    /// Up to 50 common attributes; the header is left out without any.
    pub common_attributes: Vec<(String, String)>,
    /// Content encoding `GZIP` instead of `NONE`.
    pub gzip: bool,
    /// How long an answer may take.
    pub timeout: Duration,
    /// `RetryOptions.DurationInSeconds`, 0..7200 s: counted from the first failure, without the
    /// time spent waiting for answers; 0 means no retry.
    pub retry_duration: Duration,
    /// The first wait between attempts.
    pub backoff_start: Duration,
    /// The longest wait between attempts.
    pub backoff_max: Duration,
    /// Share by which a wait may be shorter or longer.
    pub jitter: f64,
    /// Seed of the jitter and the request ids.
    pub seed: u64,
}

/// Without what may be secret in the URL.
impl fmt::Debug for FirehoseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FirehoseConfig")
            .field("url", &hidden_in_url(&self.url))
            .field("access_key", &self.access_key)
            .field("source_arn", &self.source_arn)
            .field("gzip", &self.gzip)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

impl FirehoseConfig {
    /// The documented figures, with the longest retry duration and no compression.
    #[must_use]
    pub fn new(url: impl Into<String>, access_key: Option<Secret>) -> Self {
        Self {
            url: url.into(),
            access_key,
            source_arn: "arn:aws:firehose:eu-west-1:111122223333:deliverystream/demo".to_owned(),
            common_attributes: Vec::new(),
            gzip: false,
            timeout: Duration::from_secs(180),
            retry_duration: Duration::from_secs(7200),
            backoff_start: Duration::from_secs(1),
            backoff_max: Duration::from_secs(120),
            jitter: 0.15,
            seed: fresh_seed(),
        }
    }
}

/// Where a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// Acknowledged by a 200 that keeps the contract.
    Delivered,
    /// The retry duration passed: the batch lies in the backup bucket.
    Backup,
    /// Lost by a 413, which Firehose neither retries nor backs up.
    Dropped413,
}

/// The life of one batch.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Where it ended.
    pub outcome: Outcome,
    /// Requests made.
    pub attempts: u32,
    /// What each attempt counted as: 500 where the answer broke the contract, 0 where none came.
    pub statuses: Vec<u16>,
    /// Breaches of the contract, in words.
    pub breaches: Vec<String>,
    /// How long the last attempt took.
    pub latency: Duration,
    /// `requestId`, the same in all attempts.
    pub request_id: String,
    /// Firehose's code and words for the last failure.
    pub last_error: Option<(&'static str, String)>,
}

/// A batch in the backup bucket.
#[derive(Clone, Debug)]
pub struct Backup {
    /// `requestId` of its attempts.
    pub request_id: String,
    /// The raw records.
    pub records: Vec<Vec<u8>>,
    /// Attempts made.
    pub attempts: u32,
    /// `errorCode`, e.g. `HttpEndpoint.DestinationException`.
    pub error_code: &'static str,
    /// `errorMessage`: the endpoint's own words where it sent some.
    pub error_message: String,
}

/// Why an attempt was not a success.
struct Failure {
    /// What it counts as; 0 where no answer came.
    status: u16,
    code: &'static str,
    message: String,
    breach: bool,
}

/// One delivery stream. Deliveries may run at the same time.
#[derive(Debug)]
pub struct Firehose {
    config: FirehoseConfig,
    client: reqwest::Client,
    headers: HeaderMap,
    dice: Mutex<Dice>,
    backup: Mutex<Vec<Backup>>,
}

impl Firehose {
    /// Sets a stream up.
    ///
    /// # Errors
    /// If a setting cannot be a header.
    pub fn new(config: FirehoseConfig) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .build()
            .context("the HTTP client cannot be built")?;
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-firehose-protocol-version", HeaderValue::from_static("1.0"));
        headers.insert(
            "x-amz-firehose-source-arn",
            config.source_arn.parse().context("the source ARN cannot be a header")?,
        );
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers
            .insert(USER_AGENT, HeaderValue::from_static("Amazon Kinesis Data Firehose Agent/1.0"));
        if let Some(key) = &config.access_key {
            let mut value = HeaderValue::from_bytes(key.expose().as_bytes())
                .context("the access key cannot be a header")?;
            value.set_sensitive(true);
            headers.insert("x-amz-firehose-access-key", value);
        }
        if !config.common_attributes.is_empty() {
            let attributes: serde_json::Map<_, _> = config
                .common_attributes
                .iter()
                .map(|(name, value)| (name.clone(), value.clone().into()))
                .collect();
            let text = serde_json::json!({ "commonAttributes": attributes }).to_string();
            headers.insert(
                "x-amz-firehose-common-attributes",
                HeaderValue::from_bytes(text.as_bytes())
                    .context("the common attributes cannot be a header")?,
            );
        }
        if config.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let dice = Mutex::new(Dice::new(config.seed));
        Ok(Self { config, client, headers, dice, backup: Mutex::default() })
    }

    /// Delivers a batch of raw records, however long that takes.
    pub async fn deliver(&self, records: Vec<Vec<u8>>) -> Delivery {
        let request_id = self.guid();
        let body = self.body(&request_id, &records);
        let mut delivery = Delivery {
            outcome: Outcome::Backup,
            attempts: 0,
            statuses: Vec::new(),
            breaches: Vec::new(),
            latency: Duration::ZERO,
            request_id,
            last_error: None,
        };
        let mut waited = Duration::ZERO;
        let mut backoff = self.config.backoff_start;
        loop {
            delivery.attempts += 1;
            let begin = Instant::now();
            let attempt = self.attempt(body.clone(), &delivery.request_id);
            let result = tokio::time::timeout(self.config.timeout, attempt).await;
            delivery.latency = begin.elapsed();
            let failure = match result {
                Ok(Ok(())) => {
                    delivery.statuses.push(200);
                    delivery.outcome = Outcome::Delivered;
                    return delivery;
                }
                Ok(Err(failure)) => failure,
                Err(_) => Failure {
                    status: 0,
                    code: "HttpEndpoint.RequestTimeout",
                    message: format!("no answer within {:?}", self.config.timeout),
                    breach: false,
                },
            };
            delivery.statuses.push(failure.status);
            if failure.breach {
                delivery.breaches.push(failure.message.clone());
            }
            delivery.last_error = Some((failure.code, failure.message.clone()));
            if failure.status == 413 {
                delivery.outcome = Outcome::Dropped413;
                return delivery;
            }
            let wait = self.jittered(backoff);
            if waited + wait > self.config.retry_duration {
                self.lock_backup().push(Backup {
                    request_id: delivery.request_id.clone(),
                    records,
                    attempts: delivery.attempts,
                    error_code: failure.code,
                    error_message: failure.message,
                });
                return delivery;
            }
            tokio::time::sleep(wait).await;
            waited += wait;
            backoff = backoff.saturating_mul(2).min(self.config.backoff_max);
        }
    }

    /// What lies in the backup bucket.
    #[must_use]
    pub fn backup(&self) -> Vec<Backup> {
        self.lock_backup().clone()
    }

    async fn attempt(&self, body: Bytes, request_id: &str) -> Result<(), Failure> {
        let mut answer = self
            .client
            .post(&self.config.url)
            .headers(self.headers.clone())
            .header("x-amz-firehose-request-id", request_id)
            .body(body)
            .send()
            .await
            .map_err(no_answer)?;
        let status = answer.status().as_u16();
        let mut text = Vec::new();
        // One byte more than is allowed tells that it is too much; the rest is not waited for.
        while text.len() <= contract::ANSWER_BYTES_MAX
            && let Some(chunk) = answer.chunk().await.map_err(no_answer)?
        {
            text.extend_from_slice(&chunk);
        }
        match contract::check(status, answer.headers(), &text, request_id) {
            Ok(_) if status == 200 => Ok(()),
            Ok(message) => Err(Failure {
                status,
                code: "HttpEndpoint.DestinationException",
                message: message.unwrap_or_else(|| format!("status {status}")),
                breach: false,
            }),
            Err(breach) => Err(Failure {
                status: 500,
                code: if text.len() > contract::ANSWER_BYTES_MAX {
                    "HttpEndpoint.ResponseTooLarge"
                } else {
                    "HttpEndpoint.InvalidResponseFromDestination"
                },
                message: breach,
                breach: true,
            }),
        }
    }

    fn body(&self, request_id: &str, records: &[Vec<u8>]) -> Bytes {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let mut text = format!(r#"{{"requestId":"{request_id}","timestamp":{now_ms},"records":["#);
        for (index, record) in records.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            text.push_str(r#"{"data":""#);
            base64_simd::STANDARD.encode_append(record, &mut text);
            text.push_str(r#""}"#);
        }
        text.push_str("]}");
        if !self.config.gzip {
            return text.into();
        }
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        // Writing to memory cannot fail.
        let _ = packed.write_all(text.as_bytes());
        packed.finish().unwrap_or_default().into()
    }

    /// A random identifier in the form of a version 4 UUID.
    fn guid(&self) -> String {
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        let (high, low) = (dice.bits(), dice.bits());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            0x8000 | (low >> 48) & 0x3fff,
            low & 0xffff_ffff_ffff
        )
    }

    fn jittered(&self, backoff: Duration) -> Duration {
        let share = self.dice.lock().unwrap_or_else(PoisonError::into_inner).unit();
        let factor = (1.0 + self.config.jitter * (2.0 * share - 1.0)).max(0.0);
        backoff.mul_f64(factor).min(self.config.backoff_max)
    }

    fn lock_backup(&self) -> std::sync::MutexGuard<'_, Vec<Backup>> {
        self.backup.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_answer(fault: reqwest::Error) -> Failure {
    let code = if fault.is_connect() {
        "HttpEndpoint.ConnectionFailed"
    } else {
        "HttpEndpoint.ConnectionReset"
    };
    let message = fault.without_url().to_string();
    Failure { status: 0, code, message, breach: false }
}
