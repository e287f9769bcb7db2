//! A log that cannot go on: its replica is offline, and whoever waits on it is told.

use drave_log::{LogError, Trouble};
use tracing::error;

use super::error::{AppendError, NotLeading};
use super::offline::{Cure, Offline};
use super::partition::{Partition, Role, State};
use super::purgatory::Change;

impl Partition {
    /// A log that failed is not written, acked or served again by this process.
    pub(super) fn fail(&self, state: &mut State, error: &LogError) {
        let reason = error.to_string();
        let cure = match error.trouble() {
            Trouble::Directory => {
                self.home().fail(&reason);
                Cure::None
            }
            Trouble::Damage => {
                state.has_unnoted_damage = true;
                Cure::Refetch
            }
            Trouble::Neither => {
                self.home().takes_for_full(error);
                Cure::Retry
            }
        };
        // Also when it failed before: then it may be the directory that failed now.
        self.signals.tell_offline();
        self.go_offline(state, Offline { reason, cure });
    }

    /// Whether the log's directory failed: then it is offline as well.
    pub(super) fn goes_with_its_directory(&self, state: &mut State) -> bool {
        let Some(reason) = self.home().offline_reason() else {
            return false;
        };
        let cure = Cure::None;
        self.go_offline(state, Offline { reason, cure });
        true
    }

    /// For a reason outside this log.
    pub(super) fn take_offline(&self, reason: &str, cure: Cure) {
        let reason = reason.to_owned();
        self.go_offline(&mut self.lock(), Offline { reason, cure });
    }

    fn go_offline(&self, state: &mut State, offline: Offline) {
        // A consequence may be seen before its cause.
        let is_worse = |it: &Offline| it.cure == Cure::Retry && offline.cure != Cure::Retry;
        if let Some(known) = &mut state.failure {
            if is_worse(known) {
                *known = offline;
            }
            return;
        }
        let reason = &offline.reason;
        error!(partition = %self.name(), error = %reason, "the replica is offline");
        state.tickets.fail_all(|| {
            AppendError::NotLeading(NotLeading::Offline {
                partition: self.name().clone(),
                reason: reason.clone(),
            })
        });
        state.failure = Some(offline);
        state.watchers.tell(Change::Role);
    }

    /// Why it is offline, if it is.
    pub(super) fn offline(&self) -> Option<Offline> {
        self.lock().failure.clone()
    }

    /// Damage that is not noted on disk yet; said once.
    pub(super) fn take_unnoted_damage(&self) -> Option<String> {
        let mut state = self.lock();
        let is_unnoted = std::mem::take(&mut state.has_unnoted_damage);
        state.failure().filter(|_| is_unnoted).map(str::to_owned)
    }

    /// Another log takes this one's place: everyone waiting is told, the files stay.
    pub(super) fn step_aside(&self) {
        let mut state = self.lock();
        state
            .tickets
            .fail_all(|| AppendError::UnknownPartition(self.id()));
        state.watchers.tell(Change::Role);
        state.role = Role::Idle;
    }
}
