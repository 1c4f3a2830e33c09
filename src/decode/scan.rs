//! JSON, scanned in place: no tree, no copy. What the envelope and the JSON lines share.
//!
//! Syntax is RFC 8259's to the letter; nesting is bounded.

use std::borrow::Cow;

use super::{
    escape::{hex4, unescape},
    number,
};

/// Nesting of values that nobody looks into.
const DEPTH_MAX: u32 = 64;
/// The same within a line: CloudWatch's data points nest two deep. What is nested without end is
/// scanned once for each object it opens at the beginning of a line, up to this depth.
const LINE_DEPTH_MAX: u32 = 4;
/// How far an object may go on behind its first line feed. CloudWatch's data points are far shorter.
const LINE_REACH_BYTES: usize = 64 << 10;

/// This is not JSON; the cursor stands where it ceases to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken(pub(super) &'static str);

/// A string between its quotes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a> {
    pub(super) raw: &'a [u8],
    from: usize,
    pub(super) escaped: bool,
}

impl<'a> Text<'a> {
    /// A string that [`Cursor::string`] once gave, with escapes in it.
    pub(super) fn escaped(raw: &'a [u8]) -> Self {
        Self { raw, from: 0, escaped: true }
    }

    /// For comparing keys: the content as it is, be it UTF-8 or not.
    #[inline]
    pub(super) fn name(&self) -> Cow<'a, [u8]> {
        match self.escaped.then(|| unescape(self.raw)).flatten() {
            Some(plain) => Cow::Owned(plain.into_bytes()),
            None => Cow::Borrowed(self.raw),
        }
    }

    /// The content with its escapes undone; none if that gives no UTF-8.
    pub(super) fn unescaped(&self) -> Option<String> {
        unescape(self.raw)
    }
}

/// A place in a JSON text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    /// Some of the bytes once more, and where they begin: strings in there are known to be UTF-8.
    text: &'a str,
    text_from: usize,
    /// How far has been looked for UTF-8.
    checked_until: usize,
    at: usize,
    depth_max: u32,
    /// How far an object may go on behind its first line feed.
    reach_bytes: usize,
    /// Where an object that has met a line feed has to end.
    until: usize,
    /// Where a string was met that is not UTF-8 or has half a surrogate pair.
    pub(super) garbled: Option<usize>,
}

impl<'a> Cursor<'a> {
    /// A cursor that checks each string when it meets it.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            text: "",
            text_from: 0,
            checked_until: 0,
            at: 0,
            depth_max: DEPTH_MAX,
            reach_bytes: usize::MAX,
            until: usize::MAX,
            garbled: None,
        }
    }

    /// A cursor for lines: it bounds what a line can cost.
    pub(super) fn lines(bytes: &'a [u8]) -> Self {
        Self { depth_max: LINE_DEPTH_MAX, reach_bytes: LINE_REACH_BYTES, ..Self::new(bytes) }
    }

    /// Stands before an object that has nothing to do with what was read before. Up to `end`, or else
    /// to the line's end, its strings are checked at once; strings beyond one by one.
    pub(super) fn begin(&mut self, end: Option<usize>) {
        self.garbled = None;
        self.until = usize::MAX;
        // Many objects may stand on one line: it is checked but once.
        if self.at < self.checked_until {
            return;
        }
        let rest = self.rest();
        let length = match end {
            Some(end) => end.saturating_sub(self.at),
            None => memchr::memchr(b'\n', rest).unwrap_or(rest.len()),
        };
        self.checked_until = self.at.saturating_add(length);
        self.text_from = self.at;
        let bytes = rest.get(..length).unwrap_or_default();
        self.text = std::str::from_utf8(bytes).unwrap_or_default();
    }

    /// Whether the object has met no line feed so far.
    pub(super) fn is_on_one_line(&self) -> bool {
        self.until == usize::MAX
    }

    /// What stands there, if it is known to be UTF-8.
    #[inline]
    fn checked(&self, from: usize, length: usize) -> Option<&'a str> {
        let from = from.checked_sub(self.text_from)?;
        self.text.get(from..from.checked_add(length)?)
    }

    /// Passes those very bytes, if they stand here.
    #[inline]
    pub(super) fn pass<const N: usize>(&mut self, bytes: &[u8; N]) -> Option<()> {
        self.rest().starts_with(bytes).then(|| self.at += N)
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn jump(&mut self, at: usize) {
        self.at = at;
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Passes whitespace.
    #[inline]
    pub(super) fn blank(&mut self) {
        while let Some(byte @ (b' ' | b'\t' | b'\n' | b'\r')) = self.peek() {
            if byte == b'\n' && self.until == usize::MAX {
                self.until = self.at.saturating_add(self.reach_bytes);
            }
            self.at += 1;
        }
    }

    #[inline]
    fn expect(&mut self, byte: u8, otherwise: &'static str) -> Result<(), Broken> {
        if self.peek() != Some(byte) {
            return Err(Broken(otherwise));
        }
        self.at += 1;
        Ok(())
    }

    /// Enters an array or object; whether there is anything in it.
    #[inline]
    pub(super) fn enter(&mut self, open: u8, close: u8) -> Result<bool, Broken> {
        self.expect(open, "expected an object or array")?;
        self.blank();
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(false);
        }
        Ok(true)
    }

    /// After a value in an array or object: whether another one follows.
    #[inline]
    pub(super) fn more(&mut self, close: u8) -> Result<bool, Broken> {
        self.blank();
        if self.at > self.until {
            return Err(Broken("an object that goes on over too many lines"));
        }
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.blank();
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(Broken("expected a comma or the end of the object or array")),
        }
    }

    /// A key, up to its value.
    #[inline]
    pub(super) fn key(&mut self) -> Result<Text<'a>, Broken> {
        let key = self.string()?;
        self.blank();
        self.expect(b':', "expected a colon")?;
        self.blank();
        Ok(key)
    }

    /// A string.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Text<'a>, Broken> {
        self.expect(b'"', "expected a string")?;
        let from = self.at;
        let mut escaped = false;
        loop {
            self.at += plain(self.rest());
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(Broken("control character in a string")),
                None => return Err(Broken("a string without end")),
            }
        }
        let raw = self.bytes.get(from..self.at).unwrap_or_default();
        self.at += 1;
        if self.checked(from, raw.len()).is_none() && std::str::from_utf8(raw).is_err() {
            self.garbled = self.garbled.or(Some(from));
        }
        Ok(Text { raw, from, escaped })
    }

    /// A string that is likely to be long and plain ASCII: two passes that run at memory speed.
    pub(super) fn long_string(&mut self) -> Result<Text<'a>, Broken> {
        let from = self.at + 1;
        let rest = self.bytes.get(from..).unwrap_or_default();
        let end = memchr::memchr2(b'"', b'\\', rest).unwrap_or(0);
        let raw = rest.get(..end).unwrap_or_default();
        // No early exit, so that the compiler makes vector code of it.
        let odd = raw.iter().fold(false, |odd, byte| odd | !(b' '..=0x7f).contains(byte));
        if odd || self.peek() != Some(b'"') || rest.get(end) != Some(&b'"') {
            return self.string();
        }
        self.at = from + end + 1;
        Ok(Text { raw, from, escaped: false })
    }

    #[cold]
    fn escape(&mut self) -> Result<(), Broken> {
        let length = match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') if hex4(self.bytes.get(self.at + 2..)).is_some() => 6,
            _ => return Err(Broken("bad escape in a string")),
        };
        self.at += length;
        Ok(())
    }

    /// A string's content; empty, and the cursor garbled, if it is not UTF-8.
    #[inline]
    pub(super) fn content(&mut self, text: &Text<'a>) -> Cow<'a, str> {
        if !text.escaped {
            let checked = self.checked(text.from, text.raw.len());
            let plain = checked.or_else(|| std::str::from_utf8(text.raw).ok());
            if let Some(plain) = plain {
                return Cow::Borrowed(plain);
            }
        } else if let Some(plain) = unescape(text.raw) {
            return Cow::Owned(plain);
        }
        self.garbled = self.garbled.or(Some(text.from));
        Cow::Borrowed("")
    }

    /// A number, rounded correctly; infinite if it is out of range.
    #[inline]
    pub(super) fn number(&mut self) -> Result<f64, Broken> {
        let from = self.at;
        let negative = self.peek() == Some(b'-');
        self.at += usize::from(negative);
        let mut mantissa = 0u64;
        let whole = self.digits(&mut mantissa);
        let first = from + usize::from(negative);
        if whole == 0 || whole > 1 && self.bytes.get(first) == Some(&b'0') {
            return Err(Broken("bad number"));
        }
        let mut digits = whole;
        let mut exponent = 0i64;
        if self.peek() == Some(b'.') {
            self.at += 1;
            let fraction = self.digits(&mut mantissa);
            if fraction == 0 {
                return Err(Broken("bad number"));
            }
            digits += fraction;
            exponent -= i64::try_from(fraction).unwrap_or(i64::MAX);
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            let down = self.peek() == Some(b'-');
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            let mut power = 0u64;
            match self.digits(&mut power) {
                0 => return Err(Broken("bad number")),
                1..=4 => {
                    let power = power.cast_signed();
                    exponent += if down { -power } else { power };
                }
                // Too long for the short way.
                _ => digits = usize::MAX,
            }
        }
        if digits <= 19
            && let Some(value) = number::scaled(mantissa, exponent)
        {
            return Ok(if negative { -value } else { value });
        }
        let text = self.bytes.get(from..self.at).unwrap_or_default();
        let text = std::str::from_utf8(text).unwrap_or_default();
        text.parse().map_err(|_| Broken("bad number"))
    }

    /// Passes digits; how many. Wraps beyond 19, which callers look out for.
    #[inline]
    pub(super) fn digits(&mut self, value: &mut u64) -> usize {
        let all = self.rest();
        let mut rest = all;
        while let Some((chunk, _)) = rest.split_first_chunk::<8>() {
            let (number, count) = number::leading_digits(*chunk);
            let power = number::POWERS.get(count).copied().unwrap_or_default();
            *value = value.wrapping_mul(power).wrapping_add(number);
            rest = rest.get(count..).unwrap_or_default();
            if count < 8 {
                break;
            }
        }
        if rest.len() < 8 {
            while let [digit @ b'0'..=b'9', after @ ..] = rest {
                *value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
                rest = after;
            }
        }
        let count = all.len() - rest.len();
        self.at += count;
        count
    }

    /// Passes a value of any kind.
    pub(super) fn skip(&mut self) -> Result<(), Broken> {
        self.skip_nested(0)
    }

    fn skip_nested(&mut self, depth: u32) -> Result<(), Broken> {
        if depth > self.depth_max {
            return Err(Broken("nested too deep"));
        }
        match self.peek() {
            Some(b'"') => self.string().map(|_| ()),
            Some(b'-' | b'0'..=b'9') => self.number().map(|_| ()),
            Some(b'{') => {
                let mut more = self.enter(b'{', b'}')?;
                while more {
                    self.key()?;
                    self.skip_nested(depth + 1)?;
                    more = self.more(b'}')?;
                }
                Ok(())
            }
            Some(b'[') => {
                let mut more = self.enter(b'[', b']')?;
                while more {
                    self.skip_nested(depth + 1)?;
                    more = self.more(b']')?;
                }
                Ok(())
            }
            Some(_) => self.word(),
            None => Err(Broken("expected a value")),
        }
    }

    fn word(&mut self) -> Result<(), Broken> {
        for word in [&b"null"[..], b"true", b"false"] {
            if self.rest().starts_with(word) {
                self.at += word.len();
                return Ok(());
            }
        }
        Err(Broken("expected a value"))
    }
}

/// How many bytes there are before the first quote, backslash or control character: eight at a time.
#[inline]
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGHS: u64 = ONES << 7;
    let mut passed = 0;
    let mut rest = bytes;
    while let Some((chunk, after)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let quote = word ^ (ONES * u64::from(b'"'));
        let backslash = word ^ (ONES * u64::from(b'\\'));
        // The lowest marked byte is right; borrows can mark wrong ones only above it.
        let marks = ((quote.wrapping_sub(ONES) & !quote)
            | (backslash.wrapping_sub(ONES) & !backslash)
            | (word.wrapping_sub(ONES * 0x20) & !word))
            & HIGHS;
        if marks != 0 {
            return passed + marks.trailing_zeros() as usize / 8;
        }
        passed += 8;
        rest = after;
    }
    let special = |byte: &u8| *byte == b'"' || *byte == b'\\' || *byte < 0x20;
    passed + rest.iter().position(special).unwrap_or(rest.len())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_correctly() {
        let texts = "0 -0 0.0 5.0 8.77130197E8 1e22 1e23 9007199254740993 0.1 123456789012345678901234567890 \
                     4.9e-324 1e-400 1.7976931348623157e308 0.3 2.2250738585072011e-308 1E+2 1e00000000000000000000001 -1.5e-7 18446744073709551616.5 0.000000000000000000000000000001";
        for text in texts.split(' ') {
            let expected: f64 = text.parse().unwrap();
            let read = Cursor::new(text.as_bytes()).number().unwrap();
            assert_eq!(read.to_bits(), expected.to_bits(), "{text}");
        }
        assert_eq!(Cursor::new(b"-1e400").number(), Ok(f64::NEG_INFINITY));
        for text in ["", "-", "01", "-01", "1.", "1.e1", ".5", "+1", "1e", "1e+", "e5"] {
            let mut cursor = Cursor::new(text.as_bytes());
            assert!(cursor.number().is_err(), "{text}");
        }
    }

    #[test]
    fn the_first_special_byte_is_found_wherever_it_stands() {
        for special in [b'"', b'\\', 0, 0x1f, b'\n'] {
            for at in 0..40 {
                let mut bytes = vec![b'a'; 40];
                bytes[at] = special;
                assert_eq!(plain(&bytes), at, "{special}");
            }
        }
        for byte in (0x20..=0xff).filter(|byte| ![b'"', b'\\'].contains(byte)) {
            assert_eq!(plain(&[byte; 20]), 20, "{byte}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let nested = |depth| format!("{}1{}", open.repeat(depth), close.repeat(depth));
            assert_eq!(Cursor::new(nested(64).as_bytes()).skip(), Ok(()));
            let deep = Cursor::new(nested(65).as_bytes()).skip();
            assert_eq!(deep, Err(Broken("nested too deep")));
            assert!(Cursor::new(open.repeat(1_000_000).as_bytes()).skip().is_err());
        }
    }
    #[test]
    fn a_line_nests_less_and_goes_on_for_less() {
        for (bytes, wanted) in [
            ("[[[[1]]]]".to_owned(), true),
            ("[[[[[1]]]]]".to_owned(), false),
            (format!("[1{},2]", " ".repeat(LINE_REACH_BYTES * 2)), true),
            (format!("[1\n{},2]", " ".repeat(LINE_REACH_BYTES / 2)), true),
            (format!("[1\n{},2]", " ".repeat(LINE_REACH_BYTES)), false),
        ] {
            assert_eq!(Cursor::lines(bytes.as_bytes()).skip().is_ok(), wanted);
        }
    }
}
