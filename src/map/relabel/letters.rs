//! Lower and upper case as Go's `strings` package has them: rune by rune, by Unicode's simple
//! mappings, so that no letter becomes two and no letter depends on its neighbours.

/// `strings.ToLower`
pub(super) fn lower(value: &str) -> String {
    value.chars().map(lower_one).collect()
}

/// `strings.ToUpper`
pub(super) fn upper(value: &str) -> String {
    value.chars().map(upper_one).collect()
}

fn lower_one(letter: char) -> char {
    // The one letter whose full mapping (i and a combining dot) differs from its simple one.
    if letter == '\u{130}' { 'i' } else { sole(letter.to_lowercase()).unwrap_or(letter) }
}

fn upper_one(letter: char) -> char {
    sole(letter.to_uppercase()).unwrap_or(match letter {
        // Greek with iota subscript: in full an iota is written behind the letter, in the simple
        // mapping beneath it.
        '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => {
            shifted(letter, 8)
        }
        '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => shifted(letter, 9),
        // ß, ligatures and their kind have no simple mapping.
        _ => letter,
    })
}

fn sole(mut mapped: impl Iterator<Item = char>) -> Option<char> {
    let first = mapped.next();
    if mapped.next().is_none() { first } else { None }
}

fn shifted(letter: char, by: u32) -> char {
    char::from_u32(u32::from(letter) + by).unwrap_or(letter)
}
