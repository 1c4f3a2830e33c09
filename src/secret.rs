//! A string that no log, metric, error text or debug output can show.

pub mod file;

use std::fmt;

use serde::{Serialize, Serializer};

/// What stands in a secret's place wherever one would be shown, as in Prometheus.
pub const HIDDEN: &str = "<secret>";

/// A secret text. `Debug`, `Display` and `Serialize` show [`HIDDEN`]; only [`Secret::expose`]
/// gives the text itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the text in.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself: for the comparison, the header or the signature that needs it, and for
    /// nothing that is written anywhere.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}
