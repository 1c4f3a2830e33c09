//! A real Prometheus that stops, freezes and comes back under load: Firehose keeps what was not
//! acknowledged, and in the end nothing is missing.

use std::sync::Arc;
use std::time::Duration;

use sluicegate::demo::firehose::{Delivery, Outcome};
use sluicegate::demo::records::records;
use sluicegate::demo::stream::{Format, MetricStream};
use sluicegate::tasks::Tasks;
use tokio::time::sleep;

use super::house::{Samples, Standing, assert_same, expected, flat, minute};
use super::prometheus::{Options, Prometheus};

const METRICS: usize = 60;
const MINUTES: i64 = 20;

#[derive(Debug, Clone, Copy)]
enum Trouble {
    Stop,
    Freeze,
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_missing_after_prometheus_was_away_or_frozen() {
    let options = Options { out_of_order_window: Some("1h") };
    let mut server = Prometheus::start(options).await;
    let rest = format!(
        "remote_write:\n  - {{ name: there, url: \"{}\", remote_timeout: 400ms, \
         queue_config: {{ max_shards: 4, min_backoff: 20ms, max_backoff: 100ms }} }}",
        server.remote_write_url()
    );
    let standing = Standing::start("  request_deadline: 1s", &rest).await;
    let mut all = Samples::new();
    for (seed, trouble) in [(3, Trouble::Stop), (4, Trouble::Freeze)] {
        let stream = Arc::new(MetricStream::new(METRICS, seed));
        let begin_ms = minute(45 - 22 * (i64::try_from(seed).unwrap() - 3));
        let tasks = Tasks::new();
        let mut settled: Vec<Delivery> = Vec::new();
        let mut send = |number: i64| {
            let format = Format::ALL[usize::try_from(number).unwrap() % 3];
            let points: Vec<_> = stream.points(begin_ms + number * 60_000, 0..METRICS).collect();
            all.extend(expected(format, &points));
            let records = records(format, &points);
            let firehose = standing.firehose(number % 2 == 0);
            tasks.spawn(async move { firehose.deliver(records).await })
        };
        let mut deliveries: Vec<_> = (0..5).map(&mut send).collect();
        match trouble {
            Trouble::Stop => {
                // What it acknowledges while it closes its logs is not what this is about.
                for delivery in deliveries.drain(..) {
                    settled.push(delivery.await.unwrap());
                }
                server.stop().await;
            }
            Trouble::Freeze => server.pause().await,
        }
        // The load goes on; the trouble lasts longer than a request may.
        for number in 5..MINUTES {
            deliveries.push(send(number));
            sleep(Duration::from_millis(100)).await;
        }
        match trouble {
            Trouble::Stop => server.restart().await,
            Trouble::Freeze => server.resume().await,
        }
        for delivery in deliveries {
            settled.push(delivery.await.unwrap());
        }
        for delivery in &settled {
            assert_eq!(delivery.outcome, Outcome::Delivered, "{trouble:?}: {delivery:?}");
            assert!(delivery.breaches.is_empty(), "{trouble:?}: {delivery:?}");
            let fair = delivery.statuses.iter().all(|status| [200, 503].contains(status));
            assert!(fair, "{trouble:?}: {delivery:?}");
        }
        let again = settled.iter().filter(|delivery| delivery.attempts > 1).count();
        assert!(again >= 3, "{trouble:?} was felt by {again} of {}", settled.len());
    }
    let export = server.query_export(r#"{__name__=~".+"}"#, minute(60), minute(0)).await;
    assert_same(&flat(export), &all, "after both troubles");
    let figures = standing.rest().await;
    let [_, partial, refused, aged_out, dropped, lost] = figures.outcomes("there");
    assert_eq!([partial, refused, aged_out, dropped], [0.0; 4], "{}", figures.0);
    assert!(lost > 0.0, "what a request gave up on is in the books");
    standing.house.stop().await;
}
