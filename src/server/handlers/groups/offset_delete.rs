//! `OffsetDelete`: offsets of topics a group does not read.

use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
};

use super::code_of;
use crate::coordinator::GroupCoordinator;
use crate::server::context::RequestContext;
use crate::server::reply::Reply;

pub(crate) fn handle(
    ctx: RequestContext,
    groups: &GroupCoordinator,
    request: OffsetDeleteRequest,
) -> Reply {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|it| it.partition_index);
        (topic.name, partitions.collect())
    });
    let topics: Vec<(String, Vec<i32>)> = topics.collect();
    let awaited = groups.delete_offsets(&request.group_id, topics.clone());
    Reply::later(async move {
        let outcomes = match awaited.answer().await {
            Ok(outcomes) => outcomes,
            Err(error) => {
                return ctx.answer(&OffsetDeleteResponse {
                    error_code: ErrorCode::from(&error).number(),
                    ..OffsetDeleteResponse::default()
                });
            }
        };
        let responses = topics.into_iter().zip(outcomes);
        let responses = responses.map(|((name, partitions), outcomes)| {
            let partitions = partitions.into_iter().zip(&outcomes);
            let partitions = partitions.map(|(index, outcome)| OffsetDeleteResponsePartition {
                partition_index: index,
                error_code: code_of(outcome),
            });
            OffsetDeleteResponseTopic {
                name,
                partitions: partitions.collect(),
            }
        });
        ctx.answer(&OffsetDeleteResponse {
            topics: responses.collect(),
            ..OffsetDeleteResponse::default()
        })
    })
}
