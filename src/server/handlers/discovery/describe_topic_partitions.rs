//! `DescribeTopicPartitions`: what Metadata says of topics, with the replicas that may lead, page by page.
//!
//! Topics come in the order of their names, whatever the order they were asked in, so that a cursor
//! means the same to every broker.

use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use drave_raft::image::TopicImage;

use crate::cluster::ClusterView;
use crate::server::context::RequestContext;
use crate::server::handlers::discovery::metadata;
use crate::server::handlers::discovery::operations::ALL_ON_TOPIC;

/// Kafka's `max.request.partition.size.limit`: more partitions are never in one answer.
const PARTITIONS_MAX: usize = 2000;

pub(crate) fn handle(
    ctx: &RequestContext,
    view: &ClusterView,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let limit = usize::try_from(request.response_partition_limit).unwrap_or(0);
    let mut room = limit.clamp(1, PARTITIONS_MAX);
    let start = request.cursor.unwrap_or_default();
    let mut answer = DescribeTopicPartitionsResponse::default();
    for name in names(view, request.topics.into_iter().map(|it| it.name)) {
        if name < start.topic_name {
            continue;
        }
        if room == 0 {
            answer.next_cursor = Some(cursor(name, 0));
            break;
        }
        let Some(found) = view.topic(&name) else {
            answer.topics.push(unknown(name));
            continue;
        };
        let first = if name == start.topic_name {
            usize::try_from(start.partition_index).unwrap_or(0)
        } else {
            0
        };
        let described = topic(ctx, view, found, first, room);
        let next = first.saturating_add(described.partitions.len());
        room -= described.partitions.len();
        answer.topics.push(described);
        if next < found.partitions.len() {
            answer.next_cursor = Some(cursor(name, next));
            break;
        }
    }
    answer
}

/// None asked for is all.
fn names(view: &ClusterView, asked: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = asked.collect();
    if names.is_empty() {
        names = view.topics().map(|it| it.name.clone()).collect();
    }
    names.sort();
    names.dedup();
    names
}

fn cursor(topic_name: String, partition: usize) -> Cursor {
    Cursor {
        topic_name,
        partition_index: i32::try_from(partition).unwrap_or(i32::MAX),
    }
}

fn unknown(name: String) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::UnknownTopicOrPartition.number(),
        name: Some(name),
        ..DescribeTopicPartitionsResponseTopic::default()
    }
}

fn topic(
    ctx: &RequestContext,
    view: &ClusterView,
    topic: &TopicImage,
    first: usize,
    room: usize,
) -> DescribeTopicPartitionsResponseTopic {
    let partitions = view.partitions_of(topic).skip(first).take(room);
    let partitions = partitions.map(|it| {
        let told = metadata::partition(ctx, view, &it);
        DescribeTopicPartitionsResponsePartition {
            error_code: told.error_code,
            partition_index: told.partition_index,
            leader_id: told.leader_id,
            leader_epoch: told.leader_epoch,
            replica_nodes: told.replica_nodes,
            isr_nodes: told.isr_nodes,
            eligible_leader_replicas: Some(it.state.elr.iter().map(|it| it.0).collect()),
            last_known_elr: Some(Vec::new()),
            offline_replicas: told.offline_replicas,
        }
    });
    DescribeTopicPartitionsResponseTopic {
        name: Some(topic.name.clone()),
        topic_id: topic.topic_id,
        is_internal: metadata::is_internal(&topic.name),
        partitions: partitions.collect(),
        topic_authorized_operations: ALL_ON_TOPIC,
        ..DescribeTopicPartitionsResponseTopic::default()
    }
}
