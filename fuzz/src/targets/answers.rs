//! A receiver's answer: any status, any header, any body.

use std::time::{Duration, SystemTime};

use sluicegate::deliver::judge::{Lean, judge, parse_retry_after};
use sluicegate::deliver::{Verdict, judge::Refusal};

/// What is kept of a receiver's words, with what is put in front of them.
const WORDS_BYTES_MAX: usize = 4096;

/// Judges an answer: the status in two bytes, the `Retry-After` header up to a line feed, the body.
pub fn run(data: &[u8]) {
    let Some((status, rest)) = data.split_first_chunk::<2>() else { return };
    let status = 100 + u16::from_le_bytes(*status) % 500;
    let text = String::from_utf8_lossy(rest);
    let (header, body) = text.split_once('\n').unwrap_or((&text, ""));
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_760_000_000);
    let wait = parse_retry_after(header, now);
    assert!(wait.is_none_or(|wait| wait <= Duration::from_secs(24 * 60 * 60)), "{header:?}");

    let verdict = judge(status, wait, body, Lean::Told);
    means_what_the_status_says(status, wait, &verdict);
    for (lean, other) in [(Lean::Partial, true), (Lean::Isolate, false)] {
        let leaning = judge(status, wait, body, lean);
        means_what_the_status_says(status, wait, &leaning);
        // The words decide between these two alone, and only if nothing was said beforehand.
        match (&verdict, &leaning) {
            (Verdict::Isolate(one) | Verdict::Partial(one), Verdict::Partial(two)) => {
                assert_eq!((one, other || status == 409), (two, true));
            }
            (Verdict::Isolate(one) | Verdict::Partial(one), Verdict::Isolate(two)) => {
                assert_eq!((one, !other || status == 422), (two, true));
            }
            (one, two) => assert_eq!(one, two),
        }
    }
}

fn means_what_the_status_says(status: u16, wait: Option<Duration>, verdict: &Verdict) {
    match verdict {
        Verdict::Accepted => assert!((200..=299).contains(&status), "{status}"),
        Verdict::Partial(refusal) | Verdict::Isolate(refusal) | Verdict::Refused(refusal) => {
            assert!([400, 409, 422, 429].contains(&status), "{status}: {verdict:?}");
            let Refusal { reason, message } = refusal;
            assert!(!reason.name().is_empty());
            fit_for_a_log(message);
        }
        Verdict::TryAgain { after, trouble, misconfigured, .. } => {
            assert_eq!(*after, wait);
            assert!(!(*misconfigured && status >= 500));
            fit_for_a_log(trouble);
        }
        Verdict::Split { trouble } => {
            assert!([400, 413].contains(&status), "{status}");
            fit_for_a_log(trouble);
        }
        Verdict::Resign { trouble } => {
            assert!([400, 401, 403].contains(&status), "{status}");
            fit_for_a_log(trouble);
        }
    }
    let stored = matches!(verdict, Verdict::Accepted);
    assert_eq!(stored, (200..=299).contains(&status), "{status}: {verdict:?}");
}

fn fit_for_a_log(words: &str) {
    assert!(words.len() <= WORDS_BYTES_MAX, "{} bytes", words.len());
    assert!(!words.contains('\n'), "{words:?}");
}
