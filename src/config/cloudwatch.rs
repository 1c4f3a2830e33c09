//! Reads `cloudwatch`, `global` and `log`.

use super::reader::Section;
use super::{Global, Log, LogFormat, fault::nearest};
use crate::map::{Config, Naming, SeriesLimit, Statistics, StatisticsRule, Timestamp};
use crate::units::format_bytes;

/// Series that an hour may have in all where only those of a namespace are limited: the table needs
/// an end.
const SERIES_DEFAULT: u32 = 1_000_000;

/// Reads `cloudwatch`, beside a budget of so many bytes.
pub(super) fn read(section: &Section<'_>, budget: u64) -> Config {
    let defaults = Config::default();
    let said_statistics = statistics(section);
    let statistics_rules = section
        .sections("statistics_rules", |rule| {
            if !rule.holds("statistics") {
                rule.reader.fault(&rule.path, "needs statistics (`[]` for none)");
            }
            StatisticsRule {
                namespace: rule.filled("namespace").unwrap_or_else(|| "*".to_owned()),
                metric: rule.filled("metric").unwrap_or_else(|| "*".to_owned()),
                // Where it is none of these, a fault says so already.
                statistics: statistics(rule).unwrap_or(Config::default().statistics),
            }
        })
        .unwrap_or_default();
    let none = Statistics::none();
    if said_statistics == Some(none) && statistics_rules.iter().all(|rule| rule.statistics == none)
    {
        section.fault("statistics", "names none, so nothing would be sent");
    }
    let naming = section
        .choice(
            "naming",
            &[
                ("yace", Naming::Yace),
                ("cloudwatch_exporter", Naming::CloudwatchExporter),
                ("telegraf", Naming::Telegraf),
                ("otel", Naming::Otel),
            ],
        )
        .unwrap_or_default();
    Config {
        naming,
        timestamp: section
            .choice("timestamp", &[("start", Timestamp::Start), ("end", Timestamp::End)])
            .unwrap_or_default(),
        statistics: said_statistics.unwrap_or(defaults.statistics),
        statistics_rules,
        job: section.string("job").or_else(|| naming.job().map(str::to_owned)),
        series_cache: section
            .bytes("series_cache", 4 << 10..=1 << 40)
            .unwrap_or(defaults.series_cache.min(budget / 8)),
        series_limit: section.block("series_limit", |limit| series_limit(limit, budget)).flatten(),
    }
}

/// The limit of series, whose table is taken out of the budget.
fn series_limit(section: &Section<'_>, budget: u64) -> Option<SeriesLimit> {
    let limit = |key| {
        section.needs_value(key);
        section.count(key, 1..=SeriesLimit::MOST)
    };
    let (per_hour, per_namespace_per_hour) = (limit("per_hour"), limit("per_namespace_per_hour"));
    if !section.holds("per_hour") && !section.holds("per_namespace_per_hour") {
        let keys = "expected per_hour, per_namespace_per_hour or both";
        section.reader.fault(&section.path, format!("limits nothing ({keys})"));
        return None;
    }
    let most = SeriesLimit::most_within(budget / 4);
    let series_limit = SeriesLimit {
        per_hour: per_hour.unwrap_or(SERIES_DEFAULT.min(most)),
        per_namespace_per_hour,
    };
    if series_limit.per_hour > most {
        let message = format!(
            "the table of {} known series takes {}, more than a quarter of server.budget ({}): \
             there is room for {most}",
            series_limit.per_hour,
            format_bytes(series_limit.table_bytes().next_multiple_of(1 << 20)),
            format_bytes(budget)
        );
        section.reader.relation([&section.at("per_hour"), "server.budget"], message);
    }
    if per_namespace_per_hour.is_some_and(|limit| limit >= series_limit.per_hour) {
        let per_hour = series_limit.per_hour;
        section
            .note("per_namespace_per_hour", format!("has no effect beside per_hour, {per_hour}"));
    }
    Some(series_limit)
}

fn statistics(section: &Section<'_>) -> Option<Statistics> {
    let names = section.strings("statistics")?;
    let mut statistics = Statistics::none();
    let mut all_known = true;
    for (index, name) in names.iter().enumerate() {
        if let Some(flag) = statistics.flag(name) {
            *flag = true;
            continue;
        }
        all_known = false;
        let hint = match nearest(name, Statistics::NAMES) {
            Some(known) => format!("; did you mean `{known}`?"),
            None => "; percentiles and the like are `extended`".to_owned(),
        };
        let path = format!("{}[{index}]", section.at("statistics"));
        let expected = Statistics::NAMES.join(", ");
        section.reader.fault(&path, format!("unknown choice (expected any of: {expected}{hint})"));
    }
    all_known.then_some(statistics)
}

pub(super) fn read_global(section: &Section<'_>) -> Global {
    let external_labels = section.pairs("external_labels");
    for (name, value) in &external_labels {
        let path = format!("{}.{name}", section.at("external_labels"));
        let legal = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !legal {
            section.reader.fault(&path, "is no label name (expected [a-zA-Z_][a-zA-Z0-9_]*)");
        } else if name == "__name__" {
            section.reader.fault(&path, "is the metric's name and cannot be an external label");
        } else if value.is_empty() {
            section.reader.fault(&path, "is empty (a label without a value is not sent)");
        } else if looks_unexpanded(value) {
            section.reader.note(&path, "`$` stands for itself here: only ${NAME} is expanded");
        }
    }
    section.without_effect(
        &["scrape_interval", "scrape_timeout", "evaluation_interval", "query_log_file"],
        "nothing is scraped or evaluated",
    );
    Global { external_labels }
}

/// Whether a value holds `$NAME`, which Prometheus expands in external labels.
fn looks_unexpanded(value: &str) -> bool {
    value
        .split('$')
        .skip(1)
        .any(|behind| behind.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'))
}

const LEVELS: [&str; 6] = ["trace", "debug", "info", "warn", "error", "off"];

pub(super) fn read_log(section: &Section<'_>) -> Log {
    let format = section.choice("format", &[("json", LogFormat::Json), ("text", LogFormat::Text)]);
    let level = section.filled("level").filter(|level| {
        // A bare word that is no level would be taken for the name of a module.
        let odd = level.split(',').map(str::trim).find(|word| {
            let bare = word.chars().all(|c| c.is_ascii_alphanumeric());
            bare && !LEVELS.contains(&word.to_ascii_lowercase().as_str())
        });
        let trouble = match odd {
            Some(word) => Some(nearest(word, LEVELS)),
            None => tracing_subscriber::EnvFilter::try_new(level).is_err().then_some(None),
        };
        if let Some(meant) = trouble {
            let hint = meant.map(|word| format!("; did you mean `{word}`?")).unwrap_or_default();
            let expected = LEVELS.join(", ");
            let message = format!(
                "unknown level (expected one of: {expected}, or directives as in RUST_LOG{hint})"
            );
            section.fault("level", message);
        }
        trouble.is_none()
    });
    Log { format: format.unwrap_or_default(), level: level.unwrap_or_else(|| "info".to_owned()) }
}
