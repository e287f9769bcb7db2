//! Following the image: every change in order, or a reset when the follower fell behind.
//!
//! Invariants: offsets of successive updates never fall; no change is skipped without a `Reset`.
//! The queue is bounded (1024 changes); a slow subscriber costs only itself.

use std::sync::Arc;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::image::{MetadataDelta, MetadataImage};

pub(crate) const QUEUE_CHANGES_MAX: usize = 1024;

#[derive(Clone, Debug)]
pub enum MetadataUpdate {
    Changed {
        image: Arc<MetadataImage>,
        delta: Arc<MetadataDelta>,
    },
    /// Start over from this image: a snapshot was installed, or the subscriber was too slow.
    Reset { image: Arc<MetadataImage> },
}

impl MetadataUpdate {
    pub fn image(&self) -> &Arc<MetadataImage> {
        match self {
            Self::Changed { image, .. } | Self::Reset { image } => image,
        }
    }
}

/// The first update is a `Reset` with the image of the moment of subscribing.
#[derive(Debug)]
pub struct MetadataSubscription {
    source: Arc<dyn ImageSource>,
    updates: broadcast::Receiver<MetadataUpdate>,
    started: bool,
    /// Updates at or below this offset are already contained in a `Reset` handed out.
    seen: u64,
}

/// Where the newest image is.
pub(crate) trait ImageSource: Send + Sync + std::fmt::Debug {
    fn image(&self) -> Arc<MetadataImage>;
}

impl MetadataSubscription {
    pub(crate) fn new(
        source: Arc<dyn ImageSource>,
        updates: broadcast::Receiver<MetadataUpdate>,
    ) -> Self {
        Self {
            source,
            updates,
            started: false,
            seen: 0,
        }
    }

    /// `None` once the node stops. Cancellation: safe, an update is taken only when returned.
    pub async fn next(&mut self) -> Option<MetadataUpdate> {
        if !self.started {
            self.started = true;
            return Some(self.reset());
        }
        loop {
            match self.updates.recv().await {
                Ok(update) => {
                    let offset = update.image().offset.0;
                    if offset > self.seen {
                        self.seen = offset;
                        return Some(update);
                    }
                }
                Err(RecvError::Lagged(_)) => {
                    // What still waits is older than the image about to be taken.
                    self.updates = self.updates.resubscribe();
                    return Some(self.reset());
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }

    fn reset(&mut self) -> MetadataUpdate {
        let image = self.source.image();
        self.seen = image.offset.0;
        MetadataUpdate::Reset { image }
    }
}
