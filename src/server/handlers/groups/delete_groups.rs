//! `DeleteGroups`: groups nobody is in, with their offsets.

use drave_protocol::schema::delete_groups::{
    DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse,
};

use super::code_of;
use crate::coordinator::GroupCoordinator;
use crate::coordinator::decision::Awaited;
use crate::server::context::RequestContext;
use crate::server::reply::Reply;

pub(crate) fn handle(
    ctx: RequestContext,
    groups: &GroupCoordinator,
    request: DeleteGroupsRequest,
) -> Reply {
    let asked = request.groups_names.into_iter().map(|group_id| {
        let awaited = groups.delete_group(&group_id);
        (group_id, awaited)
    });
    let asked: Vec<(String, Awaited<()>)> = asked.collect();
    Reply::later(async move {
        let mut results = Vec::with_capacity(asked.len());
        for (group_id, awaited) in asked {
            let outcome = awaited.answer().await;
            results.push(DeletableGroupResult {
                group_id,
                error_code: code_of(&outcome),
            });
        }
        ctx.answer(&DeleteGroupsResponse {
            results,
            ..DeleteGroupsResponse::default()
        })
    })
}
