//! What is decoded at once, and what is given back.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::map::{Config, Plan};
use crate::meters::Meters;
use crate::queue::Budget;

fn gzip(bytes: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&vec![b' '; bytes]).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_would_hold_an_io_thread_for_long_is_given_back_as_it_was() {
    let budget = Budget::new(64 << 20);
    let workers = Workers::new();
    let plan = Plan {
        config: Config::default(),
        external_labels: Vec::new(),
        relabel: Vec::new(),
        outlets: Vec::new(),
    };
    let mapper = Mapper::new(plan);
    let terms = Terms {
        request_id: String::new(),
        labels: Vec::new(),
        deadline: Instant::now() + Duration::from_secs(60),
        ledger: Ledger::new(&Meters::new()),
        _labels_permit: budget.try_take(1).unwrap(),
    };
    let (few, most) = (1, AT_ONCE_BODIES_MAX * workers.processors);
    let (small, large) = (AT_ONCE_BYTES_MAX as usize, AT_ONCE_BYTES_MAX as usize + 1);
    let lie = [gzip(small), gzip(1)].concat();
    let (soon, later) = (AT_ONCE_PAUSE - Duration::from_millis(1), AT_ONCE_PAUSE);
    for (name, wait, encoding, wire, undecoded, is_done) in [
        ("small", soon, Encoding::Gzip, gzip(small), few, true),
        ("small, and soon after", soon, Encoding::Gzip, gzip(small), few, false),
        ("small, one of many", later, Encoding::Gzip, gzip(small), most, true),
        ("small in a crowd", later, Encoding::Gzip, gzip(small), most + 1, false),
        ("large", later, Encoding::Gzip, gzip(large), few, false),
        ("larger than it claims", later, Encoding::Gzip, lie, few, false),
        ("small and plain", later, Encoding::Identity, vec![b' '; small], few, true),
        ("large and plain", later, Encoding::Identity, vec![b' '; large], few, false),
    ] {
        tokio::time::advance(wait).await;
        let permit = budget.try_take(REQUEST_CHARGE_MIN).unwrap();
        let (easy_bytes_max, batch_bytes_max) = (u64::MAX, u64::MAX);
        let job = Job { wire: wire.clone(), encoding, easy_bytes_max, batch_bytes_max, permit };
        match workers.run_at_once(job, 16 << 20, undecoded, &terms, &mapper) {
            Err(job) => {
                assert!(!is_done && job.wire == wire && job.encoding == encoding, "{name}");
            }
            // There is nothing but spaces in them.
            Ok(Err(Undecoded::Unreadable(_))) => assert!(is_done, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}
