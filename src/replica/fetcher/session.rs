//! A follower's side of a fetch session (KIP-227): what its leader remembers of it, and so need not be told.
//! Pure.
//!
//! Invariants: what is in `sent` is what the leader holds; whatever leaves that in doubt begins anew with a
//! full request. An answer is held against the position its partition was asked for from.

use std::collections::BTreeMap;

use drave_protocol::ErrorCode;
use drave_protocol::ids::TopicIdPartition;

use crate::replica::follower::Position;

const NO_SESSION: i32 = 0;
/// Opens a session.
const EPOCH_INITIAL: i32 = 0;

#[derive(Debug)]
pub(super) struct FetchSession {
    id: i32,
    /// What the next request says.
    epoch: i32,
    sent: BTreeMap<TopicIdPartition, Position>,
}

/// The changes one request tells of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) session_id: i32,
    pub(super) session_epoch: i32,
    pub(super) ask: BTreeMap<TopicIdPartition, Position>,
    pub(super) forget: Vec<TopicIdPartition>,
}

impl Changes {
    pub(super) fn is_nothing(&self) -> bool {
        self.ask.is_empty() && self.forget.is_empty()
    }

    pub(super) fn tells_of(&self, id: TopicIdPartition) -> bool {
        self.ask.contains_key(&id) || self.forget.contains(&id)
    }
}

/// The session epoch after `epoch`: it never comes back to 0, which opens a session.
fn epoch_after(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}

impl FetchSession {
    pub(super) fn new() -> Self {
        Self {
            id: NO_SESSION,
            epoch: EPOCH_INITIAL,
            sent: BTreeMap::new(),
        }
    }

    /// Whether the next request tells changes only.
    pub(super) fn is_incremental(&self) -> bool {
        self.epoch > EPOCH_INITIAL
    }

    /// Whether nothing would be fetched.
    pub(super) fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    pub(super) fn sent(&self, id: TopicIdPartition) -> Option<&Position> {
        self.sent.get(&id)
    }

    /// The connection is gone, or an answer: what the leader holds is not known. It closes the session it may
    /// still have.
    pub(super) fn begin_anew(&mut self) {
        self.epoch = EPOCH_INITIAL;
    }

    /// The next request, where these are the positions that changed; `None`: not to be fetched now.
    pub(super) fn request(
        &mut self,
        moved: BTreeMap<TopicIdPartition, Option<Position>>,
    ) -> Changes {
        let mut changes = Changes {
            session_id: self.id,
            session_epoch: self.epoch,
            ..Changes::default()
        };
        for (id, position) in moved {
            match position {
                Some(position) if self.sent.get(&id) == Some(&position) => {}
                Some(position) => {
                    self.sent.insert(id, position);
                    changes.ask.insert(id, position);
                }
                None => {
                    if self.sent.remove(&id).is_some() {
                        changes.forget.push(id);
                    }
                }
            }
        }
        if !self.is_incremental() {
            changes.ask.clone_from(&self.sent);
            changes.forget.clear();
        }
        changes
    }

    /// As `request`, while another request of the session is not answered yet. To be sent right behind that.
    pub(super) fn request_ahead(
        &mut self,
        moved: BTreeMap<TopicIdPartition, Option<Position>>,
    ) -> Changes {
        let changes = self.request(moved);
        Changes {
            session_epoch: epoch_after(self.epoch),
            ..changes
        }
    }

    pub(super) fn answered(&mut self, session_id: i32, error: ErrorCode) {
        if error == ErrorCode::FetchSessionIdNotFound {
            self.forgotten();
        } else if error.is_error() {
            self.begin_anew();
        } else if session_id == NO_SESSION {
            self.forgotten();
        } else {
            self.id = session_id;
            // The first one after that which opens the session is 1.
            self.epoch = epoch_after(self.epoch);
        }
    }

    fn forgotten(&mut self) {
        self.id = NO_SESSION;
        self.epoch = EPOCH_INITIAL;
    }
}

#[cfg(test)]
mod tests {
    use drave_protocol::ids::{LeaderEpoch, Offset, Uuid};

    use super::*;

    fn id(partition: i32) -> TopicIdPartition {
        TopicIdPartition {
            topic_id: Uuid([5; 16]),
            partition,
        }
    }

    fn at(offset: i64) -> Position {
        Position {
            leader_epoch: LeaderEpoch(1),
            fetch_offset: Offset(offset),
            last_fetched_epoch: None,
            log_start_offset: Offset(0),
        }
    }

    fn ask(session: &mut FetchSession, changed: &[(i32, Option<i64>)]) -> (Vec<i32>, Vec<i32>) {
        let changed = changed
            .iter()
            .map(|(partition, offset)| (id(*partition), offset.map(at)));
        let next = session.request(changed.collect());
        let numbers = |ids: Vec<TopicIdPartition>| ids.into_iter().map(|it| it.partition).collect();
        (
            numbers(next.ask.into_keys().collect()),
            numbers(next.forget),
        )
    }

    fn opened() -> FetchSession {
        let mut session = FetchSession::new();
        let all = [(0, Some(5)), (1, Some(5)), (2, Some(5))];
        assert_eq!(ask(&mut session, &all), (vec![0, 1, 2], vec![]));
        session.answered(77, ErrorCode::None);
        session
    }

    #[test]
    fn only_what_changed_is_told() {
        let mut session = opened();
        let changed = [
            (0, Some(5)),
            (1, Some(9)),
            (2, None),
            (3, Some(0)),
            (4, None),
        ];
        assert_eq!(ask(&mut session, &changed), (vec![1, 3], vec![2]));
        assert_eq!(session.sent(id(1)), Some(&at(9)));
        assert_eq!(session.sent(id(2)), None);
        assert_eq!(ask(&mut session, &changed), (vec![], vec![]));
    }

    #[test]
    fn epochs_rise_with_each_answer_and_wrap_to_one() {
        let mut session = opened();
        for epoch in 1..4 {
            let changes = session.request(BTreeMap::new());
            assert_eq!((changes.session_id, changes.session_epoch), (77, epoch));
            session.answered(77, ErrorCode::None);
        }
        session.epoch = i32::MAX;
        session.answered(77, ErrorCode::None);
        assert_eq!(session.request(BTreeMap::new()).session_epoch, 1);
    }

    #[test]
    fn a_leader_that_lost_the_session_is_told_everything() {
        let mut session = opened();
        session.answered(0, ErrorCode::FetchSessionIdNotFound);
        let changes = session.request(BTreeMap::from([(id(1), None)]));
        assert_eq!((changes.session_id, changes.session_epoch), (0, 0));
        assert_eq!(changes.ask.len(), 2);
        assert_eq!(changes.forget, []);
    }

    #[test]
    fn what_is_left_in_doubt_closes_the_session_and_opens_another() {
        for doubt in [
            ErrorCode::InvalidFetchSessionEpoch,
            ErrorCode::FetchSessionTopicIdError,
            ErrorCode::UnknownServerError,
        ] {
            let mut session = opened();
            session.answered(0, doubt);
            let changes = session.request(BTreeMap::new());
            assert_eq!((changes.session_id, changes.session_epoch), (77, 0));
            assert_eq!(changes.ask.len(), 3);
        }
    }

    #[test]
    fn what_is_sent_behind_a_waiting_request_has_the_next_epoch() {
        let mut session = opened();
        session.request(BTreeMap::new());
        let ahead =
            session.request_ahead(BTreeMap::from([(id(1), Some(at(5))), (id(9), Some(at(0)))]));
        assert_eq!((ahead.session_id, ahead.session_epoch), (77, 2));
        assert!(ahead.tells_of(id(9)) && !ahead.tells_of(id(1)));
        session.answered(77, ErrorCode::None);
        session.answered(77, ErrorCode::None);
        assert_eq!(session.request(BTreeMap::new()).session_epoch, 3);
        assert!(session.request_ahead(BTreeMap::new()).is_nothing());
    }

    #[test]
    fn a_leader_without_room_for_a_session_is_told_everything_each_time() {
        let mut session = FetchSession::new();
        for _ in 0..3 {
            assert_eq!(ask(&mut session, &[(0, Some(5))]), (vec![0], vec![]));
            session.answered(0, ErrorCode::None);
            assert!(!session.is_incremental());
        }
    }
}
