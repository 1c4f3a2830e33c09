//! The CloudWatch metrics of a load.

use anyhow::ensure;
use sluicegate::demo::catalogue::{ACCOUNTS, REGIONS};
use sluicegate::demo::dice::Dice;

use super::Load;

/// Name of the dimension that names the run, so that a store shared with others can be asked for
/// this run's samples alone.
pub const RUN_DIMENSION: &str = "LoadRun";

/// The stream's name in the records.
pub(super) const STREAM: &str = "load";

/// Neighbours that share an account.
const ACCOUNT_SHARE: u32 = 64;

/// Dimensions that CloudWatch allows, less the one that names the run.
const DIMENSIONS_MAX: u32 = 29;

/// Names and units, as JSON and as OpenTelemetry spell them.
const NAMES: [(&str, &str, &str); 16] = [
    ("CPUUtilization", "Percent", "%"),
    ("NetworkIn", "Bytes", "By"),
    ("NetworkOut", "Bytes", "By"),
    ("RequestCount", "Count", "{Count}"),
    ("TargetResponseTime", "Seconds", "s"),
    ("HTTPCode_Target_5XX_Count", "Count", "{Count}"),
    ("Duration", "Milliseconds", "ms"),
    ("ConcurrentExecutions", "Count", "{Count}"),
    ("ApproximateAgeOfOldestMessage", "Seconds", "s"),
    ("NumberOfMessagesSent", "Count", "{Count}"),
    ("ReadIOPS", "Count/Second", "{Count}/s"),
    ("FreeableMemory", "Bytes", "By"),
    ("GetRecords.IteratorAgeMilliseconds", "Milliseconds", "ms"),
    ("EBSIOBalance%", "Percent", "%"),
    ("VolumeQueueLength", "Count", "{Count}"),
    ("CpuReserved", "None", "1"),
];

/// All metrics of a load.
pub(super) struct Population {
    pub(super) metrics: Vec<Metric>,
    pub(super) extended: Vec<Extended>,
}

/// One metric.
pub(super) struct Metric {
    pub(super) account: &'static str,
    pub(super) region: &'static str,
    pub(super) namespace: String,
    pub(super) name: &'static str,
    /// As JSON and as OpenTelemetry spell it.
    pub(super) unit: (&'static str, &'static str),
    pub(super) dimensions: Vec<(String, String)>,
}

/// An extended statistic.
pub(super) struct Extended {
    pub(super) name: String,
    /// None where OpenTelemetry cannot carry it.
    pub(super) quantile: Option<f64>,
}

impl Population {
    pub(super) fn new(load: &Load, run: &str) -> anyhow::Result<Self> {
        ensure!(load.metrics > 0 && load.namespaces > 0, "there are no metrics");
        ensure!(
            (1..=DIMENSIONS_MAX).contains(&load.dimensions),
            "a metric can have 1 to {DIMENSIONS_MAX} dimensions besides the run's"
        );
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:%()".contains(c);
        ensure!(
            !run.is_empty() && run.len() <= 256 && run.chars().all(plain),
            "the name of a run is made of letters, digits, '-', '_' and '.'"
        );
        ensure!(load.extended.len() <= 20, "CloudWatch sends no more than 20 extended statistics");
        for name in &load.extended {
            ensure!(!name.is_empty() && name.chars().all(plain), "no statistic is called {name:?}");
        }
        let metrics = (0..load.metrics).map(|index| Metric::new(index, load, run)).collect();
        let extended = load.extended.iter().map(|name| Extended::new(name)).collect();
        Ok(Self { metrics, extended })
    }
}

impl Metric {
    fn new(index: u32, load: &Load, run: &str) -> Self {
        let mut dice = Dice::of(load.seed, u64::from(index), 0);
        let namespace = index % load.namespaces;
        let pick = index / load.namespaces % u32::try_from(NAMES.len()).unwrap_or(1);
        let (name, json, opentelemetry) = NAMES.get(pick as usize).copied().unwrap_or(NAMES[0]);
        let account = (index / ACCOUNT_SHARE) as usize % ACCOUNTS.len();
        let mut dimensions = vec![
            (RUN_DIMENSION.to_owned(), run.to_owned()),
            ("ResourceId".to_owned(), format!("r-{:010x}{index:07x}", dice.bits() >> 24)),
        ];
        for other in 1..load.dimensions {
            dimensions.push((format!("Dimension{other}"), format!("value-{}", dice.below(1000))));
        }
        Self {
            account: ACCOUNTS.get(account).copied().unwrap_or_default(),
            region: REGIONS.get(account % REGIONS.len()).copied().unwrap_or_default(),
            namespace: format!("Load/Service{namespace:02}"),
            name,
            unit: (json, opentelemetry),
            dimensions,
        }
    }
}

impl Extended {
    fn new(name: &str) -> Self {
        // Shifted as text: 99.9 / 100 is not what 0.999 is.
        let quantile = name
            .strip_prefix('p')
            .filter(|digits| digits.starts_with(|first: char| first.is_ascii_digit()))
            .and_then(|digits| format!("{digits}e-2").parse::<f64>().ok())
            .filter(|quantile| (f64::MIN_POSITIVE..1.0).contains(quantile));
        Self { name: name.to_owned(), quantile }
    }
}
