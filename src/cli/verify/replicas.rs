//! Whether all replicas of a partition are the same bytes, judged by the files of nodes at rest.

use std::path::{Path, PathBuf};

use anyhow::Context;
use drave_log::fs::RealFs;
use drave_log::inspect::batches::Batches;
use drave_log::inspect::place::PartitionFolder;
use drave_log::inspect::verify::{self, Holes};
use drave_protocol::ids::NodeId;
use drave_protocol::record::batch::BatchHeader;

use crate::cli::verify::history::History;
use crate::oracle::verdict::Kind;

/// One replica: whose it is, and its folder.
#[derive(Clone, Debug)]
pub(super) struct Replica {
    pub(super) node: NodeId,
    pub(super) folder: PathBuf,
}

/// Compares what lies below `end`, and has each log looked over. Returns how many batches are equal.
pub(super) fn compare(
    partition: i32,
    replicas: &[Replica],
    end: i64,
    history: &History,
) -> anyhow::Result<u64> {
    let mut batches: Vec<(NodeId, Vec<BatchHeader>)> = Vec::new();
    for replica in replicas {
        look_over(replica, history)?;
        batches.push((replica.node, headers(&replica.folder, end)?));
    }
    let Some((first, original)) = batches.first() else {
        return Ok(0);
    };
    for (other, copy) in batches.iter().skip(1) {
        if copy != original {
            let what = format!(
                "{partition} below {end} on node {other} is not what node {first} has: {}",
                difference(original, copy)
            );
            history.found(Kind::ReplicasDiffer, 1, what);
        }
    }
    let reached = original.last().map_or(0, |it| it.next_offset().0);
    if reached != end {
        let what = format!("{partition} ends at {reached} on node {first}, {end} was read");
        history.found(Kind::ReplicasDiffer, 1, what);
    }
    Ok(original.iter().map(|_| 1).sum())
}

/// A header holds the checksum of all behind it, which is verified here: equal headers are equal bytes.
fn headers(folder: &Path, end: i64) -> anyhow::Result<Vec<BatchHeader>> {
    let listed = PartitionFolder::list(&RealFs, folder);
    let listed = listed.with_context(|| format!("cannot list {}", folder.display()))?;
    let mut headers = Vec::new();
    for (_, file) in listed.segments() {
        let mut batches = Batches::whole(&RealFs, &listed.path_of(file))?;
        while let Some(found) = batches.next() {
            // Behind the last whole batch nothing is believed, as at a start.
            let Ok(found) = found else { break };
            if found.header.base_offset.0 >= end {
                return Ok(headers);
            }
            if !batches.body(&found)?.checksum_is_right {
                break;
            }
            headers.push(found.header);
        }
    }
    Ok(headers)
}

fn look_over(replica: &Replica, history: &History) -> anyhow::Result<()> {
    let folder = PartitionFolder::list(&RealFs, &replica.folder)?;
    let verified = verify::partition(&RealFs, &folder, Holes::WhereMarked)?;
    for flaw in &verified.flaws.found {
        history.found(Kind::Corrupt, 1, format!("node {}: {flaw}", replica.node));
    }
    Ok(())
}

fn difference(original: &[BatchHeader], copy: &[BatchHeader]) -> String {
    let mut pairs = original.iter().zip(copy);
    if let Some((one, other)) = pairs.find(|(one, other)| one != other) {
        return format!(
            "at {} of epoch {} there lies {} of epoch {}",
            one.base_offset,
            one.partition_leader_epoch,
            other.base_offset,
            other.partition_leader_epoch
        );
    }
    format!("{} batches and {}", original.len(), copy.len())
}
