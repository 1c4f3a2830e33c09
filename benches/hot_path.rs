//! The hot path step by step, per format: what a body of 1,000 data points (four statistics each)
//! costs, with its allocations. Microseconds a body are nanoseconds a data point, and 1,000 of them
//! are one CPU-second per million data points. `fastest` is the figure to quote where others are at
//! work on the machine. Ten thousand series go by in turn, so nothing is hotter than it would be.

#![allow(missing_docs)]

use std::hint::black_box;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_lc_rs::digest::{SHA256, digest};
use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher};
use reqwest::Url;
use sluicegate::decode::{self, Glimpse, Reading, Reason, Visit, envelope};
use sluicegate::deliver::config::Sigv4;
use sluicegate::deliver::sign::Signer;
use sluicegate::demo::stream::Format;
use sluicegate::receive::unpack::gunzip;

use crate::load::{
    BODY_BYTES_MAX, Body, POINTS, Round, Whole, bodies, encoded, encoders, mapped, mapper,
};

mod load;

#[global_allocator]
static ALLOCATOR: AllocProfiler<mimalloc::MiMalloc> = AllocProfiler::new(mimalloc::MiMalloc);

const SERIES: usize = 10_000;
const MINUTES: i64 = 4;
/// What the default configuration takes of the default budget.
const SERIES_CACHE: u64 = 32 << 20;
const FORMATS: [Format; 3] = [Format::Json, Format::OpenTelemetry07, Format::OpenTelemetry10];

fn main() {
    divan::main();
}

/// The bodies of a format, made once.
fn all(format: Format) -> &'static [Body] {
    static BODIES: [OnceLock<Vec<Body>>; 3] = [const { OnceLock::new() }; 3];
    let at = FORMATS.iter().position(|other| *other == format).expect("one of them");
    BODIES[at].get_or_init(|| bodies(format, SERIES, MINUTES))
}

/// Reads every reading and keeps nothing.
struct Count {
    points: usize,
    knows: bool,
}

impl Visit for Count {
    fn reading(&mut self, reading: &Reading<'_>) {
        self.points += usize::from(black_box(reading).count.is_some());
    }

    fn glimpse(&mut self, glimpse: &Glimpse<'_>) -> bool {
        self.points += usize::from(self.knows && black_box(glimpse).count.is_some());
        self.knows
    }

    fn skipped(&mut self, _: Reason, _: &[u8]) {}
}

#[divan::bench(args = FORMATS, sample_count = 400, sample_size = 1)]
fn s01_gunzip(bencher: Bencher<'_, '_>, format: Format) {
    let (round, mut plain) = (Round::new(all(format)), Vec::new());
    bencher.counter(ItemsCount::new(POINTS)).bench_local(|| {
        gunzip(&round.next().wire, &mut plain, BODY_BYTES_MAX, |_| true).expect("it is gzip");
        plain.len()
    });
}

/// Large and odd bodies.
#[divan::bench(args = FORMATS, sample_count = 400, sample_size = 1)]
fn s02_gunzip_stream(bencher: Bencher<'_, '_>, format: Format) {
    let wires: Vec<_> = all(format).iter().map(Body::odd_wire).collect();
    let (round, mut plain) = (Round::new(&wires), Vec::new());
    bencher.counter(ItemsCount::new(POINTS)).bench_local(|| {
        gunzip(round.next(), &mut plain, BODY_BYTES_MAX, |_| true).expect("it is gzip");
        plain.len()
    });
}

#[divan::bench(args = FORMATS, sample_count = 400, sample_size = 1)]
fn s03_envelope(bencher: Bencher<'_, '_>, format: Format) {
    let round = Round::new(all(format));
    bencher.counter(ItemsCount::new(POINTS)).bench_local(|| {
        envelope::open(&round.next().plain).expect("it is an envelope").records.len()
    });
}

#[divan::bench(args = FORMATS, sample_count = 400, sample_size = 1)]
fn s04_base64(bencher: Bencher<'_, '_>, format: Format) {
    let opened = all(format).iter().map(|body| envelope::open(&body.plain));
    let opened: Vec<_> = opened.map(|envelope| envelope.expect("it is one")).collect();
    let (round, mut scratch) = (Round::new(&opened), Vec::new());
    bencher.counter(ItemsCount::new(POINTS)).bench_local(|| {
        let each = round.next().records.iter();
        each.map(|data| data.decode(&mut scratch).expect("base64").len()).sum::<usize>()
    });
}

fn decode_by(bencher: Bencher<'_, '_>, format: Format, knows: bool) {
    let round = Round::new(all(format));
    bencher.counter(ItemsCount::new(POINTS)).bench_local(|| {
        let mut count = Count { points: 0, knows };
        for record in &round.next().records {
            decode::record(record, &mut count);
        }
        count.points
    });
}

/// Every data point is read in full.
#[divan::bench(args = FORMATS, sample_count = 400, sample_size = 1)]
fn s05_decode(bencher: Bencher<'_, '_>, format: Format) {
    decode_by(bencher, format, false);
}

/// Every data point is known by the bytes that name it; only its numbers are read.
#[divan::bench(args = FORMATS, sample_count = 400, sample_size = 1)]
fn s06_decode_known(bencher: Bencher<'_, '_>, format: Format) {
    decode_by(bencher, format, true);
}

#[divan::bench(args = FORMATS, sample_count = 400, sample_size = 1)]
fn s07_decode_and_map_known(bencher: Bencher<'_, '_>, format: Format) {
    let (bodies, mapper) = (all(format), mapper(SERIES_CACHE));
    bodies.iter().for_each(|body| drop(mapped(body, &mapper)));
    let round = Round::new(bodies);
    bencher.counter(ItemsCount::new(POINTS)).bench_local(|| mapped(round.next(), &mapper));
}

/// Every series is new: names, labels and relabelling included.
#[divan::bench(args = FORMATS, sample_count = 100, sample_size = 1)]
fn s08_decode_and_map_unknown(bencher: Bencher<'_, '_>, format: Format) {
    let round = Round::new(all(format));
    bencher
        .counter(ItemsCount::new(POINTS))
        .with_inputs(|| mapper(SERIES_CACHE))
        .bench_local_refs(|mapper| mapped(round.next(), mapper));
}

/// From samples to a snappy block for each of two lanes. The format makes no difference any more.
#[divan::bench(sample_count = 400, sample_size = 1)]
fn s09_encode(bencher: Bencher<'_, '_>) {
    let mapper = mapper(SERIES_CACHE);
    let batches: Vec<_> = all(Format::Json).iter().map(|body| mapped(body, &mapper)).collect();
    let (round, mut encoders) = (Round::new(&batches), encoders());
    bencher.counter(ItemsCount::new(POINTS)).bench_local(|| {
        let mut sent = 0;
        encoded(round.next(), &mut encoders, |block| sent += block.len());
        sent
    });
}

/// The blocks of each body.
fn blocks() -> Vec<Vec<bytes::Bytes>> {
    let (mapper, mut encoders) = (mapper(SERIES_CACHE), encoders());
    let blocks = all(Format::Json).iter().map(|body| {
        let mut blocks = Vec::new();
        encoded(&mapped(body, &mapper), &mut encoders, |block| blocks.push(block));
        blocks
    });
    blocks.collect()
}

/// What of signing nobody can leave out.
#[divan::bench(sample_count = 400, sample_size = 1)]
fn s10_sha256(bencher: Bencher<'_, '_>) {
    let blocks = blocks();
    let round = Round::new(&blocks);
    bencher.counter(ItemsCount::new(POINTS)).bench_local(|| {
        round
            .next()
            .iter()
            .map(|block| digest(&SHA256, block).as_ref()[0])
            .fold(0, |all, one| all ^ one)
    });
}

/// The signatures of a body's requests, one per lane, hashing included.
#[divan::bench(sample_count = 400, sample_size = 1)]
fn s11_sign(bencher: Bencher<'_, '_>) {
    let url = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write";
    let sigv4 = Sigv4 {
        region: "eu-west-1".to_owned(),
        service: "aps".to_owned(),
        access_key: None,
        secret_key: None,
        profile: None,
        role_arn: None,
        external_id: None,
        sts_endpoint: None,
    };
    let signer = Signer::new(&sigv4, &Url::parse(url).expect("a URL"));
    let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "bench");
    let headers = [
        ("content-encoding", "snappy"),
        ("content-type", "application/x-protobuf"),
        ("x-prometheus-remote-write-version", "0.1.0"),
    ];
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_760_000_040);
    let blocks = blocks();
    let round = Round::new(&blocks);
    bencher.counter(ItemsCount::new(POINTS)).bench_local(|| {
        let each = round.next().iter();
        each.map(|block| signer.sign(&credentials, &headers, block, now).expect("signed").len())
            .sum::<usize>()
    });
}

/// From the packed body to the snappy blocks.
#[divan::bench(args = FORMATS, sample_count = 400, sample_size = 1)]
fn s12_whole(bencher: Bencher<'_, '_>, format: Format) {
    let (bodies, mapper) = (all(format), mapper(SERIES_CACHE));
    bodies.iter().for_each(|body| drop(mapped(body, &mapper)));
    let (round, mut whole) = (Round::new(bodies), Whole::new());
    bencher.counter(ItemsCount::new(POINTS)).bench_local(|| whole.run(&round.next().wire, &mapper));
}
