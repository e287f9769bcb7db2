//! Administration of the cluster's members: who votes, which broker is gone, which is to be emptied.

use drave_protocol::ids::{DirectoryId, NodeId};
use drave_protocol::schema::add_raft_voter::{AddRaftVoterRequest, RaftVoterListener};
use drave_protocol::schema::describe_quorum::{
    DescribeQuorumPartition, DescribeQuorumReplica, DescribeQuorumRequest, DescribeQuorumResponse,
    DescribeQuorumTopic,
};
use drave_protocol::schema::drain_broker::DrainBrokerRequest;
use drave_protocol::schema::remove_raft_voter::RemoveRaftVoterRequest;
use drave_protocol::schema::unregister_broker::UnregisterBrokerRequest;

use crate::admin::{Admin, outcome};
use crate::error::ClientError;

const METADATA_TOPIC: &str = "__cluster_metadata";

/// The metadata quorum as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumState {
    pub leader: NodeId,
    pub term: i32,
    pub high_watermark: i64,
    pub voters: Vec<QuorumMember>,
    pub observers: Vec<QuorumMember>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumMember {
    pub node: NodeId,
    /// `None` where the broker's directory ids are not drave's.
    pub directory: Option<DirectoryId>,
    pub host: String,
    pub port: u16,
    /// -1 when the leader does not know.
    pub log_end_offset: i64,
    /// Milliseconds since the Unix epoch, by the leader's clock; -1 when it never answered this leader.
    pub answered_at_ms: i64,
}

/// What a broker still carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remains {
    pub leaders: i32,
    pub replicas: i32,
}

impl QuorumState {
    pub fn leader_member(&self) -> Option<&QuorumMember> {
        self.voters.iter().find(|it| it.node == self.leader)
    }
}

impl QuorumMember {
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl Admin {
    pub async fn describe_quorum(&self) -> Result<QuorumState, ClientError> {
        let topic = DescribeQuorumTopic {
            topic_name: METADATA_TOPIC.to_owned(),
            partitions: vec![DescribeQuorumPartition::default()],
        };
        let request = DescribeQuorumRequest {
            topics: vec![topic],
        };
        let response = self.ask(|_| Ok(request.clone())).await?;
        outcome(response.error_code, response.error_message.clone(), ())?;
        state(response)
    }

    /// Makes a member that follows the quorum a voter of it.
    pub async fn add_voter(&self, member: &QuorumMember) -> Result<(), ClientError> {
        let listener = RaftVoterListener {
            name: "CONTROLLER".to_owned(),
            host: member.host.clone(),
            port: member.port,
        };
        let request = AddRaftVoterRequest {
            timeout_ms: self.timeout_ms(),
            voter_id: member.node.0,
            voter_directory_id: member.directory.unwrap_or_default().to_uuid(),
            listeners: vec![listener],
            ..AddRaftVoterRequest::default()
        };
        let response = self.ask(|_| Ok(request.clone())).await?;
        outcome(response.error_code, response.error_message, ())
    }

    /// Takes a member's vote, or the membership of one that is gone.
    pub async fn remove_voter(
        &self,
        node: NodeId,
        directory: DirectoryId,
    ) -> Result<(), ClientError> {
        let request = RemoveRaftVoterRequest {
            voter_id: node.0,
            voter_directory_id: directory.to_uuid(),
            ..RemoveRaftVoterRequest::default()
        };
        let response = self.ask(|_| Ok(request.clone())).await?;
        outcome(response.error_code, response.error_message, ())
    }

    pub async fn unregister_broker(&self, node: NodeId) -> Result<(), ClientError> {
        let request = UnregisterBrokerRequest { broker_id: node.0 };
        let response = self.ask(|_| Ok(request.clone())).await?;
        outcome(response.error_code, response.error_message, ())
    }

    /// Has a broker give up its leaderships, for as long as it is drained.
    pub async fn drain_broker(&self, node: NodeId) -> Result<Remains, ClientError> {
        self.set_drained(node, true).await
    }

    pub async fn undrain_broker(&self, node: NodeId) -> Result<Remains, ClientError> {
        self.set_drained(node, false).await
    }

    async fn set_drained(&self, node: NodeId, drained: bool) -> Result<Remains, ClientError> {
        let request = DrainBrokerRequest {
            broker_id: node.0,
            drained,
            timeout_ms: self.timeout_ms(),
        };
        let response = self.ask(|_| Ok(request.clone())).await?;
        let remains = Remains {
            leaders: response.leaders,
            replicas: response.replicas,
        };
        outcome(response.error_code, response.error_message, remains)
    }
}

fn state(response: DescribeQuorumResponse) -> Result<QuorumState, ClientError> {
    let nodes = response.nodes;
    let partition = response.topics.into_iter().flat_map(|it| it.partitions);
    let partition = partition.into_iter().next().unwrap_or_default();
    outcome(partition.error_code, partition.error_message.clone(), ())?;
    let member = |it: &DescribeQuorumReplica| {
        let node = nodes.iter().find(|node| node.node_id == it.replica_id);
        let endpoint = node.and_then(|it| it.listeners.first());
        QuorumMember {
            node: NodeId(it.replica_id),
            directory: DirectoryId::from_uuid(it.replica_directory_id),
            host: endpoint.map(|it| it.host.clone()).unwrap_or_default(),
            port: endpoint.map(|it| it.port).unwrap_or_default(),
            log_end_offset: it.log_end_offset,
            answered_at_ms: it.last_fetch_timestamp,
        }
    };
    Ok(QuorumState {
        leader: NodeId(partition.leader_id),
        term: partition.leader_epoch,
        high_watermark: partition.high_watermark,
        voters: partition.current_voters.iter().map(member).collect(),
        observers: partition.observers.iter().map(member).collect(),
    })
}
