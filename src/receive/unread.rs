//! What becomes of a body that nobody wants. A connection that is closed while its client still
//! sends is reset, and the reset eats the answer; so the rest is read and thrown away, within
//! bounds, while the answer goes out.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use http_body_util::BodyExt as _;
use tokio_util::sync::CancellationToken;

use crate::tasks::Tasks;

/// 64 MiB of records (delivery specification 1.0), a third more in base64, and what is around them.
const FIREHOSE_BODY_BYTES_MAX: u64 = 96 << 20;

/// How much of an unwanted body is read, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) bytes_max: u64,
    pub(super) time_max: Duration,
}

impl Bounds {
    /// For those who showed no key.
    pub(super) const STRANGER: Self = Self { bytes_max: 1 << 20, time_max: Duration::from_secs(2) };

    /// For those who did: whatever Firehose may send, so that a limit below that is told in an answer
    /// and not by a reset.
    pub(super) const fn known(body_bytes_max: u64) -> Self {
        let most = if body_bytes_max > FIREHOSE_BODY_BYTES_MAX {
            body_bytes_max
        } else {
            FIREHOSE_BODY_BYTES_MAX
        };
        Self { bytes_max: most, time_max: Duration::from_secs(10) }
    }
}

/// Reads on in a task of its own and throws away.
pub(super) fn discard(mut body: Body, bounds: Bounds, tasks: &Tasks, stop: CancellationToken) {
    if body.is_end_stream() {
        return;
    }
    tasks.spawn(async move {
        let rest = async {
            let mut left = bounds.bytes_max;
            while let Some(Ok(frame)) = body.frame().await {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                match left.checked_sub(length) {
                    Some(less) => left = less,
                    None => break,
                }
            }
        };
        tokio::select! {
            _ = tokio::time::timeout(bounds.time_max, rest) => {}
            () = stop.cancelled() => {}
        }
    });
}
