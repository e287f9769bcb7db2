//! Answers over real sockets and over a pipe, with records from files of the machine and from none.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use drave_log::fs::faulty::FaultyFs;
use drave_log::fs::{FileSystem, RealFs};
use drave_log::{LogConfig, LogSlice, PartitionLog};
use drave_protocol::ids::{LeaderEpoch, Offset};
use drave_protocol::record::builder::BatchBuilder;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpStream;

use crate::server::sending::{Part, SendError, Sender, interleave};
use crate::server::transport::{Acceptor, Buffers, Outlet};
use crate::tasks::Tasks;

const PATIENCE: Duration = Duration::from_secs(20);

/// A log of `n` batches with one record of some `n_bytes` each.
pub(crate) fn in_memory(n: usize, n_bytes: usize) -> PartitionLog {
    log_of(
        Arc::new(FaultyFs::new()),
        Path::new("/orders-0"),
        n,
        n_bytes,
    )
}

fn log_of(fs: Arc<dyn FileSystem>, dir: &Path, n: usize, n_bytes: usize) -> PartitionLog {
    let config = LogConfig::default();
    let opened = PartitionLog::open(fs, dir, config, Offset::ZERO, Offset::ZERO);
    let mut log = opened.unwrap().0;
    for i in 0..n {
        let letter = ["a", "b", "c", "d"][i % 4];
        let batch = BatchBuilder::new().value(1, letter.repeat(n_bytes)).build();
        log.append_as_leader(batch, LeaderEpoch(0), 1).unwrap();
    }
    log
}

fn slice(log: &PartitionLog, from: i64, max_bytes: usize) -> LogSlice {
    let upper = log.log_end_offset();
    log.slice(Offset(from), upper, max_bytes).unwrap().unwrap()
}

/// Heads between slices, as an answer to a fetch has them.
fn parts(slices: Vec<LogSlice>) -> (Vec<Part>, Vec<u8>) {
    let mut frame = BytesMut::new();
    let mut places = Vec::new();
    let mut whole = Vec::new();
    for slice in &slices {
        frame.extend_from_slice(b"head");
        whole.extend_from_slice(b"head");
        places.push(frame.len());
        whole.extend_from_slice(&slice.read().unwrap());
    }
    frame.extend_from_slice(b"tail");
    whole.extend_from_slice(b"tail");
    (interleave(frame, &places, slices), whole)
}

async fn send<W: Outlet>(outlet: W, parts: Vec<Part>) -> Result<(), SendError> {
    Sender::new(outlet, PATIENCE, Tasks::new())
        .send(VecDeque::from(parts))
        .await
}

async fn read_all(mut stream: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
    bytes
}

/// The broker's and the client's end of a connection.
async fn connection() -> (impl Outlet + use<>, TcpStream) {
    let acceptor = Acceptor::bind("127.0.0.1", 0, Buffers::default())
        .await
        .unwrap();
    let address: SocketAddr = acceptor.address();
    let (accepted, client) = tokio::join!(acceptor.accept(), TcpStream::connect(address));
    (accepted.unwrap().writer, client.unwrap())
}

#[tokio::test]
async fn records_large_and_small_arrive_in_their_places() {
    let folder = tempfile::tempdir().unwrap();
    let real = log_of(
        Arc::new(RealFs),
        &folder.path().join("orders-0"),
        40,
        50_000,
    );
    let memory = in_memory(40, 50_000);
    for log in [&real, &memory] {
        let slices = vec![
            slice(log, 0, usize::MAX),
            slice(log, 3, 1),
            slice(log, 4, 1),
            slice(log, 20, 700_000),
            slice(log, 39, 1),
        ];
        let (parts, whole) = parts(slices);
        let (outlet, client) = connection().await;
        let (sent, received) = tokio::join!(send(outlet, parts), read_all(client));
        sent.unwrap();
        assert!(received == whole, "{} of {}", received.len(), whole.len());
    }
}

#[tokio::test]
async fn an_outlet_that_takes_no_files_gets_copies() {
    let folder = tempfile::tempdir().unwrap();
    let log = log_of(
        Arc::new(RealFs),
        &folder.path().join("orders-0"),
        40,
        50_000,
    );
    let (parts, whole) = parts(vec![slice(&log, 0, usize::MAX), slice(&log, 7, 1)]);
    let (broker, client) = tokio::io::duplex(64 * 1024);
    let (_, outlet) = tokio::io::split(broker);
    let (sent, received) = tokio::join!(send(outlet, parts), async {
        let mut client = client;
        let mut received = vec![0; whole.len()];
        client.read_exact(&mut received).await.unwrap();
        received
    });
    sent.unwrap();
    assert!(received == whole);
}

#[tokio::test]
async fn records_cut_off_meanwhile_end_the_answer_short() {
    let folder = tempfile::tempdir().unwrap();
    for (n_bytes, name) in [(50_000, "large-0"), (50, "small-0")] {
        let mut log = log_of(Arc::new(RealFs), &folder.path().join(name), 10, n_bytes);
        let (parts, whole) = parts(vec![slice(&log, 0, usize::MAX)]);
        log.truncate_to(Offset(5)).unwrap();
        let (outlet, client) = connection().await;
        let (sent, received) = tokio::join!(send(outlet, parts), read_all(client));
        assert!(matches!(sent, Err(SendError::Records(_))), "{sent:?}");
        assert!(received.len() < whole.len() && whole.starts_with(&received));
    }
}

#[tokio::test]
async fn a_reader_that_stops_reading_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let log = log_of(
        Arc::new(RealFs),
        &folder.path().join("orders-0"),
        400,
        100_000,
    );
    let (parts, _) = parts(vec![slice(&log, 0, usize::MAX)]);
    let (outlet, _client) = connection().await;
    let mut sender = Sender::new(outlet, Duration::from_millis(30), Tasks::new());
    let sent = sender.send(VecDeque::from(parts)).await;
    assert!(matches!(sent, Err(SendError::Stalled(_))), "{sent:?}");
}
