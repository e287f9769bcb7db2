#![allow(clippy::disallowed_methods, reason = "damages a file on purpose")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use drave_protocol::ids::MetadataOffset;
use tempfile::TempDir;

use crate::history::feed::Feed;
use crate::history::{Entity, History};
use crate::image::MetadataImage;
use crate::record::{ClusterV1, ConfigChangedV1, ConfigResource, MetadataRecord};
use crate::stored::{AppliedV1, LogIdV1};

const PATIENCE: Duration = Duration::from_secs(10);

fn setting(key: &str) -> MetadataRecord {
    MetadataRecord::ConfigChanged(ConfigChangedV1 {
        resource: ConfigResource::Topic("t".into()),
        key: key.into(),
        value: None,
    })
}

fn named() -> MetadataRecord {
    MetadataRecord::Cluster(ClusterV1 {
        cluster_id: "c".into(),
    })
}

/// Applies a batch at `at`, as the state machine does.
fn apply(feed: &Feed, at: u64, records: Vec<MetadataRecord>) {
    let (applied, image) = reached(at);
    feed.applied(|| applied, image, 77, records);
}

fn reached(at: u64) -> (AppliedV1, Arc<MetadataImage>) {
    let applied = AppliedV1 {
        last: Some(LogIdV1 { term: 2, index: at }),
        ..AppliedV1::default()
    };
    let image = MetadataImage::default().advanced_to(MetadataOffset(at), 2);
    (applied, Arc::new(image))
}

fn start(folder: &Path) -> (Feed, History) {
    let feed = Feed::start(folder.join("history"), 1000).unwrap();
    (feed.clone(), History::new(feed))
}

#[tokio::test]
async fn records_are_found_by_offset_and_by_what_they_are_about() {
    let folder = TempDir::new().unwrap();
    let (feed, history) = start(folder.path());
    apply(&feed, 3, vec![named()]);
    apply(&feed, 5, vec![setting("a"), setting("b")]);
    apply(&feed, 300, vec![setting("c")]);
    let all = history.since(MetadataOffset(0), 10).await;
    let places: Vec<_> = all.iter().map(|it| (it.offset.0, it.position)).collect();
    assert_eq!(places, [(3, 0), (5, 0), (5, 1), (300, 0)]);
    assert_eq!((all[0].term, all[0].wall_ms), (2, 77));
    assert_eq!(all[0].record, named());
    assert_eq!(history.since(MetadataOffset(6), 10).await.len(), 1);
    let topic = Entity::Config(ConfigResource::Topic("t".into()));
    let newest = history.about(topic, 2).await;
    let places: Vec<_> = newest.iter().map(|it| (it.offset.0, it.position)).collect();
    assert_eq!(places, [(300, 0), (5, 1)]);
    let status = history.status();
    assert_eq!((status.records, status.skipped), (4, 0));
    assert_eq!(status.oldest, Some(MetadataOffset(3)));
    assert_eq!(status.newest, Some(MetadataOffset(300)));
}

#[tokio::test]
async fn a_record_applied_again_is_kept_once() {
    let folder = TempDir::new().unwrap();
    let (feed, history) = start(folder.path());
    apply(&feed, 3, vec![named()]);
    apply(&feed, 3, vec![named()]);
    assert_eq!(history.since(MetadataOffset(0), 10).await.len(), 1);
    assert_eq!(history.status().records, 1);
}

#[tokio::test]
async fn the_oldest_records_leave_when_there_are_too_many() {
    let folder = TempDir::new().unwrap();
    let (feed, history) = start(folder.path());
    for at in 0..2500 {
        apply(&feed, at, vec![setting("k")]);
    }
    let newest = history.since(MetadataOffset(2400), 1000).await;
    assert_eq!(newest.len(), 100);
    let status = history.status();
    assert!((1000..=2000).contains(&status.records), "{status:?}");
    let oldest = status.oldest.unwrap();
    assert_eq!(oldest.0, 2500 - status.records);
    let topic = Entity::Config(ConfigResource::Topic("t".into()));
    let about = history.about(topic, 10_000).await;
    assert_eq!(u64::try_from(about.len()).unwrap(), status.records);
}

#[tokio::test]
async fn the_last_checkpoint_survives_an_orderly_stop() {
    let folder = TempDir::new().unwrap();
    let (feed, _) = start(folder.path());
    assert!(feed.last_checkpoint(PATIENCE).await.is_none());
    apply(&feed, 1000, vec![named()]);
    let (applied, image) = reached(1200);
    feed.close(applied.clone(), image.clone()).await;
    let (feed, history) = start(folder.path());
    let (found, checkpoint) = feed.last_checkpoint(PATIENCE).await.unwrap();
    assert_eq!(found, applied);
    assert_eq!(checkpoint, *image);
    assert_eq!(history.since(MetadataOffset(0), 10).await.len(), 1);
}

#[tokio::test]
async fn a_folder_sled_cannot_read_is_started_anew() {
    let folder = TempDir::new().unwrap();
    let (feed, _) = start(folder.path());
    apply(&feed, 3, vec![named()]);
    let (applied, image) = reached(3);
    feed.close(applied, image).await;
    std::fs::write(folder.path().join("history/conf"), b"not what sled wrote").unwrap();
    let (feed, history) = start(folder.path());
    assert!(feed.last_checkpoint(PATIENCE).await.is_none());
    apply(&feed, 9, vec![setting("a")]);
    assert_eq!(history.since(MetadataOffset(0), 10).await.len(), 1);
    assert_eq!(history.status().unavailable, None);
}
