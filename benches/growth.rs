//! Cost grows with what there is to do, and with nothing else: data points per second at ten thousand
//! to a million distinct metrics (`-- --ignored` for ten million, which take about 10 GB), and at
//! bodies of 1 KiB to 64 MiB. What a known metric takes is printed, too.

#![allow(missing_docs, clippy::print_stderr)]

use divan::counter::{BytesCount, ItemsCount};
use divan::{AllocProfiler, Bencher};
use sluicegate::demo::stream::{Format, MetricStream};

use crate::load::{Body, POINTS, Round, START_MS, Whole, mapped, mapper};

mod load;

#[global_allocator]
static ALLOCATOR: AllocProfiler<mimalloc::MiMalloc> = AllocProfiler::new(mimalloc::MiMalloc);

/// Room for all metrics that there are: the question here is not how eviction goes.
const SERIES_CACHE: u64 = 64 << 30;
/// Bodies that are kept to be taken again and again, spread over all metrics.
const KEPT: usize = 100;

fn main() {
    divan::main();
}

#[divan::bench(args = [10_000, 100_000, 1_000_000], sample_count = 600, sample_size = 1)]
fn metrics(bencher: Bencher<'_, '_>, metrics: usize) {
    known(bencher, metrics);
}

#[divan::bench(sample_count = 600, sample_size = 1, ignore)]
fn ten_million_metrics(bencher: Bencher<'_, '_>) {
    known(bencher, 10_000_000);
}

/// Bodies of a minute in which every metric, of four series, has its data point. Some are looked at.
fn known(bencher: Bencher<'_, '_>, metrics: usize) {
    let (stream, mapper) = (MetricStream::new(metrics, 1), mapper(SERIES_CACHE));
    let every = (metrics / POINTS / KEPT).max(1);
    let mut kept = Vec::new();
    for (index, from) in (0..metrics).step_by(POINTS).enumerate() {
        let points = stream.points(START_MS, from..from + POINTS).collect();
        let body = Body::unpacked(Format::OpenTelemetry10, points);
        drop(mapped(&body, &mapper));
        if index % every == 0 {
            kept.push(body.pack());
        }
    }
    drop(stream);
    let stats = mapper.cache_stats();
    eprintln!("\n{metrics} metrics: {} bytes each", stats.bytes / stats.identities.max(1));
    let (round, mut whole) = (Round::new(&kept), Whole::new());
    bencher.counter(ItemsCount::new(POINTS)).bench_local(|| whole.run(&round.next().wire, &mapper));
}

/// Bodies that unpack to so many KiB.
#[divan::bench(args = [1, 16, 256, 4 << 10, 64 << 10], sample_count = 8, sample_size = 1)]
fn body_kib(bencher: Bencher<'_, '_>, kib: usize) {
    let mapper = mapper(SERIES_CACHE);
    let stream = MetricStream::new(10_000, 1);
    let one = Body::unpacked(Format::OpenTelemetry10, stream.points(START_MS, 0..POINTS).collect());
    let points = (kib << 10) * POINTS / one.plain.len();
    // The same metrics minute by minute, as in a body that waited long.
    let minutes = 0..points.div_ceil(10_000) as i64;
    let each = minutes.flat_map(|minute| stream.points(START_MS + 60_000 * minute, 0..10_000));
    let body = Body::new(Format::OpenTelemetry10, each.take(points.max(1)).collect());
    drop(mapped(&body, &mapper));
    let mut whole = Whole::new();
    // Small ones often enough to be seen by the clock.
    let times = (4096 / kib).max(1);
    bencher
        .counter(ItemsCount::new(body.points * times))
        .counter(BytesCount::new(body.plain.len() * times))
        .bench_local(|| (0..times).map(|_| whole.run(&body.wire, &mapper)).sum::<usize>());
}
