//! `UnregisterBroker`: a broker that will not come back is forgotten.

use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::NodeId;
use drave_protocol::schema::unregister_broker::{
    UnregisterBrokerRequest, UnregisterBrokerResponse,
};

use crate::cluster::ControllerLink;
use crate::cluster::operations::{OperatorRequest, OperatorResponse};
use crate::server::context::RequestContext;

/// The request has no timeout of its own.
const TIMEOUT_MS: i32 = 30_000;

pub(crate) async fn handle(
    ctx: &RequestContext,
    controller: &ControllerLink,
    request: UnregisterBrokerRequest,
) -> UnregisterBrokerResponse {
    let asked = OperatorRequest::Unregister(NodeId(request.broker_id));
    let refusal = match controller.operate(asked, ctx.deadline(TIMEOUT_MS)).await {
        Ok(OperatorResponse::Unregistered(Ok(()))) => None,
        Ok(OperatorResponse::Unregistered(Err(error))) => {
            Some((ErrorCode::from(&error), error.to_string()))
        }
        Ok(OperatorResponse::Drained(_)) => Some((
            ErrorCode::UnknownServerError,
            "the controller answered another request".to_owned(),
        )),
        Err(error) => Some((ErrorCode::from(&error), error.to_string())),
    };
    let (error_code, error_message) = match refusal {
        None => (ErrorCode::None, None),
        Some((code, message)) => (code, Some(message)),
    };
    UnregisterBrokerResponse {
        error_code: error_code.number(),
        error_message,
        ..UnregisterBrokerResponse::default()
    }
}
