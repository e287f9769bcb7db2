//! Everything that can happen next.

use std::fmt;

use bytes::{Bytes, BytesMut};
use drave::cluster::rpc::{AlteredPartition, PeerReply, PeerRequest, PeerResponse};
use drave::controller::reign::Suspect;
use drave::replica::solo::Asked;
use drave::replica::{DeleteBefore, FetchPartition, Fetched, FollowerId};
use drave_log::{LogError, SyncRequest, Synced};
use drave_protocol::ErrorCode;
use drave_protocol::ids::{LeaderEpoch, Offset};
use drave_raft::ConnectionId;
use drave_raft::record::MetadataRecord;

use crate::chance::mixed;
use crate::history::Acks;

pub(crate) enum Event {
    /// To one process of a broker; nobody else hears it.
    Broker {
        broker: usize,
        life: u64,
        what: ToBroker,
    },
    Controller {
        reign: usize,
        what: ToController,
    },
    /// A proposal reaches the quorum.
    Agree {
        reign: usize,
        records: Vec<MetadataRecord>,
    },
    /// A controller was elected.
    Activate {
        term: u64,
    },
    Client(ToClient),
    Fault(ToFault),
}

pub(crate) enum ToBroker {
    // metadata and liveness
    Learn {
        upto: usize,
    },
    HearOfController {
        reign: usize,
    },
    Wake,
    Connected {
        line: u64,
    },
    Disconnected {
        line: u64,
    },
    LineAnswer {
        line: u64,
        call: u64,
        response: PeerResponse,
    },
    CallTimeout {
        line: u64,
        call: u64,
    },
    // calls to the controller
    LinkAnswer {
        call: u64,
        reply: PeerReply,
    },
    LinkTimeout {
        call: u64,
    },
    LinkRetry,
    // timers
    LookForLaggards,
    Checkpoint,
    OpenAgain,
    Leave,
    // disk
    Sync {
        request: SyncRequest,
    },
    Synced {
        outcome: Result<Synced, LogError>,
    },
    // fetching
    Fetch(Fetching),
    ParkedLongEnough {
        connection: u64,
    },
    FetchClosed {
        connection: u64,
    },
    FetchAnswer {
        leader: usize,
        connection: u64,
        answer: Result<Box<(Fetched, Bytes)>, ErrorCode>,
    },
    FetchTimeout {
        leader: usize,
        connection: u64,
    },
    AskBounds {
        from: usize,
        from_life: u64,
        connection: u64,
        leader_epoch: LeaderEpoch,
        asked: Asked,
    },
    Bounds {
        leader: usize,
        connection: u64,
        asked: Asked,
        bounds: Option<(Offset, Offset)>,
    },
    Rested {
        leader: usize,
        connection: u64,
    },
    // clients
    Produce(Produce),
    Read {
        reader: usize,
        offset: Offset,
    },
    Delete {
        before: DeleteBefore,
    },
    /// A deletion that was taken is written down.
    NoteLogStart,
}

#[derive(Clone, Copy)]
pub(crate) struct Fetching {
    pub(crate) from: usize,
    pub(crate) from_life: u64,
    pub(crate) connection: u64,
    pub(crate) fetch: FetchPartition,
    pub(crate) follower: FollowerId,
    pub(crate) deadline: u64,
}

#[derive(Clone)]
pub(crate) struct Produce {
    pub(crate) producer: usize,
    pub(crate) generation: u64,
    pub(crate) sequence: i32,
    pub(crate) records: BytesMut,
    pub(crate) content: u64,
    pub(crate) acks: Acks,
    pub(crate) sent_at: u64,
}

pub(crate) enum ToController {
    Asked {
        from: usize,
        life: u64,
        connection: ConnectionId,
        over: Over,
        request: PeerRequest,
    },
    Closed(ConnectionId),
    Dial(Suspect),
    Agreed,
    Tick,
    /// A deposed one learns that it is.
    Resign,
}

/// How a request came, and how its answer is to go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    Line { line: u64, call: u64 },
    Link { call: u64 },
}

pub(crate) enum ToClient {
    Produce {
        producer: usize,
    },
    Answer {
        producer: usize,
        generation: u64,
        sequence: i32,
        outcome: Result<Offset, ErrorCode>,
    },
    Timeout {
        producer: usize,
        generation: u64,
    },
    Resend {
        producer: usize,
        generation: u64,
    },
    Read {
        reader: usize,
    },
}

#[derive(Clone, Copy)]
pub(crate) enum ToFault {
    Begin,
    Start { broker: usize },
    Resume { broker: usize },
    Unblock { way: (usize, usize) },
    Hasten { broker: usize },
    Readmit { broker: usize },
}

/// What the controller answered to a proposal, until the image shows it.
pub(crate) type Altered = Vec<AlteredPartition>;

impl Event {
    /// Tells events apart in the hash of a trace.
    pub(crate) fn digest(&self) -> u64 {
        let (kind, who, what) = self.label();
        let mut hash = mixed(who as u64 + 1);
        for byte in kind.bytes() {
            hash = hash.wrapping_mul(31) ^ u64::from(byte);
        }
        mixed(hash ^ what)
    }

    fn label(&self) -> (&'static str, usize, u64) {
        match self {
            Self::Broker { broker, what, .. } => {
                let (kind, what) = what.label();
                (kind, *broker, what)
            }
            Self::Controller { reign, what } => (what.label(), *reign, 0),
            Self::Agree { reign, records } => ("agree", *reign, records.len() as u64),
            Self::Activate { term } => ("activate", 0, *term),
            Self::Client(what) => {
                let (kind, who) = what.label();
                (kind, who, 0)
            }
            Self::Fault(what) => {
                let (kind, who) = what.label();
                (kind, who, 0)
            }
        }
    }
}

impl ToBroker {
    /// Whether it comes by the listener, which opens late.
    pub(crate) fn is_for_the_door(&self) -> bool {
        matches!(
            self,
            Self::Fetch(_)
                | Self::AskBounds { .. }
                | Self::Produce(_)
                | Self::Read { .. }
                | Self::Delete { .. }
        )
    }

    fn label(&self) -> (&'static str, u64) {
        match self {
            Self::Learn { upto } => ("learn", *upto as u64),
            Self::HearOfController { reign } => ("hear of controller", *reign as u64),
            Self::Wake => ("wake", 0),
            Self::Connected { line } => ("connected", *line),
            Self::Disconnected { line } => ("disconnected", *line),
            Self::LineAnswer { call, .. } => ("answer of the controller", *call),
            Self::CallTimeout { call, .. } => ("call times out", *call),
            Self::LinkAnswer { call, .. } => ("link answer", *call),
            Self::LinkTimeout { call } => ("link timeout", *call),
            Self::LinkRetry => ("link retry", 0),
            Self::LookForLaggards => ("look for laggards", 0),
            Self::Checkpoint => ("checkpoint", 0),
            Self::OpenAgain => ("open again", 0),
            Self::Leave => ("leave", 0),
            Self::Sync { request } => ("sync", request.upto().0 as u64),
            Self::Synced { .. } => ("synced", 0),
            Self::Fetch(it) => ("fetch", it.fetch.fetch_offset.0 as u64),
            Self::ParkedLongEnough { connection } => ("parked long enough", *connection),
            Self::FetchClosed { connection } => ("fetch closed", *connection),
            Self::FetchAnswer { connection, .. } => ("fetch answer", *connection),
            Self::FetchTimeout { connection, .. } => ("fetch timeout", *connection),
            Self::AskBounds { connection, .. } => ("ask bounds", *connection),
            Self::Bounds { connection, .. } => ("bounds", *connection),
            Self::Rested { connection, .. } => ("rested", *connection),
            Self::Produce(it) => ("produce", it.content),
            Self::Read { offset, .. } => ("read", offset.0 as u64),
            Self::Delete { before } => match before {
                DeleteBefore::HighWatermark => ("delete all", 0),
                DeleteBefore::Offset(offset) => ("delete before", offset.0 as u64),
            },
            Self::NoteLogStart => ("note log start", 0),
        }
    }
}

impl ToController {
    fn label(&self) -> &'static str {
        match self {
            Self::Asked { request, .. } => match request {
                PeerRequest::RegisterBroker(_) => "register",
                PeerRequest::Heartbeat(_) => "heartbeat",
                PeerRequest::AlterPartition(_) => "alter partition",
                PeerRequest::ReportOffline(_) => "report offline",
                _ => "asked",
            },
            Self::Closed(_) => "connection closed",
            Self::Dial(_) => "dial",
            Self::Agreed => "agreed",
            Self::Tick => "tick",
            Self::Resign => "resign",
        }
    }
}

impl ToClient {
    fn label(&self) -> (&'static str, usize) {
        match self {
            Self::Produce { producer } => ("next batch", *producer),
            Self::Answer { producer, .. } => ("produce answer", *producer),
            Self::Timeout { producer, .. } => ("produce timeout", *producer),
            Self::Resend { producer, .. } => ("resend", *producer),
            Self::Read { reader } => ("next read", *reader),
        }
    }
}

impl ToFault {
    fn label(self) -> (&'static str, usize) {
        match self {
            Self::Begin => ("fault", 0),
            Self::Start { broker } => ("start", broker),
            Self::Resume { broker } => ("resume", broker),
            Self::Unblock { way } => ("unblock", way.0 * 8 + way.1),
            Self::Hasten { broker } => ("hasten", broker),
            Self::Readmit { broker } => ("readmit", broker),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, who, what) = self.label();
        match self {
            Self::Broker {
                broker,
                life,
                what: ToBroker::Fetch(it),
            } => write!(
                f,
                "broker {} (life {life}): fetch from broker {} at {} epoch {:?}",
                broker + 1,
                it.from + 1,
                it.fetch.fetch_offset,
                it.fetch.current_leader_epoch
            ),
            Self::Broker { broker, life, .. } => {
                write!(f, "broker {} (life {life}): {kind} {what}", broker + 1)
            }
            Self::Controller {
                reign,
                what: ToController::Asked { from, .. },
            } => {
                write!(f, "controller {reign}: {kind} from {}", from + 1)
            }
            Self::Controller { .. } | Self::Agree { .. } | Self::Activate { .. } => {
                write!(f, "controller {who}: {kind} {what}")
            }
            Self::Client(_) => write!(f, "client {who}: {kind}"),
            Self::Fault(_) => write!(f, "fault: {kind} {who}"),
        }
    }
}
