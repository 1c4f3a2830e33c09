//! What is read back from a real Prometheus is what was written.

use prost::Message as _;
use sluicegate::demo::receiver::wire::{Label, Sample, TimeSeries, WriteRequest};

use super::*;

async fn write(server: &Prometheus, series: Vec<TimeSeries>) {
    let raw = WriteRequest { timeseries: series, metadata: Vec::new() }.encode_to_vec();
    let request = client()
        .unwrap()
        .post(server.url())
        .header("content-encoding", "snappy")
        .header("content-type", "application/x-protobuf")
        .header("x-prometheus-remote-write-version", "0.1.0")
        .body(snap::raw::Encoder::new().compress_vec(&raw).unwrap());
    assert_eq!(request.send().await.unwrap().status(), 204);
}

fn series(name: &str, host: &str, samples: impl Iterator<Item = (i64, f64)>) -> TimeSeries {
    let label = |name: &str, value: &str| Label { name: name.into(), value: value.into() };
    TimeSeries {
        labels: vec![label("__name__", name), label("host", host)],
        samples: samples.map(|(timestamp, value)| Sample { value, timestamp }).collect(),
    }
}

#[tokio::test]
async fn what_was_written_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let server = Prometheus::start(folder.path()).await.unwrap();
    let stored = server.stored().await.unwrap();
    assert!(stored.points.is_empty() && stored.samples == 0, "of nothing, nothing");

    let now_ms = now_ms().unwrap();
    let begin_ms = now_ms - 300_000;
    // More than a piece holds, so that time is cut; a number at each millisecond, so that one too many
    // at a cut would be seen.
    let (hosts, each) = (3u64, 100_000u64);
    for host in 0..hosts {
        let numbers = (0..each).map(|at| (begin_ms + at.cast_signed(), (host * each + at) as f64));
        let counts = (0..2).map(|at| (begin_ms + at, 77.0));
        let name = host.to_string();
        let both = vec![series("cpu_sum", &name, numbers), series("cpu_count", &name, counts)];
        write(&server, both).await;
    }
    // One late and in a series of its own, two of a number that is there, and one that is none.
    let all = hosts * each;
    let again = [(1, 0.0), (2, 0.0), (3, 0.5)].map(|(at, value)| (begin_ms - at, value));
    write(&server, vec![series("mem_sum", "9", again.into_iter().rev())]).await;
    write(&server, vec![series("cpu_sum", "1", [(begin_ms - 9, all as f64 + 5.0)].into_iter())])
        .await;

    let stored = server.stored().await.unwrap();
    assert_eq!(stored.samples, all + 4);
    assert_eq!((stored.points.len(), stored.duplicated), (all + 1, 2));
    assert_eq!(stored.points.count(0..all), all);
    assert!(stored.points.gaps(0..all + 6).eq(std::iter::once(all..all + 5)));

    let one = r#"{__name__=~".+_sum",host="2"}"#;
    let stored = read_back(&client().unwrap(), &server.query_url(), one, begin_ms, begin_ms + 9)
        .await
        .unwrap();
    assert_eq!(stored.points.gaps(0..all).collect::<Vec<_>>(), [0..2 * each, 2 * each + 10..all]);

    let pid = server.pid();
    drop(server);
    assert!(crate::child::tests::gone(pid).await);
}

#[tokio::test]
async fn who_does_not_answer_is_named() {
    let base = "http://me:s3cret@127.0.0.1:9";
    let error = read_back(&client().unwrap(), base, EVERY_SUM, 0, 1).await.err().unwrap();
    let error = format!("{error:#}");
    assert!(error.contains("127.0.0.1:9") && !error.contains("s3cret"), "{error}");
}
