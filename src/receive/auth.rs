//! Access keys. Firehose can send no other credential, so the comparison gives nothing away: every
//! key is compared in full with what the request shows, both padded to the longest key that
//! Firehose allows, whatever the outcome of the others.

use std::path::PathBuf;

use metrics::Gauge;
use subtle::{Choice, ConstantTimeEq as _};

use super::config::{Config, KeySource};
use super::head::Head;
use super::reply::{Answer, now_ms};
use crate::glob::matches;
use crate::meters::{self, Meters};
use crate::secret::Secret;
use crate::secret::file::SecretFile;

/// The longest access key that Firehose accepts (API `HttpEndpointConfiguration`).
const KEY_BYTES_MAX: usize = 4096;
const WORDS: usize = KEY_BYTES_MAX / 8;

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFault {
    /// No key, and nobody said that this is meant.
    #[error("no access keys, and insecure_allow_unauthenticated is not set")]
    None,
    /// A key's file cannot be read.
    #[error("access key `{name}`: cannot read {path}: {source}")]
    File {
        /// The key's name.
        name: String,
        /// Its file.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// A key is empty.
    #[error("access key `{name}` is empty")]
    Empty {
        /// The key's name.
        name: String,
    },
    /// A key is longer than Firehose allows.
    #[error("access key `{name}` is longer than the 4096 bytes that Firehose allows")]
    TooLong {
        /// The key's name.
        name: String,
    },
}

/// The keys that open the door.
#[derive(Debug)]
pub struct Keys(Vec<Key>);

#[derive(Debug)]
struct Key {
    name: String,
    text: Text,
    source_arns: Vec<String>,
    accounts: Vec<String>,
    last_used: Gauge,
}

#[derive(Debug)]
enum Text {
    Fixed(Padded),
    File(SecretFile),
}

/// Who came in, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pass<'a> {
    /// The key's name; none where no key is needed.
    pub(super) key: Option<&'a str>,
}

impl Keys {
    /// Reads the keys of the configuration.
    ///
    /// # Errors
    /// If a key cannot be read or can never match, or if there is none and that is not allowed.
    pub fn new(config: &Config, meters: &Meters) -> Result<Self, KeyFault> {
        if config.access_keys.is_empty() && !config.insecure_allow_unauthenticated {
            return Err(KeyFault::None);
        }
        let mut keys = Vec::with_capacity(config.access_keys.len());
        for key in &config.access_keys {
            let name = key.name.clone();
            let (secret, file) = match &key.source {
                KeySource::Key(secret) => (secret.clone(), None),
                KeySource::KeyFile(path) => {
                    let file = SecretFile::open(path).map_err(|source| KeyFault::File {
                        name: name.clone(),
                        path: path.clone(),
                        source,
                    })?;
                    (file.current(), Some(file))
                }
            };
            let text = unwrapped(&secret);
            if text.is_empty() {
                return Err(KeyFault::Empty { name });
            }
            let padded = Padded::new(text.as_bytes());
            if padded.length as usize > KEY_BYTES_MAX {
                return Err(KeyFault::TooLong { name });
            }
            let last_used = meters.gauge(&meters::ACCESS_KEY_LAST_USED, &[&name]);
            // Shown from the start; a reload must not forget what was.
            last_used.increment(0.0);
            keys.push(Key {
                name,
                text: file.map_or(Text::Fixed(padded), Text::File),
                source_arns: key.source_arns.clone(),
                accounts: key.accounts.clone(),
                last_used,
            });
        }
        Ok(Self(keys))
    }

    /// The keys' names, in the order of the configuration.
    pub(super) fn names(&self) -> Vec<&str> {
        self.0.iter().map(|key| key.name.as_str()).collect()
    }

    /// Lets a request in by its headers alone, or says 401 or 403. The place of its key, if keys are
    /// asked for.
    pub(super) fn check(&self, head: &Head) -> Result<Option<usize>, Answer> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let shown = Padded::new(head.access_key().unwrap_or_default());
        // No way out of this loop: each key costs the same, known or not.
        let fitting: Vec<bool> = self.0.iter().map(|key| key.is(&shown)).collect();
        let known: Vec<_> =
            self.0.iter().enumerate().zip(fitting).filter(|(_, fits)| *fits).collect();
        if known.is_empty() {
            return Err(Answer::Unknown);
        }
        // Two keys may have one text and different sources.
        let arn = head.source_arn();
        let allowed = known.into_iter().find(|((_, key), _)| key.allows(arn));
        let ((place, key), _) = allowed.ok_or(Answer::Forbidden)?;
        key.last_used.set(now_ms() as f64 / 1000.0);
        Ok(Some(place))
    }
}

impl Key {
    fn is(&self, shown: &Padded) -> bool {
        let fits = match &self.text {
            Text::Fixed(text) => text.ct_eq(shown),
            Text::File(file) => Padded::new(unwrapped(&file.current()).as_bytes()).ct_eq(shown),
        };
        fits.into()
    }

    fn allows(&self, arn: &str) -> bool {
        let account = arn.split(':').nth(4).unwrap_or_default();
        (self.source_arns.is_empty() || self.source_arns.iter().any(|glob| matches(glob, arn)))
            && (self.accounts.is_empty() || self.accounts.iter().any(|a| a == account))
    }
}

/// A text as words of a fixed number, so that comparing takes the same time for all lengths.
struct Padded {
    words: Box<[u64; WORDS]>,
    length: u64,
}

impl std::fmt::Debug for Padded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(crate::secret::HIDDEN)
    }
}

impl Padded {
    fn new(text: &[u8]) -> Self {
        let mut words = Box::new([0; WORDS]);
        for (word, chunk) in words.iter_mut().zip(text.chunks(8)) {
            let mut bytes = [0; 8];
            for (to, from) in bytes.iter_mut().zip(chunk) {
                *to = *from;
            }
            *word = u64::from_ne_bytes(bytes);
        }
        Self { words, length: text.len() as u64 }
    }

    /// Equal, neither empty nor longer than what was compared.
    fn ct_eq(&self, other: &Self) -> Choice {
        let usable = (1..=KEY_BYTES_MAX as u64).contains(&other.length);
        self.words.as_slice().ct_eq(other.words.as_slice())
            & self.length.ct_eq(&other.length)
            & Choice::from(u8::from(usable))
    }
}

/// The key's text: what stands in `{"api_key":"..."}`, the form in which Secrets Manager holds it
/// for Firehose, or else the text itself without the white space around it, which no header value
/// can have.
fn unwrapped(secret: &Secret) -> String {
    #[derive(serde::Deserialize)]
    struct Wrapped {
        api_key: String,
    }
    let text = secret.expose().trim();
    let wrapped = text.starts_with('{').then(|| serde_json::from_str::<Wrapped>(text).ok());
    wrapped.flatten().map_or_else(|| text.to_owned(), |wrapped| wrapped.api_key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_unwrapped_from_the_secrets_manager_form() {
        for (text, key) in [
            ("k", "k"),
            (" k\r\n", "k"),
            (r#"{"api_key":"k"}"#, "k"),
            ("{\"api_key\": \"k\", \"other\": 1}\n", "k"),
            (r#"{"key":"k"}"#, r#"{"key":"k"}"#),
            (r#"{"api_key":1}"#, r#"{"api_key":1}"#),
        ] {
            assert_eq!(unwrapped(&Secret::new(text)), key, "{text:?}");
        }
    }

    #[test]
    fn only_equal_texts_are_equal() {
        let long = [b'a'; KEY_BYTES_MAX + 1];
        for (left, right, equal) in [
            (&b"key"[..], &b"key"[..], true),
            (b"key", b"kez", false),
            (b"key", b"key\0", false),
            (b"key", b"", false),
            (b"", b"", false),
            (&long[..KEY_BYTES_MAX], &long[..KEY_BYTES_MAX], true),
            (&long, &long, false),
            (&long[..KEY_BYTES_MAX], &long, false),
        ] {
            let same = Padded::new(left).ct_eq(&Padded::new(right));
            assert_eq!(bool::from(same), equal, "{} {}", left.len(), right.len());
        }
    }
}
