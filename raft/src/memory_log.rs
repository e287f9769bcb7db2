//! The write-ahead log's twin without a disk, for simulation and tests: can hold its answers back,
//! and then lose what it did not answer.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::backend::{Location, LogBackend, Recovered, Write};

/// Clones share one log, as one disk outlives several processes.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryLog {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    durable: Recovered,
    /// Submitted and not yet synced.
    waiting: Vec<Write>,
    holding: bool,
}

impl MemoryLog {
    /// What a process that starts now would find.
    pub(crate) fn recovered(&self) -> Recovered {
        self.inner.lock().durable.clone()
    }

    /// From now on nothing becomes durable until `release`.
    #[cfg(test)]
    pub(crate) fn hold(&self) {
        self.inner.lock().holding = true;
    }

    pub(crate) fn release(&self) {
        let mut inner = self.inner.lock();
        inner.holding = false;
        let waiting = std::mem::take(&mut inner.waiting);
        drop(inner);
        for write in waiting {
            self.sync(write);
        }
    }

    /// The power fails: what waits was never written.
    #[cfg(test)]
    pub(crate) fn crash(&self) {
        let mut inner = self.inner.lock();
        inner.holding = false;
        inner.waiting.clear();
    }

    fn sync(&self, write: Write) {
        let mut inner = self.inner.lock();
        match write {
            Write::Append { entries, done } => {
                let mut placed = Vec::with_capacity(entries.len());
                let mut outcome = Ok(());
                for entry in entries {
                    let location = Location::Memory(entry.bytes.clone());
                    placed.push(location.clone());
                    outcome = outcome.and_then(|()| inner.durable.append(entry, location));
                }
                drop(inner);
                done(outcome.map(|()| placed));
            }
            Write::Vote { vote, done } => {
                inner.durable.vote = Some(vote);
                drop(inner);
                done(Ok(()));
            }
            Write::Truncate { after } => inner.durable.truncate(after),
            Write::Purge { upto } => inner.durable.purge(upto),
            Write::Committed { committed } => inner.durable.committed = Some(committed),
        }
    }
}

impl LogBackend for MemoryLog {
    fn submit(&self, write: Write) {
        let mut inner = self.inner.lock();
        if inner.holding {
            inner.waiting.push(write);
            return;
        }
        drop(inner);
        self.sync(write);
    }

    fn close(&self) {
        self.release();
    }
}
