//! Lanes between hand-made batches and a scripted receiver, all in memory, so that time can stand
//! still.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use sluicegate::deliver::config::{Auth, BadRequest, Destination, Metadata, Queue, Tls};
use sluicegate::deliver::courier::{Transport, Witnesses};
use sluicegate::deliver::judge::Verdict;
use sluicegate::deliver::{Courier, Orders, Report};
use sluicegate::meters::Meters;
use sluicegate::queue::{
    Acked, Budget, Full, Lanes, LanesBuilder, Limits, REQUEST_CHARGE_MIN, Request,
};
use sluicegate::sample::{Batch, Identity, Row, SampleRef, Series, SeriesSet};
use sluicegate::tasks::Tasks;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::prompb::{series_text, unpack};

/// A sample as the receiver sees it: series, timestamp, value.
pub(crate) type Seen = (String, i64, f64);

type Answer = dyn Fn(usize, &[Seen]) -> Verdict + Send + Sync;

/// A receiver that answers by a script: the request's number and its samples in, a verdict out.
pub(crate) struct Script {
    answer: Box<Answer>,
    /// How long it takes for the answer to the request of a number.
    delay: Box<dyn Fn(usize) -> Duration + Send + Sync>,
    pub(crate) requests: Mutex<Vec<(Instant, Vec<Seen>)>>,
    /// What it accepted, in order.
    pub(crate) accepted: Mutex<Vec<Seen>>,
    /// What it stored: all of an accepted request.
    pub(crate) stored: Mutex<BTreeMap<(String, i64), f64>>,
}

impl Script {
    pub(crate) fn new(
        answer: impl Fn(usize, &[Seen]) -> Verdict + Send + Sync + 'static,
    ) -> Arc<Self> {
        Self::slow(Duration::ZERO, answer)
    }

    pub(crate) fn slow(
        delay: Duration,
        answer: impl Fn(usize, &[Seen]) -> Verdict + Send + Sync + 'static,
    ) -> Arc<Self> {
        Self::paced(move |_| delay, answer)
    }

    pub(crate) fn paced(
        delay: impl Fn(usize) -> Duration + Send + Sync + 'static,
        answer: impl Fn(usize, &[Seen]) -> Verdict + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            answer: Box::new(answer),
            delay: Box::new(delay),
            requests: Mutex::default(),
            accepted: Mutex::default(),
            stored: Mutex::default(),
        })
    }

    pub(crate) fn request_sizes(&self) -> Vec<usize> {
        self.requests.lock().unwrap().iter().map(|(_, seen)| seen.len()).collect()
    }
}

impl Transport for Script {
    async fn send(&self, block: Bytes, timeout: Duration) -> Verdict {
        let seen: Vec<Seen> = unpack(&block)
            .timeseries
            .iter()
            .flat_map(|series| {
                let text = series_text(series);
                series.samples.iter().map(move |s| (text.clone(), s.timestamp, s.value))
            })
            .collect();
        let number = {
            let mut requests = self.requests.lock().unwrap();
            requests.push((Instant::now(), seen.clone()));
            requests.len() - 1
        };
        let delay = (self.delay)(number);
        sleep(delay.min(timeout)).await;
        if delay > timeout {
            return try_again("timed out");
        }
        let verdict = (self.answer)(number, &seen);
        if verdict == Verdict::Accepted {
            self.accepted.lock().unwrap().extend(seen.iter().cloned());
            let mut stored = self.stored.lock().unwrap();
            stored.extend(seen.into_iter().map(|(series, ms, value)| ((series, ms), value)));
        }
        verdict
    }
}

pub(crate) fn try_again(trouble: &str) -> Verdict {
    let trouble = trouble.to_owned();
    Verdict::TryAgain { after: None, over_rate: false, misconfigured: false, trouble }
}

/// A destination of `lanes` lanes, before anything else is said of it.
pub(crate) fn destination(name: &str, lanes: u32) -> Destination {
    Destination {
        name: name.to_owned(),
        url: "http://receiver.invalid/api/v1/write".to_owned(),
        required: true,
        auth: Auth::None,
        headers: Vec::new(),
        tls_config: Tls::default(),
        write_relabel_configs: Vec::new(),
        queue_config: Queue {
            max_shards: lanes,
            max_samples_per_send: 1000,
            max_bytes_per_send: 1_000_000,
            min_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(10),
            sample_age_limit: None,
            sample_future_limit: None,
        },
        metadata_config: Metadata {
            send: false,
            send_interval: Duration::from_secs(60),
            max_samples_per_send: 500,
        },
        remote_timeout: Duration::from_secs(30),
        bad_request: BadRequest::Auto,
        max_isolation_requests: 512,
    }
}

/// Lanes at work, and what is needed to feed them.
pub(crate) struct Works {
    pub(crate) budget: Arc<Budget>,
    pub(crate) lanes: Lanes,
    pub(crate) meters: Meters,
    pub(crate) give_up: CancellationToken,
    lane_counts: Vec<u32>,
}

impl Works {
    /// Starts the lanes of each destination, with a share of `share_bytes` of a 1 GiB budget.
    pub(crate) fn start(ends: Vec<(Destination, u64, Arc<Script>)>) -> Self {
        let (meters, tasks, give_up) = (Meters::new(), Tasks::new(), CancellationToken::new());
        let budget = Budget::new(1 << 30);
        let mut builder = LanesBuilder::default();
        let mut lane_counts = Vec::new();
        for (serial, (destination, share_bytes, script)) in (0..).zip(ends) {
            let lanes = destination.queue_config.max_shards;
            lane_counts.push(lanes);
            let (name, required) = (destination.name.as_str(), destination.required);
            let limits = Limits { share_bytes, isolation_max: destination.max_isolation_requests };
            let report = Arc::new(Report::new(name, &meters));
            let witnesses = Witnesses { report, families: Arc::default() };
            let inboxes = builder.destination(name, serial, required, lanes, limits, &meters);
            let orders = watch::Sender::new(Arc::new(Orders { destination, remote: script }));
            for inbox in inboxes {
                let (orders, witnesses) = (orders.subscribe(), witnesses.clone());
                let courier = Courier::new(inbox, orders, witnesses, &meters, give_up.clone());
                tasks.spawn(courier.run());
            }
        }
        Self { budget, lanes: builder.build(), meters, give_up, lane_counts }
    }

    /// Lanes of one destination with all of the budget.
    pub(crate) fn of(destination: Destination, script: &Arc<Script>) -> Self {
        Self::start(vec![(destination, 1 << 30, Arc::clone(script))])
    }

    /// Hands over samples (series number, timestamp, value) as one request, to every destination.
    pub(crate) fn submit(
        &self,
        samples: &[(u32, i64, f64)],
        deadline: Duration,
    ) -> Result<Acked, Full> {
        let permit = self.budget.try_take(REQUEST_CHARGE_MIN).expect("room");
        let deadline = Instant::now() + deadline;
        let request = Request { id: "r".to_owned(), deadline, batches: 1, claim: None };
        self.lanes.submit(batch(samples, &self.lane_counts), permit, request)
    }

    /// The value of a metric's line in `/metrics`; 0 if it is not there yet.
    pub(crate) fn metric(&self, line: &str) -> f64 {
        let text = self.meters.render();
        let value = text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Samples of a destination that were too far ahead of the clock: a term of the books of its own.
    pub(crate) fn too_new(&self, destination: &str) -> f64 {
        let labels = format!("{{destination=\"{destination}\",outcome=\"too_new\"}}");
        self.metric(&format!("sluicegate_samples_total{labels}"))
    }

    /// A destination's books but for what was too new: delivered, partial, refused, aged out, dropped, lost, in flight.
    pub(crate) fn books(&self, destination: &str) -> [f64; 7] {
        let outcome = |outcome: &str| {
            let labels = format!("{{destination=\"{destination}\",outcome=\"{outcome}\"}}");
            self.metric(&format!("sluicegate_samples_total{labels}"))
        };
        let in_flight = format!("sluicegate_samples_in_flight{{destination=\"{destination}\"}}");
        [
            outcome("delivered"),
            outcome("partial"),
            outcome("refused"),
            outcome("aged_out"),
            outcome("dropped"),
            outcome("lost"),
            self.metric(&in_flight),
        ]
    }

    /// Waits until everything is settled, then checks that the books balance and the bytes are back.
    pub(crate) async fn rest(&self, destinations: &[&str]) {
        while self.budget.used() > 0 {
            sleep(Duration::from_secs(1)).await;
        }
        for destination in destinations {
            let received = self.metric(&format!(
                "sluicegate_samples_received_total{{destination=\"{destination}\"}}"
            ));
            let books = self.books(destination);
            let settled = books.iter().sum::<f64>() + self.too_new(destination);
            assert_eq!(settled, received, "{destination}: {books:?}");
            assert_eq!(books[6], 0.0, "{destination}: in flight at rest");
        }
    }
}

/// A batch whose series `i` is `m{i="i"}` and has lane `i % lanes` at every destination.
pub(crate) fn batch(samples: &[(u32, i64, f64)], lane_counts: &[u32]) -> Batch {
    let mut batch = Batch {
        lanes: lane_counts.iter().map(|lanes| vec![Vec::new(); *lanes as usize]).collect(),
        ..Batch::default()
    };
    for (series, timestamp_ms, value) in samples {
        let row = u32::try_from(batch.rows.len()).unwrap();
        batch.rows.push(Row {
            identity: identity(*series, lane_counts),
            timestamp_ms: *timestamp_ms,
            values_at: row,
        });
        batch.values.push(*value);
        for (lanes, count) in batch.lanes.iter_mut().zip(lane_counts) {
            lanes[(series % count) as usize].push(SampleRef { row, slot: 0 });
        }
    }
    batch
}

fn identity(series: u32, lane_counts: &[u32]) -> Identity {
    let label = |name: &str, value: &str| {
        let field =
            |tag: u8, bytes: &[u8]| [&[tag, u8::try_from(bytes.len()).unwrap()], bytes].concat();
        field(0x0a, &[field(0x0a, name.as_bytes()), field(0x12, value.as_bytes())].concat())
    };
    let (name, tail) = (label("__name__", "m"), label("i", &series.to_string()));
    let sets = lane_counts.iter().map(|lanes| SeriesSet {
        first: &[],
        series: vec![Some(Series {
            hash: u64::from(series),
            stem: u64::from(series),
            lane: series % lanes,
            own: &name,
        })],
        last: &tail,
    });
    Identity::new(&[], "AWS/Test", &sets.collect::<Vec<_>>())
}
