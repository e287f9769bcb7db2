//! Java's properties files, as `java.util.Properties` reads them: `#` and `!` comments, `=`, `:` or
//! blank after the name, a backslash at the end of a line joins the next, `\t \n \r \f \u00e9`.

use std::iter::Peekable;
use std::str::Chars;

/// A line of the file that sets something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Property {
    pub(super) name: String,
    pub(super) value: String,
    /// Where it begins, from 1.
    pub(super) line: usize,
}

/// The properties in order; the same name may come more than once, and the last one counts.
/// A malformed `\u` escape is the only error; it carries its line.
pub(super) fn parse(text: &str) -> Result<Vec<Property>, usize> {
    let mut properties = Vec::new();
    for (line, logical) in logical_lines(text) {
        let (name, value) = split(&logical);
        let name = unescape(name).ok_or(line)?;
        let value = unescape(value).ok_or(line)?;
        properties.push(Property {
            name,
            value: value.trim().to_owned(),
            line,
        });
    }
    Ok(properties)
}

/// Lines without comments and blanks, continuations joined, with the number of their first line.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut logical: Vec<(usize, String)> = Vec::new();
    let mut is_continued = false;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if !is_continued && (line.is_empty() || line.starts_with(['#', '!'])) {
            continue;
        }
        let n_backslashes = line.bytes().rev().take_while(|it| *it == b'\\').count();
        let goes_on = n_backslashes % 2 == 1;
        let content = if goes_on {
            line.strip_suffix('\\').unwrap_or(line)
        } else {
            line
        };
        match logical.last_mut() {
            Some((_, last)) if is_continued => last.push_str(content),
            _ => logical.push((at + 1, content.to_owned())),
        }
        is_continued = goes_on;
    }
    logical
}

/// Splits at the first unescaped `=`, `:` or blank.
fn split(line: &str) -> (&str, &str) {
    let mut is_escaped = false;
    for (at, it) in line.char_indices() {
        if !is_escaped && (it == '=' || it == ':' || it.is_whitespace()) {
            let (name, rest) = line.split_at(at);
            let rest = rest.trim_start();
            let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
            return (name, value.trim_start());
        }
        is_escaped = it == '\\' && !is_escaped;
    }
    (line, "")
}

fn unescape(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(it) = rest.next() {
        if it != '\\' {
            plain.push(it);
            continue;
        }
        match rest.next() {
            Some('t') => plain.push('\t'),
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('f') => plain.push('\u{c}'),
            Some('u') => plain.push(unicode(&mut rest)?),
            Some(other) => plain.push(other),
            None => {}
        }
    }
    Some(plain)
}

fn unicode(rest: &mut Peekable<Chars<'_>>) -> Option<char> {
    let mut code = 0;
    for _ in 0..4 {
        code = code * 16 + rest.next()?.to_digit(16)?;
    }
    char::from_u32(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let read = parse(text).unwrap();
        read.into_iter().map(|it| (it.name, it.value)).collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn separators_comments_and_blanks_read_as_in_java() {
        let text = "# no\n! no\n\na=1\nb:2\nc 3\n  d  =  4 = 5  \ne\n";
        let expected = [
            ("a", "1"),
            ("b", "2"),
            ("c", "3"),
            ("d", "4 = 5"),
            ("e", ""),
        ];
        assert_eq!(pairs(text), expected.map(|(name, value)| pair(name, value)));
    }

    #[test]
    fn a_backslash_joins_lines_unless_it_is_escaped() {
        let text = "a=one,\\\n   two,\\\n   # three\nb=ends\\\\\nc=x\n";
        let expected = [("a", "one,two,# three"), ("b", "ends\\"), ("c", "x")];
        assert_eq!(pairs(text), expected.map(|(name, value)| pair(name, value)));
    }

    #[test]
    fn escapes_are_read_and_a_bad_one_names_its_line() {
        assert_eq!(pairs(r"a\=b=\u00e9\t."), [pair("a=b", "é\t.")]);
        assert_eq!(parse("a=1\nb=\\u12"), Err(2));
    }
}
