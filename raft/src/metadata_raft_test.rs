#![allow(
    clippy::disallowed_methods,
    reason = "tests stand where `node` stands: they own the doors"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use drave_protocol::ids::{DirectoryId, NodeId};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::config::{Bootstrap, Deps, RaftConfig};
use crate::metadata_raft::MetadataRaft;
use crate::peer::{ConnectionId, PeerAnswer, PeerCall, PeerHandler};
use crate::propose::ProposeError;
use crate::types::RecordBatch;

struct Silent;

impl PeerHandler for Silent {
    fn call(&self, _call: PeerCall) -> PeerAnswer {
        Box::pin(async { Bytes::new() })
    }

    fn closed(&self, _connection: ConnectionId) {}
}

async fn alone(folder: &TempDir) -> MetadataRaft {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let config = RaftConfig::new(
        NodeId(1),
        DirectoryId(1),
        folder.path().to_path_buf(),
        Bootstrap::Voters(vec![(NodeId(1), address.clone())]),
        address,
    );
    let deps = Deps {
        listener,
        wall_clock_ms: Arc::new(|| 0),
        now: Arc::new(Instant::now),
        random_u64: Arc::new(|| 4),
    };
    let raft = MetadataRaft::open(config, deps, Arc::new(Silent));
    let raft = raft.await.unwrap();
    let mut leadership = raft.leadership();
    leadership.wait_for(|it| it.is_self).await.unwrap();
    raft
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_a_newer_version_stops_this_node_and_says_why() {
    let folder = TempDir::new().unwrap();
    let raft = alone(&folder).await;
    let term = raft.leadership().borrow().term;
    // Kind 99, as a newer node would propose it.
    let batch = RecordBatch {
        wall_ms: 0,
        records: Bytes::from_static(&[1, 0, 99, 0, 1, 0, 0, 0, 0]),
    };
    let written = raft.inner.node.raft.client_write(batch).await;
    assert!(written.is_err());
    let mut leadership = raft.leadership();
    let patience = Duration::from_secs(10);
    let resigned = leadership.wait_for(|it| !it.is_self);
    tokio::time::timeout(patience, resigned)
        .await
        .unwrap()
        .unwrap();
    let status = raft.status();
    let fatal = status.fatal.unwrap();
    assert!(
        fatal.contains("kind 99") && fatal.contains("upgrade"),
        "{fatal}"
    );
    assert!(!status.has_quorum);
    let refused = raft.propose(term, Vec::new()).await;
    assert!(
        matches!(refused, Err(ProposeError::Fatal(_))),
        "{refused:?}"
    );
}
