//! The gateway as a process.
use super::*;
