//! JSON, scanned in place: no tree, no copy. What the envelope and the JSON lines share.
//!
//! Syntax is RFC 8259's to the letter; nesting is bounded.

use std::borrow::Cow;

/// Nesting of values that nobody looks into.
const DEPTH_MAX: u32 = 64;
/// The same within a line: CloudWatch's data points nest two deep. What is nested without end is
/// scanned once for each object it opens at the beginning of a line, up to this depth.
const LINE_DEPTH_MAX: u32 = 4;
/// How far an object may go on behind its first line feed. CloudWatch's data points are far shorter.
const LINE_REACH_BYTES: usize = 64 << 10;

const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

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
    /// The bytes once more, if all of them are UTF-8: strings need not be checked one by one then.
    text: Option<&'a str>,
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
            text: None,
            at: 0,
            depth_max: DEPTH_MAX,
            reach_bytes: usize::MAX,
            until: usize::MAX,
            garbled: None,
        }
    }

    /// A cursor for lines: it checks all strings at once, and bounds what a line can cost.
    pub(super) fn lines(bytes: &'a [u8]) -> Self {
        Self {
            text: std::str::from_utf8(bytes).ok(),
            depth_max: LINE_DEPTH_MAX,
            reach_bytes: LINE_REACH_BYTES,
            ..Self::new(bytes)
        }
    }

    /// Stands before an object that has nothing to do with what was read before.
    #[inline]
    pub(super) fn begin(&mut self) {
        self.garbled = None;
        self.until = usize::MAX;
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
        if self.text.is_none() && std::str::from_utf8(raw).is_err() {
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
            let plain = match self.text {
                Some(all) => all.get(text.from..text.from + text.raw.len()),
                None => std::str::from_utf8(text.raw).ok(),
            };
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
        // A whole number below 2^53 times or through a power of ten that is exact: one rounding.
        if digits <= 19 && mantissa < 1 << 53 && (-22..=22).contains(&exponent) {
            let power = EXACT_POWERS.get(exponent.unsigned_abs() as usize).copied().unwrap_or(1.0);
            let value = mantissa as f64;
            let value = if exponent < 0 { value / power } else { value * power };
            return Ok(if negative { -value } else { value });
        }
        let text = self.bytes.get(from..self.at).unwrap_or_default();
        let text = std::str::from_utf8(text).unwrap_or_default();
        text.parse().map_err(|_| Broken("bad number"))
    }

    /// Passes digits; how many. Wraps beyond 19, which callers look out for.
    #[inline]
    fn digits(&mut self, value: &mut u64) -> usize {
        let from = self.at;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            *value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        self.at - from
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

fn hex4(bytes: Option<&[u8]>) -> Option<u32> {
    let (digits, _) = bytes?.split_first_chunk::<4>()?;
    digits.iter().try_fold(0, |value, digit| Some(value << 4 | char::from(*digit).to_digit(16)?))
}

/// Undoes the escapes of a string that has been scanned; none if that gives no UTF-8.
#[cold]
fn unescape(raw: &[u8]) -> Option<String> {
    let mut rest = std::str::from_utf8(raw).ok()?;
    let mut out = String::with_capacity(rest.len());
    while let Some((before, escape)) = rest.split_once('\\') {
        out.push_str(before);
        let length = unescape_one(escape.as_bytes(), &mut out)?;
        rest = escape.get(length..)?;
    }
    out.push_str(rest);
    Some(out)
}

/// One escape, without its backslash; its length.
fn unescape_one(escape: &[u8], out: &mut String) -> Option<usize> {
    let plain = match escape.first()? {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let unit = hex4(escape.get(1..))?;
            if let Some(plain) = char::from_u32(unit) {
                out.push(plain);
                return Some(5);
            }
            // Half a pair: the other half must follow.
            let low = hex4(escape.get(5..)?.strip_prefix(b"\\u"))?;
            if !(0xd800..0xdc00).contains(&unit) || !(0xdc00..0xe000).contains(&low) {
                return None;
            }
            out.push(char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00))?);
            return Some(11);
        }
        other => char::from(*other),
    };
    out.push(plain);
    Some(1)
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
