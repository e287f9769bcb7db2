//! `DescribeQuorum`: the metadata quorum as its leader sees it, in Kafka's terms.
//!
//! Kafka's offsets count from the end: the offset after the last entry, where Raft's index is its own.

use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::MetadataOffset;
use drave_protocol::schema::describe_quorum::{
    DescribeQuorumListener, DescribeQuorumNode, DescribeQuorumPartitionResult,
    DescribeQuorumReplica, DescribeQuorumRequest, DescribeQuorumResponse,
    DescribeQuorumTopicResult,
};
use drave_raft::Peer;

use crate::cluster::ControllerLink;
use crate::cluster::operations::{
    MemberDescription, QuorumDescription, QuorumRequest, QuorumResponse,
};
use crate::server::context::RequestContext;

const METADATA_TOPIC: &str = "__cluster_metadata";
const METADATA_PARTITION: i32 = 0;
/// The request has no timeout of its own.
const TIMEOUT_MS: i32 = 10_000;

pub(crate) async fn handle(
    ctx: &RequestContext,
    controller: &ControllerLink,
    listener: &str,
    request: DescribeQuorumRequest,
) -> DescribeQuorumResponse {
    if !asks_for_metadata(&request) {
        return unknown(request);
    }
    let deadline = ctx.deadline(TIMEOUT_MS);
    match controller.quorum(QuorumRequest::Describe, deadline).await {
        Ok(QuorumResponse::Described(quorum)) => described(&quorum, listener),
        Ok(QuorumResponse::Changed(_)) => refused(
            ErrorCode::UnknownServerError,
            "the controller answered another request".to_owned(),
        ),
        Err(error) => refused(ErrorCode::from(&error), error.to_string()),
    }
}

fn asks_for_metadata(request: &DescribeQuorumRequest) -> bool {
    let [topic] = request.topics.as_slice() else {
        return false;
    };
    let partitions = topic.partitions.iter().map(|it| it.partition_index);
    topic.topic_name == METADATA_TOPIC && partitions.eq([METADATA_PARTITION])
}

fn unknown(request: DescribeQuorumRequest) -> DescribeQuorumResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic
            .partitions
            .into_iter()
            .map(|it| DescribeQuorumPartitionResult {
                partition_index: it.partition_index,
                error_code: ErrorCode::UnknownTopicOrPartition.number(),
                error_message: Some(format!(
                    "only {METADATA_TOPIC}-{METADATA_PARTITION} is a quorum"
                )),
                ..DescribeQuorumPartitionResult::default()
            });
        DescribeQuorumTopicResult {
            topic_name: topic.topic_name,
            partitions: partitions.collect(),
        }
    });
    DescribeQuorumResponse {
        topics: topics.collect(),
        ..DescribeQuorumResponse::default()
    }
}

fn refused(code: ErrorCode, message: String) -> DescribeQuorumResponse {
    DescribeQuorumResponse {
        error_code: code.number(),
        error_message: Some(message),
        ..DescribeQuorumResponse::default()
    }
}

fn described(quorum: &QuorumDescription, listener: &str) -> DescribeQuorumResponse {
    let replicas = |members: &[MemberDescription]| members.iter().map(replica).collect::<Vec<_>>();
    let partition = DescribeQuorumPartitionResult {
        partition_index: METADATA_PARTITION,
        leader_id: quorum.leader.0,
        leader_epoch: i32::try_from(quorum.term).unwrap_or(i32::MAX),
        high_watermark: end_after(quorum.committed),
        current_voters: replicas(&quorum.voters),
        observers: replicas(&quorum.observers),
        ..DescribeQuorumPartitionResult::default()
    };
    let members = quorum.voters.iter().chain(&quorum.observers);
    DescribeQuorumResponse {
        topics: vec![DescribeQuorumTopicResult {
            topic_name: METADATA_TOPIC.to_owned(),
            partitions: vec![partition],
        }],
        nodes: members.filter_map(|it| node(&it.peer, listener)).collect(),
        ..DescribeQuorumResponse::default()
    }
}

fn end_after(last: MetadataOffset) -> i64 {
    i64::try_from(last.0).map_or(i64::MAX, |it| it + 1)
}

fn replica(member: &MemberDescription) -> DescribeQuorumReplica {
    DescribeQuorumReplica {
        replica_id: member.peer.id.node.0,
        replica_directory_id: member.peer.id.directory.to_uuid(),
        log_end_offset: member.matched.map_or(-1, end_after),
        last_fetch_timestamp: member.answered_at_ms.unwrap_or(-1),
        last_caught_up_timestamp: member.caught_up_at_ms.unwrap_or(-1),
    }
}

fn node(peer: &Peer, listener: &str) -> Option<DescribeQuorumNode> {
    let (host, port) = peer.address.rsplit_once(':')?;
    Some(DescribeQuorumNode {
        node_id: peer.id.node.0,
        listeners: vec![DescribeQuorumListener {
            name: listener.to_owned(),
            host: host.trim_matches(['[', ']']).to_owned(),
            port: port.parse().ok()?,
        }],
    })
}

#[cfg(test)]
mod tests {
    use drave_protocol::ids::{DirectoryId, NodeId};
    use drave_protocol::schema::describe_quorum::{DescribeQuorumPartition, DescribeQuorumTopic};
    use drave_raft::PeerId;

    use super::*;

    fn member(node: i32, address: &str, matched: Option<u64>) -> MemberDescription {
        MemberDescription {
            peer: Peer {
                id: PeerId {
                    node: NodeId(node),
                    directory: DirectoryId(7),
                },
                address: address.to_owned(),
            },
            matched: matched.map(MetadataOffset),
            answered_at_ms: Some(90),
            caught_up_at_ms: None,
        }
    }

    fn asked(topic: &str, partitions: &[i32]) -> DescribeQuorumRequest {
        let partition = |it: &i32| DescribeQuorumPartition {
            partition_index: *it,
        };
        DescribeQuorumRequest {
            topics: vec![DescribeQuorumTopic {
                topic_name: topic.to_owned(),
                partitions: partitions.iter().map(partition).collect(),
            }],
        }
    }

    #[test]
    fn members_are_told_with_ends_times_and_endpoints_or_minus_one() {
        let quorum = QuorumDescription {
            leader: NodeId(1),
            term: 4,
            committed: MetadataOffset(41),
            voters: vec![member(1, "[::1]:9093", Some(41)), member(2, "b:1", None)],
            observers: vec![],
        };
        let response = described(&quorum, "CONTROLLER");
        let partition = &response.topics[0].partitions[0];
        assert_eq!((partition.leader_id, partition.leader_epoch), (1, 4));
        assert_eq!(partition.high_watermark, 42);
        let ends = partition.current_voters.iter().map(|it| it.log_end_offset);
        assert_eq!(ends.collect::<Vec<_>>(), [42, -1]);
        let voter = &partition.current_voters[0];
        assert_eq!(
            (voter.last_fetch_timestamp, voter.last_caught_up_timestamp),
            (90, -1)
        );
        let endpoint = &response.nodes[0].listeners[0];
        assert_eq!((endpoint.host.as_str(), endpoint.port), ("::1", 9093));
    }

    #[test]
    fn no_other_partition_is_a_quorum() {
        assert!(asks_for_metadata(&asked(METADATA_TOPIC, &[0])));
        for other in [asked("t", &[0]), asked(METADATA_TOPIC, &[0, 1])] {
            assert!(!asks_for_metadata(&other));
            let response = unknown(other);
            let refusal = response.topics[0].partitions[0].error_code;
            assert_eq!(refusal, ErrorCode::UnknownTopicOrPartition.number());
        }
    }
}
