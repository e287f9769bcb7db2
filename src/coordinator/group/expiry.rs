//! Offsets that nobody needs any more: of groups that ended, of consumers that were silent, of topics that
//! are gone.

use drave_protocol::ids::TopicId;

use super::context::Context;
use super::offsets::{ByPartition, Committed, tombstone};
use super::shard::{Group, GroupShard};
use crate::coordinator::decision::Decision;

const MINUTE_MS: u64 = 60_000;

impl GroupShard {
    /// Forgets what is old enough, and groups that have nothing left; one decision for each group.
    pub fn forget_old_offsets(&self, cx: &Context) -> Vec<Decision<()>> {
        let groups = self.groups.iter();
        let decide = |(id, group): (&String, &Group)| self.forget_of(id, group, cx);
        groups.filter_map(decide).collect()
    }

    fn forget_of(&self, id: &str, group: &Group, cx: &Context) -> Option<Decision<()>> {
        let keep_ms = cx
            .config
            .offsets_retention_minutes
            .saturating_mul(MINUTE_MS);
        let keep_ms = i64::try_from(keep_ms).unwrap_or(i64::MAX);
        let is_old =
            |offset: &Committed| match (offset.expires_at_ms, group.age_counts_from(offset)) {
                (_, None) => false,
                (Some(at), Some(_)) => cx.wall_ms >= at,
                (None, Some(from)) => cx.wall_ms.saturating_sub(from) >= keep_ms,
            };
        let mut records = Vec::new();
        let mut n_kept = 0;
        for (topic, partitions) in self.offsets.of_group(id).into_iter().flatten() {
            let is_read = group.may_read(topic);
            for (partition, offset) in partitions {
                if !is_read && is_old(offset) {
                    records.push(tombstone(id, topic, *partition));
                } else {
                    n_kept += 1;
                }
            }
        }
        if n_kept == 0 && group.is_idle() {
            records.extend(group.tombstones());
        }
        (!records.is_empty()).then(|| Decision::default().with(records))
    }

    /// Forgets offsets of topics that are gone, also where another topic has the name by now.
    pub fn forget_deleted_topics(&self, cx: &Context) -> Decision<()> {
        let mut records = Vec::new();
        for (group, topics) in self.offsets.groups() {
            for (topic, partitions) in topics {
                let id = cx.view.topic(topic).map(|it| it.topic_id);
                let gone = gone(partitions, id);
                records.extend(gone.map(|it| tombstone(group, topic, it)));
            }
        }
        Decision::default().with(records)
    }
}

fn gone(partitions: &ByPartition, id: Option<TopicId>) -> impl Iterator<Item = i32> {
    let is_gone = move |offset: &Committed| match id {
        None => true,
        Some(id) => !offset.topic_id.is_zero() && offset.topic_id != id,
    };
    let partitions = partitions.iter();
    partitions.filter_map(move |(partition, it)| is_gone(it).then_some(*partition))
}
