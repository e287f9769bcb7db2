//! The messages themselves, in bincode. A change of any of them raises `PROTOCOL_VERSION`.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::peer::{Peer, PeerId};
use crate::stored::{AppliedV1, EntryV1, LogIdV1, VoteV1};

pub(crate) const MAGIC: u32 = 0x6472_6176;
pub(crate) const PROTOCOL_VERSION: u16 = 1;

/// The first frame of every connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) magic: u32,
    pub(crate) version: u16,
    /// `None` until this node belongs to a cluster.
    pub(crate) cluster_id: Option<String>,
    pub(crate) from: PeerId,
    /// Whom the dialer means to reach; anyone, if `None`.
    pub(crate) to: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Welcome {
    Accepted {
        id: PeerId,
        cluster_id: Option<String>,
    },
    Refused {
        reason: String,
    },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    Append(AppendV1),
    Vote(VoteRequestV1),
    PreVote(VoteRequestV1),
    TransferLeader(TransferV1),
    SnapshotChunk(SnapshotChunkV1),
    /// Tell what you are; asked by nodes that want to form or join.
    State,
    Join(JoinV1),
    /// For the application's handler of this very node.
    Application(Bytes),
    /// For the application's handler of the leader.
    ToLeader(Bytes),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Response {
    Append(AppendOutcomeV1),
    Vote(VoteOutcomeV1),
    TransferLeader(TransferOutcomeV1),
    Snapshot {
        vote: VoteV1,
    },
    /// The chunk is in; go on.
    ChunkTaken,
    State(StateV1),
    Joined,
    JoinRefused {
        reason: String,
    },
    Application(Bytes),
    NotLeader {
        leader: Option<Peer>,
    },
    Failed {
        reason: String,
    },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AppendV1 {
    pub(crate) vote: VoteV1,
    pub(crate) previous: Option<LogIdV1>,
    pub(crate) entries: Vec<EntryV1>,
    pub(crate) committed: Option<LogIdV1>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum AppendOutcomeV1 {
    Success,
    PartialSuccess(Option<LogIdV1>),
    Conflict,
    HigherVote(VoteV1),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct VoteRequestV1 {
    pub(crate) vote: VoteV1,
    pub(crate) last: Option<LogIdV1>,
    pub(crate) leadership_transfer: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct VoteOutcomeV1 {
    pub(crate) vote: VoteV1,
    pub(crate) granted: bool,
    pub(crate) last: Option<LogIdV1>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TransferV1 {
    pub(crate) vote: VoteV1,
    pub(crate) to: u64,
    pub(crate) last: Option<LogIdV1>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum TransferOutcomeV1 {
    Accepted,
    VoteChanged {
        expected: VoteV1,
        actual: VoteV1,
    },
    LogNotFlushed {
        expected: Option<LogIdV1>,
        actual: Option<LogIdV1>,
    },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SnapshotChunkV1 {
    pub(crate) vote: VoteV1,
    pub(crate) applied: AppliedV1,
    /// Of the whole snapshot.
    pub(crate) bytes_total: u64,
    /// Of this chunk; 0 begins a transfer anew.
    pub(crate) offset: u64,
    pub(crate) bytes: Bytes,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StateV1 {
    pub(crate) peer: Peer,
    pub(crate) cluster_id: Option<String>,
    /// Neither log nor vote: this node never belonged to a cluster.
    pub(crate) empty: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct JoinV1 {
    pub(crate) peer: Peer,
    pub(crate) is_controller: bool,
}
