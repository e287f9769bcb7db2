//! `OffsetFetch`: one group in old versions, several in new ones.

use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::TopicId;
use drave_protocol::schema::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse,
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};

use crate::cluster::ClusterView;
use crate::coordinator::decision::Awaited;
use crate::coordinator::group::{Committed, FetchOffsets, FetchedTopic};
use crate::coordinator::{GroupCoordinator, GroupError};
use crate::server::context::RequestContext;
use crate::server::reply::Reply;

/// First version that asks for several groups.
const GROUPS_SINCE: i16 = 8;
/// First version that names topics by id.
const TOPIC_IDS_SINCE: i16 = 10;
/// First version with an error for the whole answer.
const ERROR_SINCE: i16 = 2;
/// The offset of a partition nothing was committed for.
const NOTHING: i64 = -1;

/// One group's question on its way, and what of it was refused here: topics nobody knows.
struct Asked {
    group_id: String,
    unknown: Vec<OffsetFetchRequestTopics>,
    /// Asked for without a topic, all of what there is.
    wants_all: bool,
    awaited: Awaited<Vec<FetchedTopic>>,
}

pub(crate) fn handle(
    ctx: RequestContext,
    groups: &GroupCoordinator,
    view: ClusterView,
    request: OffsetFetchRequest,
) -> Reply {
    let is_single = ctx.version < GROUPS_SINCE;
    // What old clients asked for, should it have to be refused partition by partition.
    let refused = if ctx.version < ERROR_SINCE {
        request.topics.clone().unwrap_or_default()
    } else {
        Vec::new()
    };
    let asked = if is_single {
        vec![single(request)]
    } else {
        request.groups
    };
    let asked = asked.into_iter();
    let asked: Vec<Asked> = asked
        .map(|it| ask(ctx.version, groups, &view, it))
        .collect();
    Reply::later(async move {
        let mut answered = Vec::with_capacity(asked.len());
        for it in asked {
            answered.push(answer(ctx.version, &view, it).await);
        }
        let mut response = if is_single {
            answered.pop().map(into_single).unwrap_or_default()
        } else {
            OffsetFetchResponse {
                groups: answered,
                ..OffsetFetchResponse::default()
            }
        };
        if response.error_code != 0 && ctx.version < ERROR_SINCE {
            response.topics = refused
                .into_iter()
                .map(|topic| OffsetFetchResponseTopic {
                    partitions: topic
                        .partition_indexes
                        .iter()
                        .map(|it| OffsetFetchResponsePartition {
                            partition_index: *it,
                            committed_offset: NOTHING,
                            error_code: response.error_code,
                            ..OffsetFetchResponsePartition::default()
                        })
                        .collect(),
                    name: topic.name,
                })
                .collect();
        }
        ctx.answer(&response)
    })
}

fn single(request: OffsetFetchRequest) -> OffsetFetchRequestGroup {
    let topics = request.topics.map(|topics| {
        let topics = topics.into_iter().map(|it| OffsetFetchRequestTopics {
            name: it.name,
            partition_indexes: it.partition_indexes,
            ..OffsetFetchRequestTopics::default()
        });
        topics.collect()
    });
    OffsetFetchRequestGroup {
        group_id: request.group_id,
        topics,
        ..OffsetFetchRequestGroup::default()
    }
}

fn ask(
    version: i16,
    groups: &GroupCoordinator,
    view: &ClusterView,
    asked: OffsetFetchRequestGroup,
) -> Asked {
    let mut unknown = Vec::new();
    let wants_all = asked.topics.is_none();
    let topics = asked.topics.map(|topics| {
        let mut named = Vec::with_capacity(topics.len());
        for mut topic in topics {
            if version >= TOPIC_IDS_SINCE {
                let Some(found) = view.topic_by_id(topic.topic_id) else {
                    unknown.push(topic);
                    continue;
                };
                topic.name.clone_from(&found.name);
            }
            named.push((topic.name, topic.partition_indexes));
        }
        named
    });
    let member = asked.member_id.map(|it| (it, asked.member_epoch));
    let fetch = FetchOffsets {
        group_id: asked.group_id.clone(),
        member: member.filter(|(_, epoch)| *epoch >= 0),
        topics,
    };
    Asked {
        group_id: asked.group_id,
        unknown,
        wants_all,
        awaited: groups.fetch(fetch),
    }
}

async fn answer(version: i16, view: &ClusterView, asked: Asked) -> OffsetFetchResponseGroup {
    let outcome: Result<Vec<FetchedTopic>, GroupError> = asked.awaited.answer().await;
    let fetched = match outcome {
        Ok(fetched) => fetched,
        Err(error) => {
            return OffsetFetchResponseGroup {
                group_id: asked.group_id,
                error_code: ErrorCode::from(&error).number(),
                ..OffsetFetchResponseGroup::default()
            };
        }
    };
    let by_id = version >= TOPIC_IDS_SINCE;
    let topics = fetched.into_iter().filter_map(|topic| {
        let id = view.topic(&topic.name).map(|it| it.topic_id);
        // Without an id it cannot be told: the topic is gone, and its offsets soon are.
        if by_id && asked.wants_all && id.is_none() {
            return None;
        }
        Some(OffsetFetchResponseTopics {
            partitions: topic.partitions.into_iter().map(partition).collect(),
            name: topic.name,
            topic_id: id.unwrap_or(TopicId::ZERO),
        })
    });
    let unknown = asked.unknown.iter().map(unknown_topic);
    OffsetFetchResponseGroup {
        group_id: asked.group_id,
        topics: topics.chain(unknown).collect(),
        ..OffsetFetchResponseGroup::default()
    }
}

fn partition((index, committed): (i32, Option<Committed>)) -> OffsetFetchResponsePartitions {
    match committed {
        Some(committed) => OffsetFetchResponsePartitions {
            partition_index: index,
            committed_offset: committed.offset,
            committed_leader_epoch: committed.leader_epoch,
            metadata: Some(committed.metadata.into()),
            ..OffsetFetchResponsePartitions::default()
        },
        None => OffsetFetchResponsePartitions {
            partition_index: index,
            committed_offset: NOTHING,
            ..OffsetFetchResponsePartitions::default()
        },
    }
}

fn unknown_topic(topic: &OffsetFetchRequestTopics) -> OffsetFetchResponseTopics {
    let partitions = topic.partition_indexes.iter();
    let partitions = partitions.map(|it| OffsetFetchResponsePartitions {
        partition_index: *it,
        committed_offset: NOTHING,
        error_code: ErrorCode::UnknownTopicId.number(),
        ..OffsetFetchResponsePartitions::default()
    });
    OffsetFetchResponseTopics {
        topic_id: topic.topic_id,
        partitions: partitions.collect(),
        ..OffsetFetchResponseTopics::default()
    }
}

fn into_single(group: OffsetFetchResponseGroup) -> OffsetFetchResponse {
    let topics = group.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter();
        let partitions = partitions.map(|it| OffsetFetchResponsePartition {
            partition_index: it.partition_index,
            committed_offset: it.committed_offset,
            committed_leader_epoch: it.committed_leader_epoch,
            metadata: it.metadata,
            error_code: it.error_code,
        });
        OffsetFetchResponseTopic {
            name: topic.name,
            partitions: partitions.collect(),
        }
    });
    OffsetFetchResponse {
        topics: topics.collect(),
        error_code: group.error_code,
        ..OffsetFetchResponse::default()
    }
}
