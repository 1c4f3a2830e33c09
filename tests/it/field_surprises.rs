//! What senders of metric streams have surprised receivers with: the records. Each surprise is a row
//! of a fixture with its source, and a test of the same name that brings it to a whole house, plain
//! and packed, and holds status, contract, what is counted as skipped, and every series that arrives.
//!
//! The surprises that lie in headers and bodies are in `field_door`, those that lie in what becomes
//! of the samples in `field_delivery`.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may end so.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use super::field_kit::{Field, head, head_with, skips};
use super::receive_door::{ID, gzip};

const ROWS: &str = include_str!("../fixtures/field_surprises/records.txt");

/// One row of the fixture.
#[derive(Default)]
struct Row<'a> {
    source: &'a str,
    statistics: Option<&'a str>,
    /// What stands as `data`, in JSON.
    records: Vec<String>,
    skipped: BTreeMap<String, u64>,
    due: Vec<String>,
}

/// The OTLP messages, and the rows' texts; each by name.
fn fixture() -> (BTreeMap<&'static str, Vec<u8>>, BTreeMap<&'static str, &'static str>) {
    let (_, text) = ROWS.split_once("\nvector ").unwrap();
    let (vectors, text) = text.split_once("\n==").unwrap();
    let vectors = vectors.split('\n').filter(|line| !line.is_empty());
    let vectors: BTreeMap<_, _> = vectors
        .map(|line| line.trim_start_matches("vector ").split_once(" = ").unwrap())
        .map(|(name, base64)| (name, unbase64(base64)))
        .collect();
    let mut rows = BTreeMap::new();
    for row in text.split("\n==") {
        let (name, row) = row.trim_start().split_once(' ').unwrap();
        assert!(rows.insert(name, row).is_none(), "{name} stands twice");
    }
    (vectors, rows)
}

impl Row<'static> {
    fn read(name: &str) -> Self {
        let (vectors, rows) = fixture();
        let mut lines = rows[name].lines();
        let mut row = Row { source: lines.next().unwrap(), ..Row::default() };
        let mut records: Vec<Result<Vec<u8>, &str>> = Vec::new();
        for line in lines.filter(|line| !line.is_empty()) {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            let mut push = |bytes: &[u8]| {
                records.last_mut().unwrap().as_mut().unwrap().extend_from_slice(bytes);
            };
            match word {
                "record" => records.push(Ok(Vec::new())),
                "text" => push(format!("{rest}\n").as_bytes()),
                "raw" => push(rest.as_bytes()),
                "padded" => {
                    let (count, text) = rest.split_once(' ').unwrap();
                    let padding = "x".repeat(count.parse().unwrap());
                    push(format!("{}\n", text.replace('@', &padding)).as_bytes());
                }
                "vector" => push(&vectors[rest]),
                "base64" => push(&unbase64(rest)),
                "hex" => {
                    rest.split(' ').for_each(|byte| push(&[u8::from_str_radix(byte, 16).unwrap()]));
                }
                "gzip" => push(&gzip(rest.as_bytes())),
                "bomb" => push(&bomb(rest.parse().unwrap())),
                "data" => *records.last_mut().unwrap() = Err(rest),
                "statistics" => row.statistics = Some(rest),
                "skipped" => {
                    let (reason, count) = rest.split_once(' ').unwrap();
                    row.skipped.insert(reason.to_owned(), count.parse().unwrap());
                }
                "=" => row.due.push(rest.to_owned()),
                other => panic!("{name}: what is `{other}`?"),
            }
        }
        let data =
            |bytes: Vec<u8>| format!("\"{}\"", base64_simd::STANDARD.encode_to_string(bytes));
        row.records =
            records.into_iter().map(|record| record.map_or_else(str::to_owned, data)).collect();
        row.due.sort();
        row
    }
}

fn unbase64(text: &str) -> Vec<u8> {
    base64_simd::STANDARD.decode_to_vec(text).unwrap()
}

/// So many zeros as one gzip member of about a thousandth.
fn bomb(bytes: usize) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let zeros = vec![0; 1 << 20];
    for _ in 0..bytes >> 20 {
        encoder.write_all(&zeros).unwrap();
    }
    encoder.finish().unwrap()
}

async fn holds(name: &str) {
    let row = Row::read(name);
    assert!(row.source.starts_with("https://"), "{name} has no source");
    let data: Vec<_> = row.records.iter().map(|data| format!("{{\"data\":{data}}}")).collect();
    let body = format!(
        "{{\"requestId\":\"{ID}\",\"timestamp\":1760000100000,\"records\":[{}]}}",
        data.join(",")
    );
    let statistics = row.statistics.unwrap_or("sum");
    for packed in [false, true] {
        let sections = format!("cloudwatch: {{ statistics: [{statistics}] }}");
        let field = Field::open("", &sections).await;
        let answer = match packed {
            false => field.post(head(), body.clone()).await,
            true => field.post(head_with("content-encoding", "gzip"), gzip(body.as_bytes())).await,
        };
        assert_eq!((answer.status, answer.request_id.as_str()), (200, ID), "{name}: {answer:?}");
        let stored = field.stored();
        let figures = field.goes_on().await;
        assert_eq!(skips(&figures), row.skipped, "{name}, packed {packed}");
        let records = figures.value("sluicegate_records_total", &[]);
        assert_eq!(records, row.records.len() as f64, "{name}, packed {packed}");
        assert!(!row.due.is_empty() && stored == row.due, "{name}, packed {packed}:\n{}", {
            stored.iter().map(|line| format!("ACTUAL {name} {line}\n")).collect::<String>()
        });
        field.standing.house.stop().await;
    }
}

macro_rules! surprises {
    ($($name:ident),+ $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            holds(stringify!($name)).await;
        })+

        #[test]
        fn every_row_of_the_fixture_is_a_test() {
            let tests = BTreeSet::from([$(stringify!($name)),+]);
            assert_eq!(fixture().1.into_keys().collect::<BTreeSet<_>>(), tests);
        }
    };
}

surprises! {
    two_messages_in_one_record,
    many_messages_in_one_record_of_both_versions,
    an_unframed_message_is_skipped_and_its_neighbour_is_not,
    a_lone_continuation_byte_ends,
    a_length_beyond_the_record_costs_that_record,
    a_length_of_six_bytes_costs_that_record,
    labels_of_0_7_are_dimensions,
    the_wrong_version_does_not_lose_its_labels,
    a_point_without_any_label_is_no_series,
    nested_dimensions_become_labels,
    omitted_zeros_are_zeros,
    every_format_gives_the_same_series,
    the_timestamp_is_the_start_of_the_period_in_every_format,
    roll_ups_without_dimensions_are_series_of_their_own,
    an_unknown_unit_fails_nothing,
    a_record_of_foreign_kind_beside_good_ones,
    json_and_protobuf_mix_in_one_request,
    two_gzip_layers_cost_that_record,
    a_gzip_bomb_inside_a_record_is_never_opened,
    an_empty_gzip_member_inside_a_record,
    a_record_with_empty_data,
    an_empty_frame_holds_nothing,
    the_consoles_demo_data_is_skipped,
    a_control_message_is_skipped,
    a_bad_line_in_the_middle,
    a_line_longer_than_64_kib,
    numbers_are_java_doubles,
    whole_numbers_and_capital_exponents_are_numbers_alike,
    points_of_one_time_and_other_dimensions_stay_apart,
    milliseconds_are_kept,
    objects_without_a_line_feed_between_them,
    the_last_line_may_lack_its_line_feed,
    nan_and_infinity_are_no_json_numbers,
    negative_values_are_legal,
    label_values_keep_their_bytes,
    one_metric_name_in_two_namespaces,
    two_accounts_with_the_same_dimensions,
    several_minutes_of_one_series_in_one_batch,
    restated_totals_replace_and_are_never_added,
    points_two_days_late_are_sent,
    statistics_beyond_percentiles_come_in_json_only,
    an_additional_statistic_may_be_absent_in_any_point,
    data_that_is_not_base64_costs_that_record,
    data_that_is_no_string_costs_that_record,
    poison_holds_back_no_neighbour,
}
