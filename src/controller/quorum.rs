//! Questions about the quorum and changes of it, carried out where it is led.
//!
//! These are no records of the image: who votes is in the log's own membership entries. They run beside
//! the reign, which a change that waits for a slow member must not hold up.

use std::time::Duration;

use drave_raft::{MemberStatus, MembershipError, MetadataRaft, QuorumStatus};

use crate::clock::Clock;
use crate::cluster::operations::{
    MemberDescription, QuorumDescription, QuorumRequest, QuorumResponse,
};
use crate::cluster::rpc::{PeerReply, PeerResponse, Refusal};

pub(super) async fn carry_out(
    raft: &MetadataRaft,
    clock: &Clock,
    request: QuorumRequest,
) -> PeerReply {
    let response = match request {
        QuorumRequest::Describe => QuorumResponse::Described(describe(raft.status(), clock)),
        QuorumRequest::AddVoter(peer) => QuorumResponse::Changed(raft.add_voter(&peer).await),
        QuorumRequest::RemoveVoter(peer) => QuorumResponse::Changed(raft.remove(peer).await),
    };
    let response = match response {
        // Whoever leads now is asked the same again.
        QuorumResponse::Changed(Err(MembershipError::NotLeader)) => {
            PeerResponse::Refused(Refusal::NotController)
        }
        response @ (QuorumResponse::Described(_) | QuorumResponse::Changed(_)) => {
            PeerResponse::Quorum(response)
        }
    };
    PeerReply {
        applied: raft.image().offset,
        response,
    }
}

fn describe(status: QuorumStatus, clock: &Clock) -> QuorumDescription {
    let now_ms = clock.wall_ms();
    let last_log = status.last_log;
    let member = |it: MemberStatus| {
        let answered_at_ms = it.silent_for.map(|silent| now_ms - ms(silent));
        MemberDescription {
            caught_up_at_ms: answered_at_ms.filter(|_| it.matched >= Some(last_log)),
            answered_at_ms,
            matched: it.matched,
            peer: drave_raft::Peer {
                id: it.id,
                address: it.address,
            },
        }
    };
    QuorumDescription {
        leader: status.id.node,
        term: status.term,
        committed: status.committed,
        voters: status.voters.into_iter().map(member).collect(),
        observers: status.learners.into_iter().map(member).collect(),
    }
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
