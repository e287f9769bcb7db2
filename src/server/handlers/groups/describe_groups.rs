//! `DescribeGroups`: classic groups, with their members.

use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};

use crate::coordinator::decision::Awaited;
use crate::coordinator::{GroupCoordinator, GroupError, group};
use crate::server::context::RequestContext;
use crate::server::handlers::discovery::operations::{ALL_ON_GROUP, NOT_ASKED};
use crate::server::reply::Reply;

/// First version in which a group that is not there is an error; before, it is one that is dead.
const UNKNOWN_GROUPS_SINCE: i16 = 6;

pub(crate) fn handle(
    ctx: RequestContext,
    groups: &GroupCoordinator,
    request: DescribeGroupsRequest,
) -> Reply {
    let operations = if request.include_authorized_operations {
        ALL_ON_GROUP
    } else {
        NOT_ASKED
    };
    let asked = request.groups.into_iter().map(|group_id| {
        let awaited = groups.describe_classic(&group_id);
        (group_id, awaited)
    });
    let asked: Vec<(String, Awaited<group::DescribedGroup>)> = asked.collect();
    Reply::later(async move {
        let mut described = Vec::with_capacity(asked.len());
        for (group_id, awaited) in asked {
            let mut group = match awaited.answer().await {
                Ok(group) => found(group),
                Err(error) => refused(ctx.version, &error),
            };
            group.group_id = group_id;
            group.authorized_operations = operations;
            described.push(group);
        }
        ctx.answer(&DescribeGroupsResponse {
            groups: described,
            ..DescribeGroupsResponse::default()
        })
    })
}

fn found(group: group::DescribedGroup) -> DescribedGroup {
    let members = group.members.into_iter().map(|it| DescribedGroupMember {
        member_id: it.member_id,
        group_instance_id: it.instance_id,
        client_id: it.client_id,
        client_host: it.client_host,
        member_metadata: it.metadata,
        member_assignment: it.assignment,
    });
    DescribedGroup {
        group_state: group.state.to_owned(),
        protocol_type: group.protocol_type,
        protocol_data: group.protocol,
        members: members.collect(),
        ..DescribedGroup::default()
    }
}

fn refused(version: i16, error: &GroupError) -> DescribedGroup {
    let code = ErrorCode::from(error);
    if code != ErrorCode::GroupIdNotFound {
        return DescribedGroup {
            error_code: code.number(),
            error_message: (version >= UNKNOWN_GROUPS_SINCE).then(|| error.to_string()),
            ..DescribedGroup::default()
        };
    }
    let dead = DescribedGroup {
        group_state: "Dead".to_owned(),
        ..DescribedGroup::default()
    };
    if version < UNKNOWN_GROUPS_SINCE {
        return dead;
    }
    DescribedGroup {
        error_code: code.number(),
        error_message: Some(error.to_string()),
        ..dead
    }
}
