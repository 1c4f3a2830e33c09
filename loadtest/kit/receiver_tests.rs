//! The receiver counts exactly, and behaves as it is told.

use proptest::prelude::*;
use prost::Message as _;
use sluicegate::demo::receiver::wire::{Label, Sample, TimeSeries, WriteRequest};

use super::*;
use crate::wire::IsSum;

type Pairs<'a> = &'a [(&'a str, &'a str)];

const SUM: Pairs<'_> = &[("__name__", "cpu_sum"), ("host", "a")];
const COUNT: Pairs<'_> = &[("__name__", "cpu_count"), ("host", "a")];

fn series(labels: Pairs<'_>, samples: &[(i64, f64)]) -> TimeSeries {
    let label = |&(name, value): &(&str, &str)| Label { name: name.into(), value: value.into() };
    let sample = |&(timestamp, value): &(i64, f64)| Sample { value, timestamp };
    TimeSeries {
        labels: labels.iter().map(label).collect(),
        samples: samples.iter().map(sample).collect(),
    }
}

fn packed(timeseries: Vec<TimeSeries>) -> Vec<u8> {
    let raw = WriteRequest { timeseries, metadata: Vec::new() }.encode_to_vec();
    snap::raw::Encoder::new().compress_vec(&raw).unwrap()
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().user_agent("test").build().unwrap()
}

fn request(
    client: &reqwest::Client,
    receiver: &Receiver,
    body: Vec<u8>,
) -> reqwest::RequestBuilder {
    client
        .post(receiver.url())
        .header("content-encoding", "snappy")
        .header("content-type", "application/x-protobuf")
        .header("x-prometheus-remote-write-version", "0.1.0")
        .body(body)
}

/// The status, or 0 if there is no answer.
async fn write(receiver: &Receiver, series: Vec<TimeSeries>) -> u16 {
    let sent = request(&client(), receiver, packed(series)).send().await;
    sent.map_or(0, |answer| answer.status().as_u16())
}

/// Requests as a gateway writes them, with one data point.
fn one(number: u64) -> Vec<TimeSeries> {
    let at_ms = 1_000 + number.cast_signed();
    vec![series(SUM, &[(at_ms, number as f64)]), series(COUNT, &[(at_ms, 1.0)])]
}

#[tokio::test]
async fn data_points_are_counted_exactly() {
    let receiver = Receiver::start(Behaviour::Store).unwrap();
    assert_eq!(write(&receiver, vec![series(SUM, &[(1, 0.0), (2, 1.0), (3, 4.0)])]).await, 204);
    // 1 again, 5 new; a sum that is no number; counts of the same series are samples only.
    let more = [(4, 1.0), (5, 5.0), (6, 0.5), (7, f64::NAN), (8, -3.0), (9, 1e300)];
    let both = vec![series(SUM, &more), series(COUNT, &[(4, 70.0), (5, 70.0)])];
    assert_eq!(write(&receiver, both).await, 204);
    let stored = receiver.stored();
    assert!(stored.points.gaps(0..6).eq(std::iter::once(2..4)), "missing");
    assert_eq!((stored.points.len(), stored.duplicated, stored.samples), (4, 1, 11));
    assert!(stored.exact);
    let figures = receiver.figures();
    assert_eq!((figures.requests, figures.samples, figures.series), (2, 11, 2));
    assert_eq!((figures.samples_per_request_min, figures.samples_per_request_max), (3, 8));
    assert_eq!((figures.unnumbered, figures.late), (4, 0));
    assert!(figures.breaches.is_empty(), "{figures:?}");
}

#[tokio::test]
async fn breaches_of_the_contract_are_counted() {
    let receiver = Receiver::start(Behaviour::Store).unwrap();
    let at: &[(i64, f64)] = &[(1, 1.0)];
    let cases: [(&str, TimeSeries); 9] = [
        ("labels that are not sorted", series(&[("__name__", "a"), ("Z", "b")], at)),
        ("labels that are not sorted", series(&[("__name__", "a"), ("b", "1"), ("b", "2")], at)),
        ("an empty label value", series(&[("__name__", "a"), ("b", "")], at)),
        ("a label name that is not legal", series(&[("", "b"), ("__name__", "a")], at)),
        ("a label name that is not legal", series(&[("__name__", "a"), ("a-b", "c")], at)),
        ("a metric name that is not legal", series(&[("__name__", "9a")], at)),
        ("a series without a metric name", series(&[("a", "b")], at)),
        ("not in the order of time", series(&[("__name__", "order")], &[(2, 1.0), (2, 2.0)])),
        ("a series without samples", series(&[("__name__", "none")], &[])),
    ];
    for (what, series) in cases {
        let before: u64 = receiver.figures().breaches.values().sum();
        assert_eq!(write(&receiver, vec![series]).await, 204);
        let breaches = receiver.figures().breaches;
        let found: u64 =
            breaches.iter().filter(|(name, _)| name.contains(what)).map(|(_, count)| count).sum();
        assert_eq!(breaches.values().sum::<u64>(), before + 1, "{what}: {breaches:?}");
        assert!(found > 0, "{what}: {breaches:?}");
    }

    for (name, value, what) in [
        ("content-encoding", "gzip", "a content encoding but snappy"),
        ("content-type", "text/plain", "a content type but application/x-protobuf"),
        ("x-prometheus-remote-write-version", "2.0.0", "a remote write version but 0.1.0"),
    ] {
        let receiver = Receiver::start(Behaviour::Store).unwrap();
        let mut request = request(&client(), &receiver, packed(one(1))).build().unwrap();
        request.headers_mut().insert(name, HeaderValue::from_static(value));
        let answer = client().execute(request).await.unwrap();
        assert_eq!(answer.status(), 400, "{name}");
        assert_eq!(receiver.figures().breaches.into_keys().collect::<Vec<_>>(), [what]);
        assert_eq!(receiver.stored().samples, 0, "{name}");
    }

    let receiver = Receiver::start(Behaviour::Store).unwrap();
    let answer = request(&client(), &receiver, b"no snappy".to_vec()).send().await.unwrap();
    assert_eq!(answer.status(), 400);
    assert_eq!(receiver.figures().breaches.len(), 1);
    let nameless = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = request(&nameless, &receiver, packed(one(1))).send().await.unwrap();
    assert_eq!(answer.status(), 204);
    assert!(receiver.figures().breaches.contains_key("no user agent"));
}

#[tokio::test]
async fn what_comes_late_is_counted_and_no_breach() {
    let receiver = Receiver::start(Behaviour::Store).unwrap();
    for number in [5, 4, 5, 6] {
        assert_eq!(write(&receiver, one(number)).await, 204);
    }
    let figures = receiver.figures();
    assert_eq!(figures.late, 4, "4 and 5 again, of two series each");
    assert!(figures.breaches.is_empty());
    assert_eq!(receiver.stored().duplicated, 1);
}

#[tokio::test]
async fn statuses_are_answered_and_only_good_ones_stored() {
    let receiver = Receiver::start(Behaviour::Store).unwrap();
    for (number, code) in (0..).zip([200, 204, 400, 429, 500, 503]) {
        receiver.set(Behaviour::Status { code, retry_after: Some(Duration::from_secs(7)) });
        let answer = request(&client(), &receiver, packed(one(number))).send().await.unwrap();
        assert_eq!(answer.status(), code);
        let is_good = code < 300;
        let after = answer.headers().get(RETRY_AFTER).map(HeaderValue::as_bytes);
        assert_eq!(after, (!is_good).then_some(b"7".as_slice()));
        assert_eq!(receiver.stored().points.contains(number), is_good, "{code}");
    }
    let refused: Vec<_> = receiver.figures().refused.into_iter().collect();
    assert_eq!(refused, [(400, 1), (429, 1), (500, 1), (503, 1)]);
}

#[tokio::test]
async fn an_outage_refuses_or_resets_and_ends() {
    let receiver = Receiver::start(Behaviour::Refuse).unwrap();
    let client = client();
    let send = |number| request(&client, &receiver, packed(one(number))).send();
    assert!(send(0).await.unwrap_err().is_connect(), "nobody listens");
    receiver.set(Behaviour::Store);
    let over = Instant::now() + Duration::from_secs(60);
    while send(1).await.is_err() {
        assert!(Instant::now() < over, "it never listens again");
    }
    receiver.set(Behaviour::Reset);
    let error = send(2).await.unwrap_err();
    assert!(!error.is_connect(), "{error:?}");
    assert!(receiver.figures().refused.contains_key(&0));
    receiver.set(Behaviour::Refuse);
    // The connection that is open is reset, and then nobody listens.
    while !send(2).await.unwrap_err().is_connect() {
        assert!(Instant::now() < over, "it listens still");
    }
    receiver.set(Behaviour::Store);
    while send(3).await.is_err() {
        assert!(Instant::now() < over, "it never listens again");
    }
    let stored = receiver.stored();
    assert_eq!(
        [0, 1, 2, 3].map(|number| stored.points.contains(number)),
        [false, true, false, true]
    );
}

#[tokio::test]
async fn who_hangs_answers_when_the_behaviour_changes() {
    let receiver = Receiver::start(Behaviour::Hang).unwrap();
    let client = client();
    let impatient = request(&client, &receiver, packed(one(1)));
    assert!(impatient.timeout(Duration::from_millis(300)).send().await.unwrap_err().is_timeout());
    let mut waiting = std::pin::pin!(request(&client, &receiver, packed(one(2))).send());
    let early = tokio::time::timeout(Duration::from_millis(300), &mut waiting).await;
    assert!(early.is_err(), "it answered");
    receiver.set(Behaviour::Store);
    assert_eq!(waiting.await.unwrap().status(), 204);
    let stored = receiver.stored();
    assert!(!stored.points.contains(1), "whoever has hung up has not written");
    assert!(stored.points.contains(2));
}

#[tokio::test]
async fn a_delay_is_waited_for() {
    let receiver = Receiver::start(Behaviour::Delay(Duration::from_millis(300))).unwrap();
    let began = Instant::now();
    assert_eq!(write(&receiver, one(1)).await, 204);
    assert!(began.elapsed() >= Duration::from_millis(300));
    receiver.set(Behaviour::Delay(Duration::from_secs(1000)));
    let hasty = request(&client(), &receiver, packed(one(2))).timeout(Duration::from_millis(300));
    assert!(hasty.send().await.unwrap_err().is_timeout());
    assert!(!receiver.stored().points.contains(2));
}

#[tokio::test]
async fn throttling_lets_a_rate_pass() {
    let receiver = Receiver::start(Behaviour::Store).unwrap();
    // What one sample costs is earned in 1000 s, or never in this test.
    let hour = Duration::from_secs(3600);
    receiver.set(Behaviour::Throttle { samples: 3, retry_after: Some(hour) });
    let much: Vec<_> = (0..6_000).map(|number| (number, number as f64)).collect();
    let statuses = [
        write(&receiver, vec![series(SUM, &[(6_001, 6_001.0)])]).await,
        // More than is left passes, and is owed: nothing passes for half an hour.
        write(&receiver, vec![series(COUNT, &much)]).await,
        write(&receiver, one(7_000)).await,
    ];
    assert_eq!(statuses, [204, 204, 429]);
    assert_eq!(receiver.figures().refused.get(&429), Some(&1));
    assert!(!receiver.stored().points.contains(7_000));
}

#[tokio::test(start_paused = true)]
async fn an_allowance_is_earned_with_time_up_to_a_second_of_it() {
    let mut allowance = Allowance { samples: 0.0, since: Instant::now() };
    assert!(!allowance.take(100, 1));
    tokio::time::advance(Duration::from_millis(500)).await;
    assert!(allowance.take(100, 150), "50 are there: 100 are owed");
    tokio::time::advance(Duration::from_millis(999)).await;
    assert!(!allowance.take(100, 1));
    tokio::time::advance(Duration::from_secs(1000)).await;
    assert!(allowance.take(100, 100));
    assert!(!allowance.take(100, 1), "no more than a second's worth is kept");
}

fn any_labels() -> impl Strategy<Value = Vec<Label>> {
    let label = ("[a-c_]{0,3}|__name__", "[a-z]{0,3}(_sum)?");
    let label = label.prop_map(|(name, value)| Label { name, value });
    proptest::collection::vec(label, 0..5)
}

fn any_request() -> impl Strategy<Value = WriteRequest> {
    let sample = (prop_oneof![any::<f64>(), (0u32..50).prop_map(f64::from)], any::<i64>());
    let sample = sample.prop_map(|(value, timestamp)| Sample { value, timestamp });
    let series = (any_labels(), proptest::collection::vec(sample, 0..4));
    let series = series.prop_map(|(labels, samples)| TimeSeries { labels, samples });
    let metadata = any::<(i32, String)>().prop_map(|(kind, help)| {
        sluicegate::demo::receiver::wire::MetricMetadata { kind, help, ..Default::default() }
    });
    let metadata = proptest::collection::vec(metadata, 0..2);
    (proptest::collection::vec(series, 0..6), metadata)
        .prop_map(|(timeseries, metadata)| WriteRequest { timeseries, metadata })
}

/// Says what a sample costs the receiver, HTTP left out:
/// `cargo test --release --example loadtest -- --ignored --nocapture cost`
#[test]
#[ignore = "a measurement"]
fn the_cost_of_a_sample() {
    const SERIES: i64 = 2_000;
    const ROUNDS: i64 = 300;
    let labels = |number: i64| {
        let instance = format!("i-0123456789{number:07}");
        let name = format!("aws_ec2_network_packets_in_{}", ["count", "sum"][number as usize % 2]);
        [
            ("__name__", name.as_str()),
            ("account_id", "111122223333"),
            ("auto_scaling_group_name", "production-web-blue"),
            ("instance_id", &instance),
            ("job", "aws_ec2"),
            ("metric_stream_name", "all-metrics"),
            ("namespace", "AWS/EC2"),
            ("region", "eu-west-1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let body = |round: i64| {
        let one = |number: i64| {
            let labels = labels(number);
            let pairs: Vec<_> = labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            series(&pairs, &[(round, (round * SERIES + number) as f64)])
        };
        packed((0..SERIES).map(one).collect())
    };
    let receiver = Receiver::start(Behaviour::Store).unwrap();
    let (mut least, mut bytes) = (Duration::MAX, 0);
    for round in 0..ROUNDS {
        let body = body(round);
        bytes = body.len();
        let began = Instant::now();
        receiver.state.take(&body, Behaviour::Store);
        least = least.min(began.elapsed());
    }
    let each = least.as_secs_f64() / SERIES as f64;
    eprintln!("{:.0} ns a sample, {:.1} bytes in snappy", each * 1e9, bytes as f64 / SERIES as f64);
    assert_eq!(receiver.stored().samples, (SERIES * ROUNDS).cast_unsigned());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Read by hand or by prost: the same.
    #[test]
    fn requests_are_read_as_prost_reads_them(wanted in any_request()) {
        let raw = wanted.encode_to_vec();
        // It leaves out what equals 0, and -0 does.
        let wanted = WriteRequest::decode(raw.as_slice()).unwrap();
        let mut found = Request::default();
        found.read(&raw).unwrap();
        prop_assert_eq!(found.metadata, wanted.metadata.len() as u64);
        prop_assert_eq!(found.pieces.len(), wanted.timeseries.len());
        for (piece, series) in found.pieces.iter().zip(&wanted.timeseries) {
            let values: Vec<_> = found.values[piece.samples.clone()].iter().map(|v| v.to_bits()).collect();
            let wanted: Vec<_> = series.samples.iter().map(|s| s.value.to_bits()).collect();
            prop_assert_eq!(values, wanted);
            if let (Some(first), Some(last)) = (series.samples.first(), series.samples.last()) {
                prop_assert_eq!((piece.first_ms, piece.last_ms), (first.timestamp, last.timestamp));
            }
            let ordered = series.samples.windows(2).all(|two| two[0].timestamp < two[1].timestamp);
            prop_assert_eq!(piece.ordered, ordered);
            let labels = TimeSeries { labels: series.labels.clone(), samples: Vec::new() };
            prop_assert_eq!(&raw[piece.labels.clone()], labels.encode_to_vec());
            let name = series.labels.iter().find(|label| label.name == "__name__");
            let good = series.labels.windows(2).all(|two| two[0].name < two[1].name)
                && series.labels.iter().all(|l| !l.name.is_empty() && !l.value.is_empty());
            let checked = crate::wire::check_labels(&raw[piece.labels.clone()]);
            match name {
                Some(name) if good => prop_assert_eq!(checked, Ok(IsSum(name.value.ends_with("_sum")))),
                _ => prop_assert!(checked.is_err()),
            }
        }
    }

    /// Whatever comes, nothing panics, and what prost refuses is not stored.
    #[test]
    fn garbage_is_malformed(request in any_request(), cut in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut raw = request.encode_to_vec();
        if !raw.is_empty() {
            let place = cut.index(raw.len());
            raw[place] = byte;
        }
        let mut found = Request::default();
        let read = found.read(&raw);
        let mut ledger = Ledger::default();
        if read.is_ok() {
            ledger.store(&raw, &found);
        }
        raw.truncate(cut.index(raw.len() + 1));
        if found.read(&raw).is_ok() {
            ledger.store(&raw, &found);
        }
    }
}
