//! `${NAME}` in values: the environment's part of the configuration.

/// A value after expansion.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expanded {
    pub(super) text: String,
    /// Whether some of it came from the environment: then it may be a secret, and no message shows
    /// it.
    pub(super) from_environment: bool,
}

/// Puts the environment's values in place of `${NAME}`. `$${` stands for a literal `${`; a `$`
/// without a brace stands for itself.
///
/// # Errors
/// One message for each variable that is not set, and for each brace that holds no legal name.
pub(super) fn expand(
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Expanded, Vec<String>> {
    let mut out = String::with_capacity(text.len());
    let mut from_environment = false;
    let mut troubles = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        match after.split_once('}').filter(|(name, _)| is_name(name)) {
            Some((name, behind)) => {
                match env(name) {
                    Some(value) => out.push_str(&value),
                    None => troubles.push(format!("the environment variable {name} is not set")),
                }
                from_environment = true;
                rest = behind;
            }
            None => {
                troubles.push(
                    "`${` without a variable's name (expected ${NAME}, and $${ for a literal ${)"
                        .to_owned(),
                );
                rest = after;
            }
        }
    }
    out.push_str(rest);
    if troubles.is_empty() { Ok(Expanded { text: out, from_environment }) } else { Err(troubles) }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_braces_with_a_legal_name_are_expanded() {
        let env = |name: &str| match name {
            "A" => Some("x".to_owned()),
            "_b1" => Some("${A}".to_owned()),
            _ => None,
        };
        for (text, expected, from_environment) in [
            ("plain", "plain", false),
            ("$1 $A $$ $", "$1 $A $$ $", false),
            ("a${A}b${A}", "axbx", true),
            // What comes from the environment is not read again.
            ("${_b1}", "${A}", true),
            ("$${A}", "${A}", false),
            ("$$${A}", "$${A}", false),
        ] {
            let expanded = expand(text, &env).unwrap();
            assert_eq!(
                (expanded.text.as_str(), expanded.from_environment),
                (expected, from_environment)
            );
        }
        for (text, troubles) in
            [("${NOT_SET}${A}${ALSO_NOT}", 2), ("${A:-x}", 1), ("${", 1), ("${1}", 1)]
        {
            assert_eq!(expand(text, &env).unwrap_err().len(), troubles, "{text}");
        }
    }
}
