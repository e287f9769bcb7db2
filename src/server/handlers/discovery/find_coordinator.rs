//! `FindCoordinator`: who keeps a group. Transactions and share groups are kept by nobody yet.
//!
//! Whoever wants a transaction cannot go on without, so the answer ends it at once.

use std::time::{Duration, Instant};

use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::NodeId;
use drave_protocol::schema::find_coordinator::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse,
};

use crate::cluster::Metadata;
use crate::coordinator::GroupCoordinator;
use crate::server::context::RequestContext;

/// First version that asks for several keys at once.
const BATCHED_SINCE: i16 = 4;
const NOWHERE: i32 = -1;
/// The `key_type` of groups and of transactional ids.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
/// How long an answer is held back for the topic of groups to come into being. Kafka answers at once and
/// lets the client come again; waiting is shorter for everybody.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) async fn handle(
    ctx: &RequestContext,
    groups: &GroupCoordinator,
    metadata: &Metadata,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let keys = if ctx.version < BATCHED_SINCE {
        vec![request.key]
    } else {
        request.coordinator_keys
    };
    let deadline = ctx.received_at + PATIENCE;
    let mut coordinators = Vec::with_capacity(keys.len());
    for key in keys {
        coordinators.push(if request.key_type == GROUP {
            of_group(ctx, groups, metadata, key, deadline).await
        } else {
            let code = refusal(ctx.version, request.key_type);
            nobody(key, code, reason(request.key_type).to_owned())
        });
    }
    if ctx.version < BATCHED_SINCE {
        return coordinators.pop().map(only).unwrap_or_default();
    }
    FindCoordinatorResponse {
        coordinators,
        ..FindCoordinatorResponse::default()
    }
}

async fn of_group(
    ctx: &RequestContext,
    groups: &GroupCoordinator,
    metadata: &Metadata,
    key: String,
    deadline: Instant,
) -> Coordinator {
    let node = match groups.find(&key, deadline).await {
        Ok(node) => node,
        Err(error) => return nobody(key, ErrorCode::from(&error), error.to_string()),
    };
    let view = metadata.view();
    match view.endpoint(node, ctx.listener()) {
        Some(endpoint) => Coordinator {
            key,
            node_id: node.0,
            host: endpoint.host.clone(),
            port: i32::from(endpoint.port),
            ..Coordinator::default()
        },
        None => nobody(
            key,
            ErrorCode::CoordinatorNotAvailable,
            format!("broker {node} has no listener {}", ctx.listener()),
        ),
    }
}

fn nobody(key: String, code: ErrorCode, message: String) -> Coordinator {
    Coordinator {
        key,
        node_id: NodeId::NONE.0,
        port: NOWHERE,
        error_code: code.number(),
        error_message: Some(message),
        ..Coordinator::default()
    }
}

/// The answer of versions that ask for one.
fn only(found: Coordinator) -> FindCoordinatorResponse {
    FindCoordinatorResponse {
        error_code: found.error_code,
        error_message: found.error_message,
        node_id: found.node_id,
        host: found.host,
        port: found.port,
        ..FindCoordinatorResponse::default()
    }
}

/// Kafka's code for what a cluster does not offer is `UNSUPPORTED_VERSION`; the Java client ends with it
/// and shows the reason. librdkafka, which asks in versions before 4, goes on asking until the caller's
/// time is over after any code but those of authorization, so that it is told one of them.
fn refusal(version: i16, key_type: i8) -> ErrorCode {
    match (key_type, version) {
        (TRANSACTION, BATCHED_SINCE..) => ErrorCode::UnsupportedVersion,
        (TRANSACTION, _) => ErrorCode::TransactionalIdAuthorizationFailed,
        _ => ErrorCode::InvalidRequest,
    }
}

fn reason(key_type: i8) -> &'static str {
    match key_type {
        TRANSACTION => {
            "transactions are not served by this broker yet; an idempotent producer without a \
             transactional id is"
        }
        2 => "share groups are not served by this broker yet",
        _ => "coordinators of this kind are not served by this broker",
    }
}
