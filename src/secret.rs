//! A string that no log, metric, error text or debug output can show.

pub mod file;

use std::borrow::Cow;
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

/// A URL as it may be shown: [`HIDDEN`] stands for a user with its password, for every value of the
/// query (and for a query that names none), and for a fragment.
#[must_use]
pub fn hidden_in_url(url: &str) -> Cow<'_, str> {
    let (rest, fragment) = url.split_once('#').map_or((url, None), |(url, f)| (url, Some(f)));
    let (path, query) = rest.split_once('?').map_or((rest, None), |(path, q)| (path, Some(q)));
    let authority_at = path.find("://").map_or(0, |at| at + 3);
    let (scheme, after) = path.split_at(authority_at);
    let authority_ends = after.find(['/', '\\']).unwrap_or(after.len());
    let user_ends = after.get(..authority_ends).and_then(|authority| authority.rfind('@'));
    if fragment.is_none() && query.is_none() && user_ends.is_none() {
        return Cow::Borrowed(url);
    }
    let mut shown = String::with_capacity(url.len());
    shown.push_str(scheme);
    match user_ends.and_then(|at| after.get(at..)) {
        Some(host) => shown.extend([HIDDEN, host]),
        None => shown.push_str(after),
    }
    for (index, pair) in query.into_iter().flat_map(|query| query.split('&')).enumerate() {
        shown.push(if index == 0 { '?' } else { '&' });
        match pair.split_once('=') {
            Some((_, "")) => shown.push_str(pair),
            Some((name, _)) => shown.extend([name, "=", HIDDEN]),
            None => shown.push_str(HIDDEN),
        }
    }
    if fragment.is_some() {
        shown.extend(["#", HIDDEN]);
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_in_a_url_is_hidden() {
        for (url, shown) in [
            ("https://host/path", "https://host/path"),
            ("https://me:pw@host:1/p@q", "https://<secret>@host:1/p@q"),
            ("https://me:p@w@host", "https://<secret>@host"),
            (
                "https://token@host?a=b&c=&d#e",
                "https://<secret>@host?a=<secret>&c=&<secret>#<secret>",
            ),
            ("http://host/?token", "http://host/?<secret>"),
            ("me:pw@host/path", "<secret>@host/path"),
            ("", ""),
        ] {
            assert_eq!(hidden_in_url(url), shown, "{url}");
        }
    }
}
