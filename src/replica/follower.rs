//! The follower's half of replication, as pure decisions: what to do with one partition's answer.
//!
//! Invariants: a follower truncates only to where epochs part, never to a high watermark; an answer
//! counts only while the log end and the leader epoch are those it was asked with; an offset below
//! the leader's log start means starting over there, never at zero.

use bytes::Bytes;
use drave_protocol::ErrorCode;
use drave_protocol::ids::{LeaderEpoch, Offset};

/// What a follower says it holds, when it asks for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub leader_epoch: LeaderEpoch,
    pub fetch_offset: Offset,
    pub last_fetched_epoch: Option<LeaderEpoch>,
    /// What no crash takes back.
    pub log_start_offset: Offset,
}

/// One partition of a fetch answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub error: ErrorCode,
    pub high_watermark: Offset,
    pub log_start_offset: Offset,
    pub diverging: Option<(LeaderEpoch, Offset)>,
    pub records: Bytes,
}

/// What the leader says of its own log beside the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeaderBounds {
    pub high_watermark: Offset,
    pub log_start_offset: Offset,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Append {
        records: Bytes,
        leader: LeaderBounds,
    },
    Truncate {
        diverging: (LeaderEpoch, Offset),
        leader_start: Offset,
    },
    /// The position is outside the leader's log: ask for its bounds, then `place_in_bounds`.
    AskBounds,
    /// The image will say more: a new leader or epoch is on its way.
    AwaitMetadata,
    /// Passing trouble at the leader.
    BackOff { error: ErrorCode },
}

pub(super) fn decide(answer: Answer) -> Action {
    if answer.error == ErrorCode::None {
        return match answer.diverging {
            Some(diverging) => Action::Truncate {
                diverging,
                leader_start: answer.log_start_offset,
            },
            None => Action::Append {
                records: answer.records,
                leader: LeaderBounds {
                    high_watermark: answer.high_watermark,
                    log_start_offset: answer.log_start_offset,
                },
            },
        };
    }
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "135 codes; all others are passing trouble"
    )]
    match answer.error {
        ErrorCode::OffsetOutOfRange => Action::AskBounds,
        ErrorCode::FencedLeaderEpoch
        | ErrorCode::NotLeaderOrFollower
        | ErrorCode::UnknownLeaderEpoch
        | ErrorCode::UnknownTopicId
        | ErrorCode::UnknownTopicOrPartition => Action::AwaitMetadata,
        error => Action::BackOff { error },
    }
}

/// Where an out-of-range follower goes, by the leader's bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placement {
    /// We are longer than the leader: cut to its end; epochs settle the rest at the next fetch.
    TruncateTo(Offset),
    /// We end before the leader's log begins: start over there.
    RestartAt(Offset),
    Stay,
}

/// The leader's log start and end, from its answer to a question about what no log reaches; `None` where it
/// does not lead in this epoch.
pub(super) fn bounds(answer: &Answer, leader_epoch: LeaderEpoch) -> Option<(Offset, Offset)> {
    let (epoch, end) = answer.diverging?;
    let is_answer = answer.error == ErrorCode::None && epoch == leader_epoch;
    is_answer.then_some((answer.log_start_offset, end))
}

pub(super) fn place_in_bounds(
    log_end_offset: Offset,
    (leader_start, leader_end): (Offset, Offset),
) -> Placement {
    if log_end_offset > leader_end {
        Placement::TruncateTo(leader_end)
    } else if log_end_offset < leader_start {
        Placement::RestartAt(leader_start)
    } else {
        Placement::Stay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(error: ErrorCode) -> Answer {
        Answer {
            error,
            high_watermark: Offset(3),
            log_start_offset: Offset(1),
            diverging: None,
            records: Bytes::from_static(b"batch"),
        }
    }

    #[test]
    fn records_are_appended_and_divergence_goes_first() {
        assert!(matches!(
            decide(answer(ErrorCode::None)),
            Action::Append { .. }
        ));
        let parted = (LeaderEpoch(2), Offset(7));
        let diverging = Answer {
            diverging: Some(parted),
            ..answer(ErrorCode::None)
        };
        let cut = Action::Truncate {
            diverging: parted,
            leader_start: Offset(1),
        };
        assert_eq!(decide(diverging), cut);
    }

    #[test]
    fn a_fenced_follower_waits_for_the_image() {
        assert_eq!(
            decide(answer(ErrorCode::FencedLeaderEpoch)),
            Action::AwaitMetadata
        );
        assert_eq!(
            decide(answer(ErrorCode::OffsetOutOfRange)),
            Action::AskBounds
        );
        let storage = ErrorCode::KafkaStorageError;
        assert_eq!(decide(answer(storage)), Action::BackOff { error: storage });
    }

    #[test]
    fn only_a_leader_in_the_same_epoch_has_bounds() {
        let told = Answer {
            diverging: Some((LeaderEpoch(4), Offset(90))),
            ..answer(ErrorCode::None)
        };
        let found = bounds(&told, LeaderEpoch(4));
        assert_eq!(found, Some((Offset(1), Offset(90))));
        assert_eq!(bounds(&told, LeaderEpoch(5)), None);
        let fenced = Answer {
            error: ErrorCode::FencedLeaderEpoch,
            ..told
        };
        assert_eq!(bounds(&fenced, LeaderEpoch(4)), None);
        assert_eq!(bounds(&answer(ErrorCode::None), LeaderEpoch(4)), None);
    }

    #[test]
    fn a_follower_below_the_leaders_start_never_restarts_at_zero() {
        let bounds = (Offset(50), Offset(90));
        assert_eq!(
            place_in_bounds(Offset(10), bounds),
            Placement::RestartAt(Offset(50))
        );
        assert_eq!(
            place_in_bounds(Offset(95), bounds),
            Placement::TruncateTo(Offset(90))
        );
        assert_eq!(place_in_bounds(Offset(60), bounds), Placement::Stay);
    }
}
