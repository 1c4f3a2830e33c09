//! Character classes and escapes.

use std::fmt::Write;
use std::iter::Peekable;
use std::str::Chars;

use regex::Regex;

const NO_CLASS_END: &str = "missing closing ]";
const BAD_ESCAPE: &str = "not an RE2 escape sequence";

/// One character or a class of them.
pub(super) enum Escaped {
    Letter(char),
    /// In the syntax of the `regex` crate, legal inside of brackets too.
    Class(String),
}

/// Appends `letter` so that it stands for itself, inside of brackets too.
pub(super) fn push(pattern: &mut String, letter: char) {
    if letter.is_ascii() && !letter.is_ascii_alphanumeric() {
        // Writing to a string cannot fail.
        let _ = write!(pattern, r"\x{{{:X}}}", u32::from(letter));
    } else {
        pattern.push(letter);
    }
}

/// What follows `[`, up to and with its `]`.
pub(super) fn bracketed(rest: &mut Peekable<Chars<'_>>) -> Result<String, String> {
    let mut class = String::from("[");
    if rest.next_if_eq(&'^').is_some() {
        class.push('^');
    }
    let mut first = true;
    loop {
        let letter = rest.next().ok_or(NO_CLASS_END)?;
        match letter {
            // In the first place it is an ordinary character.
            ']' if !first => break,
            '[' if rest.peek() == Some(&':') => match posix(rest)? {
                Some(posix) => class.push_str(&posix),
                None => range(&mut class, '[', rest)?,
            },
            '\\' => match escaped(rest)? {
                Escaped::Class(escaped) => class.push_str(&escaped),
                Escaped::Letter(letter) => range(&mut class, letter, rest)?,
            },
            letter => range(&mut class, letter, rest)?,
        }
        first = false;
    }
    class.push(']');
    Ok(class)
}

/// Appends `low`, or the range that begins with it.
fn range(class: &mut String, low: char, rest: &mut Peekable<Chars<'_>>) -> Result<(), String> {
    push(class, low);
    let mut ahead = rest.clone();
    if ahead.next() != Some('-') || ahead.peek().is_none_or(|next| *next == ']') {
        return Ok(());
    }
    *rest = ahead;
    let high = match rest.next() {
        Some('\\') => match escaped(rest)? {
            Escaped::Letter(letter) => letter,
            Escaped::Class(_) => return Err("a range cannot end in a class".to_owned()),
        },
        Some(letter) => letter,
        None => return Err(NO_CLASS_END.to_owned()),
    };
    if high < low {
        return Err(format!("the range {low}-{high} runs backwards"));
    }
    class.push('-');
    push(class, high);
    Ok(())
}

/// What follows `[` in `[:alpha:]`; none, and nothing taken, if there is no `:]`.
fn posix(rest: &mut Peekable<Chars<'_>>) -> Result<Option<String>, String> {
    let mut ahead = rest.clone();
    ahead.next();
    let mut name = String::new();
    loop {
        match ahead.next() {
            Some(':') if ahead.next_if_eq(&']').is_some() => break,
            Some(letter) => name.push(letter),
            None => return Ok(None),
        }
    }
    *rest = ahead;
    let bare = name.strip_prefix('^').unwrap_or(&name);
    let known = [
        "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
        "space", "upper", "word", "xdigit",
    ];
    if known.contains(&bare) {
        Ok(Some(format!("[[:{name}:]]")))
    } else {
        Err(format!("unknown class [:{name}:]"))
    }
}

/// What follows a backslash, inside of brackets or outside.
pub(super) fn escaped(rest: &mut Peekable<Chars<'_>>) -> Result<Escaped, String> {
    let class = match rest.next().ok_or("trailing backslash")? {
        'd' => "[0-9]",
        'D' => "[^0-9]",
        // No vertical tab in RE2.
        's' => r"[\t\n\x0C\r\x20]",
        'S' => r"[^\t\n\x0C\r\x20]",
        'w' => "[0-9A-Za-z_]",
        'W' => "[^0-9A-Za-z_]",
        'p' => return unicode(rest, true).map(Escaped::Class),
        'P' => return unicode(rest, false).map(Escaped::Class),
        'a' => return Ok(Escaped::Letter('\x07')),
        'f' => return Ok(Escaped::Letter('\x0C')),
        'n' => return Ok(Escaped::Letter('\n')),
        'r' => return Ok(Escaped::Letter('\r')),
        't' => return Ok(Escaped::Letter('\t')),
        'v' => return Ok(Escaped::Letter('\x0B')),
        'x' => return hexadecimal(rest).map(Escaped::Letter),
        digit @ '0'..='7' => return octal(digit, rest).map(Escaped::Letter),
        letter if letter.is_ascii() && !letter.is_ascii_alphanumeric() => {
            return Ok(Escaped::Letter(letter));
        }
        letter => return Err(format!(r"\{letter} is {BAD_ESCAPE}")),
    };
    Ok(Escaped::Class(class.to_owned()))
}

/// Up to three octal digits; a single one other than 0 would be a back-reference.
fn octal(first: char, rest: &mut Peekable<Chars<'_>>) -> Result<char, String> {
    let mut code = first.to_digit(8).unwrap_or_default();
    let mut digits = 1;
    while digits < 3 {
        let Some(digit) = rest.next_if(|next| next.is_digit(8)) else { break };
        code = code * 8 + digit.to_digit(8).unwrap_or_default();
        digits += 1;
    }
    if digits == 1 && first != '0' {
        return Err(format!(r"\{first}: RE2 has no back-references"));
    }
    character(code)
}

/// `7F` or `{10FFFF}`
fn hexadecimal(rest: &mut Peekable<Chars<'_>>) -> Result<char, String> {
    let bad = || format!(r"\x without two hexadecimal digits, or some in {{}}, is {BAD_ESCAPE}");
    let braced = rest.next_if_eq(&'{').is_some();
    let mut code = 0_u32;
    let mut digits = 0;
    while braced || digits < 2 {
        let next = rest.next().ok_or_else(bad)?;
        if braced && next == '}' && digits > 0 {
            break;
        }
        let digit = next.to_digit(16).ok_or_else(bad)?;
        code = code.saturating_mul(16).saturating_add(digit);
        digits += 1;
    }
    character(code)
}

fn character(code: u32) -> Result<char, String> {
    char::from_u32(code).ok_or_else(|| format!(r"\x{{{code:X}}} is not a Unicode character"))
}

/// What follows `\p` or `\P`: `N`, `{Greek}`, `{^Greek}`.
fn unicode(rest: &mut Peekable<Chars<'_>>, wanted: bool) -> Result<String, String> {
    let mut name = String::new();
    match rest.next().ok_or(BAD_ESCAPE)? {
        '{' => loop {
            match rest.next() {
                Some('}') => break,
                Some(letter) => name.push(letter),
                None => return Err(r"missing closing } of \p{".to_owned()),
            }
        },
        letter => name.push(letter),
    }
    let bare = name.strip_prefix('^').unwrap_or(&name);
    let letter = if wanted == (bare.len() == name.len()) { 'p' } else { 'P' };
    if bare.is_empty() || !bare.chars().all(|c| c.is_ascii_alphanumeric() || "_- ".contains(c)) {
        return Err(format!(r"unknown Unicode class \p{{{name}}}"));
    }
    // RE2 knows general categories and scripts, but none of the other properties.
    ["gc", "sc"]
        .into_iter()
        .map(|property| format!(r"\{letter}{{{property}={bare}}}"))
        .find(|class| Regex::new(class).is_ok())
        .ok_or_else(|| format!(r"unknown Unicode class \p{{{name}}}"))
}
