//! Whether there is a quorum, since when there is none, and why.
//!
//! The quorum itself only knows the present, so someone has to look regularly: `serve` does.

use std::time::Instant;

use drave_raft::{QuorumRole, QuorumStatus};
use parking_lot::Mutex;

use crate::clock::Clock;
use crate::http::answers::NoQuorum;

/// Remembers when the quorum was lost.
#[derive(Debug)]
pub(super) struct QuorumWatch {
    clock: Clock,
    lost: Mutex<Option<Lost>>,
}

#[derive(Clone, Copy, Debug)]
struct Lost {
    at: Instant,
    at_wall_ms: i64,
}

impl QuorumWatch {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            lost: Mutex::new(None),
        }
    }

    /// Takes note of `status`, and tells what is wrong if there is no quorum.
    pub(super) fn look(&self, status: &QuorumStatus) -> Option<NoQuorum> {
        let mut lost = self.lost.lock();
        if status.has_quorum {
            *lost = None;
            return None;
        }
        let now = self.clock.now();
        let since = *lost.get_or_insert_with(|| Lost {
            at: now,
            at_wall_ms: self.clock.wall_ms(),
        });
        let elapsed = now.saturating_duration_since(since.at);
        Some(NoQuorum {
            since_ms: since.at_wall_ms,
            for_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            reason: reason(status),
        })
    }
}

/// Why there is no quorum, in the words of the one who would have to act on it.
fn reason(status: &QuorumStatus) -> String {
    if let Some(fatal) = &status.fatal {
        return format!("this node's part in the quorum stopped: {fatal}");
    }
    if let Some(refusal) = &status.join_refused {
        return format!("the cluster does not let this node in: {refusal}");
    }
    let n_voters = status.voters.len();
    match (&status.leader, status.role) {
        (_, QuorumRole::Unformed) => {
            "this node belongs to no cluster yet: it waits for the servers it was given".to_owned()
        }
        (_, QuorumRole::Leader) => format!(
            "this node leads, but {} of {n_voters} voters did not answer it in time",
            majority_text(n_voters)
        ),
        (Some(leader), QuorumRole::Learner | QuorumRole::Follower | QuorumRole::Candidate) => {
            format!(
                "node {} at {} leads, but was not heard from lately",
                leader.id.node, leader.address
            )
        }
        (None, QuorumRole::Learner | QuorumRole::Follower | QuorumRole::Candidate) => format!(
            "no leader is known; {} of {n_voters} voters must be up to elect one",
            n_voters / 2 + 1
        ),
    }
}

fn majority_text(n_voters: usize) -> String {
    // With a minority missing there would be a quorum: at least this many are.
    let missing = n_voters.div_ceil(2);
    format!("{missing} or more")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::TimeSource;
    use crate::http::fixture::{ManualTime, quorum_status};

    #[test]
    fn the_moment_of_the_loss_is_kept_until_the_quorum_is_back() {
        let time = ManualTime::default();
        let watch = QuorumWatch::new(time.clock());
        let good = quorum_status();
        let mut bad = quorum_status();
        bad.has_quorum = false;
        bad.leader = None;
        assert_eq!(watch.look(&good), None);
        let lost_at_ms = time.wall_ms();
        let first = watch.look(&bad).unwrap();
        assert_eq!((first.since_ms, first.for_ms), (lost_at_ms, 0));
        time.advance_ms(1_500);
        let later = watch.look(&bad).unwrap();
        assert_eq!((later.since_ms, later.for_ms), (lost_at_ms, 1_500));
        assert!(later.reason.contains("2 of 3 voters"), "{}", later.reason);
        assert_eq!(watch.look(&good), None);
        assert_eq!(watch.look(&bad).unwrap().for_ms, 0);
    }

    #[test]
    fn the_reason_names_what_stopped_the_node_before_anything_else() {
        let mut status = quorum_status();
        status.has_quorum = false;
        status.role = QuorumRole::Unformed;
        assert!(reason(&status).contains("no cluster yet"));
        status.join_refused = Some("node 2 is known with another directory".to_owned());
        assert!(reason(&status).contains("another directory"));
        status.fatal = Some("vote file is corrupt".to_owned());
        assert!(reason(&status).contains("vote file is corrupt"));
    }

    #[test]
    fn a_leader_without_its_voters_says_so() {
        let mut status = quorum_status();
        status.has_quorum = false;
        status.role = QuorumRole::Leader;
        assert_eq!(
            reason(&status),
            "this node leads, but 2 or more of 3 voters did not answer it in time"
        );
    }
}
