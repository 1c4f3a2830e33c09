//! What decoding yields, owned and comparable.

use sluicegate::decode::{self, Reading, Reason, Visit};

/// A reading that owns what it says.
#[derive(Clone, Debug, PartialEq)]
pub struct Owned {
    pub format: &'static str,
    pub account: String,
    pub region: String,
    pub namespace: String,
    pub metric: String,
    pub unit: String,
    pub dimensions: Vec<(String, String)>,
    pub start_ms: i64,
    pub end_ms: i64,
    /// Count, sum, minimum, maximum.
    pub plain: [Option<f64>; 4],
    pub extended: Vec<(String, f64)>,
}

impl Owned {
    pub fn of(reading: &Reading<'_>) -> Self {
        let pairs = reading.dimensions.iter();
        Self {
            format: reading.format.name(),
            account: reading.account.to_owned(),
            region: reading.region.to_owned(),
            namespace: reading.namespace.to_owned(),
            metric: reading.metric.to_owned(),
            unit: reading.unit.to_owned(),
            dimensions: pairs.map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            start_ms: reading.start_ms,
            end_ms: reading.end_ms,
            plain: [reading.count, reading.sum, reading.min, reading.max],
            extended: reading.extended.iter().map(|(name, v)| (name.to_string(), *v)).collect(),
        }
    }
}

/// A reading, or why there is none.
pub type Piece = Result<Owned, Reason>;

/// What a record holds, in its order.
pub fn record(bytes: &[u8]) -> Vec<Piece> {
    let mut collected = Collected { record: bytes, pieces: Vec::new() };
    decode::record(bytes, &mut collected);
    // Whatever is said takes at least a byte to say.
    assert!(collected.pieces.len() <= bytes.len());
    collected.pieces
}

struct Collected<'r> {
    record: &'r [u8],
    pieces: Vec<Piece>,
}

impl Visit for Collected<'_> {
    fn reading(&mut self, reading: &Reading<'_>) {
        assert!(!reading.namespace.is_empty() && !reading.metric.is_empty());
        assert!(reading.start_ms >= 0 && reading.end_ms >= reading.start_ms, "{reading:?}");
        self.pieces.push(Ok(Owned::of(reading)));
    }

    fn skipped(&mut self, reason: Reason, piece: &[u8]) {
        let (record, piece) = (self.record.as_ptr_range(), piece.as_ptr_range());
        assert!(piece.is_empty() || record.start <= piece.start && piece.end <= record.end);
        self.pieces.push(Err(reason));
    }
}
