//! Lines over time as inline SVG. Colours come from the page's style, so that a plot is readable in
//! light and dark.

use std::fmt::Write as _;

/// One line of a plot.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// What the legend calls it.
    pub name: String,
    /// Seconds since the start, and the value.
    pub at: Vec<(f64, f64)>,
}

/// What happened at a moment: a thin upright in every plot.
#[derive(Clone, Debug)]
pub struct Mark {
    /// Seconds since the start.
    pub at_s: f64,
    /// What happened.
    pub what: String,
}

/// Lines that share an axis.
#[derive(Clone, Debug)]
pub struct Plot<'a> {
    /// What it shows.
    pub title: &'a str,
    /// How values are written on the axis.
    pub unit: Unit,
    /// The lines, five at most have colours of their own.
    pub lines: Vec<Line>,
    /// What happened meanwhile.
    pub marks: &'a [Mark],
    /// Seconds that the axis of time has at least.
    pub until_s: f64,
}

/// What an axis counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number.
    Count,
    /// Bytes, shown as MiB.
    Bytes,
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Processors.
    Cores,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 28.0;
const MIB: f64 = 1_048_576.0;

/// Colours that the page's style has.
const COLOURS: usize = 5;

/// More points than this do not show on a screen: of each group the extremes are kept.
const POINTS_MAX: usize = 600;

impl Plot<'_> {
    /// The plot as a figure; nothing if no line has two points.
    #[must_use]
    pub fn figure(&self) -> String {
        let lines: Vec<Line> = self.lines.iter().map(Line::thinned).collect();
        if !lines.iter().any(|line| line.at.len() > 1) {
            return String::new();
        }
        let all = || lines.iter().flat_map(|line| line.at.iter());
        let until = all().map(|at| at.0).fold(self.until_s, f64::max).max(1e-3);
        let high = all().map(|at| at.1).fold(0.0, f64::max);
        let scale = if self.unit == Unit::Bytes { MIB } else { 1.0 };
        let (top, step) = axis(high / scale);
        let x = |s: f64| LEFT + s / until * (WIDTH - LEFT - RIGHT);
        let y = |v: f64| HEIGHT - BOTTOM - v / scale / top * (HEIGHT - TOP - BOTTOM);
        let mut svg = String::new();
        let title = escaped(self.title);
        // Writing to a string cannot fail.
        let _ = write!(
            svg,
            "<figure><figcaption>{title} <small>({})</small>{}</figcaption>\
             <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">",
            self.unit.name(),
            legend(&lines)
        );
        let mut tick = 0.0;
        while tick <= top * 1.0001 {
            let at = y(tick * scale);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.0}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text class=\"value\" x=\"{:.0}\" y=\"{:.1}\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                at + 4.0,
                number(tick)
            );
            tick += step;
        }
        let (_, seconds) = axis(until);
        let mut tick = 0.0;
        while tick <= until {
            let _ = write!(
                svg,
                "<text class=\"time\" x=\"{:.1}\" y=\"{:.0}\">{} s</text>",
                x(tick),
                HEIGHT - 8.0,
                number(tick)
            );
            tick += seconds;
        }
        for mark in self.marks.iter().filter(|mark| mark.at_s <= until) {
            let at = x(mark.at_s);
            let _ = write!(
                svg,
                "<line class=\"mark\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{:.0}\">\
                 <title>{:.1} s: {}</title></line>",
                HEIGHT - BOTTOM,
                mark.at_s,
                escaped(&mark.what)
            );
        }
        for (number, line) in lines.iter().enumerate() {
            let points: Vec<String> =
                line.at.iter().map(|at| format!("{:.1},{:.1}", x(at.0), y(at.1))).collect();
            let _ = write!(
                svg,
                "<polyline class=\"line c{}\" points=\"{}\"><title>{}</title></polyline>",
                number % COLOURS,
                points.join(" "),
                escaped(&line.name)
            );
        }
        svg.push_str("</svg></figure>\n");
        svg
    }
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Count => "per second",
            Self::Bytes => "MiB",
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
            Self::Cores => "cores",
        }
    }
}

impl Line {
    /// A line of these points, without those that are no numbers.
    #[must_use]
    pub fn new(name: impl Into<String>, at: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let at = at.into_iter().filter(|(s, v)| s.is_finite() && v.is_finite() && *s >= 0.0);
        Self { name: name.into(), at: at.map(|(s, v)| (s, v.max(0.0))).collect() }
    }

    /// The same with [`POINTS_MAX`] points: the lowest and the highest of each group stay.
    fn thinned(&self) -> Self {
        if self.at.len() <= POINTS_MAX {
            return self.clone();
        }
        let mut at = Vec::with_capacity(POINTS_MAX);
        for group in self.at.chunks(self.at.len().div_ceil(POINTS_MAX / 2)) {
            let by_value = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
            let mut both: Vec<(f64, f64)> =
                group.iter().min_by(by_value).copied().into_iter().collect();
            both.extend(group.iter().max_by(by_value).copied());
            both.sort_by(|a, b| a.0.total_cmp(&b.0));
            at.extend(both);
        }
        Self { name: self.name.clone(), at }
    }
}

fn legend(lines: &[Line]) -> String {
    if lines.len() < 2 {
        return String::new();
    }
    let entry = |(number, line): (usize, &Line)| {
        format!(" <span class=\"key c{}\">{}</span>", number % COLOURS, escaped(&line.name))
    };
    lines.iter().enumerate().map(entry).collect()
}

/// The end of an axis that reaches `high`, and the step of its ticks: 1, 2 or 5 times a power of ten.
fn axis(high: f64) -> (f64, f64) {
    let high = if high.is_finite() && high > 0.0 { high } else { 1.0 };
    let raw = high / 4.0;
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|by| by * power);
    let step = step.into_iter().find(|step| *step >= raw * 0.999).unwrap_or(raw);
    ((high / step).ceil() * step, step)
}

/// A number as short as it can be said.
fn number(value: f64) -> String {
    if value >= 1e6 {
        format!("{}M", short(value / 1e6))
    } else if value >= 1e4 {
        format!("{}k", short(value / 1e3))
    } else {
        short(value)
    }
}

fn short(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Text as HTML may hold it, in attributes too.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_reaches_what_it_shows_in_round_steps() {
        for (high, expected) in [
            (0.0, (1.0, 0.5)),
            (1.0, (1.0, 0.5)),
            (97.0, (100.0, 50.0)),
            (101.0, (150.0, 50.0)),
            (25_000.0, (30_000.0, 10_000.0)),
            (f64::NAN, (1.0, 0.5)),
        ] {
            assert_eq!(axis(high), expected, "{high}");
        }
    }

    #[test]
    fn a_long_line_keeps_its_extremes() {
        let spike = |n: u32| if n == 7777 { 99.0 } else { 1.0 };
        let line = Line::new("x", (0..20_000).map(|n| (f64::from(n), spike(n))));
        let thin = line.thinned();
        assert!(thin.at.len() <= POINTS_MAX + 2, "{}", thin.at.len());
        assert!(thin.at.contains(&(7777.0, 99.0)));
        assert!(thin.at.windows(2).all(|two| two[0].0 <= two[1].0));
    }

    #[test]
    fn a_figure_stays_within_its_frame_and_is_well_formed() {
        let marks = [Mark { at_s: 3.0, what: "<outage> & \"more\"".to_owned() }];
        let lines = vec![
            Line::new("a<b", [(0.0, 5.0), (10.0, 2e6), (f64::NAN, 1.0)]),
            Line::new("b", [(1.0, f64::INFINITY), (2.0, -3.0)]),
        ];
        let text =
            Plot { title: "R&D", unit: Unit::Bytes, lines, marks: &marks, until_s: 0.0 }.figure();
        assert!(text.contains("R&amp;D") && text.contains("a&lt;b") && !text.contains("<outage>"));
        let points = text.split("points=\"").nth(1).and_then(|rest| rest.split('"').next());
        for pair in points.expect("a line").split(' ') {
            let (x, y) = pair.split_once(',').expect("a pair");
            let within =
                |text: &str, end: f64| (0.0..=end).contains(&text.parse().expect("a number"));
            assert!(within(x, WIDTH) && within(y, HEIGHT), "{pair}");
        }
    }

    #[test]
    fn nothing_to_show_shows_nothing() {
        let plot = |lines| {
            Plot { title: "t", unit: Unit::Count, lines, marks: &[], until_s: 0.0 }.figure()
        };
        assert_eq!(plot(vec![]), "");
        assert_eq!(plot(vec![Line::new("one", [(1.0, 1.0)])]), "");
    }
}
