//! What the mapping is told.

use serde::Serialize;

use super::relabel::Rule;

/// How series are named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Naming {
    /// As YACE and Grafana Cloud name them: `aws_ec2_cpuutilization_average`.
    #[default]
    Yace,
    /// As the Java `cloudwatch_exporter` names them.
    CloudwatchExporter,
    /// As Telegraf's `cloudwatch_metric_streams` input names them.
    Telegraf,
    /// As the OpenTelemetry Collector's remote-write exporter names them, with unit suffixes.
    Otel,
}

impl Naming {
    /// The `job` label where the configuration says nothing of it; none if it follows the namespace.
    #[must_use]
    pub const fn job(self) -> Option<&'static str> {
        match self {
            Self::CloudwatchExporter => None,
            Self::Yace | Self::Telegraf | Self::Otel => Some("cloudwatch"),
        }
    }
}

/// Which end of its period a sample carries as its timestamp.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Timestamp {
    /// The period's start, as CloudWatch itself has it.
    #[default]
    Start,
    /// The period's end.
    End,
}

/// Which statistics become series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// `sum`
    pub sum: bool,
    /// `minimum`
    pub minimum: bool,
    /// `maximum`
    pub maximum: bool,
    /// `sample_count`
    pub sample_count: bool,
    /// `average`
    pub average: bool,
    /// `extended`: every further statistic present
    pub extended: bool,
}

impl Statistics {
    /// All of them.
    pub const ALL: Self = Self {
        sum: true,
        minimum: true,
        maximum: true,
        sample_count: true,
        average: true,
        extended: true,
    };

    /// The configuration's names.
    pub const NAMES: [&'static str; 6] =
        ["sum", "minimum", "maximum", "sample_count", "average", "extended"];

    /// None of them.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            sum: false,
            minimum: false,
            maximum: false,
            sample_count: false,
            average: false,
            extended: false,
        }
    }

    /// The flag of a configuration name.
    pub fn flag(&mut self, name: &str) -> Option<&mut bool> {
        Some(match name {
            "sum" => &mut self.sum,
            "minimum" => &mut self.minimum,
            "maximum" => &mut self.maximum,
            "sample_count" => &mut self.sample_count,
            "average" => &mut self.average,
            "extended" => &mut self.extended,
            _ => return None,
        })
    }
}

impl Serialize for Statistics {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut flags = *self;
        serializer
            .collect_seq(Self::NAMES.iter().filter(|name| flags.flag(name).is_some_and(|f| *f)))
    }
}

/// Another choice of statistics for some metrics. The first rule that matches decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StatisticsRule {
    /// Glob (`*`, `?`) on the CloudWatch namespace.
    pub namespace: String,
    /// Glob on the CloudWatch metric name.
    pub metric: String,
    /// What becomes series of what matches.
    pub statistics: Statistics,
}

/// How many distinct series an hour may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SeriesLimit {
    /// In all.
    pub per_hour: u32,
    /// Of one CloudWatch namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_namespace_per_hour: Option<u32>,
}

impl SeriesLimit {
    /// The highest limit.
    pub const MOST: u32 = 10_000_000;
    /// Memory of a place in the table.
    const ENTRY_BYTES: u64 = 16;
    /// Places that even the smallest table has.
    const ENTRIES_MIN: u32 = 8;

    /// Places in the table of known series: a quarter more than there can be series, so that searches
    /// stay short.
    #[must_use]
    pub fn table_entries(&self) -> usize {
        (self.per_hour + self.per_hour / 4 + Self::ENTRIES_MIN) as usize
    }

    /// Memory of the table of known series.
    #[must_use]
    pub fn table_bytes(&self) -> u64 {
        self.table_entries() as u64 * Self::ENTRY_BYTES
    }

    /// The highest limit of all series whose table takes no more than so many bytes.
    #[must_use]
    pub fn most_within(bytes: u64) -> u32 {
        let entries = (bytes / Self::ENTRY_BYTES).saturating_sub(u64::from(Self::ENTRIES_MIN));
        u32::try_from(entries * 4 / 5).unwrap_or(u32::MAX).min(Self::MOST)
    }
}

/// Which limit kept a series out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitKind {
    /// That of all series.
    PerHour,
    /// That of the series of a namespace.
    PerNamespacePerHour,
}

impl LimitKind {
    /// All kinds, in the order of [`Limited::samples`](super::Limited::samples).
    pub const ALL: [Self; 2] = [Self::PerHour, Self::PerNamespacePerHour];

    /// As metrics and logs name it: the setting's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PerHour => "per_hour",
            Self::PerNamespacePerHour => "per_namespace_per_hour",
        }
    }
}

/// The `cloudwatch` section.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Config {
    /// How series are named.
    pub naming: Naming,
    /// Which end of the period is the timestamp.
    pub timestamp: Timestamp,
    /// Which statistics become series.
    pub statistics: Statistics,
    /// Exceptions to that.
    pub statistics_rules: Vec<StatisticsRule>,
    /// The `job` label; no label if empty. Not given: `cloudwatch`, and in the `cloudwatch_exporter`
    /// dialect the namespace, as there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// Memory for the series of known metrics; by default at most an eighth of the budget.
    #[serde(serialize_with = "crate::units::show_bytes")]
    pub series_cache: u64,
    /// How many distinct series an hour may have; any number if none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series_limit: Option<SeriesLimit>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            naming: Naming::default(),
            timestamp: Timestamp::default(),
            statistics: Statistics::ALL,
            statistics_rules: Vec::new(),
            job: None,
            series_cache: 32 << 20,
            series_limit: None,
        }
    }
}

/// Where series go: what the mapping has to know of one destination.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlet {
    /// Number of lanes of the destination; at least 1.
    pub lanes: u32,
    /// Its `write_relabel_configs`.
    pub write_relabel: Vec<Rule>,
}

/// Everything the mapping is made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The `cloudwatch` section.
    pub config: Config,
    /// `global.external_labels`, sorted by name.
    pub external_labels: Vec<(String, String)>,
    /// The global `relabel_configs`.
    pub relabel: Vec<Rule>,
    /// The destinations, in the order of the configuration.
    pub outlets: Vec<Outlet>,
}

impl Plan {
    /// Whether a series that passed under another plan has the same labels under this one, where the
    /// first destination that keeps it is concerned. Which statistics become series may differ.
    #[must_use]
    pub fn labels_as(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.config, &other.config);
        (ours.naming, &ours.job) == (theirs.naming, &theirs.job)
            && self.external_labels == other.external_labels
            && self.relabel == other.relabel
            && self.decisive_rules().eq(other.decisive_rules())
    }

    /// The rules of the destinations up to the first that keeps everything: none further back is
    /// the first to keep a series.
    fn decisive_rules(&self) -> impl Iterator<Item = &[Rule]> {
        let first = self.outlets.iter().position(|outlet| outlet.write_relabel.is_empty());
        let deciding = first.map_or(self.outlets.len(), |first| first + 1);
        self.outlets.iter().take(deciding).map(|outlet| &*outlet.write_relabel)
    }
}
