//! An attack: stages of load, each sent by one vegeta, and the answers.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::load::Load;
use crate::load::request_id::RequestIds;
use crate::targets::Targets;
use crate::vegeta::{self, Vegeta};

mod feed;
mod results;

use feed::Feed;

/// Bodies per second.
const RATE_MIN: f64 = 0.001;
const RATE_MAX: f64 = 1e6;

/// What an answer may have for its message to be known.
const ANSWER_BYTES: &str = "64KB";

/// Connections that may lie idle: as many as there may be requests.
const CONNECTIONS_MIN: usize = 64;

/// What a stage may take beyond its duration, the waits for the last targets and their answers.
const STAGE_GRACE: Duration = Duration::from_secs(15);

/// What vegeta may take to make something of its results.
const RESULTS_TIMEOUT: Duration = Duration::from_secs(300);

/// Errors in vegeta's report.
const REPORT_ERRORS_MAX: usize = 10;

/// Part of an attack at one rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stage {
    /// Bodies per second; 0: as fast as the workers allow.
    pub rate: f64,
    /// How long.
    pub duration: Duration,
}

/// What is sent where, and how.
#[derive(Clone, Debug)]
pub struct Attack<'a> {
    /// The vegeta that sends.
    pub vegeta: &'a Vegeta,
    /// Where the gateway takes deliveries.
    pub url: &'a str,
    /// Access key.
    pub key: &'a str,
    /// Common attributes of the delivery stream.
    pub common_attributes: &'a [(String, String)],
    /// What the bodies are made of.
    pub load: &'a Load,
    /// Name of the run: a dimension of every metric and a part of every request id. Attacks at the
    /// same time need different ones, since their metrics would have data points of equal times.
    pub run: &'a str,
    /// Number of the first request; attacks on one receiver must not share numbers.
    pub first: u64,
    /// One after the other; each begins on time, even if answers of the one before are awaited.
    pub stages: &'a [Stage],
    /// Requests in flight at most.
    pub workers: usize,
    /// Of one request.
    pub timeout: Duration,
    /// Certificate authorities (PEM) to trust instead of the system's.
    pub root_certs: Option<&'a Path>,
    /// Whether any certificate will do.
    pub insecure: bool,
    /// Where vegeta's results and plot are kept; must exist.
    pub directory: &'a Path,
}

/// What became of one request.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Number of the request.
    pub number: Option<u64>,
    /// Index of its stage.
    pub stage: usize,
    /// HTTP status; 0: there was no answer.
    pub code: u16,
    /// When it was sent, since the first stage began.
    pub at: Duration,
    /// Until the end of the answer. Vegeta counts in what it takes to read the target, which is
    /// noticeable with bodies of many megabytes.
    pub latency: Duration,
    /// Size of the body that was sent.
    pub bytes_out: u64,
    /// What went wrong; empty if nothing did.
    pub error: String,
}

/// An attack that is over.
#[derive(Clone, Debug, Default)]
pub struct Attacked {
    /// Of every request that was sent, in the order of `at`.
    pub answers: Vec<Answer>,
    /// Number of the first request.
    pub first: u64,
    /// Data points of every request that was made, sent or not; the first of `first`.
    pub points: Vec<Range<u64>>,
    /// Whether the data points are numbered.
    pub numbered: bool,
    /// Stages whose vegeta did not end by itself: they may have sent more than is in the answers.
    pub killed: usize,
    /// Answers of any status that broke Firehose's contract, which are no success to it.
    pub breaches: u64,
    /// The first of those, in words.
    pub first_breach: Option<String>,
    /// Vegeta's plot of all stages.
    pub plot: PathBuf,
    /// Vegeta's own report.
    pub vegeta_report: String,
}

impl Attacked {
    /// Data points of a request; none if it was never made.
    #[must_use]
    pub fn points_of(&self, number: u64) -> Option<&Range<u64>> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.points.get(index)
    }

    /// What `first` of a further attack on the same receiver may be.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.first + self.points.len() as u64
    }
}

impl Attack<'_> {
    /// Runs all stages. Ends in bounded time, even if the target hangs: each stage takes its
    /// duration, the wait between two bodies, two timeouts and some seconds at most.
    ///
    /// # Errors
    /// If vegeta or the load cannot be started, or the results cannot be read.
    pub async fn run(&self) -> anyhow::Result<Attacked> {
        ensure!(self.workers > 0, "without workers nothing is sent");
        for stage in self.stages {
            let usual = stage.rate == 0.0 || (RATE_MIN..=RATE_MAX).contains(&stage.rate);
            ensure!(usual, "{} is no rate of bodies per second", stage.rate);
            ensure!(!stage.duration.is_zero(), "a stage takes some time");
        }
        let targets = Targets::new(self.url, self.key, self.common_attributes, self.load.gzip > 0)?;
        let bodies = self.load.bodies(self.run, self.first)?;
        // No more than a second's worth is made ahead, since data points are to be new.
        let rates = self.stages.iter().map(|stage| stage.rate);
        let slowest = rates.filter(|rate| *rate > 0.0).fold(f64::INFINITY, f64::min);
        let feed = Feed::start(bodies, targets, slowest as usize)?;

        let began_ns = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
        let began_ns = u64::try_from(began_ns)?;
        let mut start = Instant::now();
        let mut ends = JoinSet::new();
        for (index, stage) in self.stages.iter().enumerate() {
            tokio::time::sleep_until(start).await;
            start += stage.duration;
            let stage = self.begin(index, *stage, &feed)?;
            ends.spawn(stage.end());
        }
        let mut killed = 0;
        while let Some(end) = ends.join_next().await {
            killed += usize::from(end??);
        }
        let mut attacked = Attacked {
            first: self.first,
            points: feed.made(),
            numbered: self.load.numbered(),
            killed,
            ..Attacked::default()
        };
        drop(feed);
        let mut files = Vec::new();
        for index in 0..self.stages.len() {
            let results = self.results(index);
            if results.metadata().is_ok_and(|file| file.len() > 0) {
                self.read(index, began_ns, &mut attacked).await?;
                files.push(results);
            }
        }
        attacked.answers.sort_by_key(|answer| answer.at);
        if !files.is_empty() {
            self.describe(&files, &mut attacked).await?;
        }
        Ok(attacked)
    }

    fn results(&self, stage: usize) -> PathBuf {
        self.directory.join(format!("results-{stage:02}.bin"))
    }

    /// Starts the vegeta of a stage.
    fn begin(&self, index: usize, stage: Stage, feed: &Feed) -> anyhow::Result<Running> {
        let log = self.directory.join(format!("vegeta-{index:02}.log"));
        let mut command = self.vegeta.command();
        command.args(["attack", "-lazy", "-format=json", "-http2=false", "-redirects=-1"]);
        command.arg(format!("-name=stage-{index:02}"));
        command.arg(format!("-rate={}", rate(stage.rate)));
        command.arg(format!("-duration={}ns", stage.duration.as_nanos()));
        command.arg(format!("-timeout={}ns", self.timeout.as_nanos()));
        command.arg(format!("-workers={}", self.workers.min(10)));
        command.arg(format!("-max-workers={}", self.workers));
        command.arg(format!("-connections={}", self.workers.max(CONNECTIONS_MIN)));
        command.arg(format!("-max-body={ANSWER_BYTES}"));
        if let Some(certificates) = self.root_certs {
            command.arg(format!("-root-certs={}", certificates.display()));
        }
        if self.insecure {
            command.arg("-insecure");
        }
        command.arg(format!("-output={}", self.results(index).display()));
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(std::fs::File::create(&log)?);
        let mut vegeta = command.spawn().context("vegeta cannot be started")?;
        let stdin = vegeta.stdin.take().context("vegeta has no input")?;
        feed.pour(std::fs::File::from(stdin.into_owned_fd()?))?;
        let interval = if stage.rate > 0.0 {
            Duration::from_secs_f64(1.0 / stage.rate)
        } else {
            Duration::ZERO
        };
        // A target that was due at the end still waits for a worker, and then for its answer.
        let patience = stage.duration + interval + 2 * self.timeout + STAGE_GRACE;
        Ok(Running { index, vegeta, patience, log })
    }

    /// Reads the results of a stage.
    async fn read(
        &self,
        stage: usize,
        began_ns: u64,
        attacked: &mut Attacked,
    ) -> anyhow::Result<()> {
        let mut command = self.vegeta.command();
        command.args(["encode", "-to", "json"]).arg(self.results(stage));
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut encode = command.spawn()?;
        let mut lines = BufReader::new(encode.stdout.take().context("no output")?).lines();
        let ids = RequestIds::of(self.run);
        let reading = async {
            while let Some(line) = lines.next_line().await? {
                let Some(result) = results::read(&line, stage, ids, began_ns)? else { continue };
                attacked.answers.push(result.answer);
                if let Some(breach) = result.breach {
                    attacked.breaches += 1;
                    attacked.first_breach.get_or_insert(breach);
                }
            }
            let whole = encode.wait().await?.success();
            // The last result of a vegeta that was killed may be half a one.
            ensure!(whole || attacked.killed > 0, "vegeta cannot read its results");
            anyhow::Ok(())
        };
        let read = tokio::time::timeout(RESULTS_TIMEOUT, reading).await;
        read.context("too slow")?.with_context(|| format!("results of stage {stage}"))
    }

    /// Has vegeta make its plot and its report.
    async fn describe(&self, files: &[PathBuf], attacked: &mut Attacked) -> anyhow::Result<()> {
        let plot = self.directory.join("plot.html");
        let mut command = self.vegeta.command();
        command.arg("plot").arg(format!("-output={}", plot.display())).args(files);
        self.have(&mut command, attacked.killed).await.context("vegeta plot")?;
        attacked.plot = plot;
        let mut command = self.vegeta.command();
        command.arg("report").args(files);
        let text = self.have(&mut command, attacked.killed).await.context("vegeta report")?;
        attacked.vegeta_report = shortened(&text);
        Ok(())
    }

    async fn have(&self, command: &mut Command, killed: usize) -> anyhow::Result<String> {
        let output = vegeta::output(command, RESULTS_TIMEOUT).await?;
        if !output.status.success() && killed == 0 {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// A stage under way.
struct Running {
    index: usize,
    vegeta: tokio::process::Child,
    patience: Duration,
    log: PathBuf,
}

impl Running {
    /// Waits for its end; gives whether it had to be brought about.
    async fn end(mut self) -> anyhow::Result<bool> {
        match tokio::time::timeout(self.patience, self.vegeta.wait()).await {
            Ok(status) => {
                let status = status?;
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                ensure!(
                    status.success(),
                    "vegeta ended with {status} in stage {}: {}",
                    self.index,
                    log.trim()
                );
                Ok(false)
            }
            Err(_) => {
                self.vegeta.kill().await?;
                Ok(true)
            }
        }
    }
}

/// A rate as vegeta takes it: one body in so many nanoseconds; 0 as fast as can be.
fn rate(per_second: f64) -> String {
    if per_second <= 0.0 {
        return "0".to_owned();
    }
    format!("1/{}ns", (1e9 / per_second).round().max(1.0))
}

/// Vegeta's report without the addresses in its errors, each error once, and not too many.
fn shortened(report: &str) -> String {
    let mut short = String::new();
    let mut errors: Option<Vec<&str>> = None;
    let mut more = 0;
    for line in report.lines() {
        if let Some(known) = &mut errors {
            let error = results::without_address(line);
            if known.contains(&error) {
                continue;
            }
            if known.len() == REPORT_ERRORS_MAX {
                more += 1;
                continue;
            }
            known.push(error);
            short.push_str(error);
        } else {
            if line.starts_with("Error Set:") {
                errors = Some(Vec::new());
            }
            short.push_str(line);
        }
        short.push('\n');
    }
    if more > 0 {
        short.push_str(&format!("and {more} others\n"));
    }
    short
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]
mod tests;
