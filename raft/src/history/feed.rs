//! The bounded queue in front of the history's thread. Feeding it never waits: what does not fit is
//! counted as skipped.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use drave_protocol::ids::MetadataOffset;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use crate::history::store::Store;
use crate::history::{Entity, HistoryRecord, HistoryStatus};
use crate::image::MetadataImage;
use crate::record::MetadataRecord;
use crate::stored::AppliedV1;
use crate::tasks;

const QUEUE_JOBS_MAX: usize = 65_536;
/// The image is checkpointed each time so many entries were applied.
const CHECKPOINT_EVERY: u64 = 1000;

pub(crate) enum Job {
    Applied(Box<AppliedBatch>),
    Reset(Checkpoint),
    Since {
        from: MetadataOffset,
        limit: usize,
        answer: oneshot::Sender<Vec<HistoryRecord>>,
    },
    About {
        entity: Entity,
        limit: usize,
        answer: oneshot::Sender<Vec<HistoryRecord>>,
    },
    LastCheckpoint(oneshot::Sender<Option<(AppliedV1, MetadataImage)>>),
    Close(Checkpoint),
}

pub(crate) struct AppliedBatch {
    pub(crate) offset: MetadataOffset,
    pub(crate) term: u64,
    pub(crate) wall_ms: i64,
    pub(crate) records: Vec<MetadataRecord>,
    pub(crate) checkpoint: Option<Checkpoint>,
}

#[derive(Clone, Debug)]
pub(crate) struct Checkpoint {
    pub(crate) applied: AppliedV1,
    pub(crate) image: Arc<MetadataImage>,
}

#[derive(Clone, Debug)]
pub(crate) struct Feed {
    queue: mpsc::Sender<Job>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
    status: Arc<Mutex<HistoryStatus>>,
}

impl Feed {
    pub(crate) fn start(folder: PathBuf, records_max: u64) -> std::io::Result<Self> {
        // Tokio's queue takes memory as it fills; the standard one takes all of it, 8 MB, at once.
        let (queue, mut jobs) = mpsc::channel(QUEUE_JOBS_MAX);
        let status = Arc::new(Mutex::new(HistoryStatus::default()));
        let shown = status.clone();
        let thread = std::thread::Builder::new()
            .name("metadata-history".to_owned())
            .spawn(move || Store::run(&folder, records_max, &mut jobs, &shown))?;
        Ok(Self {
            queue,
            thread: Arc::new(Mutex::new(Some(thread))),
            status,
        })
    }

    pub(crate) fn applied(
        &self,
        applied: impl FnOnce() -> AppliedV1,
        image: Arc<MetadataImage>,
        wall_ms: i64,
        records: Vec<MetadataRecord>,
    ) {
        let offset = image.offset;
        let due = offset.0.is_multiple_of(CHECKPOINT_EVERY);
        if records.is_empty() && !due {
            return;
        }
        let batch = AppliedBatch {
            offset,
            term: image.term,
            wall_ms,
            records,
            checkpoint: due.then(|| Checkpoint {
                applied: applied(),
                image,
            }),
        };
        self.feed(Job::Applied(Box::new(batch)));
    }

    pub(crate) fn reset(&self, applied: AppliedV1, image: Arc<MetadataImage>) {
        self.feed(Job::Reset(Checkpoint { applied, image }));
    }

    fn feed(&self, job: Job) {
        if self.queue.try_send(job).is_err() {
            self.status.lock().skipped += 1;
        }
    }

    /// What the last run left, if it can be had quickly.
    pub(crate) async fn last_checkpoint(
        &self,
        patience: Duration,
    ) -> Option<(AppliedV1, MetadataImage)> {
        let (answer, answered) = oneshot::channel();
        self.feed(Job::LastCheckpoint(answer));
        tokio::time::timeout(patience, answered).await.ok()?.ok()?
    }

    pub(crate) async fn since(&self, from: MetadataOffset, limit: usize) -> Vec<HistoryRecord> {
        let (answer, answered) = oneshot::channel();
        self.feed(Job::Since {
            from,
            limit,
            answer,
        });
        answered.await.unwrap_or_default()
    }

    pub(crate) async fn about(&self, entity: Entity, limit: usize) -> Vec<HistoryRecord> {
        let (answer, answered) = oneshot::channel();
        self.feed(Job::About {
            entity,
            limit,
            answer,
        });
        answered.await.unwrap_or_default()
    }

    pub(crate) fn status(&self) -> HistoryStatus {
        self.status.lock().clone()
    }

    /// Writes a last checkpoint and gives the folder back.
    pub(crate) async fn close(&self, applied: AppliedV1, image: Arc<MetadataImage>) {
        self.feed(Job::Close(Checkpoint { applied, image }));
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            // The thread answers a panic of its own by going on without a store.
            drop(tasks::blocking(move || thread.join().is_ok()).await);
        }
    }
}
