//! Which modules of the crate a source file names, read from its text.

/// A path below the crate's root: `["map", "relabel", "Rule"]`. A glob ends in `*`.
pub(super) type Path = Vec<String>;

/// Every path of the crate that the file names, through `crate::`, `sluicegate::` or `super::`, in
/// `use` trees, in expressions and in attributes' strings. `module` is the file's own module path.
pub(super) fn named_paths(module: &[String], text: &str) -> Vec<Path> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    // Inline modules that the cursor is within, with the brace depth of each.
    let mut inline: Vec<(String, usize)> = Vec::new();
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let begins_path = at == 0 || tokens[at - 1] != "::";
        match token.as_str() {
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                inline.retain(|(_, opened_at)| *opened_at <= depth);
            }
            "mod" if tokens.get(at + 2).is_some_and(|next| next == "{") => {
                inline.push((tokens[at + 1].clone(), depth + 1));
            }
            "crate" | "sluicegate" | "super" if begins_path => {
                let mut here: Path = module.to_vec();
                here.extend(inline.iter().map(|(name, _)| name.clone()));
                let next_is_path = tokens.get(at + 1).is_some_and(|next| next == "::");
                // `crate as x`, `super as x`: the whole module under another name.
                let next_is_alias = tokens.get(at + 1).is_some_and(|next| next == "as");
                if next_is_path || next_is_alias {
                    at = read_tree(&tokens, at, &here, Vec::new(), &mut found);
                    continue;
                }
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Reads one `use` tree or plain path that begins at `at`; gives the place after it.
fn read_tree(
    tokens: &[String],
    mut at: usize,
    here: &[String],
    mut path: Path,
    found: &mut Vec<Path>,
) -> usize {
    let mut climbed = false;
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("crate" | "sluicegate") => path.clear(),
            Some("super") => {
                if !climbed {
                    path = here.to_vec();
                    climbed = true;
                }
                path.pop();
            }
            Some("self") => {}
            Some("{") => {
                at += 1;
                while let Some(token) = tokens.get(at) {
                    match token.as_str() {
                        "}" => return at + 1,
                        "," => at += 1,
                        _ => at = read_tree(tokens, at, here, path.clone(), found),
                    }
                }
                return at;
            }
            Some(name) if name == "*" || is_word(name) => path.push(name.to_owned()),
            _ => break,
        }
        at += 1;
        if tokens.get(at).is_none_or(|token| token != "::") {
            break;
        }
        at += 1;
    }
    found.push(path);
    // An alias changes nothing.
    if tokens.get(at).is_some_and(|token| token == "as") { at + 2 } else { at }
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// The words and signs of a source text, comments left out. Strings are read as code: serde's
/// attributes name functions in them.
fn tokens(text: &str) -> Vec<String> {
    let code = without_comments(text);
    let mut tokens = Vec::new();
    let mut rest = code.as_str();
    while let Some(first) = rest.chars().next() {
        let length = if is_word(rest) {
            rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        let (token, tail) = rest.split_at(length);
        if !first.is_whitespace() {
            tokens.push(token.to_owned());
        }
        rest = tail;
    }
    tokens
}

/// The text with comments blanked, line breaks kept. A `//` within a string is not a comment.
pub(super) fn without_comments(text: &str) -> String {
    blank(text, false)
}

/// The text with comments and the contents of strings blanked, line breaks kept.
pub(super) fn code_alone(text: &str) -> String {
    blank(text, true)
}

fn blank(text: &str, strings_too: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (length, hide) = match first {
            '/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), true),
            '/' if rest.starts_with("/*") => (block_comment(rest), true),
            '"' => (string(rest), strings_too),
            'r' if raw_string(rest).is_some() && !out.ends_with(is_word_end) => {
                (raw_string(rest).unwrap_or(1), strings_too)
            }
            '\'' => (character(rest), strings_too),
            _ => (first.len_utf8(), false),
        };
        let (piece, tail) = rest.split_at(length);
        if hide {
            out.extend(piece.chars().map(|c| if c == '\n' { c } else { ' ' }));
        } else {
            out.push_str(piece);
        }
        rest = tail;
    }
    out
}

fn is_word_end(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0usize, 0usize);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix('r')?;
    let hashes = after.bytes().take_while(|byte| *byte == b'#').count();
    let body = after.get(hashes..)?.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(1 + hashes + 1 + length)
}

/// A character literal, or the quote of a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => {
            chars.next();
            text[1..].find('\'').filter(|_| !text.starts_with("'\\''")).map_or(4, |at| at + 2)
        }
        Some((_, _)) => match chars.next() {
            Some((at, '\'')) => at + 1,
            _ => 1,
        },
        None => 1,
    }
}
