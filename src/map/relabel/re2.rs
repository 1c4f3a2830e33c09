//! RE2's syntax, as Go's `regexp` reads it, written in the syntax of the `regex` crate.
//!
//! Both engines match alike (leftmost, first alternative first), and most of the syntax is the
//! same; but `\d`, `\s`, `\w` and `\b` are ASCII in RE2, `\<` and `[[` are ordinary characters,
//! `\Q..\E` quotes, octal escapes exist, and what only the crate knows is an error.

use std::fmt::Write;
use std::iter::Peekable;
use std::str::Chars;

mod class;

/// Go's limit for a repetition, and for what nested ones come to.
const REPETITIONS_MAX: u32 = 1000;

/// An expression for the `regex` crate. Its groups are numbered as those of the source are.
pub(super) struct Translation {
    pub(super) pattern: String,
    /// Named groups: to Go a name may begin with a digit and be given twice.
    pub(super) names: Vec<(String, usize)>,
}

/// Translates `source`; otherwise says what is wrong with it.
pub(super) fn translate(source: &str) -> Result<Translation, String> {
    let mut reader = Reader {
        rest: source.chars().peekable(),
        pattern: String::with_capacity(source.len() + 16),
        names: Vec::new(),
        groups: 0,
        open: Vec::new(),
        sequence: Sequence::default(),
    };
    // `a**` is an error, `(?:a*)*` is not.
    let mut behind_repetition = false;
    while let Some(next) = reader.rest.next() {
        let repetition = reader.token(next)?;
        if repetition && behind_repetition {
            return Err("repetition of a repetition: put the inner one into (?:)".to_owned());
        }
        behind_repetition = repetition;
    }
    if !reader.open.is_empty() {
        return Err("missing closing )".to_owned());
    }
    Ok(Translation { pattern: reader.pattern, names: reader.names })
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    pattern: String,
    names: Vec<(String, usize)>,
    /// Capturing groups so far.
    groups: usize,
    /// The sequences around the open groups.
    open: Vec<Sequence>,
    sequence: Sequence,
}

/// What is known of the innermost open group.
#[derive(Default)]
struct Sequence {
    /// How often the last item's innermost part can be repeated; none if there is no item that
    /// a repetition could apply to.
    last: Option<u32>,
    /// The most of all items.
    most: u32,
}

impl Reader<'_> {
    /// Takes one token that begins with `next`. True if it was a repetition.
    fn token(&mut self, next: char) -> Result<bool, String> {
        match next {
            '(' => self.group()?,
            ')' => {
                let inner = self.sequence.most;
                self.sequence = self.open.pop().ok_or("unexpected )")?;
                self.pattern.push(')');
                self.item(inner);
            }
            '|' => {
                self.pattern.push('|');
                self.sequence.last = None;
            }
            '^' | '$' | '.' => {
                self.pattern.push(next);
                self.item(1);
            }
            '[' => {
                let class = class::bracketed(&mut self.rest)?;
                self.pattern.push_str(&class);
                self.item(1);
            }
            '*' | '+' | '?' => {
                self.pattern.push(next);
                self.repeat(1)?;
                return Ok(true);
            }
            '{' => match counts(&mut self.rest) {
                Some((least, most)) => {
                    self.repeat_counted(least, most)?;
                    return Ok(true);
                }
                None => self.literal('{'),
            },
            '\\' => self.escape()?,
            other => self.literal(other),
        }
        Ok(false)
    }

    fn item(&mut self, repetitions: u32) {
        self.sequence.last = Some(repetitions);
        self.sequence.most = self.sequence.most.max(repetitions);
    }

    fn literal(&mut self, letter: char) {
        class::push(&mut self.pattern, letter);
        self.item(1);
    }

    fn group(&mut self) -> Result<(), String> {
        if self.rest.next_if_eq(&'?').is_none() {
            self.capture();
            return Ok(());
        }
        let mut ahead = self.rest.clone();
        // `(?P<name>` or `(?<name>`
        let _ = ahead.next_if_eq(&'P');
        if ahead.next_if_eq(&'<').is_none() {
            return self.flags();
        }
        let mut name = String::new();
        loop {
            match ahead.next() {
                Some('>') if !name.is_empty() => break,
                Some(letter) if letter == '_' || letter.is_ascii_alphanumeric() => {
                    name.push(letter);
                }
                _ => {
                    return Err("a group's name takes letters, digits and _; RE2 has no \
                                look-behind"
                        .to_owned());
                }
            }
        }
        self.rest = ahead;
        self.capture();
        self.names.push((name, self.groups));
        Ok(())
    }

    fn capture(&mut self) {
        self.groups += 1;
        self.pattern.push('(');
        self.open.push(std::mem::take(&mut self.sequence));
    }

    /// What follows `(?`: flags for the rest of the group, or a group of its own.
    fn flags(&mut self) -> Result<(), String> {
        let mut said = [('i', None), ('m', None), ('s', None), ('U', None)];
        let mut on = true;
        let mut dangling = false;
        loop {
            match self.rest.next() {
                Some('-') if on => {
                    on = false;
                    dangling = true;
                }
                Some(end @ (':' | ')')) if !dangling => {
                    let flags = |wanted| {
                        said.iter().filter(move |(_, set)| *set == Some(wanted)).map(|(f, _)| f)
                    };
                    let mut written: String = flags(true).collect();
                    if flags(false).next().is_some() {
                        written.push('-');
                        written.extend(flags(false));
                    }
                    if end == ':' {
                        self.open.push(std::mem::take(&mut self.sequence));
                    }
                    // `(?)` is legal and changes nothing.
                    if end == ':' || !written.is_empty() {
                        self.pattern.push_str("(?");
                        self.pattern.push_str(&written);
                        self.pattern.push(end);
                    }
                    return Ok(());
                }
                Some(flag) => {
                    let Some((_, set)) = said.iter_mut().find(|(known, _)| *known == flag) else {
                        return Err(format!(
                            "(?{flag} is not RE2: there are the flags i, m, s and U, and no \
                             look-around"
                        ));
                    };
                    *set = Some(on);
                    dangling = false;
                }
                None => return Err("missing closing )".to_owned()),
            }
        }
    }

    fn repeat_counted(&mut self, least: u32, most: Option<u32>) -> Result<(), String> {
        if least > REPETITIONS_MAX
            || most.is_some_and(|most| most > REPETITIONS_MAX || most < least)
        {
            return Err(format!("a repetition runs from n to m of at most {REPETITIONS_MAX}"));
        }
        let written = match most {
            Some(most) => write!(self.pattern, "{{{least},{most}}}"),
            None => write!(self.pattern, "{{{least},}}"),
        };
        // Writing to a string cannot fail.
        let _ = written;
        self.repeat(most.unwrap_or(least))
    }

    /// `times` only counts against the limit: 1 for what has none.
    fn repeat(&mut self, times: u32) -> Result<(), String> {
        let last = self.sequence.last.ok_or("a repetition of nothing")?;
        let nested = if times == 0 { last } else { last.saturating_mul(times) };
        if nested > REPETITIONS_MAX {
            return Err(format!("nested repetitions come to more than {REPETITIONS_MAX}"));
        }
        self.item(nested);
        if self.rest.next_if_eq(&'?').is_some() {
            self.pattern.push('?');
        }
        Ok(())
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Result<(), String> {
        let assertion = match self.rest.peek() {
            Some('A') => r"\A",
            Some('z') => r"\z",
            Some('b') => r"(?-u:\b)",
            Some('B') => r"(?-u:\B)",
            Some('Q') => {
                self.rest.next();
                self.quoted();
                return Ok(());
            }
            Some('C') => return Err(r"\C, a single byte, is not supported".to_owned()),
            _ => {
                match class::escaped(&mut self.rest)? {
                    class::Escaped::Letter(letter) => self.literal(letter),
                    class::Escaped::Class(class) => {
                        self.pattern.push_str(&class);
                        self.item(1);
                    }
                }
                return Ok(());
            }
        };
        self.rest.next();
        self.pattern.push_str(assertion);
        self.item(1);
        Ok(())
    }

    /// Up to `\E`, or to the end.
    fn quoted(&mut self) {
        while let Some(letter) = self.rest.next() {
            if letter == '\\' && self.rest.next_if_eq(&'E').is_some() {
                return;
            }
            self.literal(letter);
        }
    }
}

/// `n}`, `n,}` or `n,m}`; takes nothing if it is none of these, since then `{` is a literal.
fn counts(rest: &mut Peekable<Chars<'_>>) -> Option<(u32, Option<u32>)> {
    let mut ahead = rest.clone();
    let least = count(&mut ahead)?;
    let most = if ahead.next_if_eq(&',').is_none() {
        Some(least)
    } else if ahead.peek() == Some(&'}') {
        None
    } else {
        Some(count(&mut ahead)?)
    };
    ahead.next_if_eq(&'}')?;
    *rest = ahead;
    Some((least, most))
}

/// Decimal digits without a leading zero.
fn count(rest: &mut Peekable<Chars<'_>>) -> Option<u32> {
    let first = rest.next_if(char::is_ascii_digit)?.to_digit(10)?;
    let mut number = first;
    while let Some(digit) = rest.next_if(char::is_ascii_digit) {
        if first == 0 {
            return None;
        }
        number = number.saturating_mul(10).saturating_add(digit.to_digit(10)?);
    }
    Some(number)
}
