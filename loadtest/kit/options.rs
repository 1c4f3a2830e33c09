//! What a run is told on the command line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use sluicegate::secret::hidden_in_url;
use sluicegate::units;

use crate::load::Load;
use crate::scenario::{Bodies, Wishes};

/// What a run is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Data points per second, instead of the scenario's own rate; where it climbs, the first stage.
    #[arg(long, value_name = "POINTS", value_parser = rate)]
    pub rate: Option<f64>,
    /// How long the load lasts, instead of the scenario's own duration: seconds, or 5m, 24h; where
    /// it climbs, one stage.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// A folder for the report: index.html, report.json, report.txt, vegeta's results.
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// Load this gateway, behind whatever stands in front of it, instead of starting one.
    #[arg(long, requires = "access_key")]
    pub url: Option<String>,
    /// Its access key. Other users of this machine can see it here: `--key-file` hides it.
    #[arg(long, group = "access_key")]
    pub key: Option<String>,
    /// The file that holds its access key.
    #[arg(long, value_name = "FILE", group = "access_key")]
    pub key_file: Option<PathBuf>,
    /// `/metrics` of that gateway, for its own figures.
    #[arg(long, value_name = "URL", requires = "url")]
    pub metrics_url: Option<String>,
    /// Prometheus-compatible API of its destination, to count what is stored: the URL before
    /// `/api/v1/query`.
    #[arg(long, value_name = "URL", requires = "url")]
    pub query_url: Option<String>,
    /// Certificate authorities (PEM) to trust instead of the system's.
    #[arg(long, value_name = "FILE", requires = "url")]
    pub root_certs: Option<PathBuf>,
    /// Accept any certificate.
    #[arg(long, requires = "url")]
    pub insecure: bool,
    /// Write to a real Prometheus, which the kit starts, instead of its own counting receiver.
    #[arg(long, conflicts_with = "url")]
    pub prometheus: bool,
    /// Budget of the gateway that is started, such as 64MiB.
    #[arg(long, value_name = "BYTES", value_parser = bytes, conflicts_with = "url")]
    pub budget: Option<u64>,
    /// Processors that the gateway may use, in scenarios that bound it.
    #[arg(long, value_name = "CPUS", value_parser = positive, conflicts_with = "url")]
    pub cpus: Option<f64>,
    /// Requests in flight at most.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub workers: Option<u32>,
    /// The gateway's program, if it is not beside this one.
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    pub gateway: Option<PathBuf>,
    /// What the bodies are made of.
    #[command(flatten)]
    pub load: Load,
}

impl Options {
    /// What is wished otherwise than scenarios have it.
    #[must_use]
    pub fn wishes(&self, short: bool) -> Wishes {
        Wishes {
            rate: self.rate,
            duration: self.duration,
            budget: self.budget,
            cpus: self.cpus,
            short,
        }
    }

    /// The load of a scenario: its own bodies, but for what was `told` on the command line.
    ///
    /// # Errors
    /// If no body can be so large, or a captured one cannot be read.
    pub fn load_of(&self, bodies: &Bodies, told: &dyn Fn(&str) -> bool) -> anyhow::Result<Load> {
        let mut load = self.load.clone();
        if !load.numbered() {
            // Rates are those of data points.
            load.points_per_body = load.captured_points_per_body()?;
            return Ok(load);
        }
        let set = |of: &mut u32, wanted: Option<u32>, name: &str| {
            if let Some(wanted) = wanted.filter(|_| !told(name)) {
                *of = wanted;
            }
        };
        set(&mut load.points_per_body, bodies.points_per_body, "points_per_body");
        set(&mut load.points_per_record, bodies.points_per_record, "points_per_record");
        set(&mut load.metrics, bodies.metrics, "metrics");
        if bodies.json && !told("format") {
            load.format = Some(sluicegate::demo::stream::Format::Json);
        }
        match bodies.bytes.filter(|_| !told("points_per_body")) {
            Some(bytes) => load.sized(bytes),
            None => Ok(load),
        }
    }

    /// A client for `/metrics` and for what is stored, which trusts whom vegeta trusts.
    ///
    /// # Errors
    /// If the certificates cannot be read.
    pub fn client(&self) -> anyhow::Result<reqwest::Client> {
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .timeout(ASK_TIMEOUT)
            .tls_danger_accept_invalid_certs(self.insecure);
        if let Some(file) = &self.root_certs {
            let told = || format!("certificates in {}", file.display());
            let pem = std::fs::read(file).with_context(told)?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem).with_context(told)?;
            anyhow::ensure!(!certificates.is_empty(), "no {}", told());
            builder = builder.tls_certs_merge(certificates);
        }
        Ok(builder.build()?)
    }

    /// The access key of the gateway that is to be loaded; none if it is the kit's own.
    ///
    /// # Errors
    /// If its file cannot be read.
    pub fn access_key(&self) -> anyhow::Result<Option<String>> {
        access_key(self.key.as_deref(), self.key_file.as_deref())
    }
}

/// An access key, or what its file holds but for the end of its line.
///
/// # Errors
/// If the file cannot be read.
pub fn access_key(key: Option<&str>, file: Option<&Path>) -> anyhow::Result<Option<String>> {
    let Some(file) = file.filter(|_| key.is_none()) else { return Ok(key.map(str::to_owned)) };
    let told = || format!("access key in {}", file.display());
    let text = std::fs::read_to_string(file).with_context(told)?;
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// For an answer, unless who asks is less patient.
const ASK_TIMEOUT: Duration = Duration::from_secs(120);

/// The longest load: a week.
const DURATION_MAX: Duration = Duration::from_secs(7 * 86_400);

fn duration(text: &str) -> Result<Duration, String> {
    let bare = text.parse().ok().map(Duration::from_secs);
    bare.or_else(|| units::parse_duration(text))
        .filter(|time| (Duration::from_secs(1)..=DURATION_MAX).contains(time))
        .ok_or_else(|| "a time from 1s to 7d is needed".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|rate| (1.0..=1e9).contains(rate));
    number.ok_or_else(|| "a number of data points per second is needed, from 1".to_owned())
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.01..=1024.0).contains(number));
    number.ok_or_else(|| "a number from 0.01 to 1024 is needed".to_owned())
}

fn bytes(text: &str) -> Result<u64, String> {
    units::parse_bytes(text).ok_or_else(|| "a size such as 64MiB is needed".to_owned())
}

/// The command that makes the same run again, without its key and what URLs have to hide.
#[must_use]
pub fn command_again(arguments: impl IntoIterator<Item = String>) -> String {
    let mut words = vec!["loadtest/run".to_owned()];
    let mut arguments = arguments.into_iter().peekable();
    arguments.next_if(|word| word == "run");
    while let Some(word) = arguments.next() {
        if word == "--key" {
            words.extend([word, "...".to_owned()]);
            arguments.next();
        } else if word.starts_with("--key=") {
            words.push("--key=...".to_owned());
        } else if word == "--gateway" {
            arguments.next();
        } else if let Some((option, value)) =
            word.split_once('=').filter(|(o, _)| o.starts_with("--"))
        {
            if option != "--gateway" {
                words.push(format!("{option}={}", shown(value)));
            }
        } else {
            words.push(shown(&word));
        }
    }
    words.join(" ")
}

fn shown(word: &str) -> String {
    if word.contains("://") { hidden_in_url(word).into_owned() } else { word.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_bounded() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("24h"), Ok(Duration::from_secs(86_400)));
        for bad in ["0", "8d", "soon", "-1"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert_eq!(rate("25000"), Ok(25_000.0));
        for bad in ["0", "NaN", "inf", "-5", "x"] {
            assert!(rate(bad).is_err(), "{bad}");
            assert!(positive(bad).is_err(), "{bad}");
        }
        assert_eq!(bytes("64MiB"), Ok(64 << 20));
    }

    #[test]
    fn the_command_is_told_without_its_key() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        for (given, told) in [
            ("run smoke --rate 5", "loadtest/run smoke --rate 5"),
            (
                "run smoke --url u --key s3cret --rate 5",
                "loadtest/run smoke --url u --key ... --rate 5",
            ),
            ("all --key=s3cret", "loadtest/run all --key=..."),
            ("run smoke --gateway /x/y --rate 5", "loadtest/run smoke --rate 5"),
            ("run smoke --gateway=/x/y --report run", "loadtest/run smoke --report run"),
            (
                "run smoke --query-url https://me:s3cret@p.example/ --url=http://h/?k=s3cret",
                "loadtest/run smoke --query-url https://<secret>@p.example/ --url=http://h/?k=<secret>",
            ),
        ] {
            assert_eq!(command_again(words(given)), told);
        }
    }
}
