//! What happened, as facts in the order they happened: all that an invariant may look at.
//!
//! A simulation tells all of them; a run against real processes tells those that clients see (`Sent`,
//! `Acked`, `Read`, `Latest`) and those that can be read from files afterwards (`Stored`). An invariant
//! that needs what was not told holds vacuously.

use drave_protocol::ids::{LeaderEpoch, NodeId, Offset, PartitionEpoch};

/// Microseconds since the run began.
pub type Moment = u64;

/// One batch, by what tells it from every other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Batch {
    pub base: Offset,
    pub last: Offset,
    pub leader_epoch: LeaderEpoch,
    /// A digest of its records, producer included, offsets and epoch not.
    pub content: u64,
    /// Producer and first sequence number, of idempotent producers.
    pub sequence: Option<(i64, i32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    None,
    Leader,
    All,
}

/// What the cluster agreed on for the partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    pub leader: Option<NodeId>,
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
    pub isr: Vec<NodeId>,
    pub elr: Vec<NodeId>,
    /// Whether the leader may lack what is committed, and has not taken over yet.
    pub is_recovering: bool,
    /// Brokers whose running process is the registered one. What is agreed on others is of processes that
    /// are no more.
    pub current: Vec<NodeId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    // ---- clients ----
    Sent {
        content: u64,
    },
    Acked {
        content: u64,
        base: Offset,
        acks: Acks,
        sent_at: Moment,
    },
    /// The broker that leads now refused the oldest unanswered batch of an idempotent producer, for its
    /// sequence number.
    RetryRefused {
        producer: i64,
        sequence: i32,
        why: String,
    },
    Read {
        batch: Batch,
        leader_epoch: LeaderEpoch,
    },
    /// Where a new consumer would begin, as a leader said.
    Latest {
        offset: Offset,
        leader_epoch: LeaderEpoch,
    },
    // ---- the cluster ----
    Agreed(Agreed),
    /// A broker took records in as a leader; since when it was fenced for its silence, if it was.
    Accepted {
        node: NodeId,
        fenced_at: Option<Moment>,
    },
    /// An operator had a replica lead that may lack what is committed, for nobody is left who has it:
    /// what it lacks is given up. Told before the election is.
    LossAccepted {
        leader: NodeId,
    },
    /// A leader took it that everything below is to go: nobody is owed it any more.
    DeletionTaken {
        to: Offset,
    },
    /// It was answered that it is gone, at all replicas that live.
    Deleted {
        to: Offset,
    },
    // ---- replicas ----
    /// A process has its log open, with this in it.
    Opened {
        node: NodeId,
        start: Offset,
        batches: Vec<Batch>,
    },
    Stopped {
        node: NodeId,
        /// Whether it may have lost what it did not sync.
        may_lose: bool,
    },
    Stored {
        node: NodeId,
        batch: Batch,
    },
    Truncated {
        node: NodeId,
        to: Offset,
    },
    /// Its log was lost with everything in it, and begins anew.
    BegunAnew {
        node: NodeId,
    },
    /// It is no replica any more, and deleted its log.
    GivenUp {
        node: NodeId,
    },
    Synced {
        node: NodeId,
        upto: Offset,
    },
    TookLead {
        node: NodeId,
        leader_epoch: LeaderEpoch,
    },
    HighWatermark {
        node: NodeId,
        leads: bool,
        /// Of a leader: what it knows of the partition.
        partition_epoch: PartitionEpoch,
        to: Offset,
    },
    LogStart {
        node: NodeId,
        to: Offset,
        /// What it says of it to others: no crash takes it below.
        noted: Offset,
        /// What was before it never had, since it began.
        origin: Offset,
    },
    Epochs {
        node: NodeId,
        entries: Vec<(LeaderEpoch, Offset)>,
    },
    // ---- the end ----
    /// Faults have ended, and this is what all replicas hold.
    Healed {
        digests: Vec<(NodeId, u64)>,
    },
    /// Faults have ended, and within the time allowed this did not come about.
    NotHealed {
        what: String,
    },
    /// An assertion failed in production code.
    Panicked {
        message: String,
    },
}
