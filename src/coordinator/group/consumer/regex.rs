//! Regular expressions a member subscribes to, resolved here: RE2's language, in time linear to the name.

use std::collections::BTreeSet;

use regex::{Regex, RegexBuilder};

use super::topics::Topics;
use crate::coordinator::error::GroupError;

/// Memory of one compiled expression.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// The topics whose whole name the expression stands for.
pub(super) fn resolve(pattern: &str, topics: &dyn Topics) -> Result<BTreeSet<String>, GroupError> {
    let regex = compile(pattern)?;
    let names = topics.names().filter(|it| regex.is_match(it));
    Ok(names.map(str::to_owned).collect())
}

pub(super) fn compile(pattern: &str) -> Result<Regex, GroupError> {
    let spelled = without_quotes(pattern);
    // By itself first: in the group below a lone parenthesis would find its other half.
    build(&spelled)
        .and_then(|_| build(&format!(r"\A(?:{spelled})\z")))
        .map_err(|error| GroupError::InvalidRegularExpression {
            pattern: pattern.to_owned(),
            reason: error.to_string(),
        })
}

fn build(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern)
        .size_limit(COMPILED_BYTES_MAX)
        .build()
}

/// RE2 takes what stands between `\Q` and `\E` as it is.
fn without_quotes(pattern: &str) -> String {
    let mut spelled = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some((before, quoted)) = rest.split_once(r"\Q") {
        // An escaped backslash before a Q is none of this.
        let n_backslashes = before.bytes().rev().take_while(|it| *it == b'\\').count();
        if n_backslashes % 2 == 1 {
            spelled.push_str(before);
            spelled.push_str(r"\Q");
            rest = quoted;
            continue;
        }
        spelled.push_str(before);
        let (literal, after) = quoted.split_once(r"\E").unwrap_or((quoted, ""));
        spelled.push_str(&regex::escape(literal));
        rest = after;
    }
    spelled.push_str(rest);
    spelled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        compile(pattern).unwrap().is_match(name)
    }

    #[test]
    fn an_expression_stands_for_whole_names() {
        assert!(matches("or.*", "orders"));
        assert!(!matches("or", "orders"));
        assert!(matches("a|orders", "orders"));
        assert!(!matches("a|order", "orders"));
        assert!(matches(r"\Qa.b\E.*", "a.bc"));
        assert!(!matches(r"\Qa.b\E.*", "aXbc"));
        assert!(matches(r"\pL+", "orders"));
    }

    #[test]
    fn what_is_none_is_refused_with_its_reason() {
        for pattern in [
            "(",
            ")",
            "a)(b",
            "[",
            r"(?=a)",
            r"(a)\1",
            "a{100000}{100000}",
        ] {
            let refused = compile(pattern);
            assert!(
                matches!(refused, Err(GroupError::InvalidRegularExpression { .. })),
                "{pattern}: {refused:?}"
            );
        }
    }
}
