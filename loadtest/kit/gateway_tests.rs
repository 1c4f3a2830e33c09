//! The gateway as a process: it starts, drains, dies, comes again, and leaves nothing behind.

use super::*;
use crate::child::tests::gone;
use crate::quota::Limits;
use crate::receiver::{Behaviour, Receiver};
use crate::watch::{Subject, Watch};

const KEY: &str = "load test key 0123456789";

/// The gateway that stands beside the tests: built with them, as they are built of its crate.
fn setup(url: &str, directory: &Path) -> Setup {
    let binary = Gateway::built().expect("cargo build --bin sluicegate");
    let config = config(KEY, url, "shutdown_delay: 0s\ndrain_deadline: 10s", "", "");
    Setup { name: "gateway".into(), binary, config, directory: directory.into(), quota: None }
}

fn body() -> String {
    let datapoint = |number: u64| {
        format!(
            "{{\"metric_stream_name\":\"load\",\"account_id\":\"111122223333\",\
             \"region\":\"eu-west-1\",\"namespace\":\"AWS/EC2\",\"metric_name\":\"CPUUtilization\",\
             \"dimensions\":{{\"InstanceId\":\"i-{number}\"}},\"timestamp\":{},\
             \"value\":{{\"max\":{number},\"min\":{number},\"sum\":{number},\"count\":1.0}},\
             \"unit\":\"Percent\"}}\n",
            crate::prometheus::now_ms().unwrap()
        )
    };
    let text: String = (0..10).map(datapoint).collect();
    let record = base64_simd::STANDARD.encode_to_string(text);
    format!("{{\"requestId\":\"one\",\"timestamp\":1,\"records\":[{{\"data\":\"{record}\"}}]}}")
}

async fn send(gateway: &Gateway) -> u16 {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client
        .post(gateway.url())
        .header("content-type", "application/json")
        .header("x-amz-firehose-protocol-version", "1.0")
        .header("x-amz-firehose-request-id", "one")
        .header("x-amz-firehose-access-key", KEY)
        .body(body());
    request.send().await.map_or(0, |answer| answer.status().as_u16())
}

#[tokio::test]
async fn it_serves_drains_dies_and_comes_again() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(Behaviour::Store).unwrap();
    let mut gateway = Gateway::start(setup(&receiver.url(), folder.path())).await.unwrap();
    let watch = Watch::start(Subject {
        pid: Some(gateway.pid_cell()),
        metrics_url: Some(gateway.metrics_url()),
        interval: Duration::from_secs(3600),
        client: reqwest::Client::builder().no_proxy().build().unwrap(),
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(send(&gateway).await, 200);
    let stored = receiver.stored();
    assert_eq!((stored.points.len(), stored.points.count(0..10)), (10, 10));
    assert!(stored.samples >= 40, "sum, count, minimum and maximum: {}", stored.samples);
    assert!(receiver.figures().breaches.is_empty(), "{:?}", receiver.figures());
    let usage = gateway.usage().unwrap();
    assert!(usage.rss_bytes > 1 << 20 && usage.peak_rss_bytes >= usage.rss_bytes, "{usage:?}");
    gateway.lives().unwrap();

    let seen = watch.stop().await.unwrap();
    assert_eq!(seen.growth("sluicegate_datapoints_total", &[]), 10.0);
    let delivered = seen.growth("sluicegate_samples_total", &[("outcome", "delivered")]);
    assert_eq!(delivered, stored.samples as f64);
    let moments = seen.moments();
    let moment = moments.last().unwrap();
    assert!(moment.points_per_second.unwrap() > 0.0, "{moment:?}");
    assert!(moment.answers_per_second.contains_key("200"), "{moment:?}");
    assert!(moment.age_seconds_p50.is_some() && seen.peak_rss_bytes() > 0, "{moment:?}");

    let (first, url) = (gateway.pid(), gateway.url());
    assert_eq!(gateway.terminate(Duration::from_secs(30)).await.unwrap(), 0);
    assert!(gone(first).await && gateway.lives().is_err() && gateway.pid() == 0);
    gateway.restart().await.unwrap();
    assert_eq!(gateway.url(), url);
    assert_eq!(send(&gateway).await, 200);
    let second = gateway.pid();
    gateway.kill().await.unwrap();
    assert!(gone(second).await);
    gateway.restart().await.unwrap();
    assert_eq!(send(&gateway).await, 200);
    assert!(gateway.restart().await.is_err(), "it runs");
    let third = gateway.pid();
    drop(gateway);
    assert!(gone(third).await, "dropped");
}

#[tokio::test]
async fn one_that_cannot_start_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let mut setup = setup("http://127.0.0.1:9/", folder.path());
    setup.config.push_str("no_such_section: {}\n");
    let error = Gateway::start(setup).await.unwrap_err().to_string();
    assert!(error.contains("no_such_section"), "{error}");
}

#[tokio::test]
async fn a_panic_of_the_kit_leaves_no_gateway_behind() {
    let folder = tempfile::tempdir().unwrap();
    let setup = setup("http://127.0.0.1:9/", folder.path());
    let (tell, told) = tokio::sync::oneshot::channel();
    let task = sluicegate::tasks::Tasks::new().spawn(async move {
        let gateway = Gateway::start(setup).await.unwrap();
        tell.send(gateway.pid()).unwrap();
        panic!("as meant");
    });
    let pid = told.await.unwrap();
    assert!(task.await.is_err());
    assert!(gone(pid).await);
}

/// Where groups can be made, a gateway runs in one; where not, this has nothing to prove.
#[tokio::test]
async fn it_runs_within_a_quota() {
    let limits = Limits { cpus: 0.5, memory_bytes: 256 << 20 };
    let quota = match Quota::make(limits) {
        Ok(quota) => Arc::new(quota),
        Err(error) => return eprintln!("NOT CHECKED: {error:#}"),
    };
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(Behaviour::Store).unwrap();
    let mut setup = setup(&receiver.url(), folder.path());
    setup.quota = Some(Arc::clone(&quota));
    let mut gateway = Gateway::start(setup).await.unwrap();
    assert_eq!(send(&gateway).await, 200);
    // A period counts when it is over, and a fast machine answers within the first one.
    let counted = || quota.throttled().unwrap().periods > 0;
    for _ in 0..1000 {
        if counted() {
            break;
        }
        assert_eq!(send(&gateway).await, 200);
    }
    assert!(counted(), "it is in the group");
    assert!(quota.peak_bytes().unwrap() > 1 << 20, "it is in the group");
    assert_eq!(gateway.terminate(Duration::from_secs(60)).await.unwrap(), 0);
}

#[test]
fn figures_of_processes_are_read() {
    let stat = "7 (a b) c) S 1 7 7 0 -1 4194304 99 0 0 0 150 25 0 0 20 0 3 0 12345 1 2 3";
    assert_eq!(cpu_seconds(stat), Some(1.75));
    assert_eq!(status_kib("VmHWM:\t  200 kB\nVmRSS:\t   12 kB\n", "VmRSS:"), Some(12));
    assert_eq!(cpu_seconds("7 (x) S 1"), None);
}
