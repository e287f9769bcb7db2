//! Write now, sync later: between the two, and between a sync and the news of it, anything may happen.

use drave_log::{LogError, SyncRequest, Synced};

use super::World;
use super::event::{Event, ToBroker};

impl World {
    /// One sync of the log at a time.
    pub(crate) fn flush(&mut self, broker: usize) {
        let now = self.instant(broker + 1);
        let Some(process) = self.process(broker) else {
            return;
        };
        if process.is_flushing {
            return;
        }
        if let Some(request) = process.solo.begin_sync(now) {
            process.is_flushing = true;
            self.sync_later(broker, request);
        }
    }

    fn sync_later(&mut self, broker: usize, request: SyncRequest) {
        let high = self.brokers[broker].sync_us;
        let delay = 20 + self.chance.between(0, high);
        let Some(life) = self.life(broker) else {
            return;
        };
        let what = ToBroker::Sync { request };
        self.after(delay, Event::Broker { broker, life, what });
    }

    pub(crate) fn run_sync(&mut self, broker: usize, request: SyncRequest) {
        let outcome = request.run();
        let delay = 1 + self.chance.between(0, 200);
        let Some(life) = self.life(broker) else {
            return;
        };
        let what = ToBroker::Synced { outcome };
        self.after(delay, Event::Broker { broker, life, what });
    }

    pub(crate) fn ran_sync(&mut self, broker: usize, outcome: Result<Synced, LogError>) {
        let now = self.instant(broker + 1);
        let Some(process) = self.process(broker) else {
            return;
        };
        match process.solo.synced(outcome, now) {
            Some(request) => self.sync_later(broker, request),
            None => process.is_flushing = false,
        }
    }

    pub(crate) fn checkpoint(&mut self, broker: usize) {
        let Some(life) = self.life(broker) else {
            return;
        };
        if let Some(process) = self.process(broker) {
            process.solo.write_checkpoints();
            process.solo.remove_doomed();
        }
        let delay = self.chance.between(300_000, 5_000_000);
        let what = ToBroker::Checkpoint;
        self.after(delay, Event::Broker { broker, life, what });
    }

    pub(crate) fn open_again(&mut self, broker: usize) {
        let now = self.instant(broker + 1);
        let Some(life) = self.life(broker) else {
            return;
        };
        let applied = self.process(broker).map_or(0, |it| it.applied);
        let image = std::sync::Arc::clone(self.quorum.image(applied));
        if let Some(process) = self.process(broker) {
            process.solo.retry(&image, now);
        }
        self.place_fetcher(broker);
        let what = ToBroker::OpenAgain;
        self.after(5_000_000, Event::Broker { broker, life, what });
    }
}
