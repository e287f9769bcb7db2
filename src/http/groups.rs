//! `/v1/groups` and `/v1/groups/{name}`: groups as their coordinators know them, and how far behind they are.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::{Path, State};
use axum::response::Response;
use drave_protocol::ids::NodeId;

use crate::cluster::view::ClusterView;
use crate::coordinator::group::{GroupDescription, GroupStatus};
use crate::coordinator::topic::{OFFSETS_TOPIC, partition_of};
use crate::http::answers::{GroupAnswer, GroupPartition, GroupSummary, GroupsAnswer, Seen};
use crate::http::ask::{self, Asked};
use crate::http::layout::json;
use crate::http::refusals;
use crate::http::state::HttpState;

pub(super) async fn list(State(state): State<HttpState>) -> Response {
    let view = state.metadata.view();
    let (coordinators, unled) = coordinators(&view);
    let asked = ask::groups_of(&state, &view, &coordinators).await;
    let seen = state.seen(&view, &state.sources.quorum());
    json(&list_answer(asked, unled, seen))
}

pub(super) async fn get(State(state): State<HttpState>, Path(group): Path<String>) -> Response {
    let view = state.metadata.view();
    let coordinator = match coordinator_of(&view, &group) {
        Some(Ok(node)) => node,
        Some(Err(reason)) => return refusals::not_coordinated(&group, &reason),
        None => return refusals::no_such_group(&group),
    };
    let found = match ask::group_of(&state, &view, coordinator, &group).await {
        Ok(Some(found)) => found,
        Ok(None) => return refusals::no_such_group(&group),
        Err(reason) => return refusals::not_coordinated(&group, &reason),
    };
    let partitions = partitions_of(&found);
    let leaders = partitions.keys().filter_map(|(topic, partition)| {
        let found = view.partition_by_name(topic, *partition)?;
        found.state.leader
    });
    let asked = ask::replicas_of(&state, &view, &leaders.collect()).await;
    let seen = state.seen(&view, &state.sources.quorum());
    json(&group_answer(
        (coordinator, found),
        partitions,
        &view,
        asked,
        seen,
    ))
}

/// Those who lead a partition of the topic of groups, and its partitions nobody leads.
fn coordinators(view: &ClusterView) -> (BTreeSet<NodeId>, Vec<i32>) {
    let (mut nodes, mut unled) = (BTreeSet::new(), Vec::new());
    let topic = view.topic(OFFSETS_TOPIC);
    for partition in topic.into_iter().flat_map(|it| view.partitions_of(it)) {
        match partition.state.leader {
            Some(node) => drop(nodes.insert(node)),
            None => unled.push(partition.partition.partition),
        }
    }
    (nodes, unled)
}

/// `None`: there are no groups at all.
fn coordinator_of(view: &ClusterView, group: &str) -> Option<Result<NodeId, String>> {
    let topic = view.topic(OFFSETS_TOPIC)?;
    let number = partition_of(group, topic);
    let found = view.partition_by_name(OFFSETS_TOPIC, number);
    let leader = found.and_then(|it| it.state.leader);
    Some(leader.ok_or_else(|| format!("partition {number} of {OFFSETS_TOPIC} has no leader")))
}

fn list_answer(asked: Asked<Vec<GroupStatus>>, unled: Vec<i32>, seen: Seen) -> GroupsAnswer {
    let of_node = |(coordinator, groups): (NodeId, Vec<GroupStatus>)| {
        let summary = move |status| GroupSummary {
            coordinator,
            status,
        };
        groups.into_iter().map(summary)
    };
    let mut groups: Vec<GroupSummary> = asked.by_node.into_iter().flat_map(of_node).collect();
    groups.sort_by(|a, b| a.status.group.cmp(&b.status.group));
    GroupsAnswer {
        seen,
        groups,
        partitions_without_leader: unled,
        unanswered: asked.unanswered,
    }
}

/// What the group committed or was assigned, and to whom.
fn partitions_of(group: &GroupDescription) -> BTreeMap<(String, i32), Option<String>> {
    let committed = group.offsets.iter();
    let committed = committed.map(|it| ((it.topic.clone(), it.partition), None));
    let mut partitions: BTreeMap<(String, i32), Option<String>> = committed.collect();
    for member in &group.members {
        for (topic, numbers) in member.assignment.iter().flatten() {
            for number in numbers {
                let owner = Some(member.member.clone());
                partitions.insert((topic.clone(), *number), owner);
            }
        }
    }
    partitions
}

fn group_answer(
    (coordinator, found): (NodeId, GroupDescription),
    partitions: BTreeMap<(String, i32), Option<String>>,
    view: &ClusterView,
    asked: Asked,
    seen: Seen,
) -> GroupAnswer {
    let answer = |((topic, partition), member): ((String, i32), Option<String>)| {
        let mut offsets = found.offsets.iter();
        let committed = offsets.find(|it| it.topic == topic && it.partition == partition);
        let high_watermark = high_watermark(view, &asked, &topic, partition);
        let lag = high_watermark.zip(committed);
        GroupPartition {
            lag: lag.map(|(end, it)| end.saturating_sub(it.committed_offset).max(0)),
            committed_offset: committed.map(|it| it.committed_offset),
            committed_ms: committed.map(|it| it.committed_ms),
            metadata: committed.map(|it| it.metadata.clone()),
            topic,
            partition,
            member,
            high_watermark,
        }
    };
    let partitions: Vec<GroupPartition> = partitions.into_iter().map(answer).collect();
    GroupAnswer {
        seen,
        coordinator,
        lag: partitions.iter().filter_map(|it| it.lag).sum(),
        status: found.status,
        members: found.members,
        partitions,
        unanswered: asked.unanswered,
    }
}

/// As the leader says.
fn high_watermark(view: &ClusterView, asked: &Asked, topic: &str, partition: i32) -> Option<i64> {
    let found = view.partition_by_name(topic, partition)?;
    let topic_id = found.topic.topic_id.to_string();
    let replica = asked.replica(found.state.leader?, &topic_id, partition)?;
    Some(replica.high_watermark)
}
