//! The report as one HTML page that needs nothing else: styles and plots stand in it. Vegeta's own
//! plot is a page beside it.

use std::fmt::Write as _;

use crate::condition::Verdict;
use crate::evidence::in_words;
use crate::plot::{Line, Mark, Plot, Unit, escaped};
use crate::report::{Report, grouped, mib};
use crate::watch::Moment;

/// Readable in light and dark, wide and narrow.
const STYLE: &str = include_str!("page.css");

/// The page; `vegeta_plots` are vegeta's plots, relative to it: one of each attack.
#[must_use]
pub fn html(report: &Report, vegeta_plots: &[String]) -> String {
    let mut out = String::new();
    let title = escaped(&format!("{}: {}", report.scenario, report.result()));
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style></head><body><main>\
         <h1>{} <span class=\"{}\">{}</span></h1><p>{}</p>\n",
        escaped(&report.scenario),
        if report.passed { "good" } else { "bad" },
        report.result(),
        escaped(&report.about),
    );
    conditions(&mut out, report);
    figures(&mut out, report);
    out.push_str(&plots(report));
    if !vegeta_plots.is_empty() {
        out.push_str("<p>Vegeta's own plots, the latency of every request: ");
        for (number, plot) in (1..).zip(vegeta_plots) {
            let _ = write!(out, "<a href=\"{}\">{number}</a> ", escaped(plot));
        }
        out.push_str("</p>\n");
    }
    if report.stages.len() > 1 {
        stages(&mut out, report);
    }
    origin(&mut out, report);
    out.push_str("</main></body></html>\n");
    out
}

fn conditions(out: &mut String, report: &Report) {
    out.push_str("<h2>What had to hold</h2><table><tbody>");
    for judged in &report.conditions {
        let (class, word) = match judged.verdict {
            Verdict::Passed => ("good", "held"),
            Verdict::Failed => ("bad", "FAILED"),
            Verdict::NotSeen => ("unseen", "not seen"),
        };
        let _ = write!(
            out,
            "<tr><td class=\"{class}\">{word}</td><td>{}</td><td>{}</td></tr>",
            escaped(&judged.condition),
            escaped(&judged.seen)
        );
    }
    out.push_str("</tbody></table>\n");
    for remark in &report.remarks {
        let _ = writeln!(out, "<p class=\"unseen\">{}</p>", escaped(remark));
    }
}

fn table(out: &mut String, title: &str, rows: &[(&str, String)]) {
    let _ = write!(out, "<section><h2>{title}</h2><table><tbody>");
    for (name, value) in rows {
        let _ = write!(out, "<tr><th>{name}</th><td class=\"n\">{}</td></tr>", escaped(value));
    }
    out.push_str("</tbody></table></section>");
}

fn figures(out: &mut String, report: &Report) {
    let books = &report.books;
    let unknown = || "not counted".to_owned();
    let stored = books.stored.as_ref();
    let count = |of: Option<u64>| of.map_or_else(unknown, grouped);
    out.push_str("<div class=\"columns\">");
    table(
        out,
        "Books",
        &[
            ("requests", grouped(books.requests)),
            ("answers", report.answers()),
            ("data points sent", grouped(books.points_sent)),
            ("acknowledged", grouped(books.points_acknowledged)),
            ("stored", count(stored.map(|stored| stored.points))),
            ("missing", count(stored.and_then(|stored| stored.missing))),
            ("duplicated", count(stored.map(|stored| stored.duplicated))),
            ("stored without acknowledgement", count(stored.map(|stored| stored.unacknowledged))),
            ("samples stored", count(stored.map(|stored| stored.samples))),
        ],
    );
    if let Some(gateway) = &report.gateway {
        let number = |of: Option<f64>| of.map_or("-".to_owned(), |of| format!("{of:.2}"));
        let megabytes = |bytes: u64| format!("{:.1} MiB", mib(bytes));
        let mut rows = vec![
            ("CPU seconds per million points", number(gateway.cpu_seconds_per_million_points)),
            ("CPU seconds", number(gateway.cpu_seconds)),
            ("memory, peak", gateway.peak_rss_bytes.map_or("-".to_owned(), megabytes)),
            ("memory, idle", gateway.idle_rss_bytes.map_or("-".to_owned(), megabytes)),
            ("budget in use, peak", megabytes(gateway.budget_used_peak_bytes)),
            ("budget", gateway.budget_bytes.map_or("-".to_owned(), megabytes)),
            ("retries", grouped(gateway.retries)),
        ];
        if let Some(seconds) = report.freshness_s() {
            rows.push(("freshness", format!("{seconds:.2} s")));
        }
        if let Some(share) = gateway.series_known {
            rows.push(("series known", format!("{:.1} % of data points", share * 100.0)));
        }
        if let Some(bounds) = &gateway.bounds {
            rows.push(("bounded to", bounds.clone()));
        }
        table(out, "Gateway", &rows);
    }
    out.push_str("</div>");
    latencies(out, report);
}

fn latencies(out: &mut String, report: &Report) {
    out.push_str(
        "<h2>Latency <small>(ms)</small></h2><table><thead><tr><th></th><th>answers</th><th>p50</th>\
         <th>p90</th><th>p95</th><th>p99</th><th>p99.9</th><th>max</th></tr></thead><tbody>",
    );
    for (name, latency) in [("accepted", &report.accepted), ("refused", &report.refused)] {
        let Some(of) = latency else { continue };
        let _ = write!(out, "<tr><th>{name}</th><td class=\"n\">{}</td>", grouped(of.answers));
        for seconds in [of.p50, of.p90, of.p95, of.p99, of.p999, of.max] {
            let _ = write!(out, "<td class=\"n\">{:.1}</td>", seconds * 1e3);
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table>\n");
}

fn plots(report: &Report) -> String {
    let marks: Vec<Mark> =
        report.events.iter().map(|(at_s, what)| Mark { at_s: *at_s, what: what.clone() }).collect();
    // All of them show the same time.
    let seconds_end = report.seconds.last().map_or(0.0, |second| second.at_s as f64);
    let until_s = report.moments.last().map_or(0.0, |moment| moment.at_seconds).max(seconds_end);
    let draw =
        |title: &str, unit, lines| Plot { title, unit, lines, marks: &marks, until_s }.figure();
    let seconds = |name: &str, value: &dyn Fn(&crate::report::Second) -> Option<f64>| {
        let at = report.seconds.iter();
        Line::new(name, at.filter_map(|second| Some((second.at_s as f64, value(second)?))))
    };
    let moments = |name: &str, value: &dyn Fn(&Moment) -> Option<f64>| {
        let at = report.moments.iter();
        Line::new(name, at.filter_map(|moment| Some((moment.at_seconds, value(moment)?))))
    };
    let mut budget = vec![moments("in use", &|moment| moment.budget_used_bytes)];
    if let Some(bytes) = report.gateway.as_ref().and_then(|gateway| gateway.budget_bytes) {
        budget.push(moments("budget", &|_| Some(bytes as f64)));
    }
    let figures = [
        draw(
            "Data points",
            Unit::Count,
            vec![
                seconds("sent", &|second| Some(second.sent as f64)),
                seconds("acknowledged", &|second| Some(second.acknowledged as f64)),
                moments("decoded", &|moment| moment.points_per_second),
            ],
        ),
        draw(
            "Requests not answered 200",
            Unit::Count,
            vec![seconds("refused", &|second| Some(second.refused as f64))],
        ),
        draw(
            "Latency of accepted requests",
            Unit::Milliseconds,
            vec![seconds("p99", &|second| second.p99_ms), seconds("p50", &|second| second.p50_ms)],
        ),
        draw(
            "Samples delivered",
            Unit::Count,
            vec![moments("delivered", &|moment| moment.samples_per_second)],
        ),
        draw(
            "Freshness: mean age of data points when delivered",
            Unit::Seconds,
            vec![moments("age", &|moment| moment.age_seconds_mean)],
        ),
        draw("Budget", Unit::Bytes, budget),
        draw(
            "Resident memory",
            Unit::Bytes,
            vec![moments("resident", &|moment| Some(moment.rss_bytes? as f64))],
        ),
        draw("Processors in use", Unit::Cores, vec![moments("cores", &|moment| moment.cpus)]),
    ];
    let events: String = report
        .events
        .iter()
        .map(|(at_s, what)| format!("<li>{at_s:.1} s: {}</li>", escaped(what)))
        .collect();
    let events =
        if events.is_empty() { events } else { format!("<h2>What happened</h2><ul>{events}</ul>") };
    format!("{events}<h2>Over time</h2><div class=\"plots\">{}</div>\n", figures.concat())
}

fn stages(out: &mut String, report: &Report) {
    out.push_str(
        "<h2>Stages <small>(points per second)</small></h2><table><thead><tr><th>wanted</th>\
         <th>sent</th><th>acknowledged</th><th>p50 ms</th><th>p99 ms</th><th>answers</th></tr>\
         </thead><tbody>",
    );
    let ms = |value: Option<f64>| value.map_or("-".to_owned(), |ms| format!("{ms:.1}"));
    for stage in &report.stages {
        let _ = write!(
            out,
            "<tr><td class=\"n\">{:.0}</td><td class=\"n\">{:.0}</td><td class=\"n\">{:.0}</td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td></tr>",
            stage.wanted_points_per_s,
            stage.sent_points_per_s,
            stage.acknowledged_points_per_s,
            ms(stage.p50_ms),
            ms(stage.p99_ms),
            escaped(&in_words(&stage.codes)),
        );
    }
    out.push_str("</tbody></table>\n");
}

fn origin(out: &mut String, report: &Report) {
    let load = &report.load;
    let mut rows = vec![
        ("command", report.command.clone()),
        ("target", report.target.clone()),
        ("destination", report.destination.clone()),
        (
            "load",
            format!(
                "{}, {} points a body, {} a record, {} metrics, gzip {}, {:.1} MiB on the wire",
                load.format,
                grouped(u64::from(load.points_per_body)),
                grouped(u64::from(load.points_per_record)),
                grouped(u64::from(load.metrics)),
                load.gzip,
                mib(load.bytes_sent)
            ),
        ),
        ("machine", report.machine.line()),
        ("took", format!("{:.1} s", report.took_s)),
    ];
    rows.extend(report.versions.iter().map(|(name, version)| (name.as_str(), version.clone())));
    out.push_str("<h2>Made by</h2><table><tbody>");
    for (name, value) in rows {
        let _ = write!(out, "<tr><th>{}</th><td>{}</td></tr>", escaped(name), escaped(&value));
    }
    out.push_str("</tbody></table>\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::full;

    /// Every element is closed in its turn. Enough for what this module writes.
    fn check(html: &str) {
        let mut open: Vec<&str> = Vec::new();
        let body = html.split("</style>").nth(1).expect("a body");
        for piece in body.split('<').skip(1) {
            let (tag, _) = piece.split_once('>').expect("a tag ends");
            let name = tag.split([' ', '/']).find(|part| !part.is_empty()).expect("a name");
            if tag.starts_with('/') {
                let last = open.pop();
                assert!(
                    last == Some(name) || name == "head" || name == "html",
                    "{last:?} ended by {name}"
                );
            } else if !tag.ends_with('/') {
                open.push(name);
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }

    #[test]
    fn the_page_is_well_formed_and_needs_nothing_else() {
        let page = html(&full(), &["vegeta.html".to_owned()]);
        check(&page);
        for foreign in ["http://", "https://", "<script", "@import", "url("] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert!(page.contains("prefers-color-scheme: dark"));
        assert!(
            !page.contains("<few>") && !page.contains("<away>") && page.contains("&lt;few&gt;")
        );
        for part in ["vegeta.html", "50,000", "<polyline", "Freshness", "class=\"mark\""] {
            assert!(page.contains(part), "{part}");
        }
    }

    #[test]
    fn a_page_of_nothing_is_well_formed() {
        let page = html(&Report::default(), &[]);
        check(&page);
        assert!(page.contains("not counted") && page.contains("FAILED"));
    }
}
