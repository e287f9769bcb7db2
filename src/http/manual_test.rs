//! The manual, `docs/http.md`, describes every route and shows each answer as it really is.

#![allow(clippy::disallowed_methods, reason = "reads and renews a document")]

use std::path::Path;

use crate::http::index::ROUTES;
use crate::http::router_test::{Door, NodeOne};

const FENCE: &str = "```json\n";

/// Renewed with `UPDATE_GOLDEN=1`.
#[tokio::test]
async fn the_manual_shows_answers_as_they_are() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/http.md");
    let mut manual = std::fs::read_to_string(&path).unwrap();
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let door = Door::open(NodeOne::default());
    for route in ROUTES {
        let title = format!("\n## `{}`\n", route.path);
        let section = manual.find(&title);
        let section = section.unwrap_or_else(|| panic!("docs/http.md lacks {}", route.path));
        if route.path == "/metrics" {
            continue;
        }
        let asked = route.path.replace("{name}", "orders");
        let request = format!("GET {asked} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let (_, _, answer) = door.say(&request).await;
        let begin = section + manual[section..].find(FENCE).unwrap() + FENCE.len();
        let end = begin + manual[begin..].find("```").unwrap();
        if update {
            manual.replace_range(begin..end, &answer);
        } else {
            assert_eq!(&manual[begin..end], answer, "docs/http.md, {}", route.path);
        }
    }
    if update {
        std::fs::write(&path, manual).unwrap();
    }
}
