//! Answers that are not what was asked for: each says, in JSON, what was wrong and what is near.

use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;

use crate::http::answers::ErrorAnswer;
use crate::http::index::ROUTES;
use crate::http::layout::json_with;

/// Below this likeness (0 to 1) a name is a stranger, not a slip.
const LIKENESS_MIN: f64 = 0.6;

pub(super) fn no_such_topic<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Response {
    let error = format!("no topic '{name}'");
    refusal(StatusCode::NOT_FOUND, error, nearest(name, known))
}

pub(super) fn no_such_group(group: &str) -> Response {
    refusal(StatusCode::NOT_FOUND, format!("no group '{group}'"), None)
}

/// Nobody can say anything about the group now.
pub(super) fn not_coordinated(group: &str, reason: &str) -> Response {
    let error = format!("the coordinator of group '{group}' cannot be asked: {reason}");
    try_again(error)
}

pub(super) async fn no_such_route(uri: Uri) -> Response {
    let path = uri.path();
    let error = format!("nothing is served at {path}; see /");
    refusal(StatusCode::NOT_FOUND, error, nearest_route(path))
}

pub(super) async fn wrong_method(method: Method, uri: Uri) -> Response {
    let path = uri.path();
    let error = format!("{method} is not served at {path}; GET is");
    let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, error, None);
    let allowed = HeaderValue::from_static("GET, HEAD");
    response.headers_mut().insert(header::ALLOW, allowed);
    response
}

pub(super) fn too_busy(n_requests: usize) -> Response {
    try_again(format!(
        "{n_requests} requests are being answered already; try again"
    ))
}

fn try_again(error: String) -> Response {
    let mut response = refusal(StatusCode::SERVICE_UNAVAILABLE, error, None);
    let after_seconds = HeaderValue::from_static("1");
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, after_seconds);
    response
}

pub(super) fn too_slow(patience_ms: u128) -> Response {
    let error = format!("the answer was not ready within {patience_ms} ms");
    refusal(StatusCode::GATEWAY_TIMEOUT, error, None)
}

pub(super) fn body_not_wanted() -> Response {
    let error = "no route here reads a body".to_owned();
    let mut response = refusal(StatusCode::PAYLOAD_TOO_LARGE, error, None);
    // What was announced is not read: the next request could not be told from it.
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

fn refusal(status: StatusCode, error: String, nearest: Option<String>) -> Response {
    json_with(status, &ErrorAnswer { error, nearest })
}

/// The most similar of `known`, if any is similar at all.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let likeness = |it: &'a str| (strsim::normalized_damerau_levenshtein(name, it), it);
    let alike = known
        .map(likeness)
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN);
    let best = alike.max_by(|(a, _), (b, _)| a.total_cmp(b));
    best.map(|(_, it)| it.to_owned())
}

fn nearest_route(path: &str) -> Option<String> {
    let path = path.trim_end_matches('/');
    let mut fixed = ROUTES.iter().map(|it| it.path);
    if path.len() > 1
        && let Some(whole) = fixed.find(|it| it.ends_with(path))
    {
        return Some(whole.to_owned());
    }
    // The name in a path is not a slip: only what comes before it is compared.
    let named = path.rsplit_once('/').map_or("", |(_, name)| name);
    let candidates = ROUTES.iter().map(|it| it.path.replace("{name}", named));
    let candidates: Vec<String> = candidates.collect();
    nearest(path, candidates.iter().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelled_route_is_answered_with_the_one_meant() {
        for (asked, meant) in [
            ("/v1/topic", Some("/v1/topics")),
            ("/v1/topics/", Some("/v1/topics")),
            ("/topics", Some("/v1/topics")),
            ("/v1/topic/orders", Some("/v1/topics/orders")),
            ("/health/redy", Some("/health/ready")),
            ("/metric", Some("/metrics")),
            ("/ready", Some("/health/ready")),
            ("/favicon.ico", None),
        ] {
            assert_eq!(nearest_route(asked).as_deref(), meant, "{asked}");
        }
    }

    #[test]
    fn a_topic_nothing_like_any_other_has_no_neighbour() {
        let known = ["orders", "payments"];
        assert_eq!(
            nearest("ordres", known.into_iter()).as_deref(),
            Some("orders")
        );
        assert_eq!(nearest("x", known.into_iter()), None);
    }
}
