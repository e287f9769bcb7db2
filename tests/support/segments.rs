//! The bytes of a partition as they lie on a node's disk.

use std::path::{Path, PathBuf};

use drave_protocol::record::batch;

use crate::support::cluster::Cluster;

/// Compares the bytes on all disks below the high watermark; the partition is at rest.
#[track_caller]
pub(crate) fn assert_copies_are_equal(cluster: &mut Cluster, topic: &str, partition: i32) {
    let end = cluster.high_watermark(topic, partition);
    let leader = cluster.leader_of(topic, partition);
    let copy = |cluster: &Cluster, id| {
        let folder = cluster.node(id).log_folder(topic, partition);
        bytes_below(&folder, end)
    };
    let original = copy(cluster, leader);
    assert_eq!(end_of(&original), end, "the leader has what it says");
    let replicas = cluster.partition(topic, partition).replica_nodes;
    for id in replicas.into_iter().filter(|it| *it != leader) {
        // Not `assert_eq`: megabytes help nobody.
        let is_equal = copy(cluster, id) == original;
        assert!(
            is_equal,
            "{topic}-{partition} below {end} differs between {leader} and {id}"
        );
    }
}

/// All whole batches below `end`, one after another, in the order of their segments.
#[track_caller]
fn bytes_below(folder: &Path, end: i64) -> Vec<u8> {
    let mut below = Vec::new();
    for path in segments(folder) {
        let bytes = std::fs::read(&path).expect("a segment can be read");
        for item in batch::iter(&bytes) {
            // The end of the last segment may be in the making.
            let Ok((position, header, batch)) = item else {
                break;
            };
            if header.last_offset().0 >= end {
                return below;
            }
            assert!(
                batch::verify_crc(batch),
                "{} is damaged at {position}",
                path.display()
            );
            below.extend_from_slice(batch);
        }
    }
    below
}

/// The offset after the last whole batch in `bytes`.
fn end_of(bytes: &[u8]) -> i64 {
    batch::iter(bytes)
        .map_while(Result::ok)
        .last()
        .map_or(0, |(_, header, _)| header.next_offset().0)
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir)
        .unwrap_or_else(|error| panic!("{} cannot be read: {error}", dir.display()));
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a directory entry").path())
        .filter(|path| path.extension().is_some_and(|it| it == "log"))
        .collect();
    // Names are base offsets, padded.
    paths.sort();
    paths
}
