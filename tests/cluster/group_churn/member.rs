//! What members of either protocol do alike: they live, read what they have and commit it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::offset_commit::OffsetCommitRequest;
use parking_lot::Mutex;

use super::oracle::Oracle;
use super::{GROUP, TOPIC};
use crate::support::client::{code, fetch, topic_metadata, values_of};
use crate::support::groups::{self, COMMIT_BY_NAME, commit_request, committed};
use crate::support::wait::seconds;
use crate::support::wire::Wire;

pub(super) struct Scene {
    pub(super) bootstrap: String,
    pub(super) ports: Vec<u16>,
    pub(super) oracle: Arc<Mutex<Oracle>>,
    pub(super) is_over: AtomicBool,
    pub(super) seed: AtomicU64,
}

impl Scene {
    pub(super) fn chance(&self, below: u64) -> u64 {
        let next = self
            .seed
            .fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        let mixed = (next ^ (next >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (mixed ^ (mixed >> 32)) % below
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn any(&self) -> Option<Wire> {
        let n_ports = u64::try_from(self.ports.len()).unwrap();
        let at = usize::try_from(self.chance(n_ports)).unwrap();
        connect(self.ports[at])
    }

    pub(super) fn coordinator(&self) -> Option<Wire> {
        let node = groups::find(&mut self.any()?, GROUP).ok()??;
        connect(self.ports[usize::try_from(node - 1).unwrap()])
    }
}

fn connect(port: u16) -> Option<Wire> {
    let mut wire = Wire::connect(port).ok()?;
    wire.read_timeout(seconds(15));
    Some(wire)
}

/// One life.
pub(super) struct Member<'s> {
    pub(super) scene: &'s Scene,
    pub(super) id: String,
    ends: Instant,
    /// Connections to those who lead the partitions.
    leaders: BTreeMap<i32, Wire>,
}

impl<'s> Member<'s> {
    pub(super) fn born(scene: &'s Scene) -> Self {
        let life = Duration::from_millis(3_000 + scene.chance(9_000));
        Self {
            scene,
            id: String::new(),
            ends: Instant::now() + life,
            leaders: BTreeMap::new(),
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.scene.is_over() || Instant::now() >= self.ends
    }

    /// Where the group is, in `generation`; `None`: whoever was asked is no coordinator of it now.
    pub(super) fn start_of(
        &self,
        wire: &mut Wire,
        generation: i32,
        partition: i32,
    ) -> Option<Result<i64, ErrorCode>> {
        let acked = self.scene.oracle.lock().most_committed(partition);
        let found = committed(wire, GROUP, TOPIC, partition).ok()?;
        Some(found.map(|offset| {
            let mut oracle = self.scene.oracle.lock();
            oracle.begins(partition, generation, offset, acked);
            offset.max(0)
        }))
    }

    /// Takes what there is; a leader that is gone is looked for with the next turn.
    pub(super) fn read(&mut self, partition: i32, position: &mut i64) {
        let Some(wire) = self.leader(partition) else {
            return;
        };
        let Some(found) = fetch(wire, TOPIC, partition, *position)
            .ok()
            .filter(|it| it.error_code == 0)
        else {
            self.leaders.remove(&partition);
            return;
        };
        let records = values_of(&found.records.unwrap_or_default());
        let mut oracle = self.scene.oracle.lock();
        let consumed = oracle.consumed.entry(partition).or_default();
        let from = *position;
        for (offset, _) in records.into_iter().filter(|(offset, _)| *offset >= from) {
            consumed.insert(offset);
            *position = offset + 1;
        }
    }

    fn leader(&mut self, partition: i32) -> Option<&mut Wire> {
        if !self.leaders.contains_key(&partition) {
            let topic = topic_metadata(&mut self.scene.any()?, TOPIC).ok()?;
            let found = topic
                .partitions
                .iter()
                .find(|it| it.partition_index == partition)?;
            let node = usize::try_from(found.leader_id - 1).ok()?;
            self.leaders
                .insert(partition, connect(*self.scene.ports.get(node)?)?);
        }
        self.leaders.get_mut(&partition)
    }

    /// What the coordinator answers to a commit; `None`: nothing.
    pub(super) fn commit(
        &self,
        wire: &mut Wire,
        generation: i32,
        partition: i32,
        offset: i64,
    ) -> Option<ErrorCode> {
        let request = OffsetCommitRequest {
            member_id: self.id.clone(),
            generation_id_or_member_epoch: generation,
            ..commit_request(GROUP, TOPIC, partition, offset)
        };
        let answer = wire.call(COMMIT_BY_NAME, &request).ok()?;
        let answer = code(answer.topics[0].partitions[0].error_code);
        if answer == ErrorCode::None {
            let mut oracle = self.scene.oracle.lock();
            oracle.committed(partition, generation, offset);
        }
        Some(answer)
    }
}
