//! What the demo is told, and the course that it takes by that.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::books::Plan;
use super::stream::{Format, MetricStream};
use super::trouble::Trouble;
use crate::secret::Secret;
use crate::units;

/// What the demo is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Format of the stream; all of them, request by request in turn, if left out.
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// CloudWatch metrics in the stream: 1000 if left out, or as many as --points need.
    #[arg(long, value_name = "N", value_parser = metrics)]
    pub metrics: Option<usize>,
    /// How long data points are sent: seconds, or a duration such as 1m30s; 10s if left out.
    #[arg(long, value_name = "S", value_parser = time_from(DURATION_MIN))]
    pub duration: Option<Duration>,
    /// Send at least so many data points: spread over --duration, or else as fast as they are
    /// taken.
    #[arg(long, value_name = "N", value_parser = points)]
    pub points: Option<u64>,
    /// What happens to the receiver meanwhile.
    #[arg(long, value_enum, default_value_t)]
    pub fault: Trouble,
    /// Run the gateway as a process of its own, kill it (SIGKILL) about every so often while data
    /// points are sent, and start it again at once.
    #[arg(long, value_name = "EVERY", value_parser = time_from(INTERVAL_MIN))]
    pub kill: Option<Duration>,
    /// Whether Firehose compresses.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub gzip: bool,
    /// Send the stream, minute by minute until stopped or for --duration, to a gateway that runs
    /// elsewhere, with the access key in SLUICEGATE_ACCESS_KEY if there is one.
    #[arg(long, value_name = "URL", conflicts_with_all = ["points", "fault", "kill"])]
    pub url: Option<String>,
    /// The access key of that gateway.
    #[arg(skip)]
    pub access_key: Option<Secret>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            format: None,
            metrics: None,
            duration: None,
            points: None,
            fault: Trouble::None,
            kill: None,
            gzip: true,
            url: None,
            access_key: None,
        }
    }
}

/// The shortest demo.
const DURATION_MIN: Duration = Duration::from_secs(1);

/// Between two kills, on average: the gateway needs some time to get anything done.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// The longest demo: a day, so that no sum of times overflows.
const DURATION_MAX: Duration = Duration::from_secs(86_400);

/// Of a demo that is told neither a duration nor a number of data points.
const DURATION_DEFAULT: Duration = Duration::from_secs(10);

/// CloudWatch metrics in a stream of which nothing else is said.
const METRICS_DEFAULT: usize = 1000;

/// The largest demo: some gigabytes.
const METRICS_MAX: usize = 1_000_000;

/// Data points of one delivery.
const POINTS_PER_REQUEST: usize = 500;

/// A minute of the stream passes in no less than this, and all of them lie within the last hour,
/// since receivers refuse older samples.
const MINUTE_MIN: Duration = Duration::from_millis(400);
const MINUTES_MAX: u32 = 50;

/// A reader of times from `least` to a day; a bare number is seconds.
fn time_from(least: Duration) -> impl Fn(&str) -> Result<Duration, String> + Clone {
    move |text| {
        let bare = text.parse().ok().map(Duration::from_secs);
        bare.or_else(|| units::parse_duration(text))
            .filter(|time| (least..=DURATION_MAX).contains(time))
            .ok_or_else(|| {
                format!("a time from {} to 24h is needed", units::format_duration(least))
            })
    }
}

/// Reads a number of metrics, of which all data points are kept until the books are balanced.
fn metrics(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=METRICS_MAX).contains(number));
    number.ok_or_else(|| format!("a number from 1 to {METRICS_MAX} is needed"))
}

/// Reads a number of data points.
fn points(text: &str) -> Result<u64, String> {
    let most = METRICS_MAX as u64 * u64::from(MINUTES_MAX);
    let number = text.parse().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| format!("a number from 1 to {most} is needed"))
}

/// The course of a demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Course {
    /// CloudWatch metrics of the stream.
    pub metrics: usize,
    /// Minutes of the stream.
    pub minutes: u32,
    /// From the sending of one minute to that of the next; none if the gateway alone sets the pace.
    pub pace: Duration,
    /// How long data points are sent; none if until they are.
    pub duration: Option<Duration>,
}

impl Options {
    /// The course that a demo with these options takes.
    ///
    /// # Errors
    /// If the data points do not fit into the last hour with so few metrics.
    pub fn course(&self) -> anyhow::Result<Course> {
        let Some(points) = self.points else {
            let metrics = self.metrics.unwrap_or(METRICS_DEFAULT);
            let duration = self.duration.unwrap_or(DURATION_DEFAULT);
            let pace = MINUTE_MIN.max(duration / MINUTES_MAX);
            let minutes = duration.as_millis() / pace.as_millis().max(1);
            let minutes = u32::try_from(minutes).unwrap_or(MINUTES_MAX).clamp(1, MINUTES_MAX);
            return Ok(Course { metrics, minutes, pace, duration: Some(duration) });
        };
        let needed = usize::try_from(points.div_ceil(u64::from(MINUTES_MAX))).unwrap_or(usize::MAX);
        let metrics = self.metrics.unwrap_or_else(|| needed.max(METRICS_DEFAULT)).max(1);
        let minutes = u32::try_from(points.div_ceil(metrics as u64)).unwrap_or(u32::MAX);
        if metrics < needed {
            anyhow::bail!("{points} data points within an hour need --metrics {needed} or more");
        }
        let pace = self.duration.unwrap_or_default() / minutes.max(1);
        Ok(Course { metrics, minutes, pace, duration: self.duration })
    }

    /// The formats of the stream, taken in turn.
    #[must_use]
    pub fn formats(&self) -> Vec<Format> {
        self.format.map_or_else(|| Format::ALL.to_vec(), |format| vec![format])
    }
}

impl Course {
    /// Data points of the whole course.
    #[must_use]
    pub fn points(&self) -> u64 {
        self.metrics as u64 * u64::from(self.minutes)
    }

    /// How the stream of this seed is cut into requests: the minutes before now.
    #[must_use]
    pub fn plan(&self, formats: Vec<Format>, seed: u64) -> Plan {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let this_minute = i64::try_from(now_ms / 60_000).unwrap_or_default();
        let minutes = (1..=i64::from(self.minutes)).rev();
        Plan {
            stream: MetricStream::new(self.metrics, seed),
            minutes: minutes.map(|ago| (this_minute - ago) * 60_000).collect(),
            points_per_request: POINTS_PER_REQUEST,
            formats,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_may_be_bare_seconds() {
        let (seconds, interval) = (time_from(DURATION_MIN), time_from(INTERVAL_MIN));
        for (text, duration_s) in
            [("10", Some(10)), ("10s", Some(10)), ("1m30s", Some(90)), ("0", None), ("2d", None)]
        {
            assert_eq!(seconds(text).ok(), duration_s.map(Duration::from_secs), "{text}");
        }
        assert!(seconds("soon").is_err());
        assert!(seconds("18446744073709551615").is_err());
        assert_eq!(interval("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(interval("3"), Ok(Duration::from_secs(3)));
        assert_eq!(interval("50ms"), Err("a time from 100ms to 24h is needed".to_owned()));
    }

    #[test]
    fn minutes_end_before_now_and_lie_within_the_hour() {
        let of =
            |options: Options| options.course().map(|course| course.plan(options.formats(), 1));
        let durations = [1, 10, 3600].map(|duration_s| Options {
            duration: Some(Duration::from_secs(duration_s)),
            ..Options::default()
        });
        let numbers = [1, 999, 50_001].map(|n| Options { points: Some(n), ..Options::default() });
        for options in durations.into_iter().chain(numbers) {
            let minutes = of(options).map(|plan| plan.minutes).unwrap_or_default();
            let now_ms =
                SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
            let now_ms = i64::try_from(now_ms).unwrap_or_default();
            assert!(minutes.windows(2).all(|two| two[1] - two[0] == 60_000));
            assert!(minutes.last().is_some_and(|last| last + 60_000 <= now_ms));
            assert!(minutes.first().is_some_and(|first| now_ms - first < 3_600_000));
        }
    }

    #[test]
    fn at_least_so_many_points_are_sent_and_spread_over_the_duration() {
        let course = |points, metrics, duration_s: Option<u64>| {
            let duration = duration_s.map(Duration::from_secs);
            let options = Options { points: Some(points), metrics, duration, ..Options::default() };
            options.course().ok().map(|course| (course.metrics, course.minutes, course.pace))
        };
        assert_eq!(course(1_000_000, None, None), Some((20_000, 50, Duration::ZERO)));
        assert_eq!(course(2500, None, None), Some((1000, 3, Duration::ZERO)));
        assert_eq!(course(900, Some(90), Some(20)), Some((90, 10, Duration::from_secs(2))));
        assert_eq!(course(1, Some(90), None), Some((90, 1, Duration::ZERO)));
        assert_eq!(course(4501, Some(90), None), None, "a minute more than there are");
    }
}
