//! What a group says of itself, for people: served over HTTP and between nodes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::assignor::Partitions;
use super::classic::{CONSUMER, ClassicGroup, DescribedMember};
use super::consumer::{ConsumerGroup, DescribedConsumer, Topics, read_assignment};
use super::consumers::settings;
use super::context::Context;
use super::shard::{Group, GroupShard};
use crate::coordinator::error::GroupError;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupStatus {
    pub group: String,
    /// `classic` or `consumer`.
    pub protocol: String,
    /// What its members call themselves: `consumer`, `connect`; empty where nobody was ever in it.
    pub protocol_type: String,
    pub state: String,
    /// The generation of a classic group, the epoch of the other kind.
    pub epoch: i32,
    /// How partitions are assigned; empty where that is not agreed on.
    pub assignor: String,
    pub member_count: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupDescription {
    #[serde(flatten)]
    pub status: GroupStatus,
    pub members: Vec<GroupMemberStatus>,
    pub offsets: Vec<OffsetStatus>,
}

/// Partitions by the name of their topic.
pub type Assignment = BTreeMap<String, BTreeSet<i32>>;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupMemberStatus {
    pub member: String,
    pub instance: Option<String>,
    pub client: String,
    pub host: String,
    pub rack: Option<String>,
    /// How far it followed its group; `null` in a classic group, where it is there or not.
    pub epoch: Option<i32>,
    /// `null` where it is in words of the members' own.
    pub assignment: Option<Assignment>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffsetStatus {
    pub topic: String,
    pub partition: i32,
    pub committed_offset: i64,
    pub committed_ms: i64,
    pub metadata: String,
}

impl GroupShard {
    pub fn statuses(&self, cx: &Context) -> Vec<GroupStatus> {
        let all = self.groups.iter();
        all.map(|(id, group)| group.status(id, cx)).collect()
    }

    pub fn describe(&self, group_id: &str, cx: &Context) -> Result<GroupDescription, GroupError> {
        let group = self.group(group_id)?;
        let members = match group {
            Group::Classic(group) => group.describe().into_iter().map(of_classic).collect(),
            Group::Consumer(group) => {
                let described = group.describe(&settings(cx, group_id)).members.into_iter();
                described.map(|it| of_consumer(it, &cx.view)).collect()
            }
        };
        Ok(GroupDescription {
            status: group.status(group_id, cx),
            members,
            offsets: self.offsets_of(group_id),
        })
    }

    fn offsets_of(&self, group_id: &str) -> Vec<OffsetStatus> {
        let topics = self.offsets.of_group(group_id).into_iter().flatten();
        let all = topics.flat_map(|(topic, partitions)| {
            partitions.iter().map(|(partition, it)| OffsetStatus {
                topic: topic.clone(),
                partition: *partition,
                committed_offset: it.offset,
                committed_ms: it.committed_at_ms,
                metadata: it.metadata.to_string(),
            })
        });
        all.collect()
    }
}

impl Group {
    fn status(&self, group_id: &str, cx: &Context) -> GroupStatus {
        match self {
            Self::Classic(group) => of_classic_group(group_id, group),
            Self::Consumer(group) => of_consumer_group(group_id, group, cx),
        }
    }
}

fn of_classic_group(group_id: &str, group: &ClassicGroup) -> GroupStatus {
    GroupStatus {
        group: group_id.to_owned(),
        protocol: "classic".to_owned(),
        protocol_type: group.protocol_type().unwrap_or_default().to_owned(),
        state: group.state().name().to_owned(),
        epoch: group.generation(),
        assignor: group.protocol_name().unwrap_or_default().to_owned(),
        member_count: group.n_members(),
    }
}

fn of_consumer_group(group_id: &str, group: &ConsumerGroup, cx: &Context) -> GroupStatus {
    GroupStatus {
        group: group_id.to_owned(),
        protocol: "consumer".to_owned(),
        protocol_type: CONSUMER.to_owned(),
        state: group.state().name().to_owned(),
        epoch: group.epoch(),
        assignor: group.assignor_name(&settings(cx, group_id)).to_owned(),
        member_count: group.n_members(),
    }
}

fn of_classic(member: DescribedMember) -> GroupMemberStatus {
    GroupMemberStatus {
        assignment: read_assignment(&member.assignment),
        member: member.member_id,
        instance: member.instance_id,
        client: member.client_id,
        host: member.client_host,
        rack: None,
        epoch: None,
    }
}

fn of_consumer(described: DescribedConsumer, topics: &dyn Topics) -> GroupMemberStatus {
    let member = described.member;
    GroupMemberStatus {
        member: member.member_id,
        instance: member.instance_id,
        client: member.client_id,
        host: member.client_host,
        rack: member.rack_id,
        epoch: Some(member.current.epoch),
        assignment: Some(named(&described.assigned, topics)),
    }
}

/// A topic that is gone is named by its id.
fn named(partitions: &Partitions, topics: &dyn Topics) -> Assignment {
    let named = partitions.iter().map(|(topic, partitions)| {
        let name = topics.name_of(*topic).map(str::to_owned);
        (
            name.unwrap_or_else(|| topic.to_string()),
            partitions.clone(),
        )
    });
    named.collect()
}
