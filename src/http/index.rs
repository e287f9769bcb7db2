//! `/`: what this door serves. The table below is what the router is held against by a test.

use std::fmt::Write;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{Html, IntoResponse, Response};
use drave_protocol::ids::NodeId;

use crate::http::answers::{IndexAnswer, RouteAnswer};
use crate::http::layout::json;
use crate::http::state::HttpState;

/// One route. `{name}` in a path stands for the name of a topic or a group.
#[derive(Debug)]
pub struct Route {
    pub path: &'static str,
    pub what: &'static str,
}

/// All of them, in the order a reader would try them.
pub const ROUTES: &[Route] = &[
    route(
        "/v1/cluster",
        "nodes, the active controller, the quorum, and how many partitions are unwell",
    ),
    route("/v1/brokers", "registered brokers and what each carries"),
    route("/v1/topics", "topics and how they are"),
    route(
        "/v1/topics/{name}",
        "partitions of a topic: leader, ISR, and each replica's LEO and HW",
    ),
    route("/v1/groups", "groups, and who coordinates them"),
    route(
        "/v1/groups/{name}",
        "a group: members, assignments, committed offsets and lag",
    ),
    route("/v1/raft", "the metadata quorum as this node sees it"),
    route("/v1/replicas", "this node's own replicas"),
    route(
        "/v1/log-dirs",
        "this node's log directories, and which of them are out of use",
    ),
    route("/health/live", "200 while this process can go on"),
    route(
        "/health/ready",
        "200 while this node does its work; else 503 and the reasons",
    ),
    route("/metrics", "metrics as Prometheus text"),
    route("/", "this page"),
];

const fn route(path: &'static str, what: &'static str) -> Route {
    Route { path, what }
}

pub(super) async fn get(State(state): State<HttpState>, headers: HeaderMap) -> Response {
    let accepted = headers.get(header::ACCEPT);
    let accepted = accepted.and_then(|it| it.to_str().ok()).unwrap_or("");
    if accepted.contains("text/html") {
        Html(page(state.node)).into_response()
    } else {
        json(&answer(state.node))
    }
}

fn answer(node: NodeId) -> IndexAnswer {
    let routes = ROUTES.iter().map(|it| RouteAnswer {
        path: it.path.to_owned(),
        what: it.what.to_owned(),
    });
    IndexAnswer {
        node,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        routes: routes.collect(),
    }
}

fn page(node: NodeId) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>drave node {node}</title>\
         <style>body{{font:15px/1.6 monospace;margin:3em}}td{{padding-right:2em}}</style>\
         <h1>drave {version}, node {node}</h1><table>"
    );
    for Route { path, what } in ROUTES {
        // The name is for the reader to fill in.
        let shown = if path.contains('{') {
            (*path).to_owned()
        } else {
            format!("<a href=\"{path}\">{path}</a>")
        };
        // Writing to a string cannot fail.
        let _ = write!(page, "<tr><td>{shown}<td>{what}");
    }
    page.push_str("</table></html>\n");
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_links_what_can_be_followed() {
        let page = page(NodeId(3));
        assert!(page.contains("<a href=\"/v1/cluster\">"), "{page}");
        assert!(!page.contains("href=\"/v1/topics/{name}\""), "{page}");
    }
}
