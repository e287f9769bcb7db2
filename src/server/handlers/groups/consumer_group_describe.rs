//! `ConsumerGroupDescribe`: KIP-848 groups, each member with what it has and what it shall have.

use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::consumer_group_describe::{
    Assignment, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DescribedGroup,
    Member, TopicPartitions,
};

use crate::cluster::ClusterView;
use crate::coordinator::GroupCoordinator;
use crate::coordinator::decision::{Awaited, Decision};
use crate::coordinator::group::assignor::Partitions;
use crate::coordinator::group::consumer::{DescribedConsumer, DescribedConsumerGroup};
use crate::server::context::RequestContext;
use crate::server::handlers::discovery::operations::{ALL_ON_GROUP, NOT_ASKED};
use crate::server::reply::Reply;

const CLASSIC_MEMBER: i8 = 0;
const CONSUMER_MEMBER: i8 = 1;

pub(crate) fn handle(
    ctx: RequestContext,
    groups: &GroupCoordinator,
    view: ClusterView,
    request: ConsumerGroupDescribeRequest,
) -> Reply {
    let operations = if request.include_authorized_operations {
        ALL_ON_GROUP
    } else {
        NOT_ASKED
    };
    let asked = request.group_ids.into_iter().map(|group_id| {
        let described = group_id.clone();
        let awaited = groups.ask(&group_id, move |shard, cx| {
            shard
                .describe_consumers(&described, cx)
                .map(Decision::answer)
        });
        (group_id, awaited)
    });
    let asked: Vec<(String, Awaited<DescribedConsumerGroup>)> = asked.collect();
    Reply::later(async move {
        let mut described = Vec::with_capacity(asked.len());
        for (group_id, awaited) in asked {
            let group = match awaited.answer().await {
                Ok(group) => found(group, &view),
                Err(error) => DescribedGroup {
                    error_code: ErrorCode::from(&error).number(),
                    error_message: Some(error.to_string()),
                    ..DescribedGroup::default()
                },
            };
            described.push(DescribedGroup {
                group_id,
                authorized_operations: operations,
                ..group
            });
        }
        ctx.answer(&ConsumerGroupDescribeResponse {
            groups: described,
            ..ConsumerGroupDescribeResponse::default()
        })
    })
}

fn found(group: DescribedConsumerGroup, view: &ClusterView) -> DescribedGroup {
    let members = group.members.into_iter().map(|it| member(it, view));
    DescribedGroup {
        group_state: group.state.to_owned(),
        group_epoch: group.epoch,
        assignment_epoch: group.assignment_epoch,
        assignor_name: group.assignor,
        members: members.collect(),
        ..DescribedGroup::default()
    }
}

fn member(described: DescribedConsumer, view: &ClusterView) -> Member {
    let member = described.member;
    let is_classic = member.is_classic();
    Member {
        member_id: member.member_id,
        instance_id: member.instance_id,
        rack_id: member.rack_id,
        member_epoch: member.current.epoch,
        client_id: member.client_id,
        client_host: member.client_host,
        subscribed_topic_names: member.subscribed_names.into_iter().collect(),
        subscribed_topic_regex: member.subscribed_regex,
        assignment: assignment(&described.assigned, view),
        target_assignment: assignment(&described.target, view),
        member_type: if is_classic {
            CLASSIC_MEMBER
        } else {
            CONSUMER_MEMBER
        },
    }
}

/// A topic that is gone has no name any more, and is left out.
fn assignment(partitions: &Partitions, view: &ClusterView) -> Assignment {
    let topics = partitions.iter().filter_map(|(topic_id, partitions)| {
        let topic = view.topic_by_id(*topic_id)?;
        Some(TopicPartitions {
            topic_id: *topic_id,
            topic_name: topic.name.clone(),
            partitions: partitions.iter().copied().collect(),
        })
    });
    Assignment {
        topic_partitions: topics.collect(),
    }
}
