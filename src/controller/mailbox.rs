//! How requests reach the controller: a bounded queue in, one answer out.
//!
//! A full queue refuses at once (the caller asks again): a controller that cannot keep up must not
//! collect requests whose callers have long given up.

use drave_raft::ConnectionId;
use tokio::sync::{mpsc, oneshot};

use crate::cluster::rpc::{PeerReply, PeerRequest};

/// Requests that may wait for the controller.
const QUEUE_REQUESTS_MAX: usize = 1024;

/// A request and where its answer goes.
#[derive(Debug)]
pub struct Ask {
    pub connection: ConnectionId,
    pub request: PeerRequest,
    pub answer: oneshot::Sender<PeerReply>,
}

/// The sending end; clones share the queue.
#[derive(Clone, Debug)]
pub struct Mailbox {
    asks: mpsc::Sender<Ask>,
    closed: mpsc::UnboundedSender<ConnectionId>,
}

/// The controller's end.
#[derive(Debug)]
pub struct Inbox {
    pub(crate) asks: mpsc::Receiver<Ask>,
    /// As many as there were connections, which the peer port bounds; none may be lost.
    pub(crate) closed: mpsc::UnboundedReceiver<ConnectionId>,
}

pub fn mailbox() -> (Mailbox, Inbox) {
    let (ask_sender, asks) = mpsc::channel(QUEUE_REQUESTS_MAX);
    let (closed_sender, closed) = mpsc::unbounded_channel();
    let mailbox = Mailbox {
        asks: ask_sender,
        closed: closed_sender,
    };
    (mailbox, Inbox { asks, closed })
}

impl Mailbox {
    /// `None` when the controller is overwhelmed or stopping.
    ///
    /// Cancellation: the request is carried out all the same; only its answer is lost.
    pub async fn ask(&self, connection: ConnectionId, request: PeerRequest) -> Option<PeerReply> {
        let (answer, answered) = oneshot::channel();
        let ask = Ask {
            connection,
            request,
            answer,
        };
        self.asks.try_send(ask).ok()?;
        answered.await.ok()
    }

    pub fn closed(&self, connection: ConnectionId) {
        // Nobody listens any more only when the node stops.
        let _ = self.closed.send(connection);
    }
}
