//! `InitProducerId`: an id for a producer that numbers its batches, so that a retry is no duplicate.
//!
//! Without a transactional id every request is answered with a new id at epoch 0, as in Kafka, whatever
//! the producer had: it raises its own epoch, and asks only when it wants to begin anew. Nothing is
//! remembered for it. With one, the producer's coordinator would answer, and there is none yet.

use std::time::Duration;

use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};

use crate::cluster::ProducerIds;
use crate::server::context::RequestContext;

/// Below the patience of any client, and enough for a controller to be elected.
const WAIT_MAX: Duration = Duration::from_secs(2);

const NO_ID: i64 = -1;
const NO_EPOCH: i16 = -1;
const FIRST_EPOCH: i16 = 0;

pub(crate) async fn handle(
    ctx: &RequestContext,
    ids: &ProducerIds,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    if let Err(code) = check(&request) {
        return refused(code);
    }
    match ids.next(ctx.received_at + WAIT_MAX).await {
        Some(id) => InitProducerIdResponse {
            producer_id: id.0,
            producer_epoch: FIRST_EPOCH,
            ..InitProducerIdResponse::default()
        },
        // Kafka's word for "no block yet": every client asks again, and looks for no coordinator.
        None => refused(ErrorCode::CoordinatorLoadInProgress),
    }
}

fn check(request: &InitProducerIdRequest) -> Result<(), ErrorCode> {
    if (request.producer_id == NO_ID) != (request.producer_epoch == NO_EPOCH) {
        return Err(ErrorCode::InvalidRequest);
    }
    match request.transactional_id.as_deref() {
        None => Ok(()),
        Some("") => Err(ErrorCode::InvalidRequest),
        // Clients look for the coordinator then, and are told that there is none.
        Some(_) => Err(ErrorCode::NotCoordinator),
    }
}

fn refused(code: ErrorCode) -> InitProducerIdResponse {
    InitProducerIdResponse {
        error_code: code.number(),
        producer_id: NO_ID,
        producer_epoch: NO_EPOCH,
        ..InitProducerIdResponse::default()
    }
}

#[cfg(test)]
mod tests {
    use drave_protocol::api::ApiKey;

    use super::*;
    use crate::server::handlers::sample;

    fn request(transactional_id: Option<&str>, id: i64, epoch: i16) -> InitProducerIdRequest {
        InitProducerIdRequest {
            transactional_id: transactional_id.map(str::to_owned),
            producer_id: id,
            producer_epoch: epoch,
            ..InitProducerIdRequest::default()
        }
    }

    #[test]
    fn an_idempotent_producer_may_come_with_an_id_and_an_epoch_or_with_neither() {
        assert_eq!(check(&request(None, -1, -1)), Ok(()));
        assert_eq!(check(&request(None, 7, 3)), Ok(()));
        for half in [request(None, 7, -1), request(None, -1, 3)] {
            assert_eq!(check(&half), Err(ErrorCode::InvalidRequest));
        }
    }

    #[test]
    fn a_transactional_producer_is_sent_to_its_coordinator() {
        let code = check(&request(Some("t"), -1, -1));
        assert_eq!(code, Err(ErrorCode::NotCoordinator));
        let code = check(&request(Some(""), -1, -1));
        assert_eq!(code, Err(ErrorCode::InvalidRequest));
    }

    #[test]
    fn a_refusal_carries_no_id_and_encodes_in_every_version() {
        let refusal = refused(ErrorCode::NotCoordinator);
        assert_eq!((refusal.producer_id, refusal.producer_epoch), (-1, -1));
        sample::encodes_in_every_version(ApiKey::InitProducerId, |_| {
            refused(ErrorCode::NotCoordinator)
        });
    }
}
