//! Glimpses: whoever takes what is known from memory sees what full reading would have shown.

use std::collections::HashMap;

use sluicegate::decode::{self, Format, Glimpse, IDENTITY_BYTES_MAX, Reading, Reason, Visit};

use super::collected::Owned;

/// Parts of one record that are put together with parts of another data point.
const PARTS_MAX: usize = 3;
/// How much of what follows a data point's name is taken along.
const TAIL_BYTES_MAX: usize = 600;

/// Decodes the bytes as a record, twice; then what named a data point with what followed another.
pub fn run(data: &[u8]) {
    let mut memory = Memory::default();
    same(data, &mut memory);
    let seen = memory.glimpsed.clone();
    same(data, &mut memory);
    chance(data);
    for (head, _) in seen.iter().take(PARTS_MAX) {
        for (_, tail) in seen.iter().take(PARTS_MAX) {
            for record in together(head, tail) {
                same(&record, &mut memory);
            }
        }
    }
}

/// What is told of a record is the same with the memory as without; the memory learns.
pub fn same(record: &[u8], memory: &mut Memory) {
    let mut all = Full { record, pieces: Vec::new() };
    decode::record(record, &mut all);
    let mut short = Short { record, memory, pending: None, pieces: Vec::new(), known: 0 };
    decode::record(record, &mut short);
    let Short { pieces, known, .. } = short;
    assert_eq!(pieces.len(), all.pieces.len(), "{}", record.escape_ascii());
    for (piece, expected) in pieces.iter().zip(&all.pieces) {
        assert!(equal(piece, expected), "\n{piece:?}\n{expected:?}\n{}", record.escape_ascii());
    }
    memory.hits += known;
}

/// A data point, or why there is none and where.
type Told = Result<Owned, (Reason, usize, usize)>;

/// To the bit.
fn equal(one: &Told, other: &Told) -> bool {
    let (Ok(one), Ok(other)) = (one, other) else { return one == other };
    let bits = |owned: &Owned| {
        let plain = owned.plain.map(|value| value.map(f64::to_bits));
        let extended: Vec<_> =
            owned.extended.iter().map(|(name, value)| (name.clone(), value.to_bits())).collect();
        (plain, extended)
    };
    let bare = |owned: &Owned| Owned { plain: [None; 4], extended: Vec::new(), ..owned.clone() };
    bits(one) == bits(other) && bare(one) == bare(other)
}

/// A head of a JSON object, or a run of labels, and some of what follows it, framed anew.
fn together(head: &Head, tail: &[u8]) -> Vec<Vec<u8>> {
    if head.format == "json" {
        return vec![[&head.identity[0][..], tail].concat()];
    }
    let run = &head.identity[2];
    let points = [[&run[..], tail].concat(), [tail, &run[..]].concat()];
    let metric = |point: &[u8]| {
        let summary = nested(11, &nested(1, point));
        [nested(3, &head.identity[1]), summary].concat()
    };
    let framed = |point: &Vec<u8>| {
        let scope = nested(2, &nested(2, &metric(point)));
        let request = nested(1, &[nested(1, &[]), scope].concat());
        [varint(request.len()), request].concat()
    };
    points.iter().map(framed).collect()
}

fn nested(field: usize, message: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(message.len()), message.to_vec()].concat()
}

fn varint(value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_varint(value as u64, &mut out);
    out
}

/// What named a data point.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Head {
    format: &'static str,
    identity: [Vec<u8>; 4],
}

/// Everything that was ever read in full, by what named it.
#[derive(Debug, Default)]
pub struct Memory {
    known: HashMap<Head, Owned>,
    /// What was glimpsed, and some of what followed it.
    glimpsed: Vec<(Head, Vec<u8>)>,
    /// How many data points were known.
    pub hits: usize,
}

/// Reads everything in full.
struct Full<'r> {
    record: &'r [u8],
    pieces: Vec<Told>,
}

impl Visit for Full<'_> {
    fn reading(&mut self, reading: &Reading<'_>) {
        self.pieces.push(Ok(Owned::of(reading)));
    }

    fn skipped(&mut self, reason: Reason, piece: &[u8]) {
        self.pieces.push(Err((reason, offset(self.record, piece), piece.len())));
    }
}

/// Reads in full what is not in the memory.
struct Short<'r> {
    record: &'r [u8],
    memory: &'r mut Memory,
    /// What was glimpsed last, until it is told of.
    pending: Option<Head>,
    pieces: Vec<Told>,
    known: usize,
}

impl Visit for Short<'_> {
    fn reading(&mut self, reading: &Reading<'_>) {
        self.pending = None;
        self.pieces.push(Ok(Owned::of(reading)));
    }

    fn glimpse(&mut self, glimpse: &Glimpse<'_>) -> bool {
        let head =
            Head { format: glimpse.format.name(), identity: glimpse.identity.map(<[u8]>::to_vec) };
        assert!(head.identity.iter().map(Vec::len).sum::<usize>() <= IDENTITY_BYTES_MAX);
        if let Some(known) = self.memory.known.get(&head) {
            assert_eq!(known.extended.len(), glimpse.extended.len());
            let names = known.extended.iter().map(|(name, _)| name.clone());
            self.known += 1;
            self.pieces.push(Ok(Owned {
                start_ms: glimpse.start_ms,
                end_ms: glimpse.end_ms,
                plain: [glimpse.count, glimpse.sum, glimpse.min, glimpse.max],
                extended: names.zip(glimpse.extended.iter().copied()).collect(),
                ..known.clone()
            }));
            return true;
        }
        self.memory.glimpsed.push((head.clone(), tail(self.record, glimpse)));
        self.pending = Some(head);
        false
    }

    fn glimpsed(&mut self, reading: &Reading<'_>) {
        let head = self.pending.take().expect("a glimpse stands before what is glimpsed");
        let owned = Owned::of(reading);
        self.memory.known.insert(head, owned.clone());
        self.pieces.push(Ok(owned));
    }

    fn skipped(&mut self, reason: Reason, piece: &[u8]) {
        self.pending = None;
        self.pieces.push(Err((reason, offset(self.record, piece), piece.len())));
    }
}

/// What follows the beginning of a JSON object, or the fields beside a run of labels.
fn tail(record: &[u8], glimpse: &Glimpse<'_>) -> Vec<u8> {
    let [prefix, _, _, quantiles] = glimpse.identity;
    if glimpse.format == Format::Json {
        let tail = &record[offset(record, prefix) + prefix.len()..];
        return tail[..tail.len().min(TAIL_BYTES_MAX)].to_vec();
    }
    let fixed = |field: u8, value: [u8; 8]| [&[field << 3 | 1], &value[..]].concat();
    let ns = |ms: i64| (ms as u64).wrapping_mul(1_000_000).to_le_bytes();
    let quantile = |at: [u8; 8], value: f64| {
        nested(6, &[fixed(1, at), fixed(2, value.to_le_bytes())].concat())
    };
    let quantiles = quantiles.chunks_exact(8).map(|bits| bits.try_into().expect("eight"));
    let plain = [(0f64, glimpse.min), (1.0, glimpse.max)];
    let plain = plain.iter().filter_map(|(at, value)| Some(quantile(at.to_le_bytes(), (*value)?)));
    let extended = quantiles.zip(glimpse.extended).map(|(at, value)| quantile(at, *value));
    let count = glimpse.count.map_or(0, |count| count as u64);
    [fixed(2, ns(glimpse.start_ms)), fixed(3, ns(glimpse.end_ms)), fixed(4, count.to_le_bytes())]
        .into_iter()
        .chain(glimpse.sum.map(|sum| fixed(5, sum.to_le_bytes())))
        .chain(plain.chain(extended))
        .flatten()
        .collect()
}

/// Where a piece of the record stands.
fn offset(record: &[u8], piece: &[u8]) -> usize {
    if piece.is_empty() { 0 } else { piece.as_ptr() as usize - record.as_ptr() as usize }
}

/// Decodes for a visitor who claims to know things, or not, as it pleases: nothing may come of it but
/// other pieces.
fn chance(record: &[u8]) {
    struct Chance(u64, usize);
    impl Visit for Chance {
        fn reading(&mut self, _: &Reading<'_>) {
            self.1 += 1;
        }

        fn glimpse(&mut self, glimpse: &Glimpse<'_>) -> bool {
            assert!(glimpse.start_ms >= 0 && glimpse.end_ms >= glimpse.start_ms, "{glimpse:?}");
            self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            self.0 >> 63 == 1
        }

        fn skipped(&mut self, _: Reason, _: &[u8]) {
            self.1 += 1;
        }
    }
    let mut visit = Chance(record.len() as u64, 0);
    decode::record(record, &mut visit);
    assert!(visit.1 <= record.len());
}
