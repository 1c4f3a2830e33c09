//! What each answer of a receiver becomes at the door: one row per answer, told from outside.

use std::time::Duration;

use sluicegate::demo::firehose::{Delivery, Outcome};
use sluicegate::demo::records::records;
use sluicegate::demo::stream::{Format, MetricStream};
use sluicegate::tasks::Tasks;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::amp_front::{AmpFront, Answer, Guard};
use super::house::{Samples, Standing, assert_same, expected, flat, minute};

const METRICS: usize = 40;

/// For what passes by itself, and for what does not.
const PATIENCE: Duration = Duration::from_secs(6);
const DEADLINE: Duration = Duration::from_millis(1500);

/// Cortex's words (the engine of Amazon Managed Service for Prometheus) for some good samples and a
/// bad one, and Thanos's.
const CORTEX: &str = "maxFailure (quorum) on a given error family, addr=10.0.0.1:9095 state=ACTIVE \
    zone=, rpc error: code = Code(400) desc = user=fake: err: too old sample. \
    timestamp=2026-11-21T09:36:28Z, tsdbHeadMaxTimestamp=2026-11-21T09:47:27Z, \
    series={__name__=\"m\", a=\"1\"}";

const CORTEX_DUPLICATE: &str = "maxFailure (quorum) on a given error family, addr=10.0.0.1:9095 \
    state=ACTIVE zone=, rpc error: code = Code(400) desc = user=fake: err: duplicate sample for \
    timestamp 1795253787000; overrides not allowed: existing 1, new value 2. \
    series={__name__=\"m\", a=\"1\"}";

const THANOS: &str = "store locally for endpoint : add 1 samples: out of order sample";

/// A house with one lane before a front.
async fn house(front: &AmpFront) -> Standing {
    house_at(&front.url("/api/v1/remote_write"), PATIENCE).await
}

async fn house_at(url: &str, deadline: Duration) -> Standing {
    let rest = format!(
        "remote_write:\n  - {{ name: front, url: \"{url}\", metadata_config: {{ send: false }}, \
         queue_config: {{ max_shards: 1, min_backoff: 10ms, max_backoff: 100ms }} }}"
    );
    Standing::start(&format!("  request_deadline: {}ms", deadline.as_millis()), &rest).await
}

/// One batch, sent once; how it went, how long it took, and the samples in it.
async fn send(standing: &Standing, seed: u64) -> (Delivery, Duration, Samples) {
    let stream = MetricStream::new(METRICS, seed);
    let points: Vec<_> = stream.points(minute(3), 0..METRICS).collect();
    let begun = Instant::now();
    let delivery = standing.firehose_once().deliver(records(Format::Json, &points)).await;
    (delivery, begun.elapsed(), expected(Format::Json, &points))
}

fn stored(front: &AmpFront) -> Samples {
    let bits = |(at_ms, value): (i64, f64)| (at_ms, value.to_bits());
    let series = front.samples().into_iter();
    flat(
        series.map(|(labels, samples)| (labels, samples.into_iter().map(bits).collect::<Vec<_>>())),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_by_itself_is_waited_for() {
    let answer = Answer::new;
    let rows: [(&str, Vec<Answer>, Duration); 8] = [
        ("429", vec![answer(429, "ingestion rate limit exceeded")], Duration::ZERO),
        ("429 twice", vec![answer(429, "slow down"), answer(429, "slow down")], Duration::ZERO),
        (
            "429 with Retry-After",
            vec![answer(429, "slow down").header("retry-after", "1")],
            Duration::from_secs(1),
        ),
        ("500", vec![answer(500, "ouch")], Duration::ZERO),
        ("502", vec![answer(502, "<html>bad gateway</html>")], Duration::ZERO),
        (
            "503 with Retry-After",
            vec![answer(503, "").header("retry-after", "1")],
            Duration::from_secs(1),
        ),
        ("403, then fresh credentials are good", vec![answer(403, "expired")], Duration::ZERO),
        ("404 for a while", vec![answer(404, "no such workspace")], Duration::ZERO),
    ];
    for (row, script, at_least) in rows {
        let front = AmpFront::start(Guard::Open).await;
        let standing = house(&front).await;
        let troubles = script.len();
        let codes: Vec<_> = script.iter().map(|answer| answer.status.to_string()).collect();
        front.script(script);
        let (delivery, took, samples) = send(&standing, 1).await;
        assert_eq!(delivery.statuses, [200], "{row}: {delivery:?}");
        assert!(took >= at_least && took < PATIENCE, "{row} took {took:?}");
        assert_same(&stored(&front), &samples, row);
        let figures = standing.rest().await;
        let outcomes = [samples.len() as f64, 0.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(figures.outcomes("front"), outcomes, "{row}");
        assert_eq!(figures.value("sluicegate_remote_write_retries_total", &[]), troubles as f64);
        let code = [("destination", "front"), ("code", codes[0].as_str())];
        let counted = figures.value("sluicegate_remote_write_requests_total", &code);
        assert_eq!(counted, troubles as f64, "{row}\n{}", figures.0);
        assert_eq!(front.faults(), Vec::<String>::new(), "{row}");
        standing.house.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_for_good_are_counted_and_settle_the_request() {
    let rows = [
        ("Cortex, too old", Answer::new(400, CORTEX), "too_old"),
        ("Cortex, duplicate", Answer::new(400, CORTEX_DUPLICATE), "duplicate"),
        ("Thanos, out of order", Answer::new(409, THANOS), "out_of_order"),
    ];
    for (row, answer, reason) in rows {
        let front = AmpFront::start(Guard::Open).await;
        let standing = house(&front).await;
        front.script([answer]);
        let (delivery, _, samples) = send(&standing, 2).await;
        assert_eq!(delivery.statuses, [200], "{row}: {delivery:?}");
        let figures = standing.rest().await;
        let outcomes = [0.0, samples.len() as f64, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(figures.outcomes("front"), outcomes, "{row}");
        assert_eq!(figures.refused("front", reason), 1.0, "{row}\n{}", figures.0);
        assert_eq!(front.received().len(), 1, "{row}: it is not sent again");
        standing.house.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_split_until_it_fits() {
    for (status, words) in [(413, "too big"), (400, "received message larger than max (9 vs 8)")] {
        let front = AmpFront::start(Guard::Open).await;
        front.react(move |write| {
            let samples: usize = write.timeseries.iter().map(|series| series.samples.len()).sum();
            (samples > 30).then(|| Answer::new(status, words))
        });
        let standing = house(&front).await;
        let (delivery, _, samples) = send(&standing, 3).await;
        assert_eq!(delivery.statuses, [200], "{status}: {delivery:?}");
        assert_same(&stored(&front), &samples, words);
        let figures = standing.rest().await;
        let outcomes = [samples.len() as f64, 0.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(figures.outcomes("front"), outcomes, "{status}");
        assert!(front.received().len() > samples.len() / 30, "{status}");
        standing.house.stop().await;
    }
}

/// What a receiver that stays broken does.
enum Broken {
    Answers(Answer),
    /// Nobody listens.
    Closed,
    /// Connections are taken, and nothing is answered.
    Silent,
    /// Connections are taken and dropped.
    HangsUp,
    /// Another protocol.
    Speaks(&'static [u8]),
}

/// Does it, at the address that it gives.
async fn broken(how: Broken, front: &AmpFront, tasks: &Tasks) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/write", listener.local_addr().unwrap());
    match how {
        Broken::Answers(answer) => {
            front.react(move |_| Some(answer.clone()));
            return front.url("/write");
        }
        Broken::Closed => return url,
        Broken::Silent | Broken::HangsUp | Broken::Speaks(_) => {}
    }
    tasks.spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            match how {
                Broken::HangsUp => continue,
                Broken::Speaks(words) => drop(stream.write_all(words).await),
                _ => {}
            }
            held.push(stream);
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stays_broken_is_503_within_the_deadline_and_says_why() {
    let answers = |status, text| Broken::Answers(Answer::new(status, text));
    let later = Answer::new(429, "no").header("retry-after", "300");
    let elsewhere = Answer::new(308, "").header("location", "http://127.0.0.1:1/");
    let rows = [
        ("500", answers(500, "ouch"), "500: ouch"),
        ("429", answers(429, "slow down"), "429: slow down"),
        ("a long Retry-After", Broken::Answers(later), "429: no"),
        ("403", answers(403, "not you"), "403: not you"),
        ("404", answers(404, "no workspace"), "404: no workspace"),
        ("a redirect", Broken::Answers(elsewhere), "308"),
        ("connection refused", Broken::Closed, "refused"),
        ("silence", Broken::Silent, "no answer"),
        ("no answer", Broken::HangsUp, ""),
        ("another protocol", Broken::Speaks(b"220 mail.example ESMTP\r\n"), ""),
    ];
    for (row, how, words) in rows {
        let (front, tasks) = (AmpFront::start(Guard::Open).await, Tasks::new());
        let standing = house_at(&broken(how, &front, &tasks).await, DEADLINE).await;
        let (delivery, took, samples) = send(&standing, 4).await;
        assert_eq!(delivery.outcome, Outcome::Backup, "{row}");
        assert_eq!(delivery.statuses, [503], "{row}");
        assert!(delivery.breaches.is_empty(), "{row}: {delivery:?}");
        assert!(took < DEADLINE + Duration::from_secs(1), "{row} took {took:?}");
        let (_, message) = delivery.last_error.unwrap();
        for part in ["`front`", words] {
            assert!(message.contains(part), "{row}: `{part}` is not in: {message}");
        }
        let figures = standing.rest().await;
        let outcomes = [0.0, 0.0, 0.0, 0.0, 0.0, samples.len() as f64];
        assert_eq!(figures.outcomes("front"), outcomes, "{row}");
        assert!(stored(&front).is_empty(), "{row}");
        let code = [("code", "503")];
        assert_eq!(figures.value("sluicegate_firehose_requests_total", &code), 1.0, "{row}");
        standing.house.stop().await;
    }
}
