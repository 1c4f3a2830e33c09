//! A whole house on free ports, started from the text of a configuration: what is sent to it, what
//! it counts, and what must come of the data points.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sluicegate::config::{Faults, Loaded, Source, load_within};
use sluicegate::demo::firehose::{Firehose, FirehoseConfig};
use sluicegate::demo::stream::{Format, Point};
use sluicegate::pipeline::{House, Listeners, Rejected};
use sluicegate::secret::Secret;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

/// The access key of every house here.
pub(crate) const KEY: &str = "correct horse battery";

/// Samples by series and time: the bits of each value. Series are their labels, the name included.
pub(crate) type Samples = BTreeMap<(BTreeMap<String, String>, i64), u64>;

/// A running gateway between what a test sends and its receivers.
pub(crate) struct Standing {
    pub(crate) house: House,
    http: reqwest::Client,
    ingest: std::net::SocketAddr,
    telemetry: std::net::SocketAddr,
    destinations: Vec<String>,
}

impl Standing {
    /// Starts a house: `server` holds further lines of that section, `rest` whole sections.
    pub(crate) async fn start(server: &str, rest: &str) -> Self {
        let config = load(server, rest).unwrap_or_else(|faults| panic!("{faults}\n{rest}")).config;
        let destinations = config.remote_write.iter().map(|to| to.name.clone()).collect();
        let bind = || TcpListener::bind("127.0.0.1:0");
        let (ingest, telemetry) = (bind().await.unwrap(), bind().await.unwrap());
        let house = House::start(config, Listeners { ingest, telemetry }).await.unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let (ingest, telemetry) = (house.ingest_address, house.telemetry_address);
        Self { house, http, ingest, telemetry, destinations }
    }

    /// Reloads with another configuration, made as at the start.
    pub(crate) async fn reload(&self, server: &str, rest: &str) -> Result<(), Rejected> {
        self.house.reload(load(server, rest)).await
    }

    /// A Firehose stream to this house, impatient, so that retries take little of a test's time.
    pub(crate) fn firehose(&self, gzip: bool) -> Firehose {
        self.firehose_with(|config| config.gzip = gzip)
    }

    pub(crate) fn firehose_with(&self, change: impl FnOnce(&mut FirehoseConfig)) -> Firehose {
        let url = self.ingest_url("/firehose");
        let mut config = FirehoseConfig {
            backoff_start: Duration::from_millis(50),
            backoff_max: Duration::from_millis(400),
            retry_duration: Duration::from_secs(60),
            seed: 1,
            ..FirehoseConfig::new(url, Some(Secret::new(KEY)))
        };
        change(&mut config);
        Firehose::new(config).unwrap()
    }

    /// A Firehose stream that gives up after its first attempt.
    pub(crate) fn firehose_once(&self) -> Firehose {
        self.firehose_with(|config| config.retry_duration = Duration::ZERO)
    }

    pub(crate) fn ingest_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.ingest)
    }

    pub(crate) fn telemetry_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.telemetry)
    }

    /// Status and text of a page.
    pub(crate) async fn page(&self, url: &str) -> (u16, String) {
        let answer = self.http.get(url).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// What `/metrics` shows now.
    pub(crate) async fn figures(&self) -> Figures {
        let (status, text) = self.page(&self.telemetry_url("/metrics")).await;
        assert_eq!(status, 200);
        Figures(text)
    }

    /// Waits until no request holds any of the budget, then checks that the books balance and that
    /// nothing is in flight.
    pub(crate) async fn rest(&self) -> Figures {
        let begun = Instant::now();
        loop {
            let figures = self.figures().await;
            if figures.value("sluicegate_budget_used_bytes", &[]) == 0.0 {
                for name in &self.destinations {
                    let of = [("destination", name.as_str())];
                    let received = figures.value("sluicegate_samples_received_total", &of);
                    let settled = figures.value("sluicegate_samples_total", &of);
                    let in_flight = figures.value("sluicegate_samples_in_flight", &of);
                    assert_eq!((received, in_flight), (settled, 0.0), "{name}:\n{}", figures.0);
                }
                return figures;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "budget still held\n{}", figures.0);
            sleep(Duration::from_millis(5)).await;
        }
    }
}

fn load(server: &str, rest: &str) -> Result<Loaded, Faults> {
    let text = format!(
        "server:\n  access_keys: [{{ name: test, key: {KEY} }}]\n  budget: 256MiB\n  \
         shutdown_delay: 0s\n{server}\n{rest}\n"
    );
    load_within(Source::Content(&text), &|_| None, None)
}

/// One scrape of `/metrics`.
pub(crate) struct Figures(pub(crate) String);

impl Figures {
    /// The sum of the lines of a metric that have these labels; 0 without any.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let wanted: Vec<_> =
            labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let lines = self.0.lines().filter_map(|line| line.strip_prefix(name));
        lines
            .filter(|rest| rest.starts_with(['{', ' ']))
            .filter(|rest| wanted.iter().all(|label| rest.contains(label.as_str())))
            .map(|rest| rest.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    }

    /// Samples of a destination by outcome: delivered, partial, refused, aged out, dropped, lost.
    pub(crate) fn outcomes(&self, destination: &str) -> [f64; 6] {
        ["delivered", "partial", "refused", "aged_out", "dropped", "lost"].map(|outcome| {
            let labels = [("destination", destination), ("outcome", outcome)];
            self.value("sluicegate_samples_total", &labels)
        })
    }

    /// Samples of a destination that were refused for a reason.
    pub(crate) fn refused(&self, destination: &str, reason: &str) -> f64 {
        let labels = [("destination", destination), ("reason", reason)];
        self.value("sluicegate_samples_refused_total", &labels)
    }
}

/// What must come of data points that were sent in a format, in the `yace` dialect.
pub(crate) fn expected(format: Format, points: &[Point<'_>]) -> Samples {
    let samples = points.iter().flat_map(|point| {
        point.samples(format).map(|(suffix, value)| {
            let labels = point.metric.labels(suffix).into_iter().collect();
            ((labels, point.start_ms), value.to_bits())
        })
    });
    samples.collect()
}

/// Series with their samples, one by one. A time that comes again must have the same value.
pub(crate) fn flat<L, V>(series: impl IntoIterator<Item = (L, V)>) -> Samples
where
    L: IntoIterator<Item = (String, String)>,
    V: IntoIterator<Item = (i64, u64)>,
{
    let mut all = Samples::new();
    for (labels, samples) in series {
        let labels: BTreeMap<_, _> = labels.into_iter().collect();
        for (at_ms, bits) in samples {
            let before = all.insert((labels.clone(), at_ms), bits);
            assert!(before.is_none_or(|before| before == bits), "two values: {labels:?} {at_ms}");
        }
    }
    all
}

/// Fails with a few of the differences instead of all the samples.
pub(crate) fn assert_same(stored: &Samples, expected: &Samples, of: &str) {
    let only = |these: &Samples, those: &Samples| {
        let missing = |(key, value): &(&(_, i64), &u64)| those.get(*key) != Some(*value);
        let all: Vec<_> = these.iter().filter(missing).map(|(k, v)| (k.clone(), *v)).collect();
        all
    };
    let (missing, strange) = (only(expected, stored), only(stored, expected));
    assert!(
        missing.is_empty() && strange.is_empty(),
        "{of}: {} of {} missing, {} strange\nmissing: {:#?}\nstrange: {:#?}",
        missing.len(),
        expected.len(),
        strange.len(),
        &missing[..missing.len().min(2)],
        &strange[..strange.len().min(2)],
    );
    assert!(!expected.is_empty(), "{of}: nothing was to be stored");
}

/// The beginning of the minute that was so many minutes ago.
pub(crate) fn minute(ago: i64) -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    (i64::try_from(since.as_millis()).unwrap() / 60_000 - ago) * 60_000
}
