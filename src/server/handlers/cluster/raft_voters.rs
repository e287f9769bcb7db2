//! `AddRaftVoter` and `RemoveRaftVoter`: carried to whoever leads the metadata quorum.

use std::time::Instant;

use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::{DirectoryId, NodeId, Uuid};
use drave_protocol::schema::add_raft_voter::{AddRaftVoterRequest, AddRaftVoterResponse};
use drave_protocol::schema::remove_raft_voter::{RemoveRaftVoterRequest, RemoveRaftVoterResponse};
use drave_raft::{Peer, PeerId};

use crate::cluster::operations::{QuorumRequest, QuorumResponse};
use crate::cluster::{ClusterView, ControllerLink};
use crate::server::context::RequestContext;

/// A removal has no timeout of its own.
const REMOVAL_TIMEOUT_MS: i32 = 30_000;

/// Why a change was not made.
type Refusal = (ErrorCode, String);

/// Answered once the change is agreed, whatever `ack_when_committed` allows.
pub(crate) async fn add(
    ctx: &RequestContext,
    controller: &ControllerLink,
    view: &ClusterView,
    request: AddRaftVoterRequest,
) -> AddRaftVoterResponse {
    let deadline = ctx.deadline(request.timeout_ms);
    let change = match asked_to_add(view, &request) {
        Ok(change) => carry_out(controller, change, deadline).await,
        Err(refusal) => Err(refusal),
    };
    let (error_code, error_message) = told(change);
    AddRaftVoterResponse {
        error_code,
        error_message,
        ..AddRaftVoterResponse::default()
    }
}

pub(crate) async fn remove(
    ctx: &RequestContext,
    controller: &ControllerLink,
    view: &ClusterView,
    request: RemoveRaftVoterRequest,
) -> RemoveRaftVoterResponse {
    let deadline = ctx.deadline(REMOVAL_TIMEOUT_MS);
    let change = match asked_to_remove(view, &request) {
        Ok(change) => carry_out(controller, change, deadline).await,
        Err(refusal) => Err(refusal),
    };
    let (error_code, error_message) = told(change);
    RemoveRaftVoterResponse {
        error_code,
        error_message,
        ..RemoveRaftVoterResponse::default()
    }
}

fn asked_to_add(
    view: &ClusterView,
    request: &AddRaftVoterRequest,
) -> Result<QuorumRequest, Refusal> {
    check_cluster(view, request.cluster_id.as_deref())?;
    let id = voter(request.voter_id, request.voter_directory_id)?;
    let Some(endpoint) = request.listeners.first() else {
        let message = "no listener says where the voter is reached".to_owned();
        return Err((ErrorCode::InvalidRequest, message));
    };
    let address = if endpoint.host.contains(':') {
        format!("[{}]:{}", endpoint.host, endpoint.port)
    } else {
        format!("{}:{}", endpoint.host, endpoint.port)
    };
    Ok(QuorumRequest::AddVoter(Peer { id, address }))
}

fn asked_to_remove(
    view: &ClusterView,
    request: &RemoveRaftVoterRequest,
) -> Result<QuorumRequest, Refusal> {
    check_cluster(view, request.cluster_id.as_deref())?;
    let id = voter(request.voter_id, request.voter_directory_id)?;
    Ok(QuorumRequest::RemoveVoter(id))
}

fn check_cluster(view: &ClusterView, named: Option<&str>) -> Result<(), Refusal> {
    let ours = view.cluster_id().unwrap_or_default();
    match named {
        Some(named) if named != ours => Err((
            ErrorCode::InconsistentClusterId,
            format!("this is cluster {ours}, not {named}"),
        )),
        Some(_) | None => Ok(()),
    }
}

fn voter(id: i32, directory: Uuid) -> Result<PeerId, Refusal> {
    if id < 0 || directory.is_zero() {
        let message = "a voter is named by its id and its directory id".to_owned();
        return Err((ErrorCode::InvalidRequest, message));
    }
    let Some(directory) = DirectoryId::from_uuid(directory) else {
        let message = format!("{directory} is the id of no directory here");
        return Err((ErrorCode::VoterNotFound, message));
    };
    Ok(PeerId {
        node: NodeId(id),
        directory,
    })
}

async fn carry_out(
    controller: &ControllerLink,
    change: QuorumRequest,
    deadline: Instant,
) -> Result<(), Refusal> {
    match controller.quorum(change, deadline).await {
        Ok(QuorumResponse::Changed(outcome)) => {
            outcome.map_err(|error| (ErrorCode::from(&error), error.to_string()))
        }
        Ok(QuorumResponse::Described(_)) => {
            let message = "the controller answered another request".to_owned();
            Err((ErrorCode::UnknownServerError, message))
        }
        Err(error) => Err((ErrorCode::from(&error), error.to_string())),
    }
}

fn told(change: Result<(), Refusal>) -> (i16, Option<String>) {
    match change {
        Ok(()) => (ErrorCode::None.number(), None),
        Err((code, message)) => (code.number(), Some(message)),
    }
}

#[cfg(test)]
mod tests {
    use drave_protocol::schema::add_raft_voter::RaftVoterListener;

    use super::*;
    use crate::server::handlers::sample::view;

    fn request() -> AddRaftVoterRequest {
        AddRaftVoterRequest {
            voter_id: 4,
            voter_directory_id: DirectoryId(9).to_uuid(),
            listeners: vec![RaftVoterListener {
                name: "CONTROLLER".to_owned(),
                host: "::1".to_owned(),
                port: 9093,
            }],
            ..AddRaftVoterRequest::default()
        }
    }

    fn refusal(request: &AddRaftVoterRequest) -> ErrorCode {
        asked_to_add(&view(), request).unwrap_err().0
    }

    #[test]
    fn a_voter_is_asked_for_by_id_directory_and_address() {
        let asked = asked_to_add(&view(), &request());
        let QuorumRequest::AddVoter(peer) = asked.unwrap() else {
            panic!("not what was asked");
        };
        assert_eq!(peer.address, "[::1]:9093");
        assert_eq!(peer.id.directory, DirectoryId(9));
    }

    #[test]
    fn what_names_no_voter_is_refused_as_kafka_does() {
        let mut other_cluster = request();
        other_cluster.cluster_id = Some("another".to_owned());
        assert_eq!(refusal(&other_cluster), ErrorCode::InconsistentClusterId);
        let mut nobody = request();
        nobody.voter_id = -1;
        assert_eq!(refusal(&nobody), ErrorCode::InvalidRequest);
        let mut no_directory = request();
        no_directory.voter_directory_id = Uuid::ZERO;
        assert_eq!(refusal(&no_directory), ErrorCode::InvalidRequest);
        let mut foreign = request();
        foreign.voter_directory_id = Uuid([7; 16]);
        assert_eq!(refusal(&foreign), ErrorCode::VoterNotFound);
        let mut nowhere = request();
        nowhere.listeners.clear();
        assert_eq!(refusal(&nowhere), ErrorCode::InvalidRequest);
    }
}
