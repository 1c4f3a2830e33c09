//! The kinds of single values: what each accepts, and what it says when it cannot.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::fault::nearest;
use super::reader::Section;
use crate::secret::{HIDDEN, Secret};
use crate::units::{format_bytes, format_duration, parse_bytes, parse_duration};

impl Section<'_> {
    /// Any text.
    pub(super) fn string(&self, key: &'static str) -> Option<String> {
        self.text(key).map(|text| text.text)
    }

    /// A text that is not empty.
    pub(super) fn filled(&self, key: &'static str) -> Option<String> {
        let text = self.string(key);
        self.needs_value(key);
        let text = text?;
        if text.trim().is_empty() {
            self.fault(key, "is empty");
            return None;
        }
        Some(text)
    }

    /// A secret: no message shows it.
    pub(super) fn secret(&self, key: &'static str) -> Option<Secret> {
        let text = self.filled(key)?;
        let text = text.trim_end_matches(['\r', '\n']);
        if text == HIDDEN {
            self.fault(key, "stands for a secret that was hidden (expected the secret itself)");
            return None;
        }
        Some(Secret::new(text))
    }

    /// The path of a file; a relative one starts where the configuration file lies.
    pub(super) fn file(&self, key: &'static str) -> Option<PathBuf> {
        let path = PathBuf::from(self.filled(key)?);
        Some(match &self.reader.base {
            Some(base) => base.join(path),
            None => path,
        })
    }

    /// `true` or `false`.
    pub(super) fn bool(&self, key: &'static str) -> Option<bool> {
        self.parsed(key, "true or false, without quotes", |text| match text.text.as_str() {
            "true" if text.plain => Some(true),
            "false" if text.plain => Some(false),
            _ => None,
        })
    }

    /// A whole number within a range.
    pub(super) fn number(&self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let (least, most) = (*range.start(), *range.end());
        let expected = match most {
            u64::MAX => format!("a whole number from {least}, without quotes"),
            _ => format!("a whole number from {least} to {most}, without quotes"),
        };
        self.parsed(key, &expected, |text| {
            let digits = text.plain && text.text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.text.parse().ok()).flatten().filter(|n| range.contains(n))
        })
    }

    /// [`Self::number`] where `u32` is wanted.
    pub(super) fn count(&self, key: &'static str, range: RangeInclusive<u32>) -> Option<u32> {
        let range = u64::from(*range.start())..=u64::from(*range.end());
        self.number(key, range).and_then(|number| u32::try_from(number).ok())
    }

    /// A duration within a range.
    pub(super) fn duration(
        &self,
        key: &'static str,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let value = self.parsed(key, "a duration such as 150s, 1h30m or 100ms", |text| {
            parse_duration(&text.text)
        })?;
        self.within(key, value, &range, |duration| format_duration(*duration))
    }

    /// A size in bytes within a range.
    pub(super) fn bytes(&self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let value = self
            .parsed(key, "a size such as 256MiB, 1MB or 65536", |text| parse_bytes(&text.text))?;
        self.within(key, value, &range, |bytes| format_bytes(*bytes))
    }

    fn within<T: PartialOrd>(
        &self,
        key: &'static str,
        value: T,
        range: &RangeInclusive<T>,
        show: impl Fn(&T) -> String,
    ) -> Option<T> {
        if range.contains(&value) {
            return Some(value);
        }
        let (side, limit) = if value < *range.start() {
            ("less", show(range.start()))
        } else {
            ("more", show(range.end()))
        };
        self.fault(key, format!("{} is {side} than {limit}", show(&value)));
        None
    }

    /// An address to listen on.
    pub(super) fn address(&self, key: &'static str) -> Option<SocketAddr> {
        self.parsed(key, "an IP address and a port, such as 0.0.0.0:8080 or [::]:8080", |text| {
            text.text.parse().ok()
        })
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let words = choices.iter().map(|(word, _)| *word);
        let expected = words.clone().collect::<Vec<_>>().join(", ");
        let text = self.text(key)?;
        let chosen = choices.iter().find(|(word, _)| *word == text.text);
        if chosen.is_none() {
            let hint = match nearest(&text.text, words) {
                Some(word) => format!("; did you mean `{word}`?"),
                None => String::new(),
            };
            self.fault(key, format!("unknown choice (expected one of: {expected}{hint})"));
        }
        chosen.map(|(_, value)| *value)
    }
}
