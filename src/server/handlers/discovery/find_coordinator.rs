//! `FindCoordinator`: who keeps a group or a transaction. Nobody does yet; clients may connect and ask.
//!
//! Whoever wants a group is told to try again: consumers with assigned partitions ask as well, and live
//! without. Whoever wants a transaction cannot go on without, so the answer ends it at once.

use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::NodeId;
use drave_protocol::schema::find_coordinator::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse,
};

use crate::server::context::RequestContext;

/// First version that asks for several keys at once.
const BATCHED_SINCE: i16 = 4;
const NOWHERE: i32 = -1;
/// The `key_type` of transactional ids.
const TRANSACTION: i8 = 1;

pub(crate) fn handle(
    ctx: &RequestContext,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let code = refusal(ctx.version, request.key_type).number();
    let message = reason(request.key_type);
    if ctx.version < BATCHED_SINCE {
        return FindCoordinatorResponse {
            error_code: code,
            error_message: Some(message),
            node_id: NodeId::NONE.0,
            port: NOWHERE,
            ..FindCoordinatorResponse::default()
        };
    }
    let nobody = |key| Coordinator {
        key,
        node_id: NodeId::NONE.0,
        port: NOWHERE,
        error_code: code,
        error_message: Some(message.clone()),
        ..Coordinator::default()
    };
    FindCoordinatorResponse {
        coordinators: request.coordinator_keys.into_iter().map(nobody).collect(),
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
        _ => ErrorCode::CoordinatorNotAvailable,
    }
}

fn reason(key_type: i8) -> String {
    match key_type {
        0 => {
            "consumer groups are not served by this broker yet; assign partitions instead of \
              subscribing"
        }
        TRANSACTION => {
            "transactions are not served by this broker yet; an idempotent producer without a \
             transactional id is"
        }
        2 => "share groups are not served by this broker yet",
        _ => "coordinators of this kind are not served by this broker",
    }
    .to_owned()
}
