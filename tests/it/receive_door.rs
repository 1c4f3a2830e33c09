//! A door with lanes behind it that a test settles as it likes, and the checker that every answer
//! has to pass.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use http_body_util::BodyExt as _;
use sluicegate::map::{self, Mapper};
use sluicegate::meters::Meters;
use sluicegate::queue::{self, Budget, Inbox, Lanes, LanesBuilder, Part};
use sluicegate::receive::{
    AccessKey, Config, Door, KeyFault, KeySource, Keys, OnUndecodable, Rules,
};
use sluicegate::secret::Secret;
use sluicegate::tasks::Tasks;
use tower::ServiceExt as _;

pub(crate) const ID: &str = "ed4acda5-034f-9f42-bba1-f29aea6d7d8f";
pub(crate) const ARN: &str = "arn:aws:firehose:eu-west-1:111122223333:deliverystream/metrics";
pub(crate) const KEY: &str = "correct horse";

pub(crate) struct House {
    pub(crate) door: Arc<Door>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) meters: Meters,
    pub(crate) tasks: Tasks,
    pub(crate) inboxes: Vec<Inbox>,
}

pub(crate) fn key(name: &str, text: &str) -> AccessKey {
    AccessKey {
        name: name.to_owned(),
        source: KeySource::Key(Secret::new(text)),
        source_arns: Vec::new(),
        accounts: Vec::new(),
    }
}

pub(crate) fn config() -> Config {
    Config {
        listen_address: ([127, 0, 0, 1], 0).into(),
        path: "/firehose".to_owned(),
        access_keys: vec![key("primary", KEY)],
        insecure_allow_unauthenticated: false,
        common_attributes: Vec::new(),
        on_undecodable: OnUndecodable::Skip,
        request_deadline: Duration::from_secs(150),
        budget: 64 << 20,
        max_body_size: 16 << 20,
        tls_config: None,
        max_connections: 100,
        max_requests_per_connection: 0,
        max_header_size: 64 << 10,
        read_header_timeout: Duration::from_secs(10),
        read_timeout: Duration::from_secs(60),
        idle_timeout: Duration::from_secs(300),
        shutdown_delay: Duration::ZERO,
        drain_deadline: Duration::from_secs(100),
    }
}

/// The serial of a destination that never goes to another place.
pub(crate) fn serial(name: &str) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(name)
}

/// The next part of a destination, if one waits.
pub(crate) fn taken(inbox: &mut Inbox) -> Option<Part> {
    inbox.take(1)?.parts.pop()
}

/// What waits in some lanes now.
pub(crate) fn waiting(inboxes: &mut [Inbox]) -> Vec<Part> {
    let mut parts = Vec::new();
    for inbox in inboxes {
        parts.extend(std::iter::from_fn(|| taken(inbox)));
    }
    parts
}

pub(crate) fn settle(mut part: Part) {
    part.tally.delivered = part.samples().len() as u64;
}

/// The next part of a destination, as long as there may be one.
pub(crate) async fn next_part(inbox: &mut Inbox) -> Option<Part> {
    while inbox.ready().await {
        if let Some(part) = taken(inbox) {
            return Some(part);
        }
    }
    None
}

/// Rules for these destinations, and the inboxes of their lanes.
pub(crate) fn rules(
    config: &Config,
    to: &[(&str, bool)],
    budget: &Arc<Budget>,
    meters: &Meters,
) -> Result<(Rules, Vec<Inbox>), KeyFault> {
    rules_within(config, to, config.budget, budget, meters)
}

/// [`rules`] for destinations that have this share of the budget each.
fn rules_within(
    config: &Config,
    to: &[(&str, bool)],
    share_bytes: u64,
    budget: &Arc<Budget>,
    meters: &Meters,
) -> Result<(Rules, Vec<Inbox>), KeyFault> {
    let to: Vec<_> = to.iter().map(|(name, required)| (*name, serial(name), *required)).collect();
    let mapper = mapper(to.len());
    shared_rules(config, &to, share_bytes, &mapper, budget, meters)
}

/// A mapper for so many destinations.
pub(crate) fn mapper(destinations: usize) -> Arc<Mapper> {
    Arc::new(Mapper::new(map::Plan {
        config: map::Config::default(),
        external_labels: Vec::new(),
        relabel: Vec::new(),
        outlets: vec![map::Outlet { lanes: 2, write_relabel: Vec::new() }; destinations],
    }))
}

/// Rules for destinations with these serials.
pub(crate) fn rules_of(
    config: &Config,
    to: &[(&str, u64, bool)],
    mapper: &Arc<Mapper>,
    budget: &Arc<Budget>,
    meters: &Meters,
) -> Result<(Rules, Vec<Inbox>), KeyFault> {
    shared_rules(config, to, config.budget, mapper, budget, meters)
}

fn shared_rules(
    config: &Config,
    to: &[(&str, u64, bool)],
    share_bytes: u64,
    mapper: &Arc<Mapper>,
    budget: &Arc<Budget>,
    meters: &Meters,
) -> Result<(Rules, Vec<Inbox>), KeyFault> {
    let mut lanes = LanesBuilder::default();
    let limits = queue::Limits { share_bytes, isolation_max: 512 };
    let inboxes = to.iter().flat_map(|(name, serial, must)| {
        lanes.destination(name, *serial, *must, 2, limits, meters)
    });
    let inboxes = inboxes.collect();
    let lanes: Lanes = lanes.build();
    let keys = Keys::new(config, meters)?;
    Ok((Rules::new(config, keys, Arc::clone(mapper), lanes, budget, meters), inboxes))
}

impl House {
    pub(crate) fn try_new(config: &Config) -> Result<Self, KeyFault> {
        Self::try_with(config, &[("amp", true)])
    }

    /// A house with these destinations, required or not, of two lanes each.
    pub(crate) fn try_with(config: &Config, to: &[(&str, bool)]) -> Result<Self, KeyFault> {
        Self::try_within(config, to, config.budget)
    }

    /// A house whose destinations have this share of the budget each.
    pub(crate) fn try_within(
        config: &Config,
        to: &[(&str, bool)],
        share_bytes: u64,
    ) -> Result<Self, KeyFault> {
        let meters = Meters::new();
        let tasks = Tasks::new();
        let budget = Budget::new(config.budget);
        let (rules, inboxes) = rules_within(config, to, share_bytes, &budget, &meters)?;
        let door = Door::new(rules, &meters, tasks.clone());
        Ok(Self { door, budget, meters, tasks, inboxes })
    }

    /// Nothing is settled unless the test does it.
    pub(crate) fn idle(tune: impl FnOnce(&mut Config)) -> Self {
        let mut config = config();
        tune(&mut config);
        Self::try_new(&config).expect("a door")
    }

    /// Everything is delivered at once.
    pub(crate) fn delivering(tune: impl FnOnce(&mut Config)) -> Self {
        let mut house = Self::idle(tune);
        for mut inbox in house.inboxes.drain(..) {
            house.tasks.spawn(async move {
                while let Some(mut part) = next_part(&mut inbox).await {
                    part.tally.delivered = part.samples().len() as u64;
                }
            });
        }
        house
    }

    pub(crate) async fn call(&self, request: Request<Body>) -> Answer {
        let answer = self.door.router().oneshot(request).await;
        Answer::checked(answer.expect("the router never fails")).await
    }

    /// The value of a metric without labels, or with them as `/metrics` writes them.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.meters.render();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(f64::NAN, |value| value.parse().expect("a number"))
    }
}

/// An answer that has passed the checks of Firehose.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) request_id: String,
    pub(crate) error: String,
    pub(crate) allow: Option<String>,
}

impl Answer {
    /// The rules of the delivery specification's response format: what breaks one counts as 500.
    pub(crate) async fn checked<B>(response: Response<B>) -> Self
    where
        B: axum::body::HttpBody,
        B::Error: std::fmt::Debug,
    {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let header = |name: &str| parts.headers.get(name).map(|v| v.to_str().expect("text"));
        assert_eq!(header("content-type"), Some("application/json"));
        assert_eq!(header("content-length"), Some(body.len().to_string().as_str()));
        assert_eq!(header("transfer-encoding"), None);
        assert_eq!(header("content-encoding"), None);
        let allow = header("allow").map(str::to_owned);
        Self { allow, ..Self::of_json(parts.status.as_u16(), &body) }
    }

    pub(crate) fn of_json(status: u16, body: &[u8]) -> Self {
        assert!([200, 400, 401, 403, 404, 405, 500, 503].contains(&status), "{status}");
        assert!(body.len() < 1 << 20);
        let json: serde_json::Value = serde_json::from_slice(body).expect("JSON");
        let fields = json.as_object().expect("an object");
        assert!(fields["timestamp"].as_u64().is_some_and(|ms| ms > 1_600_000_000_000), "{json}");
        let error = fields.get("errorMessage").map(|e| e.as_str().expect("text").to_owned());
        assert_eq!(fields.len(), if status == 200 { 2 } else { 3 }, "{json}");
        assert!(error.as_ref().is_none_or(|e| !e.is_empty() && e.chars().count() <= 8192));
        Self {
            status,
            request_id: fields["requestId"].as_str().expect("text").to_owned(),
            error: error.unwrap_or_default(),
            allow: None,
        }
    }
}

/// A request as Firehose sends it.
pub(crate) fn request(body: impl Into<Body>) -> Request<Body> {
    let request = Request::post("/firehose")
        .header("content-type", "application/json")
        .header("x-amz-firehose-protocol-version", "1.0")
        .header("x-amz-firehose-request-id", ID)
        .header("x-amz-firehose-source-arn", ARN)
        .header("x-amz-firehose-access-key", KEY);
    request.body(body.into()).expect("a request")
}

/// The same with one header replaced, or removed if `value` is empty.
pub(crate) fn with(mut request: Request<Body>, name: &'static str, value: &str) -> Request<Body> {
    request.headers_mut().remove(name);
    if !value.is_empty() {
        request.headers_mut().insert(name, value.parse().expect("a header value"));
    }
    request
}

/// A request's body.
pub(crate) fn envelope(id: &str, records: &[&[u8]]) -> Vec<u8> {
    let data = |record: &&[u8]| {
        let text = base64_simd::STANDARD.encode_to_string(record);
        serde_json::json!({ "data": text })
    };
    let records: Vec<_> = records.iter().map(data).collect();
    let body = serde_json::json!({"requestId": id, "timestamp": 1_760_000_100_000_u64, "records": records});
    serde_json::to_vec(&body).expect("JSON")
}

/// One data point as a JSON line.
pub(crate) fn line(instance: usize) -> String {
    format!(
        "{{\"metric_stream_name\":\"demo\",\"account_id\":\"111122223333\",\"region\":\"eu-west-1\",\
         \"namespace\":\"AWS/EC2\",\"metric_name\":\"NetworkIn\",\
         \"dimensions\":{{\"InstanceId\":\"i-{instance}\"}},\"timestamp\":1760000040000,\
         \"value\":{{\"max\":2.0,\"min\":1.0,\"sum\":3.0,\"count\":2.0}},\"unit\":\"Bytes\"}}\n"
    )
}

pub(crate) fn gzip(plain: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::default();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
    encoder.write_all(plain).expect("memory");
    encoder.finish().expect("memory")
}
