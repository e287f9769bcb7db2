//! A member of a classic group: it joins, syncs, and consumes until the group rebalances.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::heartbeat::HeartbeatRequest;
use drave_protocol::schema::join_group::{JoinGroupRequest, JoinGroupResponse};
use drave_protocol::schema::leave_group::{LeaveGroupRequest, MemberIdentity};
use drave_protocol::schema::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};

use super::member::{Member, Scene};
use super::{GROUP, N_PARTITIONS, TOPIC};
use crate::support::client::code;
use crate::support::groups::join_request;
use crate::support::wait::pause;
use crate::support::wire::Wire;

/// Whether the member goes on with this coordinator.
enum Turn {
    Again,
    Lost,
}

/// One life after another.
pub(super) fn live(scene: &Scene) {
    while !scene.is_over() {
        let crashes = scene.chance(3) == 0;
        Member::born(scene).live(crashes);
    }
}

impl Member<'_> {
    fn live(&mut self, crashes: bool) {
        while !self.is_done() {
            let Some(mut wire) = self.scene.coordinator() else {
                pause();
                continue;
            };
            while !self.is_done() {
                if let Some(Turn::Again) = self.generation(&mut wire) {
                    continue;
                }
                pause();
                break;
            }
            if self.is_done() && !crashes {
                self.leave(&mut wire);
            }
        }
        if crashes {
            self.scene.oracle.lock().crashed();
        }
    }

    fn leave(&self, wire: &mut Wire) {
        let request = LeaveGroupRequest {
            group_id: GROUP.to_owned(),
            members: vec![MemberIdentity {
                member_id: self.id.clone(),
                ..MemberIdentity::default()
            }],
            ..LeaveGroupRequest::default()
        };
        // Who cannot leave is given up after its session.
        drop(wire.call(5, &request));
    }

    /// Joins, and consumes until the group rebalances.
    fn generation(&mut self, wire: &mut Wire) -> Option<Turn> {
        let began = Instant::now();
        let request = JoinGroupRequest {
            session_timeout_ms: 3_000,
            rebalance_timeout_ms: 5_000,
            ..join_request(GROUP, &self.id, TOPIC)
        };
        let joined = wire.call(9, &request).ok()?;
        match code(joined.error_code) {
            ErrorCode::None => {}
            ErrorCode::MemberIdRequired => {
                self.id = joined.member_id;
                return Some(Turn::Again);
            }
            ErrorCode::UnknownMemberId => {
                self.id.clear();
                return Some(Turn::Again);
            }
            ErrorCode::RebalanceInProgress => return Some(Turn::Again),
            _ => return Some(Turn::Lost),
        }
        let synced = wire.call(5, &sync_request(&joined)).ok()?;
        if let Some(turn) = self.ended_by(code(synced.error_code)) {
            return Some(turn);
        }
        let partitions = partitions_of(synced.assignment);
        {
            let mut oracle = self.scene.oracle.lock();
            oracle.assigned(joined.generation_id, &self.id, &partitions);
            oracle.rebalanced(began.elapsed());
        }
        self.consume(wire, joined.generation_id, &partitions)
    }

    /// What becomes of a member that got this answer; `None`: it goes on.
    fn ended_by(&mut self, answer: ErrorCode) -> Option<Turn> {
        match answer {
            ErrorCode::None => None,
            ErrorCode::RebalanceInProgress => Some(Turn::Again),
            ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => {
                self.id.clear();
                Some(Turn::Again)
            }
            _ => Some(Turn::Lost),
        }
    }

    fn consume(&mut self, wire: &mut Wire, generation: i32, partitions: &[i32]) -> Option<Turn> {
        let mut positions = BTreeMap::new();
        for partition in partitions {
            let Ok(offset) = self.start_of(wire, generation, *partition)? else {
                return Some(Turn::Lost);
            };
            positions.insert(*partition, offset);
        }
        while !self.is_done() {
            let beat = self.heartbeat(wire, generation)?;
            if let Some(turn) = self.ended_by(beat) {
                return Some(turn);
            }
            for (partition, position) in &mut positions {
                self.read(*partition, position);
                if self.commit(wire, generation, *partition, *position)? != ErrorCode::None {
                    break;
                }
            }
            std::thread::park_timeout(Duration::from_millis(100));
        }
        Some(Turn::Again)
    }

    fn heartbeat(&self, wire: &mut Wire, generation: i32) -> Option<ErrorCode> {
        let request = HeartbeatRequest {
            group_id: GROUP.to_owned(),
            generation_id: generation,
            member_id: self.id.clone(),
            ..HeartbeatRequest::default()
        };
        Some(code(wire.call(4, &request).ok()?.error_code))
    }
}

/// The leader deals the partitions out in turn.
fn sync_request(joined: &JoinGroupResponse) -> SyncGroupRequest {
    let members = &joined.members;
    let deal = |n: usize| {
        let all = 0..usize::try_from(N_PARTITIONS).unwrap();
        let mut bytes = BytesMut::new();
        for partition in all.filter(|it| it % members.len() == n) {
            bytes.put_i32(i32::try_from(partition).unwrap());
        }
        bytes.freeze()
    };
    let assignments = members.iter().enumerate();
    SyncGroupRequest {
        group_id: GROUP.to_owned(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        assignments: assignments
            .map(|(n, member)| SyncGroupRequestAssignment {
                member_id: member.member_id.clone(),
                assignment: deal(n),
            })
            .collect(),
        ..SyncGroupRequest::default()
    }
}

fn partitions_of(mut assignment: Bytes) -> Vec<i32> {
    let mut partitions = Vec::new();
    while assignment.remaining() >= size_of::<i32>() {
        partitions.push(assignment.get_i32());
    }
    partitions
}
