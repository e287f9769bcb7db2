//! What handlers ask: where a group is, and then its shard.
//!
//! Putting a question does not wait, so that those of one connection are decided in the order they came.

use std::time::Instant;

use drave_protocol::ids::NodeId;
use tracing::warn;

use crate::cluster::rpc::{CreateMode, CreateTopicError, CreateTopics};
use crate::coordinator::GroupCoordinator;
use crate::coordinator::decision::{Awaited, Decision};
use crate::coordinator::error::GroupError;
use crate::coordinator::group::classic::{Join, Joined, Leaver, Presence, Sync, Synced};
use crate::coordinator::group::context::Context;
use crate::coordinator::group::{
    Commit, DescribedGroup, FetchOffsets, FetchedTopic, GroupDescription, GroupShard, GroupStatus,
    ListFilter, Listed, Outcomes,
};
use crate::coordinator::runtime::slot::Slot;
use crate::coordinator::topic::{OFFSETS_TOPIC, offsets_topic, partition_of};

impl GroupCoordinator {
    /// The broker that coordinates the group; creates the topic they are kept in, if it is not there.
    pub async fn find(&self, group_id: &str, deadline: Instant) -> Result<NodeId, GroupError> {
        if self
            .shared
            .deps
            .metadata
            .view()
            .topic(OFFSETS_TOPIC)
            .is_none()
        {
            self.create_topic(deadline).await?;
        }
        let view = self.shared.deps.metadata.view();
        let missing = |what: &str| GroupError::NotAvailable(format!("{OFFSETS_TOPIC} {what}"));
        let topic = view.topic(OFFSETS_TOPIC);
        let topic = topic.ok_or_else(|| missing("is coming into being"))?;
        let number = partition_of(group_id, topic);
        let found = view.partition_by_name(OFFSETS_TOPIC, number);
        let leader = found.and_then(|it| it.state.leader);
        leader
            .filter(|it| view.is_live(*it))
            .ok_or_else(|| missing(&format!("has no leader of partition {number}")))
    }

    /// Creates the topic of groups, once for all who ask at the same time.
    pub async fn create_topic(&self, deadline: Instant) -> Result<(), GroupError> {
        let deps = &self.shared.deps;
        let _turn = self.shared.creating.lock().await;
        let view = deps.metadata.view();
        if view.topic(OFFSETS_TOPIC).is_some() {
            return Ok(());
        }
        let request = CreateTopics {
            topics: vec![offsets_topic(&deps.config, &view)],
            mode: CreateMode::Create,
        };
        let created = deps.link.create_topics(request, deadline).await;
        let created = created.map_err(|error| GroupError::NotAvailable(error.to_string()))?;
        for topic in created {
            match topic.result {
                Ok(_) | Err(CreateTopicError::AlreadyExists(_)) => {}
                Err(error) => {
                    warn!(%error, "the topic of groups could not be created");
                    return Err(GroupError::NotAvailable(error.to_string()));
                }
            }
        }
        deps.replicas
            .settled(deps.metadata.offset(), deadline)
            .await;
        Ok(())
    }

    fn slot_of(&self, group_id: &str) -> Result<Slot, GroupError> {
        let view = self.shared.deps.metadata.view();
        let topic = view
            .topic(OFFSETS_TOPIC)
            .ok_or(GroupError::NotCoordinator)?;
        let number = partition_of(group_id, topic);
        let found = self.shared.slots.read().get(&number).cloned();
        found.ok_or(GroupError::NotCoordinator)
    }

    /// Puts a question about one group to its shard.
    pub fn ask<R: Send + 'static>(
        &self,
        group_id: &str,
        decide: impl FnOnce(&mut GroupShard, &Context) -> Result<Decision<R>, GroupError>
        + Send
        + 'static,
    ) -> Awaited<R> {
        match self.slot_of(group_id) {
            Ok(slot) => slot.ask(decide),
            Err(error) => Awaited::refused(error),
        }
    }

    pub fn join(&self, join: Join) -> Awaited<Joined> {
        match self.slot_of(&join.group_id) {
            Ok(slot) => slot.put(move |shard, cx, waiter| shard.join(&join, waiter, cx)),
            Err(error) => Awaited::refused(error),
        }
    }

    pub fn sync(&self, group_id: String, sync: Sync) -> Awaited<Synced> {
        match self.slot_of(&group_id) {
            Ok(slot) => slot.put(move |shard, cx, waiter| shard.sync(&group_id, sync, waiter, cx)),
            Err(error) => Awaited::refused(error),
        }
    }

    /// The inner refusal is one after which the member goes on.
    pub fn heartbeat(&self, group_id: &str, presence: Presence) -> Awaited<Result<(), GroupError>> {
        let decided = group_id.to_owned();
        self.ask(group_id, move |shard, cx| {
            shard.heartbeat(&decided, &presence, cx)
        })
    }

    pub fn leave(
        &self,
        group_id: &str,
        leavers: Vec<Leaver>,
    ) -> Awaited<Vec<Result<(), GroupError>>> {
        let decided = group_id.to_owned();
        self.ask(group_id, move |shard, cx| {
            shard.leave(&decided, &leavers, cx)
        })
    }

    pub fn commit(&self, commit: Commit) -> Awaited<Outcomes> {
        let group_id = commit.group_id.clone();
        self.ask(&group_id, move |shard, cx| shard.commit(&commit, cx))
    }

    pub fn fetch(&self, asked: FetchOffsets) -> Awaited<Vec<FetchedTopic>> {
        let group_id = asked.group_id.clone();
        self.ask(&group_id, move |shard, _| {
            shard.fetch(&asked).map(Decision::answer)
        })
    }

    pub fn delete_offsets(
        &self,
        group_id: &str,
        topics: Vec<(String, Vec<i32>)>,
    ) -> Awaited<Outcomes> {
        let decided = group_id.to_owned();
        self.ask(group_id, move |shard, _| {
            shard.delete_offsets(&decided, &topics)
        })
    }

    pub fn delete_group(&self, group_id: &str) -> Awaited<()> {
        let decided = group_id.to_owned();
        self.ask(group_id, move |shard, _| shard.delete_group(&decided))
    }

    pub fn describe_classic(&self, group_id: &str) -> Awaited<DescribedGroup> {
        let decided = group_id.to_owned();
        self.ask(group_id, move |shard, _| {
            shard.describe_classic(&decided).map(Decision::answer)
        })
    }

    /// All groups coordinated here. While a shard is loading nobody can say what they are.
    pub async fn list(&self, filter: ListFilter) -> Result<Vec<Listed>, GroupError> {
        self.of_all(move |shard, _| shard.list(&filter)).await
    }

    /// The same, for people.
    pub async fn statuses(&self) -> Result<Vec<GroupStatus>, GroupError> {
        self.of_all(GroupShard::statuses).await
    }

    /// All there is to say about a group coordinated here; `None`: there is no such group.
    pub async fn describe(&self, group_id: &str) -> Result<Option<GroupDescription>, GroupError> {
        let decided = group_id.to_owned();
        let described = self.ask(group_id, move |shard, cx| {
            shard.describe(&decided, cx).map(Decision::answer)
        });
        match described.answer().await {
            Ok(described) => Ok(Some(described)),
            Err(GroupError::UnknownGroup(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn of_all<T: Send + 'static>(
        &self,
        say: impl Fn(&GroupShard, &Context) -> Vec<T> + Clone + Send + 'static,
    ) -> Result<Vec<T>, GroupError> {
        let slots: Vec<Slot> = self.shared.slots.read().values().cloned().collect();
        let asked = slots.iter().map(|slot| {
            let say = say.clone();
            slot.ask(move |shard, cx| Ok(Decision::answer(say(shard, cx))))
        });
        let asked: Vec<Awaited<Vec<T>>> = asked.collect();
        let mut all = Vec::new();
        for awaited in asked {
            match awaited.answer().await {
                Ok(listed) => all.extend(listed),
                // Somebody else's by now.
                Err(GroupError::NotCoordinator) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }
}
