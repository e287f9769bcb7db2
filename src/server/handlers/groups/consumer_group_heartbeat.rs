//! `ConsumerGroupHeartbeat`: a member of a KIP-848 group joins, lives, gives up partitions and leaves.

use std::time::Duration;

use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::consumer_group_heartbeat::{
    Assignment, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
};

use crate::coordinator::GroupCoordinator;
use crate::coordinator::group::consumer::{Heard, Heartbeat, Held};
use crate::server::context::RequestContext;
use crate::server::reply::Reply;

/// First version in which members draw their id themselves.
const OWN_MEMBER_ID_SINCE: i16 = 1;

pub(crate) fn handle(
    ctx: RequestContext,
    groups: &GroupCoordinator,
    request: ConsumerGroupHeartbeatRequest,
) -> Reply {
    let mut said = translate(&ctx, request);
    let has_no_id = said.member_id.is_empty() && said.joins() && ctx.version < OWN_MEMBER_ID_SINCE;
    let group_id = said.group_id.clone();
    let awaited = groups.ask(&group_id, move |shard, cx| {
        if has_no_id {
            said.member_id = cx.random.uuid().to_string();
        }
        shard.consumer_heartbeat(&said, cx)
    });
    Reply::later(async move {
        let response = match awaited.answer().await {
            Ok(heard) => answered(heard),
            Err(error) => ConsumerGroupHeartbeatResponse {
                error_code: ErrorCode::from(&error).number(),
                error_message: Some(error.to_string()),
                ..ConsumerGroupHeartbeatResponse::default()
            },
        };
        ctx.answer(&response)
    })
}

fn translate(ctx: &RequestContext, request: ConsumerGroupHeartbeatRequest) -> Heartbeat {
    let owned = request.topic_partitions.map(|topics| {
        let topics = topics.into_iter().filter(|it| !it.partitions.is_empty());
        topics
            .map(|it| (it.topic_id, it.partitions.into_iter().collect()))
            .collect()
    });
    Heartbeat {
        group_id: request.group_id,
        member_id: request.member_id,
        member_epoch: request.member_epoch,
        instance_id: request.instance_id,
        rack_id: request.rack_id,
        client_id: ctx.client_id.clone().unwrap_or_default(),
        client_host: format!("/{}", ctx.origin.peer.ip()),
        rebalance_timeout_ms: Some(request.rebalance_timeout_ms).filter(|it| *it >= 0),
        subscribed_names: request
            .subscribed_topic_names
            .map(|it| it.into_iter().collect()),
        subscribed_regex: request.subscribed_topic_regex,
        assignor: request.server_assignor,
        owned,
    }
}

fn answered(heard: Heard) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse {
        member_id: Some(heard.member_id),
        member_epoch: heard.member_epoch,
        heartbeat_interval_ms: in_ms(heard.heartbeat_interval),
        assignment: heard.assignment.map(assignment),
        ..ConsumerGroupHeartbeatResponse::default()
    }
}

fn assignment(held: Held) -> Assignment {
    let topics = held
        .into_iter()
        .map(|(topic_id, partitions)| TopicPartitions {
            topic_id,
            partitions: partitions.into_keys().collect(),
        });
    Assignment {
        topic_partitions: topics.collect(),
    }
}

fn in_ms(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
