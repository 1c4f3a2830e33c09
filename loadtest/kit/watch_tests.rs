//! Moments are made of what was seen.

use super::*;

fn seen(at: u64, pid: u32, cpu_seconds: f64, points: f64, answers: f64) -> Watched {
    let usage = Usage { cpu_seconds, rss_bytes: 5, peak_rss_bytes: pid.into() };
    let page = format!(
        "sluicegate_datapoints_total{{format=\"json\"}} {points}\n\
         sluicegate_firehose_requests_total{{code=\"200\"}} {answers}\n\
         sluicegate_firehose_requests_total{{code=\"503\"}} 0\n\
         sluicegate_budget_used_bytes {points}\nother 7\n"
    );
    let metrics = Some(exposition::read(&page, &NAMES));
    Watched { at: Duration::from_secs(at), usage: Some((pid, usage)), metrics }
}

#[test]
fn rates_and_sums_hold_over_a_restart() {
    // The process is another one at the third look: its counters begin anew.
    let all = vec![
        seen(0, 1, 1.0, 100.0, 1.0),
        seen(2, 1, 2.0, 300.0, 5.0),
        seen(3, 2, 0.5, 50.0, 1.0),
        Watched { at: Duration::from_secs(4), usage: None, metrics: None },
    ];
    let seen = Sightings { all };
    assert_eq!(seen.cpu_seconds(), 1.5);
    assert_eq!(seen.growth("sluicegate_datapoints_total", &[]), 250.0);
    assert_eq!(seen.growth("sluicegate_firehose_requests_total", &[("code", "200")]), 5.0);
    assert_eq!(seen.most("sluicegate_budget_used_bytes", &[]), 300.0);
    assert_eq!(seen.peak_rss_bytes(), 2);
    assert!(seen.last().is_some_and(|page| !page.contains_key("other")));
    let moments = seen.moments();
    let [first, second, third] = moments.as_slice() else { panic!("{moments:?}") };
    assert_eq!((first.cpus, first.points_per_second), (Some(0.5), Some(100.0)));
    assert_eq!(first.answers_per_second, BTreeMap::from([("200".to_owned(), 2.0)]));
    assert_eq!((second.cpus, second.points_per_second), (Some(0.5), Some(50.0)));
    assert_eq!((third.cpus, third.points_per_second, third.rss_bytes), (None, None, None));
}
