//! The peer port's application requests: to the controller, or to this node's replicas and groups.
//!
//! Bytes become a typed request here and nowhere else; what cannot be read is answered so, and the
//! connection lives on.

use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use drave_protocol::ids::MetadataOffset;
use drave_raft::{ConnectionId, PeerAnswer, PeerCall, PeerHandler};
use tracing::{error, warn};

use crate::cluster::rpc::{
    DescribeGroups, DescribeReplicas, PeerReply, PeerRequest, PeerResponse, Refusal, decode, encode,
};
use crate::controller::mailbox::Mailbox;

/// Answers other nodes. Opened before the replicas exist, which need the quorum first.
pub struct PeerDoor {
    mailbox: Mailbox,
    replicas: Arc<OnceLock<Arc<dyn DescribeReplicas>>>,
    groups: Arc<OnceLock<Arc<dyn DescribeGroups>>>,
}

impl PeerDoor {
    pub fn new(mailbox: Mailbox) -> Self {
        Self {
            mailbox,
            replicas: Arc::default(),
            groups: Arc::default(),
        }
    }

    /// From now on `DescribeReplicas` is served; the first provider stays.
    pub fn serve_replicas(&self, replicas: Arc<dyn DescribeReplicas>) {
        if self.replicas.set(replicas).is_err() {
            warn!("this node's replicas are served already");
        }
    }

    /// The same of `DescribeGroups`.
    pub fn serve_groups(&self, groups: Arc<dyn DescribeGroups>) {
        if self.groups.set(groups).is_err() {
            warn!("this node's groups are served already");
        }
    }
}

impl PeerHandler for PeerDoor {
    fn call(&self, call: PeerCall) -> PeerAnswer {
        let mailbox = self.mailbox.clone();
        let replicas = Arc::clone(&self.replicas);
        let groups = Arc::clone(&self.groups);
        Box::pin(async move {
            let reply = match decode(&call.request) {
                Ok(PeerRequest::DescribeReplicas) => describe(&replicas),
                Ok(PeerRequest::DescribeGroups(group)) => describe_groups(&groups, group).await,
                Ok(request) => mailbox
                    .ask(call.connection, request)
                    .await
                    .unwrap_or_else(|| refused(Refusal::NotController)),
                Err(error) => {
                    warn!(peer = %call.from, %error, "peer request not understood");
                    refused(Refusal::Unreadable(error.to_string()))
                }
            };
            encode(&reply).unwrap_or_else(|error| {
                error!(peer = %call.from, %error, "answer does not fit a peer message");
                Bytes::new()
            })
        })
    }

    fn closed(&self, connection: ConnectionId) {
        self.mailbox.closed(connection);
    }
}

fn describe(replicas: &OnceLock<Arc<dyn DescribeReplicas>>) -> PeerReply {
    match replicas.get() {
        Some(replicas) => reply(PeerResponse::DescribeReplicas(replicas.describe_replicas())),
        None => refused(Refusal::NotServed),
    }
}

async fn describe_groups(
    groups: &OnceLock<Arc<dyn DescribeGroups>>,
    group: Option<String>,
) -> PeerReply {
    match groups.get() {
        Some(groups) => reply(PeerResponse::DescribeGroups(
            groups.describe_groups(group).await,
        )),
        None => refused(Refusal::NotServed),
    }
}

fn refused(refusal: Refusal) -> PeerReply {
    reply(PeerResponse::Refused(refusal))
}

/// A reply that rests on no metadata offset.
fn reply(response: PeerResponse) -> PeerReply {
    PeerReply {
        applied: MetadataOffset(0),
        response,
    }
}

impl fmt::Debug for PeerDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerDoor").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use drave_protocol::ids::{DirectoryId, NodeId};
    use drave_raft::PeerId;

    use super::*;
    use crate::controller::mailbox::mailbox;

    #[derive(Debug)]
    struct TwoReplicas;

    impl DescribeReplicas for TwoReplicas {
        fn describe_replicas(&self) -> Bytes {
            Bytes::from_static(b"two")
        }
    }

    async fn call(door: &PeerDoor, request: Bytes) -> PeerResponse {
        let from = PeerId {
            node: NodeId(1),
            directory: DirectoryId(1),
        };
        let connection = ConnectionId(1);
        let answer = door.call(PeerCall {
            connection,
            from,
            request,
        });
        decode::<PeerReply>(&answer.await).unwrap().response
    }

    #[tokio::test]
    async fn replicas_are_described_once_there_are_some() {
        let (mailbox, _inbox) = mailbox();
        let door = PeerDoor::new(mailbox);
        let request = encode(&PeerRequest::DescribeReplicas).unwrap();
        let early = call(&door, request.clone()).await;
        assert_eq!(early, PeerResponse::Refused(Refusal::NotServed));
        door.serve_replicas(Arc::new(TwoReplicas));
        let described = PeerResponse::DescribeReplicas(Bytes::from_static(b"two"));
        assert_eq!(call(&door, request).await, described);
    }

    #[tokio::test]
    async fn nonsense_is_answered_as_such() {
        let (mailbox, _inbox) = mailbox();
        let response = call(&PeerDoor::new(mailbox), Bytes::from_static(b"\0\x01\xff")).await;
        let refused = matches!(response, PeerResponse::Refused(Refusal::Unreadable(_)));
        assert!(refused, "{response:?}");
    }
}
