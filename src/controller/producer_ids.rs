//! Producer ids, given to brokers in blocks; within its block a broker numbers producers on its own.
//!
//! Invariants: blocks never overlap and never come back: an id that was lost with its broker stays lost.

use drave_protocol::ids::ProducerId;
use drave_raft::image::MetadataImage;
use drave_raft::record::{MetadataRecord, ProducerIdsAllocatedV1};

use crate::cluster::rpc::{AllocateProducerIds, AllocateProducerIdsError, ProducerIdBlock};
use crate::controller::brokers::check_epoch;
use crate::controller::decision::Decision;

/// Ids in a block, as in Kafka.
const BLOCK_IDS: i64 = 1000;

pub fn allocate(
    image: &MetadataImage,
    request: &AllocateProducerIds,
) -> Decision<Result<ProducerIdBlock, AllocateProducerIdsError>> {
    if let Err(stale) = check_epoch(image, request.broker, request.broker_epoch) {
        return Decision::answer(Err(AllocateProducerIdsError::Stale(stale)));
    }
    let first = image.next_producer_id;
    let Some(next) = first.0.checked_add(BLOCK_IDS).map(ProducerId) else {
        return Decision::answer(Err(AllocateProducerIdsError::Exhausted { next: first }));
    };
    let record = MetadataRecord::ProducerIdsAllocated(ProducerIdsAllocatedV1 {
        broker: request.broker,
        broker_epoch: request.broker_epoch,
        first,
        next,
    });
    Decision::new(vec![record], Ok(ProducerIdBlock { first, next }))
}

#[cfg(test)]
mod tests {
    use drave_protocol::ids::{BrokerEpoch, MetadataOffset, NodeId};

    use super::*;
    use crate::controller::test_cluster::{cluster, epoch_of};

    fn request(broker: i32) -> AllocateProducerIds {
        AllocateProducerIds {
            broker: NodeId(broker),
            broker_epoch: epoch_of(broker),
        }
    }

    #[test]
    fn blocks_follow_each_other_whoever_asks() {
        let mut image = cluster(&[1, 2]);
        for (broker, first) in [(1, 0), (2, 1000), (2, 2000), (1, 3000)] {
            let decision = allocate(&image, &request(broker));
            let block = decision.response.unwrap();
            assert_eq!(
                (block.first.0, block.next.0),
                (first, first + 1000),
                "broker {broker}"
            );
            let at = MetadataOffset(image.offset.0 + 1);
            image = image.apply(at, 1, &decision.records).unwrap().0;
        }
    }

    #[test]
    fn a_process_that_is_over_gets_none() {
        let image = cluster(&[1]);
        let stale = AllocateProducerIds {
            broker_epoch: BrokerEpoch(3),
            ..request(1)
        };
        for refused in [stale, request(2)] {
            let decision = allocate(&image, &refused);
            assert_eq!(decision.records, []);
            assert!(matches!(
                decision.response,
                Err(AllocateProducerIdsError::Stale(_))
            ));
        }
    }

    #[test]
    fn the_last_ids_are_not_followed_by_the_first() {
        let mut image = cluster(&[1]);
        image.next_producer_id = ProducerId(i64::MAX - BLOCK_IDS + 1);
        let decision = allocate(&image, &request(1));
        assert_eq!(decision.records, []);
        let exhausted = AllocateProducerIdsError::Exhausted {
            next: image.next_producer_id,
        };
        assert_eq!(decision.response, Err(exhausted));
    }
}
