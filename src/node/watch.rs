//! What a node keeps an eye on: whether it may go on at all.

use std::sync::Arc;
use std::time::Duration;

use drave_raft::MetadataRaft;
use tokio::sync::watch;

use crate::cluster::metadata::Metadata;

use super::Outside;
use super::data_dir::DataDir;

const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The first reason for which this node must stop.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    reason: Arc<watch::Sender<Option<String>>>,
}

impl Default for Failure {
    fn default() -> Self {
        Self {
            reason: Arc::new(watch::Sender::new(None)),
        }
    }
}

impl Failure {
    fn tell(&self, reason: String) {
        self.reason.send_if_modified(|current| {
            let first = current.is_none();
            current.get_or_insert(reason);
            first
        });
    }

    pub(super) async fn told(&self) -> String {
        let mut reason = self.reason.subscribe();
        match reason.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }
}

pub(super) struct Watched {
    pub(super) raft: MetadataRaft,
    pub(super) metadata: Metadata,
    pub(super) identity: DataDir,
}

impl Watched {
    /// Notes which cluster this directory belongs to, and looks whether the quorum member is well.
    pub(super) async fn run(mut self, failure: Failure, outside: Outside) {
        loop {
            if let Some(reason) = self.raft.status().fatal {
                failure.tell(format!("the metadata log cannot be followed: {reason}"));
                return;
            }
            if let Some(cluster_id) = self.metadata.image().cluster_id.clone()
                && let Err(error) = self.identity.belongs_to(&cluster_id)
            {
                failure.tell(error.to_string());
                return;
            }
            let look_again = outside.clock.now() + LOOK_EVERY;
            tokio::select! {
                () = outside.tasks.stopping() => return,
                () = outside.clock.sleep_until(look_again) => {}
            }
        }
    }
}
