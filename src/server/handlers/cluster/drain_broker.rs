//! `DrainBroker`: a broker gives up its leaderships, or may have them again.

use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::NodeId;
use drave_protocol::schema::drain_broker::{DrainBrokerRequest, DrainBrokerResponse};

use crate::cluster::ControllerLink;
use crate::cluster::operations::{OperatorRequest, OperatorResponse, Remains};
use crate::server::context::RequestContext;

pub(crate) async fn handle(
    ctx: &RequestContext,
    controller: &ControllerLink,
    request: &DrainBrokerRequest,
) -> DrainBrokerResponse {
    let broker = NodeId(request.broker_id);
    let asked = if request.drained {
        OperatorRequest::Drain(broker)
    } else {
        OperatorRequest::Undrain(broker)
    };
    let deadline = ctx.deadline(request.timeout_ms);
    match controller.operate(asked, deadline).await {
        Ok(OperatorResponse::Drained(Ok(remains))) => done(remains),
        Ok(OperatorResponse::Drained(Err(error))) => {
            refused(ErrorCode::from(&error), error.to_string())
        }
        Ok(OperatorResponse::Unregistered(_)) => refused(
            ErrorCode::UnknownServerError,
            "the controller answered another request".to_owned(),
        ),
        Err(error) => refused(ErrorCode::from(&error), error.to_string()),
    }
}

fn done(remains: Remains) -> DrainBrokerResponse {
    let count = |n| i32::try_from(n).unwrap_or(i32::MAX);
    DrainBrokerResponse {
        leaders: count(remains.leaders),
        replicas: count(remains.replicas),
        ..DrainBrokerResponse::default()
    }
}

fn refused(code: ErrorCode, message: String) -> DrainBrokerResponse {
    DrainBrokerResponse {
        error_code: code.number(),
        error_message: Some(message),
        ..DrainBrokerResponse::default()
    }
}
