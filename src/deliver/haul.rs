//! What a courier has taken on: parts of one or more requests, addressed as one run of samples.

use std::cmp::{max, min};

use tokio::time::Instant;

use super::encode::Encoder;
use super::window::{Place, Window};
use crate::queue::Part;
use crate::sample::SampleRef;

/// A run of samples of a haul: positions `from..to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First position.
    pub from: usize,
    /// One past the last position.
    pub to: usize,
    /// Whether it is sent only to tell refused samples from good ones.
    pub isolating: bool,
}

/// How samples end, as far as the courier decides it. Those that nobody decides are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Stored.
    Delivered,
    /// Of a request of which some were stored.
    Partial,
    /// Refused for good.
    Refused,
}

/// What went into a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filled {
    /// Samples in the request.
    pub samples: usize,
    /// Its bytes before compression, at most.
    pub bytes: usize,
    /// One past the last position that was looked at.
    pub end: usize,
    /// The window in which all that was looked at lies: settled by that, nothing is looked at again
    /// unless something lies outside the window that was asked for.
    pub window: Window,
}

/// What became of a span's samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Samples that got the fate.
    pub fated: u64,
    /// Samples that were too old to be sent.
    pub aged_out: u64,
    /// Samples that were too far ahead of the clock to be sent.
    pub too_new: u64,
}

/// Parts in work. A part that is settled or given up leaves its place empty.
#[derive(Debug)]
pub struct Haul {
    parts: Vec<Option<Part>>,
    /// One past each part's last position.
    ends: Vec<usize>,
}

impl Haul {
    /// Takes on parts, in this order.
    #[must_use]
    pub fn new(parts: Vec<Part>) -> Self {
        let ends = parts.iter().scan(0, |end, part| {
            *end += part.samples().len();
            Some(*end)
        });
        let ends = ends.collect();
        Self { parts: parts.into_iter().map(Some).collect(), ends }
    }

    /// Number of positions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Whether every part is settled or given up.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.iter().all(Option::is_none)
    }

    /// All of it.
    #[must_use]
    pub fn whole(&self) -> Span {
        Span { from: 0, to: self.len(), isolating: false }
    }

    /// Cuts a span in two: if isolating between two parts, so that no request pays for another's bad
    /// samples, and only within a part as an isolating request, which is charged; else in the middle.
    #[must_use]
    pub fn halve(&self, span: Span, isolating: bool) -> (Span, Span) {
        let middle = span.from + (span.to - span.from) / 2;
        let boundary = self
            .ends
            .iter()
            .copied()
            .filter(|end| isolating && span.from < *end && *end < span.to)
            .min_by_key(|end| end.abs_diff(middle));
        let at = boundary.unwrap_or(middle);
        let isolating = span.isolating || (isolating && boundary.is_none());
        (Span { to: at, isolating, ..span }, Span { from: at, isolating, ..span })
    }

    /// Encodes a span's samples that are still wanted and lie within the window, as many as fit.
    pub fn fill(
        &self,
        encoder: &mut Encoder,
        span: Span,
        window: Window,
        samples_max: usize,
        bytes_max: usize,
    ) -> Filled {
        let mut filling = encoder.begin(samples_max, bytes_max);
        let mut end = span.to;
        let mut all_within = true;
        'span: for (part, mut position, refs) in self.pieces(span) {
            for run in part.load().batch.runs(part.destination(), refs) {
                let count = run.count();
                if window.place(run.timestamp_ms()) == Place::Wanted {
                    let taken = filling.offer(&run);
                    if taken < count {
                        end = position + taken;
                        break 'span;
                    }
                } else {
                    all_within = false;
                }
                position += count;
            }
        }
        let window = if all_within { Window::ALL } else { window };
        let bytes = filling.len();
        Filled { samples: filling.end(), bytes, end, window }
    }

    /// Settles a span: what lies outside the window as aged out or too new, the rest as `fate`. Parts
    /// that are complete by that leave, and answer.
    pub fn settle(&mut self, span: Span, window: Window, fate: Fate) -> Settled {
        let mut settled = Settled::default();
        for index in self.touched(span) {
            let Some(Some(part)) = self.parts.get_mut(index) else { continue };
            let (from, to) = overlap(&self.ends, index, span);
            let refs = part.samples().get(from..to).unwrap_or_default();
            let (aged_out, too_new) = count_outside(part, refs, window);
            let rest = refs.len() as u64 - aged_out - too_new;
            part.tally.aged_out += aged_out;
            part.tally.too_new += too_new;
            match fate {
                Fate::Delivered => part.tally.delivered += rest,
                Fate::Partial => part.tally.partial += rest,
                Fate::Refused => part.tally.refused += rest,
            }
            settled.fated += rest;
            settled.aged_out += aged_out;
            settled.too_new += too_new;
            if part.is_settled()
                && let Some(place) = self.parts.get_mut(index)
            {
                *place = None;
            }
        }
        settled
    }

    /// Gives up the parts whose requests have run out of time.
    pub fn expire(&mut self, now: Instant) {
        for place in &mut self.parts {
            if let Some(part) = place
                && part.load().deadline <= now
            {
                *place = None;
            }
        }
    }

    /// Gives up everything, naming what went wrong last.
    pub fn give_up(&mut self, because: &str) {
        for mut part in self.parts.iter_mut().filter_map(Option::take) {
            part.lost_because = Some(match part.lost_because.take() {
                Some(trouble) => format!("{because}: {trouble}"),
                None => because.to_owned(),
            });
        }
    }

    /// Notes on every request what went wrong.
    pub fn note_trouble(&mut self, trouble: &str) {
        for part in self.parts.iter_mut().flatten() {
            part.note_trouble(trouble);
        }
    }

    /// When the first request runs out of time, and when the last one does.
    #[must_use]
    pub fn deadlines(&self) -> Option<(Instant, Instant)> {
        let deadlines = self.parts.iter().flatten().map(|part| part.load().deadline);
        deadlines.fold(None, |range, deadline| match range {
            None => Some((deadline, deadline)),
            Some((first, last)) => Some((min(first, deadline), max(last, deadline))),
        })
    }

    /// Charges the request of an isolating span for one extra request; false if it has none left.
    #[must_use]
    pub fn take_isolation_request(&self, span: Span) -> bool {
        self.pieces(span).all(|(part, _, _)| part.load().take_isolation_request(part.destination()))
    }

    /// The Firehose request id of a span's first part, for the log.
    #[must_use]
    pub fn request_id(&self, span: Span) -> &str {
        self.pieces(span).next().map_or("", |(part, _, _)| part.load().request_id.as_str())
    }

    /// The parts of a span that are still in work: part, position of its first sample, samples.
    fn pieces(&self, span: Span) -> impl Iterator<Item = (&Part, usize, &[SampleRef])> {
        self.touched(span).filter_map(move |index| {
            let part = self.parts.get(index)?.as_ref()?;
            let (from, to) = overlap(&self.ends, index, span);
            let refs = part.samples().get(from..to).unwrap_or_default();
            (!refs.is_empty()).then_some((part, start(&self.ends, index) + from, refs))
        })
    }

    /// Indices of the parts that a span touches.
    fn touched(&self, span: Span) -> std::ops::Range<usize> {
        let first = self.ends.partition_point(|end| *end <= span.from);
        let last = self.ends.partition_point(|end| *end < span.to);
        first..min(last + 1, self.parts.len())
    }
}

/// Position of a part's first sample.
fn start(ends: &[usize], index: usize) -> usize {
    index.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0)
}

/// Which of a part's samples a span covers.
fn overlap(ends: &[usize], index: usize, span: Span) -> (usize, usize) {
    let (first, end) = (start(ends, index), ends.get(index).copied().unwrap_or(0));
    (max(span.from, first) - first, min(span.to, end).saturating_sub(first))
}

/// Samples before the window, and samples after it.
fn count_outside(part: &Part, refs: &[SampleRef], window: Window) -> (u64, u64) {
    if window == Window::ALL {
        return (0, 0);
    }
    let batch = &part.load().batch;
    refs.iter().fold((0, 0), |(old, new), at| {
        match window.place(batch.rows[at.row as usize].timestamp_ms) {
            Place::TooOld => (old + 1, new),
            Place::Wanted => (old, new),
            Place::TooNew => (old, new + 1),
        }
    })
}
