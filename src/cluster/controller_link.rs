//! Typed calls to the active controller, wherever it is.
//!
//! Invariants: every call has a deadline; an answer is handed over only when this node's own image
//! shows what it speaks of, so that a caller who was told "created" finds the topic; a call that ends
//! without an answer leaves the outcome open, and says so.

use std::time::{Duration, Instant};

use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::MetadataOffset;
use drave_raft::{CallError, MetadataRaft};
use thiserror::Error;

use crate::clock::Clock;
use crate::cluster::administration::{
    AdminRequest, AdminResponse, AlterConfigs, AlterReassignments, AlteredConfigs,
    CreatePartitions, ElectLeaders, Election, GrownTopic, Reassigned,
};
use crate::cluster::metadata::Metadata;
use crate::cluster::operations::{
    OperatorRequest, OperatorResponse, QuorumRequest, QuorumResponse,
};
use crate::cluster::rpc::{
    AllocateProducerIds, AllocateProducerIdsError, AlterPartition, AlteredPartition, CreateTopics,
    CreatedTopic, DeleteTopics, DeletedTopic, MessageError, OfflineReplicas, PeerReply,
    PeerRequest, PeerResponse, ProducerIdBlock, Refusal, StaleBrokerEpoch, decode, encode,
};

/// Between tries while no controller is active, doubling.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// A cheap handle; clones share the connections.
#[derive(Clone, Debug)]
pub struct ControllerLink {
    raft: MetadataRaft,
    metadata: Metadata,
    clock: Clock,
}

/// Why a call to the controller has no answer.
#[derive(Debug, Error)]
pub enum LinkError {
    /// Nothing was carried out, as far as is known.
    #[error("no active controller answered in time")]
    NoController,
    /// It may or may not have been carried out.
    #[error("the controller did not answer in time: {0}")]
    Unanswered(#[source] CallError),
    /// Carried out, but this node does not see it yet.
    #[error("done at metadata offset {applied}, which this node has not reached in time")]
    NotYetSeen { applied: MetadataOffset },
    #[error(transparent)]
    StaleBrokerEpoch(StaleBrokerEpoch),
    #[error("the controller speaks otherwise: {0}")]
    Unreadable(String),
    #[error("request does not fit a peer message: {0}")]
    Message(#[from] MessageError),
}

impl From<&LinkError> for ErrorCode {
    fn from(error: &LinkError) -> Self {
        match error {
            LinkError::NoController => Self::NotController,
            LinkError::Unanswered(_) | LinkError::NotYetSeen { .. } => Self::RequestTimedOut,
            LinkError::StaleBrokerEpoch(_) => Self::StaleBrokerEpoch,
            LinkError::Unreadable(_) => Self::UnknownServerError,
            LinkError::Message(_) => Self::InvalidRequest,
        }
    }
}

impl ControllerLink {
    /// Answers are handed over when `metadata` shows what they speak of: the handle every door reads.
    pub fn new(raft: MetadataRaft, metadata: Metadata, clock: Clock) -> Self {
        Self {
            raft,
            metadata,
            clock,
        }
    }

    pub async fn create_topics(
        &self,
        request: CreateTopics,
        deadline: Instant,
    ) -> Result<Vec<CreatedTopic>, LinkError> {
        let response = self
            .ask(PeerRequest::CreateTopics(request), deadline)
            .await?;
        if let PeerResponse::CreateTopics(created) = response {
            Ok(created)
        } else {
            Err(unexpected(&response))
        }
    }

    pub async fn delete_topics(
        &self,
        request: DeleteTopics,
        deadline: Instant,
    ) -> Result<Vec<DeletedTopic>, LinkError> {
        let response = self
            .ask(PeerRequest::DeleteTopics(request), deadline)
            .await?;
        if let PeerResponse::DeleteTopics(deleted) = response {
            Ok(deleted)
        } else {
            Err(unexpected(&response))
        }
    }

    /// On any error the leader keeps its maximal ISR until the image shows the outcome.
    pub async fn alter_partition(
        &self,
        request: AlterPartition,
        deadline: Instant,
    ) -> Result<Vec<AlteredPartition>, LinkError> {
        let response = self
            .ask(PeerRequest::AlterPartition(request), deadline)
            .await?;
        if let PeerResponse::AlterPartition(altered) = response {
            altered.map_err(LinkError::StaleBrokerEpoch)
        } else {
            Err(unexpected(&response))
        }
    }

    /// Returns once this node's image shows it.
    pub async fn report_offline(
        &self,
        request: OfflineReplicas,
        deadline: Instant,
    ) -> Result<(), LinkError> {
        let response = self
            .ask(PeerRequest::ReportOffline(request), deadline)
            .await?;
        if let PeerResponse::ReportOffline(reported) = response {
            reported.map_err(LinkError::StaleBrokerEpoch)
        } else {
            Err(unexpected(&response))
        }
    }

    /// On any error the block, if there is one, is nobody's.
    pub async fn allocate_producer_ids(
        &self,
        request: AllocateProducerIds,
        deadline: Instant,
    ) -> Result<Result<ProducerIdBlock, AllocateProducerIdsError>, LinkError> {
        let response = self
            .ask(PeerRequest::AllocateProducerIds(request), deadline)
            .await?;
        if let PeerResponse::AllocateProducerIds(allocated) = response {
            Ok(allocated)
        } else {
            Err(unexpected(&response))
        }
    }

    pub async fn create_partitions(
        &self,
        request: CreatePartitions,
        deadline: Instant,
    ) -> Result<Vec<GrownTopic>, LinkError> {
        let request = AdminRequest::CreatePartitions(request);
        if let AdminResponse::CreatePartitions(it) = self.administer(request, deadline).await? {
            Ok(it)
        } else {
            Err(other_answer())
        }
    }

    pub async fn elect_leaders(
        &self,
        request: ElectLeaders,
        deadline: Instant,
    ) -> Result<Vec<Election>, LinkError> {
        let request = AdminRequest::ElectLeaders(request);
        if let AdminResponse::ElectLeaders(it) = self.administer(request, deadline).await? {
            Ok(it)
        } else {
            Err(other_answer())
        }
    }

    pub async fn alter_configs(
        &self,
        request: AlterConfigs,
        deadline: Instant,
    ) -> Result<Vec<AlteredConfigs>, LinkError> {
        let request = AdminRequest::AlterConfigs(request);
        if let AdminResponse::AlterConfigs(it) = self.administer(request, deadline).await? {
            Ok(it)
        } else {
            Err(other_answer())
        }
    }

    pub async fn alter_reassignments(
        &self,
        request: AlterReassignments,
        deadline: Instant,
    ) -> Result<Vec<Reassigned>, LinkError> {
        let request = AdminRequest::AlterReassignments(request);
        if let AdminResponse::AlterReassignments(it) = self.administer(request, deadline).await? {
            Ok(it)
        } else {
            Err(other_answer())
        }
    }

    async fn administer(
        &self,
        request: AdminRequest,
        deadline: Instant,
    ) -> Result<AdminResponse, LinkError> {
        let response = self.ask(PeerRequest::Administer(request), deadline).await?;
        if let PeerResponse::Administered(response) = response {
            Ok(response)
        } else {
            Err(unexpected(&response))
        }
    }

    /// Asks whoever leads the quorum; a change may have been made although its answer did not come.
    pub async fn quorum(
        &self,
        request: QuorumRequest,
        deadline: Instant,
    ) -> Result<QuorumResponse, LinkError> {
        let response = self.ask(PeerRequest::Quorum(request), deadline).await?;
        if let PeerResponse::Quorum(response) = response {
            Ok(response)
        } else {
            Err(unexpected(&response))
        }
    }

    pub async fn operate(
        &self,
        request: OperatorRequest,
        deadline: Instant,
    ) -> Result<OperatorResponse, LinkError> {
        let response = self.ask(PeerRequest::Operate(request), deadline).await?;
        if let PeerResponse::Operated(response) = response {
            Ok(response)
        } else {
            Err(unexpected(&response))
        }
    }

    async fn ask(
        &self,
        request: PeerRequest,
        deadline: Instant,
    ) -> Result<PeerResponse, LinkError> {
        let bytes = encode(&request)?;
        let mut pause = PAUSE_MIN;
        loop {
            let answer = self.raft.call_leader(bytes.clone(), deadline).await;
            let reply: PeerReply = decode(&answer.map_err(failed)?)?;
            if reply.response != PeerResponse::Refused(Refusal::NotController) {
                return self.seen(reply, deadline).await;
            }
            // It leads the quorum but has not activated yet.
            let wake_at = self.clock.now() + pause;
            if wake_at >= deadline {
                return Err(LinkError::NoController);
            }
            self.clock.sleep_until(wake_at).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn seen(&self, reply: PeerReply, deadline: Instant) -> Result<PeerResponse, LinkError> {
        let PeerReply { applied, response } = reply;
        let seen = tokio::select! {
            seen = self.metadata.reached(applied) => seen,
            () = self.clock.sleep_until(deadline) => false,
        };
        if seen {
            Ok(response)
        } else {
            Err(LinkError::NotYetSeen { applied })
        }
    }
}

fn failed(error: CallError) -> LinkError {
    match error {
        CallError::NoLeader
        | CallError::Unreachable { .. }
        | CallError::Refused { .. }
        | CallError::Stopped => LinkError::NoController,
        CallError::Timeout { .. } | CallError::Closed { .. } | CallError::TooLarge(_) => {
            LinkError::Unanswered(error)
        }
    }
}

fn unexpected(response: &PeerResponse) -> LinkError {
    match response {
        PeerResponse::Refused(Refusal::NotController) => LinkError::NoController,
        PeerResponse::Refused(refusal) => LinkError::Unreadable(refusal.to_string()),
        PeerResponse::RegisterBroker(_)
        | PeerResponse::Heartbeat(_)
        | PeerResponse::AlterPartition(_)
        | PeerResponse::CreateTopics(_)
        | PeerResponse::DeleteTopics(_)
        | PeerResponse::DescribeReplicas(_)
        | PeerResponse::DescribeGroups(_)
        | PeerResponse::ReportOffline(_)
        | PeerResponse::AllocateProducerIds(_)
        | PeerResponse::Administered(_)
        | PeerResponse::Quorum(_)
        | PeerResponse::Operated(_) => other_answer(),
    }
}

fn other_answer() -> LinkError {
    LinkError::Unreadable("an answer to another request".to_owned())
}
