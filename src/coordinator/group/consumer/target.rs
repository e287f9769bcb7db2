//! Who shall read what: computed anew when the group's epoch is ahead of the assignment's.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::draft::{Draft, Settings};
use super::group::ConsumerGroup;
use super::topics::{self, Topics};
use crate::coordinator::group::assignor::{Assignor, Subscriber, Subscriptions};

impl Draft<'_> {
    pub(super) fn assign(&mut self) {
        let epoch = self.group().epoch;
        if epoch <= self.group().assignment_epoch {
            return;
        }
        let assignor = self.group().assignor(self.around.settings);
        let subscriptions = self.group().subscriptions(self.around.topics);
        let assignment = assignor.assign(&subscriptions);
        for (member_id, target) in &assignment {
            if self
                .group()
                .targets
                .get(member_id.as_str())
                .map(AsRef::as_ref)
                != Some(target)
            {
                self.record_target(member_id, target);
            }
        }
        self.record_assignment_epoch(epoch);
    }
}

impl ConsumerGroup {
    /// The one most members ask for.
    pub(super) fn assignor(&self, settings: &Settings) -> Assignor {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for name in self.members().filter_map(|it| it.assignor.as_deref()) {
            *votes.entry(name).or_default() += 1;
        }
        let known = &settings.assignors;
        let chosen = votes.into_iter().max_by_key(|(_, n_votes)| *n_votes);
        let chosen = chosen.and_then(|(name, _)| Assignor::named(name));
        let chosen = chosen.filter(|it| known.contains(it));
        chosen
            .or_else(|| known.first().copied())
            .unwrap_or(Assignor::Uniform)
    }

    fn subscriptions(&self, topics: &dyn Topics) -> Subscriptions {
        let mut all = Subscriptions::default();
        for (member_id, member) in &self.members {
            for topic in self.names_of(member).filter_map(|it| topics.by_name(it)) {
                all.n_partitions.insert(topic.id, topic.n_partitions);
            }
            let subscriber = Subscriber {
                instance_id: member.instance_id.clone(),
                topics: Arc::new(topics::ids(self.names_of(member), topics)),
                current: self.target_of(member_id),
            };
            all.members.insert(member_id.to_string(), subscriber);
        }
        all
    }
}
