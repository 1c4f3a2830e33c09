//! The load that the benches share: bodies as Firehose sends them, in the shape that the figures are
//! quoted for. 1,000 data points a body, four statistics each, packed at level 6, and so many series
//! that few of them are still in the processor's caches when they come again.

#![allow(dead_code, missing_docs, unreachable_pub)] // Each bench uses its part.

use std::cell::Cell;
use std::io::Write as _;

use flate2::{Compression, GzBuilder};
use sluicegate::decode::{self, Glimpse, Reading, Reason, Visit, envelope};
use sluicegate::deliver::encode::Encoder;
use sluicegate::demo::records::records;
use sluicegate::demo::stream::{Format, MetricStream, Point};
use sluicegate::map::{Config, Mapper, Mapping, Outlet, Plan, Statistics};
use sluicegate::receive::unpack::gunzip;
use sluicegate::sample::Batch;

/// Data points of a body.
pub const POINTS: usize = 1000;
/// The first minute.
pub const START_MS: i64 = 1_760_000_040_000;
/// The most that a body may unpack to.
pub const BODY_BYTES_MAX: u64 = 96 << 20;
/// Records of a body; a larger one has larger records.
const RECORDS_MAX: usize = 9_000;
/// Lanes of a destination.
pub const LANES: u32 = 2;

/// One body, from what is packed to what comes over the wire.
pub struct Body {
    pub records: Vec<Vec<u8>>,
    pub plain: Vec<u8>,
    pub wire: Vec<u8>,
    pub points: usize,
}

impl Body {
    pub fn new(format: Format, points: Vec<Point<'_>>) -> Self {
        Self::unpacked(format, points).pack()
    }

    /// The body without what comes over the wire.
    pub fn unpacked(format: Format, mut points: Vec<Point<'_>>) -> Self {
        points.iter_mut().for_each(|point| point.extended.clear());
        let records = records(format, &points);
        let joined = records.len().div_ceil(RECORDS_MAX).max(1);
        let records: Vec<_> = records.chunks(joined).map(<[_]>::concat).collect();
        let plain = envelope(&records);
        Self { records, plain, wire: Vec::new(), points: points.len() }
    }

    pub fn pack(self) -> Self {
        Self { wire: packed(&self.plain, None), ..self }
    }

    /// The body packed so that only the stream decoder takes it: its header says a file name.
    pub fn odd_wire(&self) -> Vec<u8> {
        packed(&self.plain, Some("body"))
    }
}

fn envelope(records: &[Vec<u8>]) -> Vec<u8> {
    let id = "ed4acda5-034f-9f42-bba1-f29aea6d7d8f";
    let mut text = format!(r#"{{"requestId":"{id}","timestamp":{START_MS},"records":["#);
    for (index, record) in records.iter().enumerate() {
        text.push_str(if index > 0 { r#",{"data":""# } else { r#"{"data":""# });
        base64_simd::STANDARD.encode_append(record, &mut text);
        text.push_str(r#""}"#);
    }
    text.push_str("]}");
    text.into_bytes()
}

fn packed(plain: &[u8], name: Option<&str>) -> Vec<u8> {
    let builder = match name {
        Some(name) => GzBuilder::new().filename(name),
        None => GzBuilder::new(),
    };
    let mut encoder = builder.write(Vec::new(), Compression::new(6));
    encoder.write_all(plain).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

/// The bodies of a minute after another.
pub fn bodies(format: Format, series: usize, minutes: i64) -> Vec<Body> {
    let stream = MetricStream::new(series, 1);
    let minutes = (0..minutes).map(|minute| START_MS + 60_000 * minute);
    let each = minutes.flat_map(|start| (0..series).step_by(POINTS).map(move |from| (start, from)));
    each.map(|(start, from)| Body::new(format, stream.points(start, from..from + POINTS).collect()))
        .collect()
}

/// Goes round and round.
pub struct Round<'a, T> {
    items: &'a [T],
    next: Cell<usize>,
}

impl<'a, T> Round<'a, T> {
    pub fn new(items: &'a [T]) -> Self {
        Self { items, next: Cell::new(0) }
    }

    pub fn next(&self) -> &'a T {
        let at = self.next.get();
        self.next.set((at + 1) % self.items.len());
        &self.items[at]
    }
}

/// Makes the four samples of a data point that all formats carry.
pub fn mapper(series_cache: u64) -> Mapper {
    let statistics = Statistics { average: false, extended: false, ..Statistics::ALL };
    Mapper::new(Plan {
        config: Config { statistics, series_cache, ..Config::default() },
        external_labels: Vec::new(),
        relabel: Vec::new(),
        outlets: vec![Outlet { lanes: LANES, write_relabel: Vec::new() }],
    })
}

/// Maps every reading.
pub struct Map<'a>(pub Mapping<'a>);

impl Visit for Map<'_> {
    fn reading(&mut self, reading: &Reading<'_>) {
        self.0.reading(reading);
    }

    fn glimpse(&mut self, glimpse: &Glimpse<'_>) -> bool {
        self.0.glimpse(glimpse)
    }

    fn glimpsed(&mut self, reading: &Reading<'_>) {
        self.0.glimpsed(reading);
    }

    fn skipped(&mut self, reason: Reason, _: &[u8]) {
        unreachable!("skipped for {reason:?}");
    }
}

/// Decodes and maps a body's records.
pub fn mapped(body: &Body, mapper: &Mapper) -> Batch {
    let mut map = Map(mapper.begin(&[], 0));
    for record in &body.records {
        decode::record(record, &mut map);
    }
    map.0.finish().batch
}

/// A request for each lane. Returns their bytes.
pub fn encoded(batch: &Batch, encoders: &mut [Encoder], mut take: impl FnMut(bytes::Bytes)) {
    for (lane, encoder) in batch.lanes.iter().flatten().zip(encoders) {
        let mut filling = encoder.begin(usize::MAX, usize::MAX);
        for run in batch.runs(0, lane) {
            assert_eq!(filling.offer(&run), run.count());
        }
        filling.end();
        take(encoder.block().expect("below 4 GiB"));
    }
}

/// An encoder for each lane.
pub fn encoders() -> Vec<Encoder> {
    (0..LANES).map(|_| Encoder::new()).collect()
}

/// What a body goes through between the two sockets, but for HTTP and signing.
pub struct Whole {
    plain: Vec<u8>,
    scratch: Vec<u8>,
    encoders: Vec<Encoder>,
}

impl Whole {
    pub fn new() -> Self {
        Self { plain: Vec::new(), scratch: Vec::new(), encoders: encoders() }
    }

    pub fn run(&mut self, wire: &[u8], mapper: &Mapper) -> usize {
        gunzip(wire, &mut self.plain, BODY_BYTES_MAX, |_| true).expect("it is gzip");
        let envelope = envelope::open(&self.plain).expect("it is an envelope");
        let mut map = Map(mapper.begin(&[], 0));
        for data in &envelope.records {
            decode::record(data.decode(&mut self.scratch).expect("base64"), &mut map);
        }
        let batch = map.0.finish().batch;
        let mut sent = 0;
        encoded(&batch, &mut self.encoders, |block| sent += block.len());
        sent
    }
}
