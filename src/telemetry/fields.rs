//! The vocabulary of log fields: one name for one thing, so that a search finds all of it.

use drave_protocol::ids::NodeId;
use tracing::{Span, error_span};

/// Field names and what they hold.
pub const FIELDS: &[(&str, &str)] = &[
    ("node", "id of the node that speaks"),
    ("partition", "topic-partition"),
    ("leader", "id of a partition's leader"),
    ("leader_epoch", "epoch of that leader"),
    ("partition_epoch", "version of a partition's agreed state"),
    ("broker_epoch", "registration of a broker"),
    ("term", "raft term, which is the controller epoch"),
    ("metadata_offset", "raft log index of a fact"),
    ("offset", "offset in a partition"),
    (
        "high_watermark",
        "offset below which a partition is committed",
    ),
    ("log_end_offset", "offset the next record gets"),
    ("isr", "ids of the replicas in sync"),
    ("group", "consumer group"),
    ("producer_id", "idempotent or transactional producer"),
    ("api", "name of a Kafka API"),
    ("correlation_id", "request on its connection"),
    ("client", "client id a request carries"),
    ("principal", "who asks"),
    ("peer", "address at the other end"),
    ("address", "address at this end"),
    ("path", "file or directory"),
    ("task", "name of a task"),
    ("elapsed_ms", "how long it took"),
    ("error", "what went wrong"),
];

/// The span around everything one node does, so that several nodes in one process can be told apart.
pub fn node_span(node: NodeId) -> Span {
    // At the highest level: a filter on levels must not strip the id from warnings.
    error_span!("node", node = node.0)
}
