//! A whole request through the door, held against its parts: a promise of theirs is the door's.
//!
//! The first byte says how the rest is sent: bit 0 as gzip whatever it is, bit 1 packed first, bit 2
//! with its length, bit 3 with another id in the header.

use std::cell::RefCell;

use axum::body::Body;
use sluicegate::decode::envelope;
use sluicegate::receive::unpack::gunzip;
use tokio::runtime::{Builder, Runtime};

use crate::receive_door::{House, ID, gzip, request, with};

/// The largest body that the house takes.
const BYTES_MAX: u64 = 1 << 20;

thread_local! {
    static HOUSE: RefCell<Option<(Runtime, House)>> = const { RefCell::new(None) };
}

/// Sends the bytes to a door behind which everything is delivered at once.
pub fn run(data: &[u8]) {
    let Some((how, body)) = data.split_first() else { return };
    HOUSE.with_borrow_mut(|house| {
        let (runtime, house) = house.get_or_insert_with(|| {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            let entered = runtime.enter();
            let house = House::delivering(|config| config.max_body_size = BYTES_MAX);
            drop(entered);
            (runtime, house)
        });
        runtime.block_on(send(house, *how, body));
    });
}

async fn send(house: &House, how: u8, body: &[u8]) {
    let packed = how & 2 != 0;
    let wire = if packed { gzip(body) } else { body.to_vec() };
    let is_gzip = packed || how & 1 != 0;
    let mut call = request(Body::from(wire.clone()));
    if is_gzip {
        call = with(call, "content-encoding", "gzip");
    }
    if how & 4 != 0 {
        call = with(call, "content-length", &wire.len().to_string());
    }
    let id = if how & 8 != 0 { "another" } else { ID };
    call = with(call, "x-amz-firehose-request-id", id);
    let answer = house.call(call).await;
    assert_eq!(house.budget.used(), 0, "{answer:?}");
    assert_eq!(answer.request_id, id);
    assert_eq!(answer.status, status(&wire, is_gzip, id), "{answer:?}");
}

/// The status that a body must have, once it is unpacked as [`super::gzip`] proves that it is.
fn status(wire: &[u8], is_gzip: bool, id: &str) -> u16 {
    let mut plain = Vec::new();
    let arrived = if is_gzip {
        gunzip(wire, &mut plain, BYTES_MAX, |_| true).is_ok()
    } else {
        plain = wire.to_vec();
        plain.len() as u64 <= BYTES_MAX
    };
    // What the envelope's target proves about its content. A header cannot carry control characters,
    // so on purpose they do not count in the body's id either.
    let opens = envelope::open(&plain).is_ok_and(|envelope| {
        envelope.request_id.chars().filter(|c| !c.is_control()).eq(id.chars())
    });
    if arrived && opens { 200 } else { 400 }
}
