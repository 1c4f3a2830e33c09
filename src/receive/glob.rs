//! Globs on ARNs: `*` stands for any characters, `?` for one.

/// Whether `text` is what `pattern` says. Linear in both where the pattern has one `*`, never worse
/// than their product.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where the last `*` stands, and from where in the text it is tried next.
    let mut star: Option<(usize, usize)> = None;
    while let Some(&byte) = text.get(t) {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(&wanted) if wanted == b'?' || wanted == byte => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((after, from)) = star else { return false };
                star = Some((after, from + 1));
                p = after;
                t = from + 1;
            }
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn globs_match_whole_texts() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("?", "", false),
            ("a?c", "abc", true),
            ("a*c", "abbbc", true),
            ("a*c", "abbbcd", false),
            ("*b*b", "abab", true),
            ("*b*b", "aba", false),
            (
                "arn:aws:firehose:*:1:deliverystream/*",
                "arn:aws:firehose:eu-west-1:1:deliverystream/a",
                true,
            ),
            (
                "arn:aws:firehose:*:1:deliverystream/*",
                "arn:aws:firehose:eu-west-1:2:deliverystream/a",
                false,
            ),
            ("[a-z]", "b", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern:?} {text:?}");
        }
    }
}
