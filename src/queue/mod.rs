//! THE WAIST: the byte budget, the lanes, the acknowledgement, the memory of requests. It knows
//! nothing but the samples.

pub mod ack;
pub mod budget;
mod inbox;
pub mod lanes;
pub mod ledger;

pub use ack::{Acked, Load, Request, Settled};
pub use budget::{Budget, Lack, Permit, Purse, largest_part_bytes};
pub use inbox::{Held, Inbox, Taken};
pub use lanes::{Full, Lanes, LanesBuilder, Limits, Part, REQUEST_CHARGE_MIN, Tally};
pub use ledger::{Claim, Content, Ending, Entry, Joined, Key, Ledger, Serials};
