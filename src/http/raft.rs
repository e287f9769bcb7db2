//! `/v1/raft`: the metadata quorum as this node sees it.

use axum::extract::State;
use axum::response::Response;
use drave_protocol::ids::DirectoryId;
use drave_raft::{MemberStatus, Peer, QuorumRole, QuorumStatus};

use crate::cluster::view::ClusterView;
use crate::http::answers::{MemberAnswer, RaftAnswer, RaftRole, Seen};
use crate::http::layout::json;
use crate::http::state::HttpState;

pub(super) async fn get(State(state): State<HttpState>) -> Response {
    let view = state.metadata.view();
    let status = state.sources.quorum();
    let seen = state.seen(&view, &status);
    json(&answer(&view, status, seen))
}

fn answer(view: &ClusterView, status: QuorumStatus, seen: Seen) -> RaftAnswer {
    RaftAnswer {
        seen,
        cluster_id: cluster_id(view, &status),
        directory: directory(status.id.directory),
        role: role(status.role),
        term: status.term,
        leader: status.leader.as_ref().map(|it| leader(it, &status)),
        voters: status.voters.iter().map(member).collect(),
        learners: status.learners.iter().map(member).collect(),
        last_log_index: status.last_log,
        committed_index: status.committed,
        applied_index: status.applied,
        snapshot_index: status.snapshot,
        fatal: status.fatal,
        join_refused: status.join_refused,
    }
}

/// The image knows it from its first record, the quorum perhaps from the disk before that.
pub(super) fn cluster_id(view: &ClusterView, status: &QuorumStatus) -> Option<String> {
    let agreed = view.cluster_id().map(str::to_owned);
    agreed.or_else(|| status.cluster_id.clone())
}

pub(super) fn member(member: &MemberStatus) -> MemberAnswer {
    MemberAnswer {
        node: member.id.node,
        directory: directory(member.id.directory),
        address: member.address.clone(),
        matched_index: member.matched,
    }
}

fn leader(leader: &Peer, status: &QuorumStatus) -> MemberAnswer {
    let known = status.voters.iter().find(|it| it.id == leader.id);
    MemberAnswer {
        node: leader.id.node,
        directory: directory(leader.id.directory),
        address: leader.address.clone(),
        matched_index: known.and_then(|it| it.matched),
    }
}

pub(super) fn directory(directory: DirectoryId) -> String {
    format!("{:016x}", directory.0)
}

fn role(role: QuorumRole) -> RaftRole {
    match role {
        QuorumRole::Unformed => RaftRole::Unformed,
        QuorumRole::Learner => RaftRole::Learner,
        QuorumRole::Follower => RaftRole::Follower,
        QuorumRole::Candidate => RaftRole::Candidate,
        QuorumRole::Leader => RaftRole::Leader,
    }
}

#[cfg(test)]
mod tests {
    use drave_protocol::ids::NodeId;

    use super::*;
    use crate::http::fixture::{quorum_status, seen, view};

    #[test]
    fn members_are_told_with_their_disk_and_address() {
        let answer = answer(&view(), quorum_status(), seen());
        assert_eq!(answer.role, RaftRole::Follower);
        assert_eq!(answer.term, 4);
        let leader = answer.leader.unwrap();
        assert_eq!(leader.node, NodeId(2));
        assert_eq!(leader.directory, "00000000000000d2");
        assert_eq!(answer.voters.len(), 3);
    }
}
