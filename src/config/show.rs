//! Writes a value as YAML that reads back as the same configuration, where no secret stands in it.

use serde_json::Value;

/// The YAML text of a tree whose root is a mapping.
pub(super) fn to_yaml(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value, 0, Place { in_list: false, verbatim: false });
    out
}

#[derive(Clone, Copy)]
struct Place {
    /// Directly behind a list's dash: the first line needs no indent.
    in_list: bool,
    /// Within relabelling rules, where nothing is expanded.
    verbatim: bool,
}

fn write(out: &mut String, value: &Value, indent: usize, place: Place) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (index, (key, value)) in map.iter().enumerate() {
                if index > 0 || !place.in_list {
                    out.extend(std::iter::repeat_n(' ', indent));
                }
                out.push_str(&scalar(key, true));
                out.push(':');
                let verbatim = place.verbatim || key.ends_with("relabel_configs");
                write_behind(out, value, indent + 2, verbatim);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                out.extend(std::iter::repeat_n(' ', indent));
                out.push('-');
                match item {
                    Value::Object(map) if !map.is_empty() => {
                        out.push(' ');
                        let place = Place { in_list: true, verbatim: place.verbatim };
                        write(out, item, indent + 2, place);
                    }
                    _ => write_behind(out, item, indent + 2, place.verbatim),
                }
            }
        }
        _ => write_behind(out, value, indent, place.verbatim),
    }
}

fn write_behind(out: &mut String, value: &Value, indent: usize, verbatim: bool) {
    let text = match value {
        Value::Object(map) if map.is_empty() => "{}".to_owned(),
        Value::Array(items) if items.is_empty() => "[]".to_owned(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            let items = items.iter().filter_map(Value::as_str);
            let items: Vec<String> = items.map(|item| scalar(item, verbatim)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(_) | Value::Array(_) => {
            out.push('\n');
            write(out, value, indent, Place { in_list: false, verbatim });
            return;
        }
        Value::String(text) => scalar(text, verbatim),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    };
    out.push(' ');
    out.push_str(&text);
    out.push('\n');
}

/// A text, quoted unless it is certain to read back as itself.
fn scalar(text: &str, verbatim: bool) -> String {
    let text = if verbatim { text.to_owned() } else { text.replace("${", "$${") };
    let first = text.chars().next();
    let starts_well = first.is_some_and(|c| c.is_ascii_alphabetic() || c == '/' || c == '_')
        || text.contains(|c: char| c.is_ascii_alphabetic())
            && first.is_some_and(|c| c.is_ascii_digit());
    let word = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':' | '+' | '='))
        && !text.ends_with(':');
    let taken = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    if starts_well && word && !taken.contains(&text.to_ascii_lowercase().as_str()) {
        return text;
    }
    quoted(&text)
}

/// Double quotes, with everything escaped that a line cannot hold.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::super::yaml::{Node, Value as Yaml, parse};
    use super::*;

    fn read(node: Node) -> Value {
        match node.value {
            Yaml::Null => Value::Null,
            Yaml::Scalar { text, .. } => Value::String(text),
            Yaml::List(items) => items.into_iter().map(read).collect(),
            Yaml::Map(entries) => {
                entries.into_iter().map(|entry| (entry.key, read(entry.value))).collect()
            }
        }
    }

    fn tree() -> impl Strategy<Value = Value> {
        let text =
            prop_oneof!["[ -~]{0,12}", any::<String>(), "(true|null|~|1|0x1|1e3|- a|a: b|#)"];
        let leaf = text.clone().prop_map(Value::String);
        leaf.prop_recursive(4, 32, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
                prop::collection::hash_map("[ -~]{1,8}", inner, 0..5)
                    .prop_filter("merge", |map| !map.contains_key("<<"))
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(tree in tree()) {
            let tree = serde_json::json!({ "relabel_configs": tree });
            let yaml = to_yaml(&tree);
            let (root, faults) = parse(&yaml);
            prop_assert!(faults.is_empty(), "{faults:?}\n{yaml}");
            prop_assert_eq!(read(root.unwrap()), tree, "{}", yaml);
        }
    }

    #[test]
    fn braces_are_kept_from_being_expanded_again() {
        let tree =
            serde_json::json!({ "job": "${A}", "relabel_configs": [{ "replacement": "${1}" }] });
        let expected = "job: \"$${A}\"\nrelabel_configs:\n  - replacement: \"${1}\"\n";
        assert_eq!(to_yaml(&tree), expected);
    }
}
