//! Brokers on an operator's word: one that will not come back is forgotten, one is emptied.
//!
//! Invariants: a broker is forgotten only while it does not run, and never with the last copy of
//! anything; a drained broker leads only what nobody else in sync can.

use drave_protocol::ids::NodeId;
use drave_raft::image::MetadataImage;
use drave_raft::record::{
    BrokerDrainedV1, BrokerUndrainedV1, BrokerUnregisteredV1, MetadataRecord,
};

use crate::cluster::operations::{
    NotRegistered, OperatorRequest, OperatorResponse, Remains, UnregisterError,
};
use crate::controller::balance;
use crate::controller::decision::{Decision, Policy, partitions_of};
use crate::controller::election::{Standing, settle};

pub fn decide(
    image: &MetadataImage,
    policy: &Policy,
    request: &OperatorRequest,
) -> Decision<OperatorResponse> {
    match request {
        OperatorRequest::Unregister(broker) => {
            unregister(image, policy, *broker).map(OperatorResponse::Unregistered)
        }
        OperatorRequest::Drain(broker) => {
            drain(image, policy, *broker).map(OperatorResponse::Drained)
        }
        OperatorRequest::Undrain(broker) => undrain(image, *broker).map(OperatorResponse::Drained),
    }
}

/// Its replicas stay assigned to the node id: whoever registers under it next begins them anew.
fn unregister(
    image: &MetadataImage,
    policy: &Policy,
    broker: NodeId,
) -> Decision<Result<(), UnregisterError>> {
    let Some(known) = image.brokers.get(&broker) else {
        return Decision::answer(Err(NotRegistered(broker).into()));
    };
    if !known.fenced {
        return Decision::answer(Err(UnregisterError::Running(broker)));
    }
    if let Some(refusal) = last_copies(image, broker) {
        return Decision::answer(Err(refusal));
    }
    // What it held is not counted on any more: its disk may come back empty.
    let mut records = settle(image, policy, Standing::Lost(broker));
    records.push(MetadataRecord::BrokerUnregistered(BrokerUnregisteredV1 {
        broker,
        broker_epoch: known.broker_epoch,
    }));
    Decision::new(records, Ok(()))
}

fn last_copies(image: &MetadataImage, broker: NodeId) -> Option<UnregisterError> {
    let mut first = None;
    let mut n_partitions = 0;
    for topic in image.topics.values() {
        for (name, state) in partitions_of(topic) {
            let mut holders = state.isr.iter().chain(&state.elr).peekable();
            if holders.peek().is_some() && holders.all(|it| *it == broker) {
                n_partitions += 1;
                first.get_or_insert_with(|| format!("{}-{}", topic.name, name.partition));
            }
        }
    }
    first.map(|first| UnregisterError::LastCopy {
        broker,
        n_partitions,
        first,
    })
}

fn drain(
    image: &MetadataImage,
    policy: &Policy,
    broker: NodeId,
) -> Decision<Result<Remains, NotRegistered>> {
    if !image.brokers.contains_key(&broker) {
        return Decision::answer(Err(NotRegistered(broker)));
    }
    let moves = balance::relieve(image, policy, broker);
    let carried = remains(image, broker);
    let mut records = Vec::new();
    if !image.is_drained(broker) {
        let record = BrokerDrainedV1 { broker };
        records.push(MetadataRecord::BrokerDrained(record));
    }
    let left = Remains {
        leaders: carried.leaders - moves.len(),
        ..carried
    };
    records.extend(moves);
    Decision::new(records, Ok(left))
}

fn undrain(image: &MetadataImage, broker: NodeId) -> Decision<Result<Remains, NotRegistered>> {
    if !image.brokers.contains_key(&broker) {
        return Decision::answer(Err(NotRegistered(broker)));
    }
    let record = BrokerUndrainedV1 { broker };
    let record = MetadataRecord::BrokerUndrained(record);
    let records = if image.is_drained(broker) {
        vec![record]
    } else {
        Vec::new()
    };
    Decision::new(records, Ok(remains(image, broker)))
}

fn remains(image: &MetadataImage, broker: NodeId) -> Remains {
    let partitions = || image.topics.values().flat_map(|it| &it.partitions);
    Remains {
        leaders: partitions().filter(|it| it.leader == Some(broker)).count(),
        replicas: partitions()
            .filter(|it| it.replicas.contains(&broker))
            .count(),
    }
}

#[cfg(test)]
#[path = "operations_test.rs"]
mod tests;
