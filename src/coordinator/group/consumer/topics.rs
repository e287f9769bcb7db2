//! The topics there are, as far as a group must know.

use std::collections::BTreeSet;

use drave_protocol::ids::TopicId;

use crate::coordinator::group::assignor::Partitions;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topic {
    pub id: TopicId,
    pub n_partitions: i32,
}

pub trait Topics: std::fmt::Debug {
    fn by_name(&self, name: &str) -> Option<Topic>;
    fn name_of(&self, id: TopicId) -> Option<&str>;
    /// All but the internal ones: what a regular expression may stand for.
    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_>;
    /// Rises with whatever changes.
    fn version(&self) -> i64;
}

/// Another number as soon as one of the topics comes, goes, comes again, or has more partitions; 0 of none.
///
/// Kafka's is another function of the same things: a group that comes from there is assigned once more.
pub(super) fn hash(names: &BTreeSet<String>, topics: &dyn Topics) -> i64 {
    let mut hash = Fnv::default();
    for name in names {
        let Some(topic) = topics.by_name(name) else {
            continue;
        };
        hash.add(name.as_bytes());
        hash.add(&topic.id.0);
        hash.add(&topic.n_partitions.to_be_bytes());
    }
    hash.finish()
}

/// FNV-1a: the same number in every build, as it is recorded.
#[derive(Debug, Default)]
struct Fnv(Option<u64>);

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        // The length first, so that no two ways of cutting the same bytes are alike.
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes();
        let all = length.iter().chain(bytes);
        let start = self.0.unwrap_or(BASIS);
        self.0 = Some(all.fold(start, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
        }));
    }

    fn finish(self) -> i64 {
        self.0
            .map_or(0, |hash| i64::from_be_bytes(hash.to_be_bytes()))
    }
}

/// The ids of those of the names that are there.
pub(super) fn ids<'a>(
    names: impl Iterator<Item = &'a String>,
    topics: &dyn Topics,
) -> BTreeSet<TopicId> {
    names
        .filter_map(|it| topics.by_name(it))
        .map(|it| it.id)
        .collect()
}

/// Whether every partition of `part` is in `whole`.
pub(super) fn is_subset(part: &Partitions, whole: &super::member::Held) -> bool {
    part.iter().all(|(topic, partitions)| {
        let held = whole.get(topic);
        partitions
            .iter()
            .all(|it| held.is_some_and(|held| held.contains_key(it)))
    })
}
