//! openraft's outgoing RPCs over our links.

use std::future::Future;
use std::time::Duration;

use openraft::OptionalSend;
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderError,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use std::sync::Arc;

use crate::network::links::{Link, Links, Purpose};
use crate::network::rpc::{
    AppendOutcomeV1, AppendV1, Request, Response, SnapshotChunkV1, TransferOutcomeV1, TransferV1,
    VoteRequestV1,
};
use crate::peer::CallError;
use crate::snapshot::SnapshotBytes;
use crate::stored::{AppliedV1, EntryV1, LogIdV1, VoteV1};
use crate::types::{LogId, Member, Snapshot, TypeConfig, Vote};

const SNAPSHOT_CHUNK_BYTES: usize = 1 << 20;
/// A chunk is only kept in memory over there; the last one is answered after the install.
const CHUNK_PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub(crate) struct Network {
    pub(crate) links: Links,
    /// Entries wait for a disk over there, so they get more than openraft's heartbeat interval.
    pub(crate) entries_patience: Duration,
    pub(crate) install_patience: Duration,
}

#[derive(Debug)]
pub(crate) struct PeerClient {
    network: Network,
    link: Arc<Link>,
    /// Replaces openraft's patience, where that is too short.
    patience: Option<Duration>,
}

impl Network {
    fn client(&self, target: u64, node: &Member, purpose: Purpose) -> PeerClient {
        PeerClient {
            network: self.clone(),
            link: self.links.member(target, node, purpose),
            patience: (purpose == Purpose::Entries).then_some(self.entries_patience),
        }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = PeerClient;

    async fn new_client(&mut self, target: u64, node: &Member) -> PeerClient {
        self.client(target, node, Purpose::Entries)
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &Member) -> PeerClient {
        self.client(target, node, Purpose::Heartbeat)
    }

    async fn new_snapshot_client(&mut self, target: u64, node: &Member) -> PeerClient {
        self.client(target, node, Purpose::Snapshot)
    }
}

impl PeerClient {
    /// Every failure is `Unreachable`, which makes openraft back off instead of spinning.
    async fn call(
        &self,
        request: &Request,
        patience: Duration,
    ) -> Result<Response, Unreachable<TypeConfig>> {
        let deadline = (self.network.links.dialer().now)() + patience;
        match self.link.call(request, deadline).await {
            Ok(Response::Failed { reason }) => Err(Unreachable::from_string(reason)),
            Ok(response) => Ok(response),
            Err(error) => Err(Unreachable::new::<CallError>(&error)),
        }
    }

    async fn ask_vote(
        &self,
        request: Request,
        patience: Duration,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let response = self.call(&request, patience).await?;
        let Response::Vote(it) = response else {
            return Err(unexpected(&response).into());
        };
        Ok(VoteResponse {
            vote: it.vote.to_vote(),
            vote_granted: it.granted,
            last_log_id: it.last.map(LogIdV1::to_log_id),
        })
    }

    async fn send_snapshot(
        &self,
        vote: Vote,
        snapshot: Snapshot,
    ) -> Result<SnapshotResponse<TypeConfig>, Unreachable<TypeConfig>> {
        let applied = AppliedV1::of(
            snapshot.meta.last_log_id.as_ref(),
            &snapshot.meta.last_membership,
        );
        let whole = snapshot.snapshot.0;
        let mut offset = 0;
        loop {
            let end = whole.len().min(offset + SNAPSHOT_CHUNK_BYTES);
            let chunk = Request::SnapshotChunk(SnapshotChunkV1 {
                vote: VoteV1::of(&vote),
                applied: applied.clone(),
                bytes_total: u64::try_from(whole.len()).unwrap_or(u64::MAX),
                offset: u64::try_from(offset).unwrap_or(u64::MAX),
                bytes: whole.slice(offset..end),
            });
            let is_last = end == whole.len();
            let patience = if is_last {
                self.network.install_patience
            } else {
                CHUNK_PATIENCE
            };
            let response = self.call(&chunk, patience).await?;
            // Also before the last chunk: then the vote was refused.
            if let Response::Snapshot { vote } = response {
                return Ok(SnapshotResponse::new(vote.to_vote()));
            }
            if is_last || !matches!(response, Response::ChunkTaken) {
                return Err(unexpected(&response));
            }
            offset = end;
        }
    }
}

fn unexpected(response: &Response) -> Unreachable<TypeConfig> {
    Unreachable::from_string(format!("unexpected answer {response:?}"))
}

fn vote_request(rpc: &VoteRequest<TypeConfig>) -> VoteRequestV1 {
    VoteRequestV1 {
        vote: VoteV1::of(&rpc.vote),
        last: rpc.last_log_id.as_ref().map(LogIdV1::of),
        leadership_transfer: rpc.leadership_transfer,
    }
}

impl RaftNetworkV2<TypeConfig> for PeerClient {
    type SnapshotData = SnapshotBytes;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let request = Request::Append(AppendV1 {
            vote: VoteV1::of(&rpc.vote),
            previous: rpc.prev_log_id.as_ref().map(LogIdV1::of),
            entries: rpc.entries.iter().map(EntryV1::of).collect(),
            committed: rpc.leader_commit.as_ref().map(LogIdV1::of),
        });
        let patience = self.patience.unwrap_or_else(|| option.soft_ttl());
        let response = self.call(&request, patience).await?;
        let Response::Append(outcome) = response else {
            return Err(unexpected(&response).into());
        };
        Ok(match outcome {
            AppendOutcomeV1::Success => AppendEntriesResponse::Success,
            AppendOutcomeV1::PartialSuccess(upto) => {
                AppendEntriesResponse::PartialSuccess(upto.map(LogIdV1::to_log_id))
            }
            AppendOutcomeV1::Conflict => AppendEntriesResponse::Conflict,
            AppendOutcomeV1::HigherVote(vote) => AppendEntriesResponse::HigherVote(vote.to_vote()),
        })
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let request = Request::Vote(vote_request(&rpc));
        self.ask_vote(request, option.soft_ttl()).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let request = Request::PreVote(vote_request(&rpc));
        self.ask_vote(request, option.soft_ttl()).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = self.send_snapshot(vote, snapshot) => Ok(sent?),
        }
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let request = Request::TransferLeader(TransferV1 {
            vote: VoteV1::of(req.from_leader()),
            to: *req.to_node_id(),
            last: req.last_log_id().map(LogIdV1::of),
        });
        let id = |id: Option<LogIdV1>| -> Option<LogId> { id.map(LogIdV1::to_log_id) };
        let response = self.call(&request, option.soft_ttl()).await?;
        let Response::TransferLeader(outcome) = response else {
            return Err(unexpected(&response).into());
        };
        Ok(match outcome {
            TransferOutcomeV1::Accepted => Ok(()),
            TransferOutcomeV1::VoteChanged { expected, actual } => {
                Err(TransferLeaderError::VoteChanged {
                    expected: expected.to_vote(),
                    actual: actual.to_vote(),
                })
            }
            TransferOutcomeV1::LogNotFlushed { expected, actual } => {
                Err(TransferLeaderError::LogNotFlushed {
                    expected: id(expected),
                    actual: id(actual),
                })
            }
        })
    }
}
