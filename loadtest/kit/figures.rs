//! From single answers to figures: stage by stage, and second by second.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::attack::{Answer, Attacked};
use crate::evidence::{Codes, StageFigures};
use crate::latency::{Class, Latency};
use crate::load::Load;
use crate::report::Second;
use crate::scenario::Step;

/// Data points of an answer's request. Where its number is not known, every body has as many.
fn points(attacked: &Attacked, answer: &Answer, load: &Load) -> u64 {
    let known = answer.number.and_then(|number| attacked.points_of(number));
    known.map_or(u64::from(load.points_per_body), |points| points.end - points.start)
}

/// The stages of one attack.
#[must_use]
pub fn stage_figures(attacked: &Attacked, steps: &[Step], load: &Load) -> Vec<StageFigures> {
    let figures = |(index, step): (usize, &Step)| {
        let answers = || attacked.answers.iter().filter(move |answer| answer.stage == index);
        let seconds = step.duration.as_secs_f64();
        let mut codes = Codes::new();
        let (mut sent, mut acknowledged) = (0, 0);
        for answer in answers() {
            *codes.entry(answer.code).or_default() += 1;
            let points = points(attacked, answer, load);
            sent += points;
            acknowledged += if answer.code == 200 { points } else { 0 };
        }
        let latency = Latency::of(answers(), Class::Accepted);
        let ms = |of: fn(&Latency) -> f64| latency.as_ref().map(|latency| of(latency) * 1e3);
        StageFigures {
            wanted_points_per_s: step.points_per_s,
            sent_points_per_s: sent as f64 / seconds,
            acknowledged_points_per_s: acknowledged as f64 / seconds,
            seconds,
            codes,
            p50_ms: ms(|latency| latency.p50),
            p99_ms: ms(|latency| latency.p99),
            max_ms: ms(|latency| latency.max),
        }
    };
    steps.iter().enumerate().map(figures).collect()
}

/// All attacks second by second, by when requests were sent.
#[must_use]
pub fn seconds(attacks: &[(Duration, Vec<Step>, Attacked)], load: &Load) -> Vec<Second> {
    let mut found: BTreeMap<u64, (Second, Vec<Duration>)> = BTreeMap::new();
    for (began, _, attacked) in attacks {
        for answer in &attacked.answers {
            let at_s = (*began + answer.at).as_secs();
            let (second, latencies) = found.entry(at_s).or_default();
            let points = points(attacked, answer, load);
            second.sent += points;
            if answer.code == 200 {
                second.acknowledged += points;
                latencies.push(answer.latency);
            } else {
                second.refused += 1;
            }
        }
    }
    let second = |(at_s, (second, latencies)): (u64, (Second, Vec<Duration>))| {
        let latency = Latency::among(latencies);
        let p50_ms = latency.as_ref().map(|latency| latency.p50 * 1e3);
        let p99_ms = latency.as_ref().map(|latency| latency.p99 * 1e3);
        Second { at_s, p50_ms, p99_ms, ..second }
    };
    found.into_iter().map(second).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        load: Load,
    }

    fn load() -> Load {
        Line::parse_from(["x", "--points-per-body", "10"]).load
    }

    fn answer(number: Option<u64>, stage: usize, code: u16, at_ms: u64, latency_ms: u64) -> Answer {
        Answer {
            number,
            stage,
            code,
            at: Duration::from_millis(at_ms),
            latency: Duration::from_millis(latency_ms),
            bytes_out: 100,
            error: String::new(),
        }
    }

    fn attacked() -> Attacked {
        Attacked {
            answers: vec![
                answer(Some(5), 0, 200, 0, 10),
                answer(Some(6), 0, 200, 900, 30),
                answer(Some(7), 1, 503, 1000, 1),
                answer(None, 1, 0, 1500, 5000),
            ],
            first: 5,
            points: vec![51..61, 61..71, 71..81, 81..91],
            numbered: true,
            ..Attacked::default()
        }
    }

    #[test]
    fn stages_are_told_apart() {
        let step = Step { points_per_s: 20.0, duration: Duration::from_secs(1) };
        let figures = stage_figures(&attacked(), &[step, step], &load());
        let [one, two] = figures.as_slice() else { panic!("{figures:?}") };
        assert_eq!(one.codes, [(200, 2)].into());
        assert!((one.acknowledged_points_per_s - 20.0).abs() < 1e-9);
        assert!((one.kept() - 1.0).abs() < 1e-9);
        assert_eq!((one.p50_ms, one.p99_ms), (Some(10.0), Some(30.0)));
        assert_eq!(two.codes, [(0, 1), (503, 1)].into());
        assert!((two.sent_points_per_s - 20.0).abs() < 1e-9, "the unknown one counts as a body");
        assert!(two.acknowledged_points_per_s.abs() < 1e-9 && two.p99_ms.is_none());
    }

    #[test]
    fn seconds_go_on_from_attack_to_attack() {
        let attacks = [
            (Duration::ZERO, Vec::new(), attacked()),
            (Duration::from_millis(1200), Vec::new(), attacked()),
        ];
        let seconds = seconds(&attacks, &load());
        let told: Vec<(u64, u64, u64, u64)> = seconds
            .iter()
            .map(|second| (second.at_s, second.sent, second.acknowledged, second.refused))
            .collect();
        assert_eq!(told, [(0, 20, 20, 0), (1, 30, 10, 2), (2, 30, 10, 2)]);
    }
}
