//! Which commits and fetches of offsets a member's epoch allows.

use drave_protocol::ids::TopicId;

use super::group::ConsumerGroup;
use super::member::Member;
use crate::coordinator::error::GroupError;

impl ConsumerGroup {
    /// Who is allowed to commit in which partitions; `None` for the epoch of nobody, while nobody is here.
    pub fn check_commit(
        &self,
        member_id: &str,
        member_epoch: i32,
        partitions: impl Iterator<Item = (TopicId, i32)>,
    ) -> Result<(), GroupError> {
        // A tool resets the offsets of a group nobody is in.
        if member_epoch < 0 && self.members.is_empty() {
            return Ok(());
        }
        let member = self.known(member_id)?;
        if member.is_classic() || member_epoch >= member.current.epoch {
            return member.check_offsets(&self.group_id, member_epoch);
        }
        // An epoch of before is good for what the member has had since then (KIP-1251).
        let mut partitions = partitions;
        let is_had = partitions.all(|(topic, partition)| {
            let since = member.assigned_in(topic, partition);
            since.is_some_and(|since| since <= member_epoch)
        });
        if is_had {
            Ok(())
        } else {
            Err(member.stale(member_epoch))
        }
    }

    pub fn check_fetch(&self, member_id: &str, member_epoch: i32) -> Result<(), GroupError> {
        // Tools are nobody's member.
        if member_id.is_empty() && member_epoch < 0 {
            return Ok(());
        }
        self.known(member_id)?
            .check_offsets(&self.group_id, member_epoch)
    }
}

impl Member {
    fn check_offsets(&self, group_id: &str, theirs: i32) -> Result<(), GroupError> {
        let ours = self.current.epoch;
        match self.is_classic() {
            _ if theirs == ours => Ok(()),
            true => Err(GroupError::IllegalGeneration {
                group: group_id.to_owned(),
                member: self.member_id.clone(),
                theirs,
                ours,
            }),
            false => Err(self.stale(theirs)),
        }
    }

    fn stale(&self, theirs: i32) -> GroupError {
        let (member, ours) = (self.member_id.clone(), self.current.epoch);
        GroupError::StaleMemberEpoch {
            member,
            theirs,
            ours,
        }
    }
}
