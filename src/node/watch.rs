//! What a node keeps an eye on: whether it may go on at all.

use std::sync::Arc;
use std::time::Duration;

use drave_raft::MetadataRaft;
use tokio::sync::watch;

use crate::cluster::metadata::Metadata;

use super::Outside;
use super::data_dir::{DataDir, DataDirError};

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
    /// The metadata directory's.
    pub(super) identity: DataDir,
    /// Those of the other log directories.
    pub(super) others: Vec<DataDir>,
}

impl Watched {
    /// Notes which cluster these directories belong to, and looks whether the quorum member is well.
    pub(super) async fn run(mut self, failure: Failure, outside: Outside) {
        loop {
            if let Some(reason) = self.raft.status().fatal {
                failure.tell(format!("the metadata log cannot be followed: {reason}"));
                return;
            }
            if let Some(cluster_id) = self.metadata.image().cluster_id.clone()
                && let Err(error) = self.belong_to(&cluster_id)
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

    /// A log directory that cannot take the note is left to fail where its replicas are served.
    fn belong_to(&mut self, cluster_id: &str) -> Result<(), DataDirError> {
        self.identity.belongs_to(cluster_id)?;
        for other in &mut self.others {
            match other.belongs_to(cluster_id) {
                Err(error) if error.is_foreign() => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}
