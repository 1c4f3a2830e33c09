//! A metric stream: a population of CloudWatch metrics that yields the same data points for the
//! same seed, and knows which samples must come of them.

use std::fmt;
use std::ops::Range;

use super::catalogue::{ACCOUNTS, Extended, Kind, REGIONS, TEMPLATES, Template};
use super::dice::Dice;

/// A metric stream's `OutputFormat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Format {
    /// One JSON object per data point.
    Json,
    /// OpenTelemetry 0.7: flat labels.
    #[value(name = "opentelemetry0.7")]
    OpenTelemetry07,
    /// OpenTelemetry 1.0: nested attributes.
    #[value(name = "opentelemetry1.0")]
    OpenTelemetry10,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 3] = [Self::Json, Self::OpenTelemetry07, Self::OpenTelemetry10];

    /// CloudWatch's name of it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::OpenTelemetry07 => "opentelemetry0.7",
            Self::OpenTelemetry10 => "opentelemetry1.0",
        }
    }

    /// Whether it can carry a statistic: OpenTelemetry has percentiles only.
    #[must_use]
    pub const fn carries(self, statistic: &Extended) -> bool {
        matches!(self, Self::Json) || statistic.quantile.is_some()
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One CloudWatch metric.
#[derive(Clone, Debug)]
pub struct Metric {
    /// What it measures.
    pub template: &'static Template,
    /// Account of its data points.
    pub account: &'static str,
    /// Region of its data points.
    pub region: &'static str,
    /// Values of the template's dimensions; none of a roll-up over all of them.
    pub dimensions: Vec<String>,
}

impl Metric {
    /// Dimension names and values.
    pub fn dimensions(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let names = self.template.dimensions.iter().map(|dimension| dimension.0);
        names.zip(self.dimensions.iter().map(String::as_str))
    }

    /// All labels, sorted by name, that its series of a statistic has in the `yace` dialect.
    #[must_use]
    pub fn labels(&self, suffix: &str) -> Vec<(String, String)> {
        let names = self.template.dimensions.iter().map(|dimension| dimension.1.to_owned());
        let mut labels: Vec<_> = names.zip(self.dimensions.iter().cloned()).collect();
        labels.push(("__name__".to_owned(), format!("{}_{suffix}", self.template.series)));
        labels.push(("account_id".to_owned(), self.account.to_owned()));
        labels.push(("region".to_owned(), self.region.to_owned()));
        labels.push(("job".to_owned(), "cloudwatch".to_owned()));
        labels.push(("name".to_owned(), "global".to_owned()));
        labels.push(("namespace".to_owned(), self.template.namespace.to_owned()));
        labels.sort();
        labels
    }
}

/// One data point: a metric's figures of one minute.
#[derive(Clone, Debug)]
pub struct Point<'a> {
    /// Whose.
    pub metric: &'a Metric,
    /// Start of the minute, milliseconds since 1970.
    pub start_ms: i64,
    /// Number of values; whole, since OpenTelemetry cannot carry a fraction.
    pub count: u32,
    /// Their sum.
    pub sum: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// Further statistics; any may be missing from any data point.
    pub extended: Vec<(&'static Extended, f64)>,
}

impl Point<'_> {
    /// The samples that must come of it: the ends of their series' names, and their values.
    pub fn samples(&self, format: Format) -> impl Iterator<Item = (&'static str, f64)> {
        let count = f64::from(self.count);
        [("sum", self.sum), ("minimum", self.min), ("maximum", self.max), ("sample_count", count)]
            .into_iter()
            .chain((self.count > 0).then(|| ("average", self.sum / count)))
            .chain(
                self.extended
                    .iter()
                    .filter(move |(statistic, _)| format.carries(statistic))
                    .map(|(statistic, value)| (statistic.suffix, *value)),
            )
    }
}

/// A metric stream.
#[derive(Clone, Debug)]
pub struct MetricStream {
    seed: u64,
    metrics: Vec<Metric>,
}

impl MetricStream {
    /// A stream of so many metrics.
    #[must_use]
    pub fn new(metrics: usize, seed: u64) -> Self {
        let metrics = (0..metrics as u64)
            .filter_map(|index| {
                let kinds = TEMPLATES.len() as u64;
                let template = TEMPLATES.get(usize::try_from(index % kinds).ok()?)?;
                Some(Metric::nth(template, index / kinds, seed))
            })
            .collect();
        Self { seed, metrics }
    }

    /// The metrics.
    #[must_use]
    pub fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// The data points that some of the metrics have of the minute that begins at `start_ms`. They
    /// are a function of the seed and the minute.
    pub fn points(&self, start_ms: i64, metrics: Range<usize>) -> impl Iterator<Item = Point<'_>> {
        let first = metrics.start;
        let end = metrics.end.min(self.metrics.len());
        let some = self.metrics.get(first..end).unwrap_or_default().iter();
        some.enumerate().map(move |(offset, metric)| {
            let index = (first + offset) as u64;
            point(metric, start_ms, &mut Dice::of(self.seed, index, start_ms.unsigned_abs()))
        })
    }
}

impl Metric {
    /// The metric of a template's n-th resource; of the first only the roll-up is known.
    fn nth(template: &'static Template, ordinal: u64, seed: u64) -> Self {
        let pick = |from: &[&'static str; 3], at: u64| from[(at % 3) as usize];
        let dimensions = template.dimensions.iter().filter(|_| ordinal > 0);
        let dimensions = dimensions.map(|(_, _, begin)| {
            // Resources that share a dimension share its value, as an instance's metrics do.
            let word = Dice::of(seed, ordinal, begin.len() as u64).bits();
            format!("{begin}{:08x}{ordinal:x}", word >> 32)
        });
        Self {
            template,
            account: pick(&ACCOUNTS, ordinal),
            region: pick(&REGIONS, ordinal / 3),
            dimensions: dimensions.collect(),
        }
    }
}

fn point<'a>(metric: &'a Metric, start_ms: i64, dice: &mut Dice) -> Point<'a> {
    let chance = dice.below(100);
    let (count, mean, whole) = match metric.template.kind {
        Kind::Gauge(scale) => (1 + dice.below(60), scale * dice.unit(), false),
        Kind::Tally(scale) if chance >= 20 => {
            (1 + dice.below(5), (scale * dice.unit()).round(), true)
        }
        Kind::Flag if chance >= 95 => (5, 1.0, true),
        Kind::Tally(_) | Kind::Flag => (5, 0.0, true),
    };
    // A minute without values is rare, and there is no average of it.
    let (count, mean) = if chance == 50 { (0, 0.0) } else { (count, mean) };
    let spread = if whole { 0.0 } else { dice.unit() };
    let (min, max) = (mean * (1.0 - spread), mean * (1.0 + spread));
    let extended =
        metric.template.extended.iter().filter(|_| count > 0 && !chance.is_multiple_of(17));
    let extended = extended
        .map(|statistic| (statistic, min + (max - min) * statistic.quantile.unwrap_or(0.5)))
        .collect();
    let count = u32::try_from(count).unwrap_or_default();
    Point { metric, start_ms, count, sum: mean * f64::from(count), min, max, extended }
}
