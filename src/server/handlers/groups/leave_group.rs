//! `LeaveGroup`: one member in old versions, many at once, by id or instance, in new ones.

use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::leave_group::{
    LeaveGroupRequest, LeaveGroupResponse, MemberIdentity, MemberResponse,
};

use super::code_of;
use crate::coordinator::GroupCoordinator;
use crate::coordinator::group::classic::Leaver;
use crate::server::context::RequestContext;
use crate::server::reply::Reply;

/// First version that lets many leave.
const BATCHED_SINCE: i16 = 3;

pub(crate) fn handle(
    ctx: RequestContext,
    groups: &GroupCoordinator,
    request: LeaveGroupRequest,
) -> Reply {
    let members = if ctx.version >= BATCHED_SINCE {
        request.members
    } else {
        vec![MemberIdentity {
            member_id: request.member_id,
            ..MemberIdentity::default()
        }]
    };
    let leavers = members.iter().map(|it| Leaver {
        member_id: it.member_id.clone(),
        instance_id: it.group_instance_id.clone(),
        reason: it.reason.clone(),
    });
    let awaited = groups.leave(&request.group_id, leavers.collect());
    Reply::later(async move {
        let outcomes = match awaited.answer().await {
            Ok(outcomes) => outcomes,
            // Of a group that is not there nobody is a member.
            Err(error) if ErrorCode::from(&error) == ErrorCode::UnknownMemberId => {
                members.iter().map(|_| Err(error.clone())).collect()
            }
            Err(error) => {
                return ctx.answer(&LeaveGroupResponse {
                    error_code: ErrorCode::from(&error).number(),
                    ..LeaveGroupResponse::default()
                });
            }
        };
        let outcomes = members.into_iter().zip(outcomes);
        let results = outcomes.map(|(member, outcome)| MemberResponse {
            member_id: member.member_id,
            group_instance_id: member.group_instance_id,
            error_code: code_of(&outcome),
        });
        let results: Vec<MemberResponse> = results.collect();
        let response = if ctx.version >= BATCHED_SINCE {
            LeaveGroupResponse {
                members: results,
                ..LeaveGroupResponse::default()
            }
        } else {
            let only = results.first();
            LeaveGroupResponse {
                error_code: only.map_or(0, |it| it.error_code),
                ..LeaveGroupResponse::default()
            }
        };
        ctx.answer(&response)
    })
}
