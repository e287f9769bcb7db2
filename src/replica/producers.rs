//! Producers are remembered across a restart, and forgotten when they were silent for long.

use drave_log::ActiveProducer;
use drave_protocol::ids::TopicIdPartition;

use super::error::FetchError;
use super::partition::Partition;
use super::replicas::Replicas;

/// One timer for all partitions.
pub(super) async fn run(replicas: Replicas) {
    let tasks = replicas.tasks().clone();
    let interval = replicas.config().producer_id_expiration_check_interval;
    loop {
        tokio::select! {
            biased; // nothing to finish
            () = tasks.stopping() => return,
            () = replicas.clock().sleep_until(replicas.clock().now() + interval) => {
                let now_ms = replicas.believed_ms();
                for partition in replicas.all() {
                    partition.lock().log.expire_producers(now_ms);
                }
            }
        }
    }
}

impl Replicas {
    /// The producers its leader remembers.
    pub fn producers(&self, id: TopicIdPartition) -> Result<Vec<ActiveProducer>, FetchError> {
        self.known(id)?.producers()
    }
}

impl Partition {
    fn producers(&self) -> Result<Vec<ActiveProducer>, FetchError> {
        let state = self.lock();
        self.leader(&state)?;
        Ok(state.log.producer_states().active().collect())
    }

    /// Writes down who produced what, when that makes the next start quicker. Blocks.
    pub(super) fn snapshot_producers(&self) {
        let prepared = self.lock().log.prepare_snapshot();
        let done = prepared.and_then(|prepared| match prepared {
            Some(snapshot) => {
                // Off the lock: appends go on meanwhile.
                snapshot.sync()?;
                self.lock().log.keep_snapshot(&snapshot);
                Ok(())
            }
            None => Ok(()),
        });
        if let Err(error) = done
            // It only makes the next start quicker.
            && !self.home().takes_for_full(&error)
        {
            self.fail(&mut self.lock(), &error);
        }
    }

    /// The log's last sync and snapshot. Blocks.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        if state.failure().is_none()
            && let Err(error) = state.log.close()
        {
            self.fail(&mut state, &error);
        }
    }
}
