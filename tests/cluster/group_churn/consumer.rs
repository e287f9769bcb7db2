//! A member of a consumer group (KIP-848): it says what it has, hears what it may have, and gives up before it takes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::Uuid;
use drave_protocol::schema::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
};

use super::member::{Member, Scene};
use super::{GROUP, SESSION, TOPIC};
use crate::support::client::code;
use crate::support::wait::pause;
use crate::support::wire::Wire;

const JOINING: i32 = 0;
const LEFT: i32 = -1;

/// One life after another.
pub(super) fn live(scene: &Scene) {
    static N_LIVES: AtomicU64 = AtomicU64::new(0);
    while !scene.is_over() {
        let crashes = scene.chance(3) == 0;
        let mut member = Member::born(scene);
        member.id = format!("member-{}", N_LIVES.fetch_add(1, Ordering::Relaxed));
        let mut consumer = Consumer {
            member,
            epoch: JOINING,
            topic: None,
            positions: BTreeMap::new(),
            joins_since: Some(Instant::now()),
        };
        consumer.live(crashes);
    }
}

struct Consumer<'s> {
    member: Member<'s>,
    epoch: i32,
    /// Known with the first assignment.
    topic: Option<Uuid>,
    /// What it has, and how far it read.
    positions: BTreeMap<i32, i64>,
    /// Until it has something.
    joins_since: Option<Instant>,
}

impl Consumer<'_> {
    fn live(&mut self, crashes: bool) {
        while !self.member.is_done() {
            let Some(mut wire) = self.member.scene.coordinator() else {
                pause();
                continue;
            };
            // It goes on until this one is no longer the coordinator: `None`.
            while !self.member.is_done() && self.turn(&mut wire).is_some() {
                std::thread::park_timeout(Duration::from_millis(100));
            }
            if self.member.is_done() && !crashes {
                self.let_all_go();
                // Who cannot leave is given up after its session.
                drop(wire.call_newest(&self.said(LEFT)));
            }
        }
        self.let_all_go();
        if crashes {
            self.member.scene.oracle.lock().crashed();
        }
    }

    fn turn(&mut self, wire: &mut Wire) -> Option<()> {
        let sent = Instant::now();
        let said = self.said(self.epoch);
        let answer = wire.call_newest(&said).ok()?;
        match code(answer.error_code) {
            ErrorCode::None => self.heard(wire, answer, sent + SESSION)?,
            ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId => {
                self.let_all_go();
                self.epoch = JOINING;
                self.joins_since = Some(Instant::now());
                return Some(());
            }
            ErrorCode::CoordinatorLoadInProgress => return Some(()),
            _ => return None,
        }
        for partition in self.partitions() {
            self.read_and_commit(wire, partition)?;
        }
        Some(())
    }

    /// All there is to say: the coordinator may be another than the last time.
    fn said(&self, epoch: i32) -> ConsumerGroupHeartbeatRequest {
        let partitions = self.partitions();
        let owned = self.topic.filter(|_| !partitions.is_empty());
        let owned = owned.map(|topic_id| TopicPartitions {
            topic_id,
            partitions,
        });
        ConsumerGroupHeartbeatRequest {
            group_id: GROUP.to_owned(),
            member_id: self.member.id.clone(),
            member_epoch: epoch,
            rebalance_timeout_ms: 30_000,
            subscribed_topic_names: Some(vec![TOPIC.to_owned()]),
            topic_partitions: Some(owned.into_iter().collect()),
            ..ConsumerGroupHeartbeatRequest::default()
        }
    }

    fn partitions(&self) -> Vec<i32> {
        self.positions.keys().copied().collect()
    }

    /// `alive_until`: before then the coordinator cannot have given the member up.
    fn heard(
        &mut self,
        wire: &mut Wire,
        answer: ConsumerGroupHeartbeatResponse,
        alive_until: Instant,
    ) -> Option<()> {
        self.epoch = answer.member_epoch;
        let id = self.member.id.clone();
        self.member.scene.oracle.lock().heard(&id, alive_until);
        let Some(assignment) = answer.assignment else {
            return Some(());
        };
        let mut wanted = BTreeSet::new();
        for topic in assignment.topic_partitions {
            self.topic = Some(topic.topic_id);
            wanted.extend(topic.partitions);
        }
        for partition in self.partitions() {
            if !wanted.contains(&partition) {
                self.give_up(wire, partition);
            }
        }
        wanted.retain(|it| !self.positions.contains_key(it));
        for partition in wanted {
            self.take(wire, partition, alive_until)?;
        }
        Some(())
    }

    fn give_up(&mut self, wire: &mut Wire, partition: i32) {
        // As everyday clients: what was read is committed first, if it can be.
        let _ = self.read_and_commit(wire, partition);
        self.positions.remove(&partition);
        let mut oracle = self.member.scene.oracle.lock();
        oracle.lets_go(&self.member.id, partition);
    }

    fn take(&mut self, wire: &mut Wire, partition: i32, alive_until: Instant) -> Option<()> {
        {
            let mut oracle = self.member.scene.oracle.lock();
            // An answer that old may be about what others have by now: it is asked again.
            if Instant::now() >= alive_until {
                return None;
            }
            oracle.assigned(self.epoch, &self.member.id, &[partition]);
            oracle.holds(&self.member.id, partition, Some(alive_until));
        }
        let start = self.member.start_of(wire, self.epoch, partition);
        let Some(Ok(offset)) = start else {
            let mut oracle = self.member.scene.oracle.lock();
            oracle.lets_go(&self.member.id, partition);
            return None;
        };
        if let Some(since) = self.joins_since.take() {
            let mut oracle = self.member.scene.oracle.lock();
            oracle.rebalanced(since.elapsed());
        }
        self.positions.insert(partition, offset);
        Some(())
    }

    fn read_and_commit(&mut self, wire: &mut Wire, partition: i32) -> Option<()> {
        let position = self.positions.get_mut(&partition)?;
        self.member.read(partition, position);
        let offset = *position;
        match self.member.commit(wire, self.epoch, partition, offset)? {
            ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable => None,
            // Whatever else it is, the next heartbeat is answered with it.
            _ => Some(()),
        }
    }

    fn let_all_go(&mut self) {
        self.positions.clear();
        let mut oracle = self.member.scene.oracle.lock();
        oracle.lets_all_go(&self.member.id);
    }
}
