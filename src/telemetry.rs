//! What the house tells of itself: logs, `/metrics`, `/config`.

mod http;
mod logs;

pub use http::{Exhibit, router};
pub use logs::start as start_logs;
