//! Groups: each handler puts its question in arrival order, and answers when the coordinator does.

pub(crate) mod consumer_group_describe;
pub(crate) mod consumer_group_heartbeat;
pub(crate) mod delete_groups;
pub(crate) mod describe_groups;
pub(crate) mod heartbeat;
pub(crate) mod join_group;
pub(crate) mod leave_group;
pub(crate) mod list_groups;
pub(crate) mod offset_commit;
pub(crate) mod offset_delete;
pub(crate) mod offset_fetch;
pub(crate) mod sync_group;

use drave_protocol::error_code::ErrorCode;

use crate::coordinator::GroupError;

/// The code of an outcome that says nothing but whether it was refused.
fn code_of<T>(outcome: &Result<T, GroupError>) -> i16 {
    match outcome {
        Ok(_) => ErrorCode::None.number(),
        Err(error) => ErrorCode::from(error).number(),
    }
}
