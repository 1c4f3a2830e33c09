//! The process is killed (SIGKILL) again and again while Firehose delivers and the receiver fails:
//! what was acknowledged is stored, to the bit.
//!
//! `SLUICEGATE_TEST_KILL_POINTS` sets the number of data points that go to the real Prometheus, for
//! a longer run than a test should be, best with `cargo test --release`: 1000000 takes minutes.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may end so.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use sluicegate::demo::books::Plan;
use sluicegate::demo::child::Port;
use sluicegate::demo::dice::{Dice, fresh_seed};
use sluicegate::demo::firehose::{Firehose, FirehoseConfig};
use sluicegate::demo::sender::Sender;
use sluicegate::demo::stream::{Format, MetricStream};
use sluicegate::secret::Secret;
use sluicegate::tasks::Tasks;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{sleep, timeout};

use crate::house::{Samples, assert_same, expected, flat, minute};
use crate::process_kit::{Gateway, PATIENCE, config, program, run};
use crate::prometheus::{Options, Prometheus};
use crate::receive_door::KEY;

const POINTS: usize = 10_000;
const MINUTES: usize = 20;

/// From the sending of one minute to that of the next.
const PACE: Duration = Duration::from_millis(400);

#[expect(clippy::disallowed_methods, reason = "the size of the run is told by environment")]
fn points_wanted() -> usize {
    let text = std::env::var("SLUICEGATE_TEST_KILL_POINTS");
    text.map_or(POINTS, |text| text.parse().expect("a number of data points"))
}

/// The gateway's configuration, on a port that its next life has as well.
fn gateway_config(port: &Port, url: &str) -> String {
    let destination = "remote_timeout: 2s";
    let text = config(url, "request_deadline: 10s", destination, "log: { level: info }\n");
    text.replacen("127.0.0.1:0", &port.address.to_string(), 1)
}

async fn launch(text: &str) -> Gateway {
    let env = [("SLUICEGATE_CONFIG_CONTENT", text)];
    Gateway::launch(&["serve"], &env).await.unwrap_or_else(|said| panic!("{said:?}"))
}

/// How often either is ended at least, however quickly all is sent.
const ENDS_MIN: u32 = 2;

/// Kills the gateway whenever it has lived for a while, until all is sent; how often.
async fn kill_gateway(gateway: &mut Gateway, text: &str, dice: &mut Dice, sender: &Sender) -> u32 {
    let mut kills = 0;
    loop {
        sleep(Duration::from_millis(200 + dice.below(800))).await;
        if is_all_sent(sender) && kills >= ENDS_MIN {
            return kills;
        }
        gateway.kill().await;
        kills += 1;
        *gateway = launch(text).await;
    }
}

/// Stops and kills Prometheus in turn, until all is sent; how often.
async fn trouble_prometheus(server: &mut Prometheus, dice: &mut Dice, sender: &Sender) -> u32 {
    let mut ends = 0;
    loop {
        sleep(Duration::from_millis(500 + dice.below(1500))).await;
        if is_all_sent(sender) && ends >= ENDS_MIN {
            return ends;
        }
        if ends % 2 == 0 {
            server.kill().await;
        } else {
            server.stop().await;
        }
        ends += 1;
        sleep(Duration::from_millis(dice.below(500))).await;
        server.restart().await;
    }
}

fn is_all_sent(sender: &Sender) -> bool {
    let plan = &sender.plan;
    sender.tally().sent == (plan.stream.metrics().len() * plan.minutes.len()) as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_missing_from_prometheus_after_kills_of_both() {
    let seed = fresh_seed();
    println!("seed {seed}");
    let (points, mut dice) = (points_wanted(), Dice::new(seed));
    let mut server = Prometheus::start(Options { out_of_order_window: Some("2h") }).await;
    let port = Port::take().unwrap();
    let text = gateway_config(&port, &server.remote_write_url());
    let mut gateway = launch(&text).await;
    let plan = Plan {
        stream: MetricStream::new(points.div_ceil(MINUTES), seed),
        minutes: (1..=MINUTES as i64).rev().map(minute).collect(),
        points_per_request: 200,
        formats: Format::ALL.to_vec(),
    };
    let firehose = FirehoseConfig {
        gzip: true,
        backoff_start: Duration::from_millis(100),
        backoff_max: Duration::from_secs(1),
        ..FirehoseConfig::new(format!("http://{}/firehose", port.address), Some(Secret::new(KEY)))
    };
    let sender = Sender::new(plan, Firehose::new(firehose).unwrap());
    let tasks = Tasks::new();
    let sending = tasks.spawn(Arc::clone(&sender).send(PACE));
    let mut other_dice = Dice::new(dice.bits());
    let (kills, ends) = tokio::join!(
        kill_gateway(&mut gateway, &text, &mut dice, &sender),
        trouble_prometheus(&mut server, &mut other_dice, &sender),
    );
    sending.await.unwrap();

    let (plan, tally) = (&sender.plan, sender.tally().clone());
    let sent = (plan.stream.metrics().len() * MINUTES) as u64;
    assert_eq!((tally.sent, tally.acknowledged, tally.given_up), (sent, sent, 0), "seed {seed}");
    assert!(sent >= points as u64 && tally.breaches.is_empty(), "{:?}", tally.breaches);
    assert!(tally.retries > 0, "and nobody felt it");
    let mut samples = 0;
    for (index, &start_ms) in plan.minutes.iter().enumerate() {
        let mut due = Samples::new();
        for request in 0..plan.requests_per_minute() {
            let points: Vec<_> = plan.points(index, request).collect();
            due.extend(expected(plan.format(index, request), &points));
        }
        let export = server.query_export(r#"{__name__=~".+"}"#, start_ms, start_ms + 59_999).await;
        assert_same(&flat(export), &due, &format!("minute {index}, seed {seed}"));
        samples += due.len();
    }
    println!(
        "{sent} data points, {samples} samples, all there; gateway killed {kills} times, \
         Prometheus killed or stopped {ends} times; {} deliveries in {} attempts",
        tally.requests.len(),
        tally.attempts,
    );
}

#[test]
fn the_books_of_the_demo_balance_although_its_gateway_is_killed() {
    // A minute of the stream every fifth of a second, so that a kill hits some delivery.
    let arguments = ["--kill", "800ms", "--fault", "mixed", "--duration", "8s"];
    let points = ["--points", "6000", "--metrics", "150"];
    let said = run(&[&["demo"], &arguments[..], &points].concat(), &[], b"");
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{}", said.out);
    let books: BTreeMap<_, _> = said
        .out
        .lines()
        .filter_map(|line| {
            let (what, figure) = line.strip_prefix("  ")?.split_at_checked(22)?;
            let figure = figure.split_whitespace().next()?.replace(',', "");
            Some((what.trim(), figure.parse::<f64>().ok()?))
        })
        .collect();
    for what in ["data points sent", "acknowledged", "data points stored"] {
        assert_eq!(books[what], 6000.0, "{what}: {}", said.out);
    }
    for what in ["missing", "wrong value", "gateway errors"] {
        assert_eq!(books[what], 0.0, "{what}: {}", said.out);
    }
    for what in ["gateway killed", "delivery retries"] {
        assert!(books[what] >= 1.0, "{what}: {}", said.out);
    }
    assert_eq!(books["delivery attempts"], books["deliveries"] + books["delivery retries"]);
}

/// A demo with a gateway of its own, and what it writes.
struct Demo {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    address: String,
}

impl Demo {
    async fn start(arguments: &[&str]) -> Self {
        let arguments = [&["demo", "--kill", "1h"], arguments].concat();
        let mut command = Command::from(program(&arguments, &[]));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0);
        let mut process = command.kill_on_drop(true).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut demo = Self { process, lines, address: String::new() };
        let line = demo.line_with("firehose -> http://").await;
        demo.address = line.split('/').nth(2).unwrap().to_owned();
        // The first line of progress: deliveries are on their way.
        demo.line_with("in flight").await;
        assert!(TcpStream::connect(&demo.address).await.is_ok(), "the gateway is there");
        demo
    }

    /// The next line in which this stands.
    async fn line_with(&mut self, part: &str) -> String {
        loop {
            let line = timeout(PATIENCE, self.lines.next_line()).await.unwrap().unwrap();
            let line = line.unwrap_or_else(|| panic!("no line with {part}"));
            if line.contains(part) {
                return line;
            }
        }
    }

    fn id(&self) -> u32 {
        self.process.id().unwrap()
    }

    /// Waits for its end and the gateway's: exit status and what stands on standard error.
    async fn ended(mut self) -> (Option<i32>, String) {
        let status = timeout(PATIENCE, self.process.wait()).await.unwrap().unwrap();
        let gone = async {
            while TcpStream::connect(&self.address).await.is_ok() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, gone).await.expect("no gateway is left");
        let mut said = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut said).await.unwrap();
        (status.code(), said)
    }
}

/// Signals a process group, as a terminal does.
async fn signal(name: &str, group: u32) {
    let sent = Command::new("kill").args(["-s", name, "--", &format!("-{group}")]).status().await;
    assert!(sent.unwrap().success());
}

#[tokio::test]
async fn a_demo_that_is_told_to_end_shows_the_books_and_leaves_no_gateway() {
    for name in ["TERM", "INT", "HUP", "QUIT"] {
        let mut demo = Demo::start(&["--duration", "1h"]).await;
        signal(name, demo.id()).await;
        demo.line_with("The books, broken off").await;
        demo.line_with("Broken off; nothing acknowledged is missing.").await;
        assert_eq!(demo.ended().await, (Some(1), String::new()), "SIG{name}");
    }
}

#[tokio::test]
async fn a_demo_that_is_killed_leaves_no_gateway() {
    let demo = Demo::start(&["--duration", "1h"]).await;
    signal("KILL", demo.id()).await;
    assert_eq!(demo.ended().await.0, None, "it had no chance to do anything");
}

#[tokio::test]
async fn a_second_signal_ends_the_demo_at_once() {
    // So many metrics that there is something in flight, which the demo would wait for.
    let demo = Demo::start(&["--duration", "1h", "--metrics", "100000"]).await;
    signal("INT", demo.id()).await;
    signal("TERM", demo.id()).await;
    let (code, said) = demo.ended().await;
    assert_eq!(code, Some(1));
    assert_eq!(said, "error: ended at once by a second signal, SIGTERM\n");
}
