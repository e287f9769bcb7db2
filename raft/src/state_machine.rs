//! openraft's state machine: committed entries become images, images become updates and snapshots.
//!
//! Invariants: an image is published before its proposer is answered; offsets of published images
//! only rise; an entry that does not decode stops this node, because skipping a fact would make it
//! differ from its peers.

use std::io;
use std::sync::Arc;

use drave_protocol::ids::MetadataOffset;
use futures_util::{Stream, TryStreamExt};
use openraft::OptionalSend;
use openraft::entry::RaftEntry;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use parking_lot::Mutex;
use tokio::sync::{broadcast, watch};

use crate::codec::decode_records;
use crate::history::feed::Feed;
use crate::image::{MetadataDelta, MetadataImage};
use crate::snapshot::{SnapshotBytes, SnapshotStore};
use crate::stored::AppliedV1;
use crate::subscription::{ImageSource, MetadataSubscription, MetadataUpdate, QUEUE_CHANGES_MAX};
use crate::tasks;
use crate::types::{
    Applied, Entry, LogId, Payload, RecordBatch, Snapshot, SnapshotMeta, StoredMembership,
    TypeConfig,
};

/// Clones are handles on one machine: openraft drives one, the face reads another.
#[derive(Clone, Debug)]
pub struct StateMachine {
    machine: Arc<Machine>,
}

#[derive(Debug)]
struct Machine {
    state: Mutex<State>,
    updates: broadcast::Sender<MetadataUpdate>,
    applied: watch::Sender<MetadataOffset>,
    snapshots: SnapshotStore,
    history: Feed,
    failure: Mutex<Option<String>>,
}

#[derive(Clone, Debug, Default)]
struct State {
    last: Option<LogId>,
    membership: StoredMembership,
    image: Arc<MetadataImage>,
}

impl StateMachine {
    /// `start` is where a snapshot or checkpoint left off.
    pub(crate) fn new(
        snapshots: SnapshotStore,
        history: Feed,
        start: Option<(&AppliedV1, MetadataImage)>,
    ) -> io::Result<Self> {
        let state = match start {
            None => State::default(),
            Some((applied, image)) => {
                let meta = applied.to_meta().map_err(io::Error::other)?;
                State {
                    last: meta.last_log_id,
                    membership: meta.last_membership,
                    image: Arc::new(image),
                }
            }
        };
        let (applied, _) = watch::channel(state.image.offset);
        let (updates, _) = broadcast::channel(QUEUE_CHANGES_MAX);
        Ok(Self {
            machine: Arc::new(Machine {
                state: Mutex::new(state),
                updates,
                applied,
                snapshots,
                history,
                failure: Mutex::new(None),
            }),
        })
    }

    pub(crate) fn image(&self) -> Arc<MetadataImage> {
        self.machine.state.lock().image.clone()
    }

    pub(crate) fn subscribe(&self) -> MetadataSubscription {
        let updates = self.machine.updates.subscribe();
        MetadataSubscription::new(self.machine.clone(), updates)
    }

    pub(crate) fn applied(&self) -> watch::Receiver<MetadataOffset> {
        self.machine.applied.subscribe()
    }

    /// Why applying stopped, if it did.
    pub(crate) fn failure(&self) -> Option<String> {
        self.machine.failure.lock().clone()
    }

    /// For the history's last checkpoint, when the node stops.
    pub(crate) fn checkpoint(&self) -> (AppliedV1, Arc<MetadataImage>) {
        let state = self.machine.state.lock();
        let applied = AppliedV1::of(state.last.as_ref(), &state.membership);
        (applied, state.image.clone())
    }

    fn apply_entry(&self, entry: &Entry) -> io::Result<Applied> {
        let outcome = match &entry.payload {
            Payload::Blank | Payload::Membership(_) => None,
            Payload::Normal(batch) => Some(batch),
        };
        let membership = entry
            .get_membership()
            .map(|membership| StoredMembership::new(Some(entry.log_id), membership));
        self.machine
            .apply(entry.log_id, membership, outcome)
            .inspect_err(|error| {
                tracing::error!(offset = entry.log_id.index(), %error, "metadata cannot be applied");
                *self.machine.failure.lock() =
                    Some(format!("metadata offset {}: {error}", entry.log_id.index()));
            })
    }
}

impl Machine {
    fn apply(
        &self,
        id: LogId,
        membership: Option<StoredMembership>,
        batch: Option<&RecordBatch>,
    ) -> io::Result<Applied> {
        let offset = MetadataOffset(id.index());
        let term = id.committed_leader_id().term;
        let before = self.state.lock().image.clone();
        let mut applied = Applied::Done;
        let mut delta = MetadataDelta::default();
        let mut records = Vec::new();
        let image = match batch {
            None => before.advanced_to(offset, term),
            Some(batch) => {
                records = decode_records(&batch.records).map_err(io::Error::other)?;
                match before.apply(offset, term, &records) {
                    Ok((image, changes)) => {
                        delta = changes;
                        image
                    }
                    Err(error) => {
                        tracing::error!(%offset, %error, "a proposed batch does not fit, refused");
                        applied = Applied::Rejected(error);
                        records.clear();
                        before.advanced_to(offset, term)
                    }
                }
            }
        };
        let image = Arc::new(image);
        let mut state = self.state.lock();
        state.last = Some(id);
        state.image = image.clone();
        if let Some(membership) = membership {
            state.membership = membership;
        }
        drop(state);
        self.publish(MetadataUpdate::Changed {
            image: image.clone(),
            delta: Arc::new(delta),
        });
        let wall_ms = batch.map_or(0, |batch| batch.wall_ms);
        let reached = || {
            let state = self.state.lock();
            AppliedV1::of(state.last.as_ref(), &state.membership)
        };
        self.history.applied(reached, image, wall_ms, records);
        Ok(applied)
    }

    fn publish(&self, update: MetadataUpdate) {
        let offset = update.image().offset;
        // Nobody subscribed is no fault.
        drop(self.updates.send(update));
        self.applied.send_replace(offset);
    }
}

impl ImageSource for Machine {
    fn image(&self) -> Arc<MetadataImage> {
        self.state.lock().image.clone()
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotBytes;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let state = self.machine.state.lock();
        Ok((state.last, state.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let applied = self.apply_entry(&entry)?;
            if let Some(responder) = responder {
                responder.send(applied);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder {
            state: self.machine.state.lock().clone(),
            snapshots: self.machine.snapshots.clone(),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotBytes,
    ) -> Result<(), io::Error> {
        let applied = AppliedV1::of(meta.last_log_id.as_ref(), &meta.last_membership);
        let snapshots = self.machine.snapshots.clone();
        let saved = applied.clone();
        let image = tasks::blocking(move || {
            let image = snapshot.to_image().map_err(io::Error::other)?;
            snapshots.save(&saved, &snapshot)?;
            Ok::<_, io::Error>(Arc::new(image))
        })
        .await??;
        let mut state = self.machine.state.lock();
        state.last = meta.last_log_id;
        state.membership = meta.last_membership.clone();
        state.image = image.clone();
        drop(state);
        self.machine.publish(MetadataUpdate::Reset {
            image: image.clone(),
        });
        self.machine.history.reset(applied, image);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        let snapshots = self.machine.snapshots.clone();
        let found = tasks::blocking(move || snapshots.load())
            .await?
            .map_err(io::Error::other)?;
        let Some((applied, snapshot)) = found else {
            return Ok(None);
        };
        let meta = applied.to_meta().map_err(io::Error::other)?;
        Ok(Some(Snapshot { meta, snapshot }))
    }
}

/// A frozen view: the image is copy-on-write, so applying goes on meanwhile.
#[derive(Debug)]
pub struct SnapshotBuilder {
    state: State,
    snapshots: SnapshotStore,
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = SnapshotBytes;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let State {
            last,
            membership,
            image,
        } = self.state.clone();
        let applied = AppliedV1::of(last.as_ref(), &membership);
        let snapshots = self.snapshots.clone();
        let snapshot = tasks::blocking(move || {
            let snapshot = SnapshotBytes::of(&image).map_err(io::Error::other)?;
            snapshots.save(&applied, &snapshot)?;
            Ok::<_, io::Error>(snapshot)
        })
        .await??;
        let meta = SnapshotMeta {
            last_log_id: last,
            last_membership: membership,
        };
        Ok(Snapshot { meta, snapshot })
    }
}
