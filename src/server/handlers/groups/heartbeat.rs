//! `Heartbeat`: the member lives; the answer says whether it must join again.

use drave_protocol::schema::heartbeat::{HeartbeatRequest, HeartbeatResponse};

use super::code_of;
use crate::coordinator::GroupCoordinator;
use crate::coordinator::group::classic::Presence;
use crate::server::context::RequestContext;
use crate::server::reply::Reply;

pub(crate) fn handle(
    ctx: RequestContext,
    groups: &GroupCoordinator,
    request: HeartbeatRequest,
) -> Reply {
    let presence = Presence {
        member_id: request.member_id,
        instance_id: request.group_instance_id,
        generation: request.generation_id,
    };
    let awaited = groups.heartbeat(&request.group_id, presence);
    Reply::later(async move {
        let outcome = awaited.answer().await.and_then(|it| it);
        ctx.answer(&HeartbeatResponse {
            error_code: code_of(&outcome),
            ..HeartbeatResponse::default()
        })
    })
}
