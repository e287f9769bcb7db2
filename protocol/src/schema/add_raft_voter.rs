//! `AddRaftVoter` (80): an observer of the metadata quorum becomes a voter.

use crate::ids::Uuid;
use crate::schema::define::schema;

schema! {
    AddRaftVoter [0..=1] flexible 0;

    request AddRaftVoterRequest {
        cluster_id: Option<String> [0..] = None;
        timeout_ms: i32 [0..];
        voter_id: i32 [0..];
        voter_directory_id: Uuid [0..];
        /// Where the voter's peers dial it.
        listeners: Vec<RaftVoterListener> [0..];
        /// Whether to answer only once the new set of voters is agreed.
        ack_when_committed: bool [1..] = true;
    }

    response AddRaftVoterResponse {
        throttle_time_ms: i32 [0..];
        error_code: i16 [0..];
        error_message: Option<String> [0..] = None;
    }

    struct RaftVoterListener {
        name: String [0..];
        host: String [0..];
        port: u16 [0..];
    }
}
