//! Who is a broker of this cluster, and which of its processes speaks for it.
//!
//! Invariants: a broker starts fenced; one `node.id` has one directory and one running incarnation;
//! a new incarnation inherits nothing: its memberships are ended before it is registered; a broker is
//! unfenced only once its image shows its own registration.

use drave_log::planted::{Fault, is_planted};
use drave_protocol::ids::{BrokerEpoch, MetadataOffset, NodeId};
use drave_raft::image::{BrokerRegistration, MetadataImage};
use drave_raft::record::{
    BrokerFencedV1, BrokerRegisteredV1, BrokerShuttingDownV1, BrokerUnfencedV1, MetadataRecord,
};

use crate::cluster::rpc::{
    Heartbeat, HeartbeatError, RegisterBroker, RegisterError, StaleBrokerEpoch,
};
use crate::controller::decision::{Decision, Policy};
use crate::controller::election::{Standing, settle};

/// What the controller knows of the process registered so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Predecessor {
    /// Heard within the session, and its connection stands.
    Alive,
    /// Its connection is gone, or it was never heard: it cannot be running.
    Gone,
}

/// Answered, once agreed, with the broker epoch: the metadata offset of the registration.
pub fn register(
    image: &MetadataImage,
    policy: &Policy,
    predecessor: Predecessor,
    request: &RegisterBroker,
) -> Decision<Result<(), RegisterError>> {
    let known = image.brokers.get(&request.broker).map(AsRef::as_ref);
    if let Err(error) = admit(image, known, predecessor, request) {
        return Decision::answer(Err(error));
    }
    if known.is_some_and(|it| it.incarnation == request.incarnation) {
        // The answer to an earlier try was lost.
        return Decision::answer(Ok(()));
    }
    let clean_shutdown = match known {
        Some(_) if is_planted(Fault::CrashTakenForStop) => true,
        Some(known) => request.previous_broker_epoch == Some(known.broker_epoch),
        None => true,
    };
    let mut records = end_memberships(image, policy, clean_shutdown, request);
    records.push(MetadataRecord::BrokerRegistered(BrokerRegisteredV1 {
        broker: request.broker,
        incarnation: request.incarnation,
        directory: request.directory,
        listeners: request.listeners.clone(),
        controller_address: request.controller_address.clone(),
        http_address: request.http_address.clone(),
        rack: request.rack.clone(),
        clean_shutdown,
    }));
    Decision::new(records, Ok(()))
}

fn admit(
    image: &MetadataImage,
    known: Option<&BrokerRegistration>,
    predecessor: Predecessor,
    request: &RegisterBroker,
) -> Result<(), RegisterError> {
    let broker = request.broker;
    if let (Some(expected), Some(presented)) = (&image.cluster_id, &request.cluster_id)
        && expected != presented
    {
        return Err(RegisterError::ClusterMismatch {
            expected: expected.clone(),
            presented: presented.clone(),
        });
    }
    if request.listeners.is_empty() {
        return Err(RegisterError::NoListeners { broker });
    }
    let Some(known) = known else { return Ok(()) };
    if known.directory != request.directory {
        return Err(RegisterError::DirectoryMismatch {
            broker,
            known: known.directory,
            presented: request.directory,
        });
    }
    let other_process = known.incarnation != request.incarnation;
    if other_process && predecessor == Predecessor::Alive {
        return Err(RegisterError::Duplicate {
            broker,
            running: known.incarnation,
        });
    }
    Ok(())
}

fn end_memberships(
    image: &MetadataImage,
    policy: &Policy,
    clean_shutdown: bool,
    request: &RegisterBroker,
) -> Vec<MetadataRecord> {
    let broker = request.broker;
    let standing = if clean_shutdown {
        Standing::Inactive(broker)
    } else {
        Standing::Crashed {
            broker,
            flushes_on_commit: request.flushes_on_commit,
        }
    };
    settle(image, policy, standing)
}

/// Every call of a broker names its epoch: an older incarnation is told that it is over.
pub fn check_epoch(
    image: &MetadataImage,
    broker: NodeId,
    presented: BrokerEpoch,
) -> Result<&BrokerRegistration, StaleBrokerEpoch> {
    match image.brokers.get(&broker) {
        Some(known) if known.broker_epoch == presented => Ok(known),
        other => Err(StaleBrokerEpoch {
            broker,
            presented,
            registered: other.map(|it| it.broker_epoch),
        }),
    }
}

/// What a heartbeat changes, beside proving life.
pub fn heartbeat(
    image: &MetadataImage,
    policy: &Policy,
    request: &Heartbeat,
) -> Decision<Result<(), HeartbeatError>> {
    if !image.brokers.contains_key(&request.broker) {
        return Decision::answer(Err(HeartbeatError::NotRegistered(request.broker)));
    }
    let known = match check_epoch(image, request.broker, request.broker_epoch) {
        Ok(known) => known,
        Err(stale) => return Decision::answer(Err(HeartbeatError::Stale(stale))),
    };
    let records = if known.fenced {
        // Who was leaving when it was fenced comes back as a new process only.
        if may_unfence(request) && !known.shutting_down {
            unfence(image, policy, request.broker, request.broker_epoch)
        } else {
            Vec::new()
        }
    } else if request.want_shutdown && !known.shutting_down {
        begin_shutdown(image, policy, request.broker, request.broker_epoch)
    } else if request.want_fence && !known.shutting_down {
        fence(image, policy, request.broker, request.broker_epoch)
    } else {
        Vec::new()
    };
    Decision::new(records, Ok(()))
}

fn may_unfence(request: &Heartbeat) -> bool {
    let registered_at = u64::try_from(request.broker_epoch.0).map(MetadataOffset);
    let caught_up = registered_at.is_ok_and(|at| request.applied >= at);
    caught_up && !request.want_fence && !request.want_shutdown
}

/// The broker leaves every ISR it can, others are elected; the record that hides it goes first, so
/// that no prefix of the decision shows a broker that leads nothing as routable for no reason.
pub fn fence(
    image: &MetadataImage,
    policy: &Policy,
    broker: NodeId,
    broker_epoch: BrokerEpoch,
) -> Vec<MetadataRecord> {
    let record = BrokerFencedV1 {
        broker,
        broker_epoch,
    };
    let mut records = vec![MetadataRecord::BrokerFenced(record)];
    records.extend(settle(image, policy, Standing::Inactive(broker)));
    records
}

fn unfence(
    image: &MetadataImage,
    policy: &Policy,
    broker: NodeId,
    broker_epoch: BrokerEpoch,
) -> Vec<MetadataRecord> {
    let record = BrokerUnfencedV1 {
        broker,
        broker_epoch,
    };
    let mut records = vec![MetadataRecord::BrokerUnfenced(record)];
    records.extend(settle(image, policy, Standing::Active(broker)));
    records
}

/// A polite leave: as a fence, but the broker stays routable until others have taken over.
fn begin_shutdown(
    image: &MetadataImage,
    policy: &Policy,
    broker: NodeId,
    broker_epoch: BrokerEpoch,
) -> Vec<MetadataRecord> {
    let record = BrokerShuttingDownV1 {
        broker,
        broker_epoch,
    };
    let mut records = vec![MetadataRecord::BrokerShuttingDown(record)];
    records.extend(settle(image, policy, Standing::Inactive(broker)));
    records
}

#[cfg(test)]
#[path = "brokers_test.rs"]
mod tests;
