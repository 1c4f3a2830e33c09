//! Attacks on small servers, with the real vegeta.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use clap::Parser;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use sluicegate::decode::envelope;
use tokio::net::TcpListener;

use super::*;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    load: Load,
}

fn load(arguments: &[&str]) -> Load {
    Cli::parse_from([&["x", "--gzip", "0"], arguments].concat()).load
}

/// The real one. Where there is none, the test fails, and says how to get it.
async fn vegeta() -> Vegeta {
    Vegeta::find().await.unwrap_or_else(|error| panic!("{error:#}"))
}

fn attack<'a>(
    vegeta: &'a Vegeta,
    url: &'a str,
    load: &'a Load,
    stages: &'a [Stage],
    directory: &'a Path,
) -> Attack<'a> {
    Attack {
        vegeta,
        url,
        key: "key",
        common_attributes: &[],
        load,
        run: "test",
        first: 7,
        stages,
        workers: 8,
        timeout: Duration::from_secs(1),
        root_certs: None,
        insecure: false,
        directory,
    }
}

fn stage(rate: f64, milliseconds: u64) -> Stage {
    Stage { rate, duration: Duration::from_millis(milliseconds) }
}

/// Answers as Firehose demands, every third request with 503; remembers the ids.
async fn server() -> (String, Arc<Mutex<BTreeSet<String>>>) {
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let (ids, turn) = (seen.clone(), Arc::new(AtomicU64::new(0)));
    let answer = move |headers: HeaderMap, body: Bytes| {
        let third = turn.fetch_add(1, Ordering::Relaxed) % 3 == 2;
        let ids = ids.clone();
        async move {
            let id = envelope::open(&body).unwrap().request_id.into_owned();
            assert_eq!(headers["x-amz-firehose-request-id"], id);
            assert_eq!(headers["x-amz-firehose-access-key"], "key");
            let mut answer = serde_json::json!({ "requestId": id, "timestamp": 1 });
            if third {
                answer["errorMessage"] = "busy".into();
            } else {
                ids.lock().unwrap().insert(id);
            }
            let status = if third { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
            (status, [("content-type", "application/json")], answer.to_string()).into_response()
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/firehose", listener.local_addr().unwrap());
    let app = Router::new().route("/firehose", axum::routing::post(answer));
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let service = TowerToHyperService::new(app.clone());
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(connection), service));
        }
    });
    (url, seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_has_its_answer() {
    let vegeta = vegeta().await;
    let directory = tempfile::tempdir().unwrap();
    let (url, seen) = server().await;
    let load = load(&["--points-per-body", "20"]);
    let stages = [stage(40.0, 1000), stage(0.0, 300)];
    let mut attack = attack(&vegeta, &url, &load, &stages, directory.path());
    // Nothing may time out here, however busy the machine is.
    attack.timeout = Duration::from_secs(30);
    let attacked = attack.run().await.unwrap();

    assert_eq!((attacked.killed, &attacked.first_breach), (0, &None));
    let numbers: BTreeSet<_> =
        attacked.answers.iter().map(|answer| answer.number.unwrap()).collect();
    assert_eq!(numbers.len(), attacked.answers.len(), "a number came twice");
    let accepted = attacked.answers.iter().filter(|answer| answer.code == 200);
    let accepted: BTreeSet<_> = accepted.map(|answer| answer.number.unwrap()).collect();
    let ids = RequestIds::of("test");
    let seen: BTreeSet<_> = seen.lock().unwrap().iter().map(|id| ids.number(id).unwrap()).collect();
    assert_eq!(accepted, seen);
    let refused = attacked.answers.iter().filter(|answer| answer.code == 503);
    assert!(refused.clone().count() > 0);
    assert!(refused.into_iter().all(|answer| answer.error == "503 Service Unavailable: busy"));
    for number in numbers {
        let points = attacked.points_of(number).unwrap();
        assert_eq!((points.start, points.end), (number * 20 + 1, number * 20 + 21));
    }
    assert_eq!(attacked.points_of(6), None);
    assert!(attacked.points.len() >= attacked.answers.len());
    assert_eq!(attacked.next(), 7 + attacked.points.len() as u64);
    for (index, least) in [(0, 10), (1, 2)] {
        let of_stage = attacked.answers.iter().filter(|answer| answer.stage == index);
        assert!(of_stage.clone().count() >= least, "{index}");
        assert!(of_stage.into_iter().all(|answer| answer.at >= Duration::from_secs(index as u64)));
    }
    let report = &attacked.vegeta_report;
    assert!(report.contains("Success") && report.matches("503 Service Unavailable").count() == 1);
    assert!(std::fs::metadata(&attacked.plot).unwrap().len() > 1000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_never_answers_is_given_up() {
    let vegeta = vegeta().await;
    let directory = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            held.push(connection);
        }
    });
    // Far more than the pipe holds, so that something is always being written.
    let load = load(&["--points-per-body", "2000"]);
    let stages = [stage(0.0, 200), stage(50.0, 200)];
    let attacked = attack(&vegeta, &url, &load, &stages, directory.path());
    let attacked = tokio::time::timeout(Duration::from_secs(60), attacked.run()).await;
    let attacked = attacked.unwrap().unwrap();
    assert_eq!(attacked.killed, 0);
    assert!(attacked.answers.len() >= 2);
    for answer in &attacked.answers {
        assert_eq!(answer.code, 0);
        assert!(answer.error.contains("deadline exceeded") && !answer.error.contains("http"));
        assert!(attacked.points_of(answer.number.unwrap()).is_some());
    }
    assert!(attacked.vegeta_report.lines().count() < 20, "{}", attacked.vegeta_report);
}

#[tokio::test]
async fn nobody_listens() {
    let vegeta = vegeta().await;
    let directory = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let (load, stages) = (load(&[]), [stage(20.0, 300)]);
    let attacked = attack(&vegeta, &url, &load, &stages, directory.path()).run().await.unwrap();
    assert!(!attacked.answers.is_empty());
    assert!(attacked.answers.iter().all(|answer| answer.code == 0 && answer.number.is_some()));
}

#[tokio::test]
async fn what_vegeta_says_against_it_is_told() {
    let vegeta = vegeta().await;
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("none.pem");
    let (load, stages) = (load(&[]), [stage(20.0, 300)]);
    let mut attack = attack(&vegeta, "https://127.0.0.1:1/", &load, &stages, directory.path());
    attack.root_certs = Some(&missing);
    let error = attack.run().await.unwrap_err();
    assert!(error.to_string().contains("none.pem"), "{error:#}");
    attack.workers = 0;
    assert!(attack.run().await.is_err());
}

#[test]
fn rates_are_intervals() {
    for (per_second, text) in [
        (0.0, "0"),
        (1.0, "1/1000000000ns"),
        (0.25, "1/4000000000ns"),
        (3000.0, "1/333333ns"),
        (1e12, "1/1ns"),
    ] {
        assert_eq!(rate(per_second), text);
    }
}

#[test]
fn reports_are_shortened() {
    let mut report = "Requests  9\nError Set:\n".to_owned();
    for number in 0..20 {
        report.push_str(&format!("Post \"http://h/#{number}\": EOF\n"));
        report.push_str(&format!("read: connection {number}\n"));
    }
    let short = shortened(&report);
    assert!(short.starts_with("Requests  9\nError Set:\nEOF\nread: connection 0\n"), "{short}");
    assert_eq!(short.matches("EOF").count(), 1);
    assert!(short.ends_with("and 11 others\n"), "{short}");
}
