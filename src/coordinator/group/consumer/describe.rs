//! The group for people and their tools.

use super::draft::Settings;
use super::group::ConsumerGroup;
use super::member::{Member, each_held};
use crate::coordinator::group::assignor::Partitions;

#[derive(Clone, Debug, PartialEq)]
pub struct DescribedConsumerGroup {
    pub state: &'static str,
    pub epoch: i32,
    pub assignment_epoch: i32,
    pub assignor: String,
    pub members: Vec<DescribedConsumer>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct DescribedConsumer {
    pub member: Member,
    pub assigned: Partitions,
    pub target: Partitions,
}

impl ConsumerGroup {
    pub fn assignor_name(&self, settings: &Settings) -> &'static str {
        self.assignor(settings).name()
    }

    pub fn describe(&self, settings: &Settings) -> DescribedConsumerGroup {
        let members = self.members().map(|member| DescribedConsumer {
            member: member.clone(),
            assigned: each_held(&member.current.assigned),
            target: Partitions::clone(&self.target_of(&member.member_id)),
        });
        DescribedConsumerGroup {
            state: self.state().name(),
            epoch: self.epoch(),
            assignment_epoch: self.assignment_epoch(),
            assignor: self.assignor_name(settings).to_owned(),
            members: members.collect(),
        }
    }
}
