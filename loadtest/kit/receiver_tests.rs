//! The receiver.
use super::*;
