//! `ListGroups`: those this broker coordinates; clients ask every broker.

use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::list_groups::{ListGroupsRequest, ListGroupsResponse, ListedGroup};

use crate::coordinator::GroupCoordinator;
use crate::coordinator::group::ListFilter;

pub(crate) async fn handle(
    groups: &GroupCoordinator,
    request: ListGroupsRequest,
) -> ListGroupsResponse {
    let filter = ListFilter {
        states: request.states_filter,
        kinds: request.types_filter,
    };
    match groups.list(filter).await {
        Ok(listed) => {
            let listed = listed.into_iter().map(|it| ListedGroup {
                group_id: it.group_id,
                protocol_type: it.protocol_type,
                group_state: it.state.to_owned(),
                group_type: it.kind.to_owned(),
            });
            ListGroupsResponse {
                groups: listed.collect(),
                ..ListGroupsResponse::default()
            }
        }
        Err(error) => ListGroupsResponse {
            error_code: ErrorCode::from(&error).number(),
            ..ListGroupsResponse::default()
        },
    }
}
