//! What the house tells of itself: logs, `/metrics`, `/config`.

mod http;
mod logs;

pub use http::{Exhibit, ReloadAsked, router};
pub use logs::{Level, start as start_logs};
