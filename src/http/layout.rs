//! JSON laid out for eyes: what fits on a line stays on one, what does not is broken once more.
//!
//! Invariant: only white space outside strings differs from what serde wrote.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tracing::error;

/// Longest line a list or an object is kept on.
const LINE_MAX: usize = 110;

pub(super) fn json<T: Serialize>(answer: &T) -> Response {
    json_with(StatusCode::OK, answer)
}

pub(super) fn json_with<T: Serialize>(status: StatusCode, answer: &T) -> Response {
    match serde_json::to_string(answer) {
        Ok(compact) => {
            let kind = HeaderValue::from_static("application/json");
            let fresh = HeaderValue::from_static("no-store");
            let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, fresh)];
            (status, headers, laid_out(&compact)).into_response()
        }
        Err(error) => {
            error!(%error, "an HTTP answer could not be written as JSON");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Lays out JSON without white space.
fn laid_out(compact: &str) -> String {
    let widths = widths(compact);
    let mut widths = widths.into_iter();
    let mut page = String::with_capacity(compact.len() * 2);
    // Whether each open container is broken over lines.
    let mut broken: Vec<bool> = Vec::new();
    let mut in_string = InString::default();
    for character in compact.chars() {
        if in_string.goes_on_with(character) {
            page.push(character);
            continue;
        }
        match character {
            '{' | '[' => {
                let width = widths.next().unwrap_or(usize::MAX);
                // Inside a container that fits, everything fits.
                let breaks = broken.last() != Some(&false) && page_column(&page) + width > LINE_MAX;
                page.push(character);
                broken.push(breaks);
                new_line(&mut page, &broken);
            }
            '}' | ']' => {
                if broken.pop() == Some(true) {
                    page.push('\n');
                    indent(&mut page, broken.len());
                }
                page.push(character);
            }
            ',' => {
                page.push(character);
                if broken.last() == Some(&true) {
                    new_line(&mut page, &broken);
                } else {
                    page.push(' ');
                }
            }
            ':' => page.push_str(": "),
            other => page.push(other),
        }
    }
    page.push('\n');
    page
}

fn new_line(page: &mut String, broken: &[bool]) {
    if broken.last() == Some(&true) {
        page.push('\n');
        indent(page, broken.len());
    }
}

fn indent(page: &mut String, depth: usize) {
    page.extend(std::iter::repeat_n("  ", depth));
}

fn page_column(page: &str) -> usize {
    page.len() - page.rfind('\n').map_or(0, |at| at + 1)
}

/// How wide each list and object is on one line, in the order in which they open.
fn widths(compact: &str) -> Vec<usize> {
    let mut widths = Vec::new();
    // Of each open container, its place in `widths`, and where it starts on an endless line.
    let mut open: Vec<(usize, usize)> = Vec::new();
    let mut column = 0;
    let mut in_string = InString::default();
    for character in compact.chars() {
        column += 1;
        if in_string.goes_on_with(character) {
            continue;
        }
        match character {
            '{' | '[' => {
                open.push((widths.len(), column - 1));
                widths.push(0);
            }
            '}' | ']' => {
                if let Some((place, start)) = open.pop()
                    && let Some(width) = widths.get_mut(place)
                {
                    *width = column - start;
                }
            }
            // A blank follows.
            ',' | ':' => column += 1,
            _ => {}
        }
    }
    widths
}

/// Follows the text in and out of strings.
#[derive(Debug, Default)]
struct InString {
    inside: bool,
    escaped: bool,
}

impl InString {
    /// Whether this character belongs to a string, its quotes included.
    fn goes_on_with(&mut self, character: char) -> bool {
        if !self.inside {
            self.inside = character == '"';
            return self.inside;
        }
        if self.escaped {
            self.escaped = false;
        } else if character == '\\' {
            self.escaped = true;
        } else if character == '"' {
            self.inside = false;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_things_stay_on_a_line_and_long_ones_are_broken() {
        let compact = r#"{"ids":[1,2,3],"none":[],"nodes":[{"node":1,"address":"a-rather-long-host-name:9092"},{"node":2,"address":"another-long-host-name:9092"}]}"#;
        let expected = r#"{
  "ids": [1, 2, 3],
  "none": [],
  "nodes": [
    {"node": 1, "address": "a-rather-long-host-name:9092"},
    {"node": 2, "address": "another-long-host-name:9092"}
  ]
}
"#;
        assert_eq!(laid_out(compact), expected);
        assert_eq!(laid_out(r#"{"a":1}"#), "{\"a\": 1}\n");
    }

    #[test]
    fn strings_are_left_as_they_are() {
        let value = serde_json::json!({
            "quoted": "a\"b\\", "brackets": "{[,:]}", "long": "x".repeat(200), "deep": [[[[{"é": [1, null]}]]]],
        });
        let page = laid_out(&value.to_string());
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&page).unwrap(),
            value
        );
    }
}
