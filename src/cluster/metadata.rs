//! The newest image, for everyone who reads it, and a notification when there is a newer one.
//!
//! The image only moves forward; a reader that sleeps through ten changes sees the tenth.

use std::sync::Arc;

use drave_protocol::ids::MetadataOffset;
use drave_raft::MetadataSubscription;
use drave_raft::image::MetadataImage;
use tokio::sync::watch;

use crate::cluster::view::ClusterView;

/// A cheap handle on the newest image. Each clone remembers on its own what it has seen.
#[derive(Clone, Debug)]
pub struct Metadata {
    images: watch::Receiver<Arc<MetadataImage>>,
}

/// The writing end of a `Metadata`.
#[derive(Debug)]
pub struct MetadataFeed {
    images: watch::Sender<Arc<MetadataImage>>,
}

impl Metadata {
    /// A handle that starts at `image` and follows what its feed publishes.
    pub fn starting_at(image: Arc<MetadataImage>) -> (MetadataFeed, Self) {
        let (sender, receiver) = watch::channel(image);
        (MetadataFeed { images: sender }, Self { images: receiver })
    }

    pub fn image(&self) -> Arc<MetadataImage> {
        Arc::clone(&self.images.borrow())
    }

    pub fn view(&self) -> ClusterView {
        ClusterView::new(self.image())
    }

    pub fn offset(&self) -> MetadataOffset {
        self.images.borrow().offset
    }

    /// Resolves with `true` once the image reflects `offset`; `false` if it never will.
    ///
    /// Cancellation: safe, it only looks.
    pub async fn reached(&self, offset: MetadataOffset) -> bool {
        let mut images = self.images.clone();
        images.wait_for(|it| it.offset >= offset).await.is_ok()
    }

    /// Resolves when there is an image this handle has not seen; `false` once there will be none.
    ///
    /// Cancellation: safe, what was not reported stays unseen.
    pub async fn changed(&mut self) -> bool {
        self.images.changed().await.is_ok()
    }
}

impl MetadataFeed {
    /// Publishes every image this node applies, until it stops.
    pub async fn follow(self, mut updates: MetadataSubscription) {
        while let Some(update) = updates.next().await {
            self.publish(Arc::clone(update.image()));
        }
    }

    /// Publishes `image` unless a newer one is out already.
    pub fn publish(&self, image: Arc<MetadataImage>) {
        self.images.send_if_modified(|current| {
            let newer = image.offset > current.offset;
            if newer {
                *current = image;
            }
            newer
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(offset: u64) -> Arc<MetadataImage> {
        Arc::new(MetadataImage {
            offset: MetadataOffset(offset),
            ..MetadataImage::default()
        })
    }

    #[tokio::test]
    async fn the_image_only_moves_forward_and_its_end_is_told() {
        let (feed, mut metadata) = Metadata::starting_at(image(3));
        feed.publish(image(5));
        feed.publish(image(4));
        assert!(metadata.changed().await);
        assert_eq!(metadata.offset(), MetadataOffset(5));
        assert!(metadata.reached(MetadataOffset(5)).await);
        drop(feed);
        assert!(!metadata.reached(MetadataOffset(6)).await);
        assert!(!metadata.changed().await);
    }
}
