//! `JoinGroup`: answered when all members have come, or their time is over.

use std::time::Duration;

use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::join_group::{
    JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember,
};

use crate::coordinator::group::classic::{Join, JoinAbilities, Joined, Protocol};
use crate::coordinator::{GroupCoordinator, GroupError};
use crate::server::context::RequestContext;
use crate::server::reply::Reply;

/// First version that says how long a rebalance may take; before, as long as a session.
const REBALANCE_TIMEOUT_SINCE: i16 = 1;
/// First version whose clients join again with the id they are given.
const MEMBER_ID_REQUIRED_SINCE: i16 = 4;
/// First version in which a protocol may be null.
const NULL_PROTOCOL_SINCE: i16 = 7;
/// First version whose leaders can be told that there is nothing to assign.
const SKIP_ASSIGNMENT_SINCE: i16 = 9;

pub(crate) fn handle(
    ctx: RequestContext,
    groups: &GroupCoordinator,
    request: JoinGroupRequest,
) -> Reply {
    let member_id = request.member_id.clone();
    let awaited = groups.join(translate(&ctx, request));
    Reply::later(async move {
        let response = match awaited.answer().await {
            Ok(joined) => joined_response(joined),
            Err(error) => refusal(ctx.version, member_id, &error),
        };
        ctx.answer(&response)
    })
}

fn translate(ctx: &RequestContext, request: JoinGroupRequest) -> Join {
    let ms = |ms: i32| Duration::from_millis(u64::try_from(ms).unwrap_or_default());
    let rebalance_timeout_ms = if ctx.version >= REBALANCE_TIMEOUT_SINCE {
        request.rebalance_timeout_ms
    } else {
        request.session_timeout_ms
    };
    let protocols = request.protocols.into_iter().map(|it| Protocol {
        name: it.name,
        metadata: it.metadata,
    });
    Join {
        group_id: request.group_id,
        member_id: request.member_id,
        instance_id: request.group_instance_id,
        client_id: ctx.client_id.clone().unwrap_or_default(),
        client_host: format!("/{}", ctx.origin.peer.ip()),
        protocol_type: request.protocol_type,
        protocols: protocols.collect(),
        session_timeout: ms(request.session_timeout_ms),
        rebalance_timeout: ms(rebalance_timeout_ms),
        abilities: JoinAbilities {
            comes_again: ctx.version >= MEMBER_ID_REQUIRED_SINCE,
            skips_assignment: ctx.version >= SKIP_ASSIGNMENT_SINCE,
        },
    }
}

fn joined_response(joined: Joined) -> JoinGroupResponse {
    let members = joined
        .members
        .into_iter()
        .map(|it| JoinGroupResponseMember {
            member_id: it.member_id,
            group_instance_id: it.instance_id,
            metadata: it.metadata,
        });
    JoinGroupResponse {
        generation_id: joined.generation,
        protocol_type: joined.protocol_type,
        protocol_name: joined.protocol_name,
        leader: joined.leader,
        skip_assignment: joined.skip_assignment,
        member_id: joined.member_id,
        members: members.collect(),
        ..JoinGroupResponse::default()
    }
}

fn refusal(version: i16, member_id: String, error: &GroupError) -> JoinGroupResponse {
    let member_id = if let GroupError::MemberIdRequired(given) = error {
        given.clone()
    } else {
        member_id
    };
    JoinGroupResponse {
        error_code: ErrorCode::from(error).number(),
        protocol_name: (version < NULL_PROTOCOL_SINCE).then(String::new),
        member_id,
        ..JoinGroupResponse::default()
    }
}
