//! Who reads what: the server's assignors of consumer groups, pure functions of a group's subscriptions.
//!
//! | file | what it is |
//! |---|---|
//! | `uniform` | all members read the same topics: equal shares of all partitions together |
//! | `heterogeneous` | they do not: shares as equal as the subscriptions allow |
//! | `range` | equal shares of each topic, the same numbers of each |
//!
//! Invariants: every partition of a topic somebody reads has exactly one member, who reads the topic; what a
//! member has it keeps as far as balance allows; the same group gives the same assignment.

mod heterogeneous;
#[cfg(test)]
mod properties_test;
mod range;
mod uniform;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use drave_protocol::ids::TopicId;

/// Partitions by topic; no topic is there without one.
pub type Partitions = BTreeMap<TopicId, BTreeSet<i32>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignor {
    Uniform,
    Range,
}

/// A group as an assignor sees it.
#[derive(Clone, Debug, Default)]
pub struct Subscriptions {
    pub members: BTreeMap<String, Subscriber>,
    /// How many partitions each topic has; none that nobody reads.
    pub n_partitions: BTreeMap<TopicId, i32>,
}

#[derive(Clone, Debug, Default)]
pub struct Subscriber {
    /// Whoever has an instance id keeps its place in the order, whatever its member id is.
    pub instance_id: Option<String>,
    /// Only such as there are.
    pub topics: Arc<BTreeSet<TopicId>>,
    /// What it was to read until now.
    pub current: Arc<Partitions>,
}

pub type Assignment = BTreeMap<String, Partitions>;

impl Assignor {
    pub const ALL: [Self; 2] = [Self::Uniform, Self::Range];

    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    pub fn assign(self, group: &Subscriptions) -> Assignment {
        match self {
            Self::Range => range::assign(group),
            Self::Uniform if group.is_homogeneous() => uniform::assign(group),
            Self::Uniform => heterogeneous::assign(group),
        }
    }
}

impl Subscriptions {
    fn is_homogeneous(&self) -> bool {
        let mut all = self.members.values().map(|it| &it.topics);
        let first = all.next();
        all.all(|it| Some(it) == first)
    }

    /// Members in the order shares are dealt out: those with an instance id by it, then the others.
    fn in_order(&self) -> Vec<&str> {
        let mut members: Vec<_> = self.members.iter().collect();
        members.sort_by_key(|(id, it)| (it.instance_id.is_none(), it.instance_id.clone(), *id));
        members.into_iter().map(|(id, _)| id.as_str()).collect()
    }

    /// What the member has that it may keep: of topics it reads, with numbers there are.
    fn kept(&self, member: &Subscriber) -> Partitions {
        let kept = member.current.iter().filter_map(|(topic, partitions)| {
            let n_partitions = *self.n_partitions.get(topic)?;
            let there: BTreeSet<i32> = partitions.range(..n_partitions).copied().collect();
            let may_keep = member.topics.contains(topic) && !there.is_empty();
            may_keep.then_some((*topic, there))
        });
        kept.collect()
    }
}
