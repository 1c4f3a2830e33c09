//! Globs: `*` stands for any run of characters, `?` for one.

/// Whether all of a text matches a glob. Linear in both where the glob has one `*`, never worse than
/// their product.
#[must_use]
pub fn matches(glob: &str, text: &str) -> bool {
    let (mut glob, mut text) = (glob.chars(), text.chars());
    // Where to go on if what follows the last `*` does not match: the `*` takes one more.
    let mut retry = None;
    loop {
        let before = glob.clone();
        match (glob.next(), text.clone().next()) {
            (Some('*'), _) => retry = Some((before, text.clone())),
            (Some(g), Some(t)) if g == '?' || g == t => {
                text.next();
            }
            (None, None) => return true,
            _ => {
                let Some((star, mut rest)) = retry.clone() else { return false };
                if rest.next().is_none() {
                    return false;
                }
                (glob, text) = (star, rest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_texts() {
        for (glob, text, wanted) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "AWS/EC2", true),
            ("AWS/*", "AWS/EC2", true),
            ("AWS/*", "XAWS/EC2", false),
            ("*EC2", "AWS/EC2", true),
            ("*EC2", "AWS/EC2x", false),
            ("A*/*2", "AWS/EC2", true),
            ("*a*ab", "aaaab", true),
            ("AWS/EC?", "AWS/EC2", true),
            ("AWS/EC?", "AWS/EC", false),
            ("?", "é", true),
            ("aws/*", "AWS/EC2", false),
            ("a", "a", true),
            ("a", "ab", false),
            ("?", "", false),
            ("a?c", "abc", true),
            ("a*c", "abbbc", true),
            ("a*c", "abbbcd", false),
            ("*b*b", "abab", true),
            ("*b*b", "aba", false),
            ("[a-z]", "b", false),
        ] {
            assert_eq!(matches(glob, text), wanted, "{glob:?} {text:?}");
        }
    }
}
