//! `RemoveRaftVoter` (81): a voter of the metadata quorum votes no more.

use crate::ids::Uuid;
use crate::schema::define::schema;

schema! {
    RemoveRaftVoter [0..=0] flexible 0;

    request RemoveRaftVoterRequest {
        cluster_id: Option<String> [0..] = None;
        voter_id: i32 [0..];
        voter_directory_id: Uuid [0..];
    }

    response RemoveRaftVoterResponse {
        throttle_time_ms: i32 [0..];
        error_code: i16 [0..];
        error_message: Option<String> [0..] = None;
    }
}
