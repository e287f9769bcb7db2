//! `SyncGroup`: answered when the leader has assigned.

use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::sync_group::{SyncGroupRequest, SyncGroupResponse};

use crate::coordinator::GroupCoordinator;
use crate::coordinator::group::classic::{Presence, Sync};
use crate::server::context::RequestContext;
use crate::server::reply::Reply;

pub(crate) fn handle(
    ctx: RequestContext,
    groups: &GroupCoordinator,
    request: SyncGroupRequest,
) -> Reply {
    let assignments = request.assignments.into_iter();
    let sync = Sync {
        member: Presence {
            member_id: request.member_id,
            instance_id: request.group_instance_id,
            generation: request.generation_id,
        },
        protocol_type: request.protocol_type,
        protocol_name: request.protocol_name,
        assignments: assignments
            .map(|it| (it.member_id, it.assignment))
            .collect(),
    };
    let awaited = groups.sync(request.group_id, sync);
    Reply::later(async move {
        let response = match awaited.answer().await {
            Ok(synced) => SyncGroupResponse {
                protocol_type: synced.protocol_type,
                protocol_name: synced.protocol_name,
                assignment: synced.assignment,
                ..SyncGroupResponse::default()
            },
            Err(error) => SyncGroupResponse {
                error_code: ErrorCode::from(&error).number(),
                ..SyncGroupResponse::default()
            },
        };
        ctx.answer(&response)
    })
}
