//! A real Prometheus as the receiving end: started, asked, paused, stopped and started again.
//!
//! The binary is `$PROMETHEUS` or the `prometheus` of the PATH; `tests/all` provides it.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may end so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// Labels in order, `__name__` included, of each series: its samples as milliseconds and value bits.
pub(crate) type Export = BTreeMap<BTreeMap<String, String>, Vec<(i64, u64)>>;

/// How the server is set up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// `storage.tsdb.out_of_order_time_window`, e.g. `30m`; without it late samples are refused.
    pub(crate) out_of_order_window: Option<&'static str>,
}

/// A running server with a data folder of its own; killed and cleaned up on drop.
#[derive(Debug)]
pub(crate) struct Prometheus {
    child: Option<Child>,
    folder: TempDir,
    port: u16,
    http: reqwest::Client,
}

impl Prometheus {
    /// Starts a server on a free port and waits until it is ready.
    pub(crate) async fn start(options: Options) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let storage = options.out_of_order_window.map_or_else(String::new, |window| {
            format!("storage:\n  tsdb:\n    out_of_order_time_window: {window}\n")
        });
        let text = format!("global:\n  scrape_interval: 1h\n{storage}");
        std::fs::write(folder.path().join("prometheus.yml"), text).expect("a configuration");
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let mut server = Self { child: None, folder, port: 0, http };
        // A port that was free may be taken before the server binds it: then take another.
        for _ in 0..5 {
            server.port = free_port();
            if server.launch().await {
                return server;
            }
        }
        panic!("prometheus does not start: {}", server.log());
    }

    /// Where samples are written to.
    pub(crate) fn remote_write_url(&self) -> String {
        self.url("/api/v1/write")
    }

    /// The URL of a path of the server.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Where its configuration file is; paths in that are relative to it.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the server again with another configuration, whole.
    pub(crate) async fn configure(&mut self, text: &str) {
        std::fs::write(self.folder.path().join("prometheus.yml"), text).expect("a configuration");
        self.restart().await;
    }

    /// Answer of a path of the API, its parameters encoded: whether it went well, and its `data` or
    /// what was wrong.
    pub(crate) async fn ask(
        &self,
        path: &str,
        parameters: &[(&str, &str)],
    ) -> Result<serde_json::Value, String> {
        let mut url = reqwest::Url::parse(&self.url(path)).expect("a URL");
        url.query_pairs_mut().extend_pairs(parameters);
        let text =
            self.http.get(url).send().await.expect("an answer").text().await.expect("a body");
        let mut answer: serde_json::Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"));
        if answer["status"] == "success" { Ok(answer["data"].take()) } else { Err(text) }
    }

    /// Stops the server as an operator would; its data and port stay.
    pub(crate) async fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        self.signal(&child, "TERM").await;
        if timeout(Duration::from_secs(30), child.wait()).await.is_err() {
            child.kill().await.expect("a killed server");
        }
    }

    /// Kills the server (SIGKILL); its data and port stay.
    pub(crate) async fn kill(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        child.kill().await.expect("a killed server");
    }

    /// Starts a stopped server again (stopping it first if it runs), with its data, on its port.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        assert!(self.launch().await, "prometheus does not start again: {}", self.log());
    }

    /// Freezes the server: connections open, nothing is answered.
    pub(crate) async fn pause(&self) {
        let child = self.child.as_ref().expect("a running server");
        self.signal(child, "STOP").await;
        // The signal is on its way when `kill` returns: each thread stops in its own time.
        let tasks = format!("/proc/{}/task", child.id().expect("a running server"));
        let is_stopped = |task: std::io::Result<std::fs::DirEntry>| {
            let stat = std::fs::read_to_string(task.expect("a task").path().join("stat"));
            stat.map_or(true, |stat| stat.rsplit(") ").next().is_some_and(|s| s.starts_with('T')))
        };
        while !std::fs::read_dir(&tasks).expect("a running server").all(is_stopped) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends [`Prometheus::pause`].
    pub(crate) async fn resume(&self) {
        self.signal(self.child.as_ref().expect("a running server"), "CONT").await;
    }

    /// The raw samples of all series that match, from `start_ms` up to and with `end_ms`, to the bit.
    /// `matcher` is a selector such as `{__name__=~".+"}`.
    pub(crate) async fn query_export(&self, matcher: &str, start_ms: i64, end_ms: i64) -> Export {
        // A range selector reaches back from the query's time, and Prometheus 2 includes both ends.
        let range_ms = end_ms - start_ms + 1;
        let time = format!("{}.{:03}", end_ms.div_euclid(1000), end_ms.rem_euclid(1000));
        let query = format!("{matcher}[{range_ms}ms]");
        let mut url = reqwest::Url::parse(&self.url("/api/v1/query")).expect("a URL");
        url.query_pairs_mut().append_pair("query", &query).append_pair("time", &time);
        let answer = self.http.get(url).send().await.expect("an answer");
        let text = answer.text().await.expect("a body");
        let parsed: Answer =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{query}: {error}: {text}"));
        let mut export = Export::new();
        for series in parsed.data.result {
            let samples = series.values.iter().map(|(at, value)| {
                let at_ms = (at * 1000.0).round() as i64;
                // `NaN`, `+Inf` and `-Inf` are read by `parse` too; numbers are written in full.
                (at_ms, value.parse::<f64>().expect("a number").to_bits())
            });
            let kept = samples.filter(|(at_ms, _)| (start_ms..=end_ms).contains(at_ms)).collect();
            assert!(export.insert(series.metric, kept).is_none(), "a series came twice");
        }
        export.retain(|_, samples: &mut Vec<_>| !samples.is_empty());
        export
    }

    /// Starts the process; whether it became ready.
    async fn launch(&mut self) -> bool {
        let binary = binary();
        let log = std::fs::File::create(self.log_path()).expect("a log file");
        let child = Command::new(&binary)
            .current_dir(self.folder.path())
            .arg("--config.file=prometheus.yml")
            .arg("--storage.tsdb.path=data")
            .arg("--storage.tsdb.retention.time=10y")
            .arg(format!("--web.listen-address=127.0.0.1:{}", self.port))
            .arg("--web.enable-remote-write-receiver")
            .arg("--log.level=warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::from(log))
            .kill_on_drop(true)
            .spawn();
        let mut child = child.unwrap_or_else(|error| {
            panic!(
                "cannot run {}: {error}\nInstall Prometheus 2.39 or later (Debian: apt-get install \
                 prometheus), set PROMETHEUS to its binary, or run ./tests/all, which fetches it.",
                binary.display()
            )
        });
        let ready = self.url("/-/ready");
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline {
            if child.try_wait().expect("a status").is_some() {
                return false;
            }
            let answer = self.http.get(&ready).timeout(Duration::from_secs(2)).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                // Another server may own the port: ours then ends by itself.
                if child.try_wait().expect("a status").is_some() {
                    return false;
                }
                self.child = Some(child);
                return true;
            }
            sleep(Duration::from_millis(50)).await;
        }
        false
    }

    async fn signal(&self, child: &Child, name: &str) {
        let id = child.id().expect("a running server").to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status().await.expect("kill");
        assert!(status.success(), "kill -s {name}: {status}");
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }
}

#[expect(clippy::disallowed_methods, reason = "the tests are told of the binary by environment")]
fn binary() -> PathBuf {
    std::env::var_os("PROMETHEUS").map_or_else(|| PathBuf::from("prometheus"), PathBuf::from)
}

/// `$PROMTOOL`, `promtool` beside `$PROMETHEUS`, or that of the PATH.
#[expect(clippy::disallowed_methods, reason = "the tests are told of the binary by environment")]
pub(crate) fn promtool() -> PathBuf {
    let told = std::env::var_os("PROMTOOL").map(PathBuf::from);
    let beside = || {
        let path = std::env::var_os("PROMETHEUS")?;
        Some(PathBuf::from(path).with_file_name("promtool")).filter(|path| path.exists())
    };
    told.or_else(beside).unwrap_or_else(|| PathBuf::from("promtool"))
}

/// A free port of those that nobody is given who asks for any, as other tests do: it stays free while a
/// server is away. (Linux gives those from 32768 on, other systems those from 49152 on.)
fn free_port() -> u16 {
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let mut ports = std::iter::repeat_with(|| fastrand::u16(10_000..32_768)).take(1_000);
    ports.find(is_free).expect("a free port")
}

#[derive(serde::Deserialize)]
struct Answer {
    data: Data,
}

#[derive(serde::Deserialize)]
struct Data {
    result: Vec<Matrix>,
}

#[derive(serde::Deserialize)]
struct Matrix {
    metric: BTreeMap<String, String>,
    values: Vec<(f64, String)>,
}

mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use prost::Message as _;

    use super::*;

    #[derive(Clone, PartialEq, prost::Message)]
    struct WriteRequest {
        #[prost(message, repeated, tag = "1")]
        timeseries: Vec<TimeSeries>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct TimeSeries {
        #[prost(message, repeated, tag = "1")]
        labels: Vec<Label>,
        #[prost(message, repeated, tag = "2")]
        samples: Vec<Sample>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct Label {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(string, tag = "2")]
        value: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct Sample {
        // Optional, since prost leaves a plain field out that equals 0, and -0 does.
        #[prost(double, optional, tag = "1")]
        value: Option<f64>,
        #[prost(int64, tag = "2")]
        timestamp_ms: i64,
    }

    const LABELS: [(&str, &str); 2] = [("__name__", "depth"), ("river", "Spree/Dahme ü")];
    const ALL: &str = r#"{__name__=~".+"}"#;

    async fn write(server: &Prometheus, samples: &[(i64, f64)]) -> u16 {
        let label = |(name, value): (&str, &str)| Label { name: name.into(), value: value.into() };
        let samples = samples
            .iter()
            .map(|&(timestamp_ms, value)| Sample { value: Some(value), timestamp_ms });
        let series = TimeSeries { labels: LABELS.map(label).into(), samples: samples.collect() };
        let body = WriteRequest { timeseries: vec![series] }.encode_to_vec();
        let body = snap::raw::Encoder::new().compress_vec(&body).expect("snappy");
        let request = server
            .http
            .post(server.remote_write_url())
            .header("content-encoding", "snappy")
            .header("content-type", "application/x-protobuf")
            .header("x-prometheus-remote-write-version", "0.1.0")
            .body(body);
        request.send().await.expect("an answer").status().as_u16()
    }

    fn stored(samples: &[(i64, f64)]) -> Export {
        let labels = LABELS.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let samples = samples.iter().map(|&(at_ms, value)| (at_ms, value.to_bits())).collect();
        Export::from([(BTreeMap::from(labels), samples)])
    }

    fn now_ms() -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
        i64::try_from(since.as_millis()).expect("a time")
    }

    #[tokio::test]
    async fn what_is_written_is_read_back_to_the_bit_also_after_a_restart() {
        let mut server = Prometheus::start(Options::default()).await;
        let begin_ms = now_ms() - 600_000;
        let values = [0.1 + 0.2, -0.0, f64::MAX, f64::MIN_POSITIVE / 3.0, f64::INFINITY, 1e21];
        let samples: Vec<(i64, f64)> = (begin_ms..).step_by(60_007).zip(values).collect();
        assert_eq!(write(&server, &samples).await, 204);
        let end_ms = begin_ms + 600_000;
        assert_eq!(server.query_export(ALL, begin_ms, end_ms).await, stored(&samples));
        // Both ends belong to the range, and nothing beyond them.
        let [(second_ms, _), (third_ms, _)] = samples[1..3] else { unreachable!() };
        let between = server.query_export(ALL, second_ms, third_ms).await;
        assert_eq!(between, stored(&samples[1..3]));
        server.restart().await;
        assert_eq!(server.query_export(ALL, begin_ms, end_ms).await, stored(&samples));
    }

    #[tokio::test]
    async fn late_samples_want_the_out_of_order_window() {
        let newest_ms = now_ms();
        let (newest, late) = ((newest_ms, 1.0), (newest_ms - 600_000, 2.0));
        for (window, status, kept) in
            [(None, 400, vec![newest]), (Some("30m"), 204, vec![late, newest])]
        {
            let server = Prometheus::start(Options { out_of_order_window: window }).await;
            assert_eq!(write(&server, &[newest]).await, 204);
            assert_eq!(write(&server, &[late]).await, status, "window {window:?}");
            let export = server.query_export(ALL, newest_ms - 700_000, newest_ms).await;
            assert_eq!(export, stored(&kept), "window {window:?}");
        }
    }

    #[tokio::test]
    async fn a_paused_server_answers_when_it_is_resumed() {
        let server = Prometheus::start(Options::default()).await;
        server.pause().await;
        let sample = [(now_ms(), 1.0)];
        let mut writing = std::pin::pin!(write(&server, &sample));
        assert!(timeout(Duration::from_millis(300), &mut writing).await.is_err(), "it answered");
        server.resume().await;
        assert_eq!(writing.await, 204);
    }
}
