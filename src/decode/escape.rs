//! JSON's escapes, undone.

/// Four hexadecimal digits at the beginning.
pub(super) fn hex4(bytes: Option<&[u8]>) -> Option<u32> {
    let (digits, _) = bytes?.split_first_chunk::<4>()?;
    digits.iter().try_fold(0, |value, digit| Some(value << 4 | char::from(*digit).to_digit(16)?))
}

/// Undoes the escapes of a string that has been scanned; none if that gives no UTF-8.
#[cold]
pub(super) fn unescape(raw: &[u8]) -> Option<String> {
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
