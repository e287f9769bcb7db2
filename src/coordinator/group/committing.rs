//! Offsets: committed by members and by those who are in no group, fetched, and deleted.

use drave_protocol::ids::TopicId;

use super::classic::Presence;
use super::context::Context;
use super::offsets::{Committed, tombstone};
use super::shard::{Group, GroupShard};
use crate::coordinator::decision::Decision;
use crate::coordinator::error::GroupError;
use crate::coordinator::records::GroupRecord;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    pub group_id: String,
    /// Its generation is a member epoch where the group is of consumers.
    pub member: Presence,
    /// Whether the sender knows that a group may not exist.
    pub knows_unknown_groups: bool,
    /// Of old clients: how long to keep it.
    pub keep_ms: Option<i64>,
    pub topics: Vec<CommitTopic>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitTopic {
    pub name: String,
    pub id: TopicId,
    pub partitions: Vec<CommitPartition>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitPartition {
    pub index: i32,
    pub offset: i64,
    pub leader_epoch: i32,
    pub metadata: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchOffsets {
    pub group_id: String,
    /// From a member of a consumer group: its id and epoch.
    pub member: Option<(String, i32)>,
    /// `None`: whatever there is.
    pub topics: Option<Vec<(String, Vec<i32>)>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedTopic {
    pub name: String,
    pub partitions: Vec<(i32, Option<Committed>)>,
}

/// One outcome for each partition of each topic, in the order they were asked in.
pub type Outcomes = Vec<Vec<Result<(), GroupError>>>;

impl Commit {
    fn partitions(&self) -> impl Iterator<Item = (TopicId, i32)> {
        let topics = self.topics.iter();
        topics.flat_map(|topic| topic.partitions.iter().map(|it| (topic.id, it.index)))
    }
}

impl GroupShard {
    pub fn commit(&self, commit: &Commit, cx: &Context) -> Result<Decision<Outcomes>, GroupError> {
        let mut out = self.may_commit(commit, cx)?;
        let max = cx.config.offset_metadata_max_bytes;
        let mut outcomes = Vec::with_capacity(commit.topics.len());
        for topic in &commit.topics {
            let mut of_topic = Vec::with_capacity(topic.partitions.len());
            for partition in &topic.partitions {
                let size = partition.metadata.len();
                if size > max {
                    of_topic.push(Err(GroupError::MetadataTooLarge { size, max }));
                    continue;
                }
                let committed = committed(commit, topic.id, partition, cx.wall_ms);
                let record = committed.record(&commit.group_id, &topic.name, partition.index);
                out.records.push(record);
                of_topic.push(Ok(()));
            }
            outcomes.push(of_topic);
        }
        Ok(out.map(|()| outcomes))
    }

    fn may_commit(&self, commit: &Commit, cx: &Context) -> Result<Decision<()>, GroupError> {
        match self.groups.get(&commit.group_id) {
            Some(Group::Classic(group)) => group.may_commit(&commit.member, cx),
            Some(Group::Consumer(group)) => {
                let (member, partitions) = (&commit.member, commit.partitions());
                group.check_commit(&member.member_id, member.generation, partitions)?;
                if !commit.knows_unknown_groups && group.is_of_its_protocol(&member.member_id) {
                    return Err(GroupError::VersionTooOld(commit.group_id.clone()));
                }
                Ok(Decision::default())
            }
            // One who is in no group keeps its offsets here all the same.
            None if commit.member.generation < 0 => Ok(Decision::default()),
            None if commit.knows_unknown_groups => {
                Err(GroupError::UnknownGroup(commit.group_id.clone()))
            }
            None => Err(GroupError::IllegalGeneration {
                group: commit.group_id.clone(),
                member: commit.member.member_id.clone(),
                theirs: commit.member.generation,
                ours: 0,
            }),
        }
    }

    /// A group that is not there has committed nothing.
    pub fn fetch(&self, asked: &FetchOffsets) -> Result<Vec<FetchedTopic>, GroupError> {
        if let Some(Group::Consumer(group)) = self.groups.get(&asked.group_id)
            && let Some((member_id, epoch)) = &asked.member
        {
            group.check_fetch(member_id, *epoch)?;
        }
        let Some(topics) = &asked.topics else {
            let all = self.offsets.of_group(&asked.group_id);
            let all = all.into_iter().flatten().map(|(name, partitions)| {
                let partitions = partitions.iter();
                FetchedTopic {
                    name: name.clone(),
                    partitions: partitions
                        .map(|(index, it)| (*index, Some(it.clone())))
                        .collect(),
                }
            });
            return Ok(all.collect());
        };
        let fetched = topics.iter().map(|(name, partitions)| {
            let of = |index: &i32| self.offsets.of(&asked.group_id, name, *index).cloned();
            FetchedTopic {
                name: name.clone(),
                partitions: partitions.iter().map(|it| (*it, of(it))).collect(),
            }
        });
        Ok(fetched.collect())
    }

    /// Deletes offsets of topics the group does not read.
    pub fn delete_offsets(
        &self,
        group_id: &str,
        topics: &[(String, Vec<i32>)],
    ) -> Result<Decision<Outcomes>, GroupError> {
        let group = self.group(group_id)?;
        if let Group::Classic(classic) = group
            && classic.n_members() > 0
            && !classic.is_of_consumers()
        {
            return Err(GroupError::NotEmpty {
                group: group_id.to_owned(),
                n_members: classic.n_members(),
            });
        }
        let mut records = Vec::new();
        let mut outcomes = Vec::with_capacity(topics.len());
        for (topic, partitions) in topics {
            let may = if group.may_read(topic) {
                Err(GroupError::SubscribedToTopic {
                    group: group_id.to_owned(),
                    topic: topic.clone(),
                })
            } else {
                let there = partitions.iter();
                let there = there.filter(|it| self.offsets.of(group_id, topic, **it).is_some());
                records.extend(there.map(|it| tombstone(group_id, topic, *it)));
                Ok(())
            };
            outcomes.push(partitions.iter().map(|_| may.clone()).collect());
        }
        Ok(Decision::answer(outcomes).with(records))
    }

    pub(super) fn tombstones_of_offsets(&self, group_id: &str) -> Vec<GroupRecord> {
        let topics = self.offsets.of_group(group_id).into_iter().flatten();
        let each = |(topic, partitions): (&String, &super::offsets::ByPartition)| {
            let all = partitions.keys().map(|it| tombstone(group_id, topic, *it));
            all.collect::<Vec<_>>()
        };
        topics.flat_map(each).collect()
    }
}

fn committed(
    commit: &Commit,
    topic_id: TopicId,
    partition: &CommitPartition,
    wall_ms: i64,
) -> Committed {
    Committed {
        offset: partition.offset,
        leader_epoch: partition.leader_epoch,
        metadata: partition.metadata.as_str().into(),
        committed_at_ms: wall_ms,
        expires_at_ms: commit.keep_ms.map(|it| wall_ms.saturating_add(it)),
        topic_id,
    }
}
