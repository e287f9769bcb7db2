//! `/v1/log-dirs`: this node's log directories, and which of them are out of use.

use axum::extract::State;
use axum::response::Response;

use crate::http::answers::{LogDirsAnswer, Unanswered};
use crate::http::ask;
use crate::http::layout::json;
use crate::http::state::HttpState;

pub(super) async fn get(State(state): State<HttpState>) -> Response {
    let deadline = state.clock.now() + ask::PATIENCE;
    let node = state.node;
    let (log_dirs, unanswered) = match ask::own_log_dirs(&state, deadline).await {
        Ok(log_dirs) => (log_dirs, Vec::new()),
        Err(reason) => (Vec::new(), vec![Unanswered { node, reason }]),
    };
    let view = state.metadata.view();
    json(&LogDirsAnswer {
        seen: state.seen(&view, &state.sources.quorum()),
        log_dirs,
        begun_anew: state.sources.n_begun_anew(),
        unanswered,
    })
}
