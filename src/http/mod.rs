//! The HTTP door: metadata, health and metrics, as JSON and Prometheus text. Read only.
//!
//! - [`answers`] the shapes of the JSON; [`index`] the table of routes; `docs/http.md` the manual
//! - `cluster`, `brokers`, `topics`, `groups`, `raft`, `replicas`, `health`, `metrics` — a file per route
//! - `ask` asks the other nodes; `quorum` says since when there is no quorum, and why
//! - [`sources`] the seam to what is alive in the node; `state` what every route works with
//! - `bounds` what strangers can take; `refusals` answers that are not 200; `layout` JSON for eyes
//!
//! Invariants: any node answers for the whole cluster, from the last image it has, and says when
//! there is no quorum; what had to be asked of others and could not is named in the answer.

pub mod answers;
mod ask;
mod bounds;
mod brokers;
mod cluster;
mod groups;
mod health;
pub mod index;
mod layout;
mod log_dirs;
mod metrics;
mod quorum;
mod raft;
mod refusals;
mod replicas;
pub mod sources;
mod state;
mod tally;
mod topics;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod manual_test;
#[cfg(test)]
mod router_test;

use std::convert::Infallible;
use std::fmt::Debug;
use std::time::Duration;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use axum::serve::Listener;
use tracing::warn;

use crate::http::bounds::{Bounded, CONNECTIONS_MAX, Gate, IDLE_MAX, REQUESTS_MAX};

pub use self::state::{Deps, HttpState};

/// How often the quorum is looked at, so that the moment it was lost is known.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Serves on `listener`, which the node has bound, until the state's tasks are stopped.
///
/// Cancellation: safe, connections end with the runtime's tasks.
pub async fn serve<L>(listener: L, state: HttpState)
where
    L: Listener,
    L::Addr: Debug,
{
    let listener = Bounded::new(listener, CONNECTIONS_MAX, IDLE_MAX, state.clock.clone());
    let tasks = state.tasks.clone();
    let stopped = async move { tasks.stopping().await };
    let serving = axum::serve(listener, router(state.clone())).with_graceful_shutdown(stopped);
    tokio::select! {
        served = serving => {
            if let Err(error) = served {
                warn!(%error, "HTTP is no longer served");
            }
        }
        never = watch_quorum(&state) => match never {},
    }
}

async fn watch_quorum(state: &HttpState) -> Infallible {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        state.quorum.look(&state.sources.quorum());
    }
}

/// All routes; `index::ROUTES` lists the same.
pub fn router(state: HttpState) -> Router {
    router_through(Gate::new(REQUESTS_MAX), state)
}

fn router_through(gate: Gate, state: HttpState) -> Router {
    let behind_the_gate = Router::new()
        .route("/v1/cluster", get(cluster::get))
        .route("/v1/brokers", get(brokers::get))
        .route("/v1/topics", get(topics::list))
        .route("/v1/topics/{name}", get(topics::get))
        .route("/v1/groups", get(groups::list))
        .route("/v1/groups/{name}", get(groups::get))
        .route("/v1/raft", get(raft::get))
        .route("/v1/replicas", get(replicas::get))
        .route("/v1/log-dirs", get(log_dirs::get))
        .route("/metrics", get(metrics::get))
        .route_layer(from_fn_with_state(gate, bounds::enter));
    Router::new()
        .route("/", get(index::get))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .merge(behind_the_gate)
        .fallback(refusals::no_such_route)
        .method_not_allowed_fallback(refusals::wrong_method)
        .layer(from_fn(bounds::without_body))
        .with_state(state)
}
