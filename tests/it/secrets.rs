//! Every kind of secret, planted where it belongs, is looked for in everything that is written: log
//! lines at their most talkative, pages, answers, messages of faults, and the debug output of every
//! type that holds one. In plain, in base64, URL-encoded and JSON-escaped.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may end so.

use std::fmt::Debug;
use std::fmt::Write as _;

use sluicegate::config::{Config, Source, from_environment, load_within};
use sluicegate::deliver::credentials::provider;
use sluicegate::deliver::sign::Signer;
use sluicegate::demo::firehose::{Firehose, FirehoseConfig};
use sluicegate::receive::Keys as _;
