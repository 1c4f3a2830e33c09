//! What the process weighs: the budget and 128 MiB, whatever arrives.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may end so.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use crate::process_kit::{Gateway, Mode, Receiver, config, fresh_id};
use crate::receive_door::envelope;

const BODY_BYTES: usize = 4 << 20;
const SENDERS: usize = 16;

fn packed(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// A request of data points of which each has series of its own: its ID and its body.
fn request(sender: usize) -> (String, Vec<u8>) {
    let mut records = Vec::new();
    let mut bytes = 0;
    while bytes < BODY_BYTES * 3 / 4 {
        let mut record = String::new();
        for number in 0..200 {
            writeln!(
                record,
                "{{\"metric_stream_name\":\"demo\",\"account_id\":\"111122223333\",\
                 \"region\":\"eu-west-1\",\"namespace\":\"AWS/EC2\",\"metric_name\":\"NetworkIn\",\
                 \"dimensions\":{{\"InstanceId\":\"i-{sender}-{}-{number}\"}},\
                 \"timestamp\":1760000040000,\
                 \"value\":{{\"max\":2.0,\"min\":1.0,\"sum\":3.0,\"count\":2.0}},\"unit\":\"Bytes\"}}",
                records.len()
            )
            .unwrap();
        }
        bytes += record.len();
        records.push(record);
    }
    let records: Vec<&[u8]> = records.iter().map(String::as_bytes).collect();
    let id = fresh_id();
    let body = packed(&envelope(&id, &records));
    (id, body)
}

/// The most memory that a process ever had, in MiB.
pub(crate) fn peak_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() / 1024
}

#[tokio::test]
async fn memory_stays_within_the_budget_and_128_mib() {
    let receiver = Receiver::start(Mode::Hang).await;
    let text = config(&receiver.url, "budget: 64MiB\nrequest_deadline: 140s", "", "");
    let gateway = Gateway::start(&text).await;
    let idle_mib = peak_mib(gateway.pid());
    let zip = [("content-encoding", "gzip")];
    let bomb = packed(&vec![b' '; 60 << 20]);
    let mut waiting = Vec::new();
    let mut bombs = Vec::new();
    let requests: Vec<_> = (0..SENDERS).map(request).collect();
    for (sender, (id, body)) in requests.into_iter().enumerate() {
        waiting.push(gateway.send_as(id, body, &zip));
        if sender % 4 == 0 {
            bombs.push(gateway.send_as(fresh_id(), bomb.clone(), &zip));
        }
    }
    // At first nothing is settled, then everything.
    receiver.reached().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    receiver.set(Mode::Store);
    let mut statuses = Vec::new();
    for answer in waiting {
        statuses.push(answer.await.unwrap().0);
    }
    let (id, body) = request(SENDERS);
    let (status, _) = gateway.send_as(id, body, &zip).await.unwrap();
    assert_eq!(status, 200, "the budget is free again");
    assert!(statuses.iter().all(|status| [200, 503].contains(status)), "{statuses:?}");
    assert!(statuses.contains(&200) && statuses.contains(&503), "{statuses:?}");
    for answer in bombs {
        let status = answer.await.unwrap().0;
        assert!([400, 503].contains(&status), "{status}");
    }
    gateway.assert_no_repeats().await;
    let refused = gateway.figures().await;
    let refused = refused.value("sluicegate_firehose_requests_refused_total", &[]);
    assert!(refused > 0.0, "no request met the end of the budget");
    let peak_mib = peak_mib(gateway.pid());
    eprintln!("idle {idle_mib} MiB, peak {peak_mib} MiB, {statuses:?}");
    assert!(peak_mib < 64 + 128, "{peak_mib} MiB");
}
