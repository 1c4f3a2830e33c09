//! The hot path step by step: a body of 1,000 data points (four statistics each) decoded, mapped and
//! encoded, per format. `cargo bench` prints the time for one body, with its allocations.

use std::hint::black_box;

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher};
use sluicegate::decode::{self, Reading, Reason, Visit};
use sluicegate::deliver::encode::Encoder;
use sluicegate::demo::records::records;
use sluicegate::demo::stream::{Format, MetricStream};
use sluicegate::map::{Config, Mapper, Mapping, Outlet, Plan, Statistics};

#[global_allocator]
static ALLOCATOR: AllocProfiler<mimalloc::MiMalloc> = AllocProfiler::new(mimalloc::MiMalloc);

const POINTS: usize = 1000;
const START_MS: i64 = 1_760_000_040_000;
const FORMATS: [Format; 3] = [Format::Json, Format::OpenTelemetry07, Format::OpenTelemetry10];

fn main() {
    divan::main();
}

fn body(format: Format) -> Vec<Vec<u8>> {
    let stream = MetricStream::new(POINTS, 1);
    let points: Vec<_> = stream.points(START_MS, 0..POINTS).collect();
    records(format, &points)
}

fn mapper() -> Mapper {
    let statistics = Statistics { average: false, extended: false, ..Statistics::ALL };
    Mapper::new(Plan {
        config: Config { statistics, ..Config::default() },
        external_labels: Vec::new(),
        relabel: Vec::new(),
        outlets: vec![Outlet { lanes: 4, write_relabel: Vec::new() }],
    })
}

/// Reads every reading and keeps nothing.
struct Count(u64);

impl Visit for Count {
    fn reading(&mut self, reading: &Reading<'_>) {
        self.0 += u64::from(black_box(reading).count.is_some());
    }

    fn skipped(&mut self, _: Reason, _: &[u8]) {}
}

struct Map<'a>(Mapping<'a>);

impl Visit for Map<'_> {
    fn reading(&mut self, reading: &Reading<'_>) {
        self.0.reading(reading);
    }

    fn skipped(&mut self, _: Reason, _: &[u8]) {}
}

#[divan::bench(args = FORMATS)]
fn decode(bencher: Bencher<'_, '_>, format: Format) {
    let body = body(format);
    bencher.counter(ItemsCount::new(POINTS)).bench(|| {
        let mut count = Count(0);
        for record in &body {
            decode::record(record, &mut count);
        }
        count.0
    });
}

#[divan::bench(args = FORMATS)]
fn decode_and_map(bencher: Bencher<'_, '_>, format: Format) {
    let (body, mapper) = (body(format), mapper());
    bencher.counter(ItemsCount::new(POINTS)).bench(|| {
        let mut map = Map(mapper.begin(&[], 0));
        for record in &body {
            decode::record(record, &mut map);
        }
        map.0.finish()
    });
}

/// Every series is new: names, labels and relabelling included.
#[divan::bench]
fn map_unknown(bencher: Bencher<'_, '_>) {
    let body = body(Format::Json);
    bencher.counter(ItemsCount::new(POINTS)).with_inputs(mapper).bench_refs(|mapper| {
        let mut map = Map(mapper.begin(&[], 0));
        for record in &body {
            decode::record(record, &mut map);
        }
        map.0.finish()
    });
}

/// All of a body's samples in one request: `WriteRequest`, then snappy.
#[divan::bench]
fn encode(bencher: Bencher<'_, '_>) {
    let (body, mapper) = (body(Format::Json), mapper());
    let mut map = Map(mapper.begin(&[], 0));
    for record in &body {
        decode::record(record, &mut map);
    }
    let batch = map.0.finish().batch;
    let mut encoder = Encoder::new();
    bencher.counter(ItemsCount::new(POINTS)).bench_local(|| {
        let mut filling = encoder.begin(usize::MAX);
        for at in batch.lanes[0].iter().flatten() {
            assert!(filling.offer(batch.sample(0, *at)));
        }
        (filling.end(), encoder.block())
    });
}
