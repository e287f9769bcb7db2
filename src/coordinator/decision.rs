//! What a shard answers to a request: records to agree on first, then the answers, and deadlines.
//!
//! Invariant: an answer leaves when the records decided with it are committed, and all decided before them.

use std::fmt;
use std::time::Instant;

use tokio::sync::oneshot;

use crate::coordinator::error::GroupError;
use crate::coordinator::records::GroupRecord;

/// A decision that changes nothing before its records are replayed.
#[derive(Debug, Default)]
pub struct Decision<R> {
    /// Appended as one batch: all of them hold, or none.
    pub records: Vec<GroupRecord>,
    pub response: R,
    pub timers: Vec<TimerChange>,
    /// To those who have waited since an earlier request.
    pub answers: Vec<HeldAnswer>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimerChange {
    /// Replaces the deadline of the same key.
    Set {
        key: TimerKey,
        at: Instant,
    },
    Cancel {
        key: TimerKey,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimerKey {
    pub group_id: String,
    /// Empty for what concerns the whole group.
    pub member_id: String,
    pub kind: TimerKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TimerKind {
    /// A member is gone unless it is heard of.
    Session,
    /// A member is given up unless it has done its part of the rebalance.
    Rebalance,
    /// Classic: the join phase ends without those who did not come.
    Join,
    /// Classic: the first rebalance of an empty group begins after a delay.
    InitialDelay,
    /// The group came back from the consumer protocol: its members join anew.
    Downgraded,
    /// Classic: members that did not ask for their assignment are given up.
    Sync,
}

impl<R> Decision<R> {
    pub fn answer(response: R) -> Self {
        Self {
            records: Vec::new(),
            response,
            timers: Vec::new(),
            answers: Vec::new(),
        }
    }

    #[must_use]
    pub fn with(mut self, records: Vec<GroupRecord>) -> Self {
        self.records = records;
        self
    }

    pub fn map<S>(self, translate: impl FnOnce(R) -> S) -> Decision<S> {
        Decision {
            records: self.records,
            response: translate(self.response),
            timers: self.timers,
            answers: self.answers,
        }
    }
}

impl TimerKey {
    pub fn of_member(group_id: &str, member_id: &str, kind: TimerKind) -> Self {
        Self {
            group_id: group_id.to_owned(),
            member_id: member_id.to_owned(),
            kind,
        }
    }

    pub fn of_group(group_id: &str, kind: TimerKind) -> Self {
        Self::of_member(group_id, "", kind)
    }
}

/// One who waits for an answer that another's request, or a deadline, will bring.
///
/// Dropped unanswered it reads as `NotCoordinator`: the shard it waited in is gone.
#[derive(Debug)]
pub struct Waiter<T>(oneshot::Sender<Result<T, GroupError>>);

/// The other end of a `Waiter`.
#[derive(Debug)]
pub struct Awaited<T>(oneshot::Receiver<Result<T, GroupError>>);

/// An answer that leaves once what it rests on is committed.
pub struct HeldAnswer(Box<dyn FnOnce(Result<(), GroupError>) + Send>);

impl<T: Send + 'static> Waiter<T> {
    pub fn new() -> (Self, Awaited<T>) {
        let (sender, receiver) = oneshot::channel();
        (Self(sender), Awaited(receiver))
    }

    pub fn with(self, answer: Result<T, GroupError>) -> HeldAnswer {
        HeldAnswer(Box::new(move |agreed| {
            // Whoever gave up waiting no longer listens.
            let _ = self.0.send(agreed.and(answer));
        }))
    }

    /// Whether nobody listens any more: its connection went away.
    pub fn is_abandoned(&self) -> bool {
        self.0.is_closed()
    }
}

impl<T> Awaited<T> {
    /// An answer that was there before the question was passed on.
    pub fn refused(error: GroupError) -> Self {
        let (sender, receiver) = oneshot::channel();
        // The receiver is in our hand.
        let _ = sender.send(Err(error));
        Self(receiver)
    }

    pub async fn answer(self) -> Result<T, GroupError> {
        self.0.await.unwrap_or(Err(GroupError::NotCoordinator))
    }

    /// The answer, if it is there.
    pub fn poll(&mut self) -> Option<Result<T, GroupError>> {
        self.0.try_recv().ok()
    }
}

impl HeldAnswer {
    /// Lets it go, or the refusal that takes its place.
    pub fn release(self, agreed: Result<(), GroupError>) {
        (self.0)(agreed);
    }
}

impl fmt::Debug for HeldAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeldAnswer")
    }
}
