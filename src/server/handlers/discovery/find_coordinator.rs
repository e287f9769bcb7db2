//! `FindCoordinator`: who keeps a group or a transaction. Nobody does yet; clients may connect and ask.

use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::NodeId;
use drave_protocol::schema::find_coordinator::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse,
};

use crate::server::context::RequestContext;

/// First version that asks for several keys at once.
const BATCHED_SINCE: i16 = 4;
const NOWHERE: i32 = -1;

pub(crate) fn handle(
    ctx: &RequestContext,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let code = ErrorCode::CoordinatorNotAvailable.number();
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

fn reason(key_type: i8) -> String {
    let what = match key_type {
        0 => "consumer groups",
        1 => "transactions",
        2 => "share groups",
        _ => "coordinators of this kind",
    };
    format!("{what} are not served by this broker yet; assign partitions instead of subscribing")
}
