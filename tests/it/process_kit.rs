//! The program as a process: started, asked, signalled; and a receiver that a test tells what to do.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may end so.

use std::io::Write as _;
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sluicegate::tasks::Tasks;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::house::Figures;
use crate::receive_door::{ARN, ID, KEY, envelope};

/// For what should take far less.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// An ID that no request has had yet, as long as any: what comes with the same ID and content again
/// is answered from memory, and proves little.
pub(crate) fn fresh_id() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let (most, _) = ID.rsplit_once('-').unwrap();
    format!("{most}-{:012x}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Variables that would be taken for the test's own.
const FOREIGN: [&str; 5] = [
    "SLUICEGATE_CONFIG",
    "SLUICEGATE_CONFIG_CONTENT",
    "SLUICEGATE_REMOTE_WRITE_URL",
    "SLUICEGATE_ACCESS_KEY",
    "RUST_LOG",
];

/// The program, not started yet, with nothing of ours in its environment, nor of AWS.
#[expect(clippy::disallowed_methods, reason = "what is there has to go")]
pub(crate) fn program(arguments: &[&str], env: &[(&str, &str)]) -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sluicegate"));
    for name in FOREIGN {
        command.env_remove(name);
    }
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("AWS_")) {
            command.env_remove(name);
        }
    }
    command.args(arguments).envs(env.iter().copied());
    command
}

/// What a command that ends by itself has said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs a command to its end.
pub(crate) fn run(arguments: &[&str], env: &[(&str, &str)], input: &[u8]) -> Said {
    let mut command = program(arguments, env);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Who reads no input closes the pipe.
    let _ = child.stdin.take().unwrap().write_all(input);
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
}

/// A configuration on free ports with one destination; `server` and `destination` are more lines of
/// either section, `rest` is more sections.
pub(crate) fn config(url: &str, server: &str, destination: &str, rest: &str) -> String {
    let lines = |text: &str, indent: &str| -> String {
        text.lines().map(|line| format!("{indent}{line}\n")).collect()
    };
    format!(
        "server:\n  listen_address: 127.0.0.1:0\n  access_keys: [{{ name: primary, key: {KEY} }}]\n{}\
         telemetry: {{ listen_address: 127.0.0.1:0 }}\n\
         remote_write:\n  - name: store\n    url: {url}\n    \
         queue_config: {{ min_backoff: 20ms, max_backoff: 100ms }}\n{}{rest}",
        lines(server, "  "),
        lines(destination, "    "),
    )
}

const CONFIG_FILE: &str = "sluicegate.yml";

/// A gateway that serves; killed on drop.
#[derive(Debug)]
pub(crate) struct Gateway {
    child: Child,
    pub(crate) ingest: String,
    pub(crate) telemetry: String,
    log: Arc<Mutex<String>>,
    client: reqwest::Client,
    tasks: Tasks,
    folder: Option<TempDir>,
}

impl Gateway {
    /// Starts with a configuration file of that text.
    pub(crate) async fn start(text: &str) -> Self {
        Self::start_with(text, &[]).await
    }

    /// The same with more environment.
    pub(crate) async fn start_with(text: &str, env: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(CONFIG_FILE);
        std::fs::write(&path, text).unwrap();
        let arguments = ["serve", "--config", path.to_str().unwrap()];
        let mut gateway = Self::launch(&arguments, env).await.unwrap();
        gateway.folder = Some(folder);
        gateway
    }

    /// Starts and waits until it serves, or gives what it said and how it ended instead.
    pub(crate) async fn launch(arguments: &[&str], env: &[(&str, &str)]) -> Result<Self, Said> {
        let mut command = Command::from(program(arguments, env));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let mut addresses = None;
        while let Some(line) = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap() {
            said.push_str(&format!("{line}\n"));
            let json: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            if json["message"] == "serving" {
                let address = |name| format!("http://{}", json[name].as_str().unwrap());
                addresses = Some((address("ingest_address"), address("telemetry_address")));
                break;
            }
        }
        let Some((ingest, telemetry)) = addresses else {
            let code = child.wait().await.unwrap().code().unwrap();
            return Err(Said { code, out: String::new(), err: said });
        };
        let log = Arc::new(Mutex::new(said));
        let tasks = Tasks::new();
        let kept = Arc::clone(&log);
        tasks.spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                kept.lock().unwrap().push_str(&format!("{line}\n"));
            }
        });
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Ok(Self { child, ingest, telemetry, log, client, tasks, folder: None })
    }

    /// Writes another text into the configuration file, the way editors do it.
    pub(crate) fn rewrite(&self, text: &str) {
        let folder = self.folder.as_ref().unwrap().path();
        let next = folder.join("next.yml");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(&next, folder.join(CONFIG_FILE)).unwrap();
    }

    /// What stands in the log by now.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// A request of these records as Firehose sends it, with an ID of its own, on its way in a task
    /// of its own.
    pub(crate) fn send(
        &self,
        records: &[&[u8]],
        headers: &[(&'static str, &str)],
    ) -> tokio::task::JoinHandle<(u16, String)> {
        let id = fresh_id();
        let body = envelope(&id, records);
        self.send_as(id, body, headers)
    }

    /// The same with that body under that ID, which the answer has to name.
    pub(crate) fn send_as(
        &self,
        id: String,
        body: impl Into<reqwest::Body>,
        headers: &[(&'static str, &str)],
    ) -> tokio::task::JoinHandle<(u16, String)> {
        let mut request = self
            .client
            .post(format!("{}/firehose", self.ingest))
            .header("content-type", "application/json")
            .header("x-amz-firehose-protocol-version", "1.0")
            .header("x-amz-firehose-request-id", &id)
            .header("x-amz-firehose-source-arn", ARN)
            .body(body);
        if !headers.iter().any(|(name, _)| *name == "x-amz-firehose-access-key") {
            request = request.header("x-amz-firehose-access-key", KEY);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.tasks.spawn(async move {
            let (status, text) = answer(request).await;
            assert!(status == 0 || text.contains(&id), "{status} to {id}: {text}");
            (status, text)
        })
    }

    /// Such a request and its answer.
    pub(crate) async fn post(&self, records: &[&[u8]]) -> (u16, String) {
        self.send(records, &[]).await.unwrap()
    }

    /// What `/metrics` shows now.
    pub(crate) async fn figures(&self) -> Figures {
        let (status, page) = self.get_path(&self.telemetry, "/metrics").await;
        assert_eq!(status, 200, "{page}");
        Figures(page)
    }

    /// Fails if any request was taken for one that came before: all were to be worked on.
    pub(crate) async fn assert_no_repeats(&self) {
        const REPEATED: &str = "sluicegate_firehose_requests_repeated_total";
        let figures = self.figures().await;
        assert!(figures.0.contains(REPEATED), "{}", figures.0);
        assert_eq!(figures.value(REPEATED, &[]), 0.0, "{}", figures.0);
    }

    /// Status and body; status 0 if nobody answers.
    pub(crate) async fn get(&self, url: &str) -> (u16, String) {
        answer(self.client.get(url)).await
    }

    /// `/readyz` of both listeners.
    pub(crate) async fn ready(&self) -> [u16; 2] {
        let [one, other] =
            [&self.ingest, &self.telemetry].map(|base| self.get_path(base, "/readyz"));
        [one.await.0, other.await.0]
    }

    /// A path of one of the listeners.
    pub(crate) async fn get_path(&self, base: &str, path: &str) -> (u16, String) {
        self.get(&format!("{base}{path}")).await
    }

    /// Sends a signal and returns once the gateway has told of it.
    pub(crate) async fn signal(&self, name: &str) {
        let count = |log: &str| log.matches("\"signal\":").count();
        let before = count(&self.log());
        self.raise(name).await;
        self.until(|log| count(log) > before).await;
    }

    /// Sends a signal.
    pub(crate) async fn raise(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status().await.unwrap();
        assert!(sent.success());
    }

    /// Waits until the log holds what is asked for.
    pub(crate) async fn until(&self, holds: impl Fn(&str) -> bool) {
        let reached = async {
            while !holds(&self.log()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let outcome = timeout(PATIENCE, reached).await;
        assert!(outcome.is_ok(), "the log never said so:\n{}", self.log());
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Waits for the end; the exit status.
    pub(crate) async fn ended(&mut self) -> i32 {
        let ended = timeout(PATIENCE, self.child.wait()).await;
        let status = ended.unwrap_or_else(|_| panic!("it does not end:\n{}", self.log()));
        status.unwrap().code().unwrap()
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, String) {
    match request.send().await {
        Ok(answer) => (answer.status().as_u16(), answer.text().await.unwrap_or_default()),
        Err(error) => (0, format!("{error:?}")),
    }
}

/// What a receiver does with its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// 204.
    Store,
    /// 204 after a while.
    Slow(Duration),
    /// No answer until the mode changes.
    Hang,
    /// This status, with all headers of the request as the body.
    Echo(u16),
}

/// A remote-write receiver on loopback.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    mode: watch::Sender<Mode>,
    requests: Arc<AtomicU64>,
    _tasks: Tasks,
}

impl Receiver {
    pub(crate) async fn start(mode: Mode) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/v1/write", listener.local_addr().unwrap());
        let (mode, modes) = watch::channel(mode);
        let requests = Arc::new(AtomicU64::new(0));
        let (tasks, count) = (Tasks::new(), Arc::clone(&requests));
        let connections = tasks.clone();
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (modes, count) = (modes.clone(), Arc::clone(&count));
                connections.spawn(async move {
                    let _ = serve(stream, modes, &count).await;
                });
            }
        });
        Self { url, mode, requests, _tasks: tasks }
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send(mode).unwrap();
    }

    /// How many requests have come whole.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }

    /// Waits until a request has come.
    pub(crate) async fn reached(&self) {
        let reached = async {
            while self.requests() == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, reached).await.expect("a request");
    }
}

async fn serve(
    stream: TcpStream,
    mut modes: watch::Receiver<Mode>,
    count: &AtomicU64,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let lower = head.to_ascii_lowercase();
        let (_, length) = lower.split_once("content-length: ").unwrap_or(("", "0\r"));
        let mut body = vec![0; length.split('\r').next().unwrap().parse().unwrap()];
        stream.read_exact(&mut body).await?;
        count.fetch_add(1, Ordering::SeqCst);
        let mode = modes.wait_for(|mode| *mode != Mode::Hang).await.map(|mode| *mode);
        if let Ok(Mode::Slow(time)) = mode {
            tokio::time::sleep(time).await;
        }
        let (status, text) = match mode {
            Ok(Mode::Echo(status)) => (status, head),
            _ => (204, String::new()),
        };
        let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n{text}", text.len());
        stream.write_all(answer.as_bytes()).await?;
    }
}
