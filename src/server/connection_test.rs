//! One connection over an in-memory pipe, with scripted first stages.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use drave_protocol::api::ApiKey;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::server::connection::{Connection, Left, Past, Terms};
use crate::server::dispatch::Begun;
use crate::server::quotas::Mute;
use crate::server::reply::{Answer, Close, Reply};
use crate::server::sending::Part;
use crate::server::transport::Outlet;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;

const PATIENCE: Duration = Duration::from_secs(20);

/// What a scripted request is answered with.
enum Script {
    Now,
    Silence,
    When(oneshot::Receiver<()>),
    Break,
    Large(usize),
}

/// The client's end, and what the broker did.
struct World {
    reader: ReadHalf<DuplexStream>,
    writer: WriteHalf<DuplexStream>,
    /// Correlation ids in the order of their first stages.
    begun: Arc<Mutex<Vec<u8>>>,
    metrics: Metrics,
    /// Tells that something was sent.
    heard: watch::Sender<()>,
    /// How often it was left to itself.
    n_silences: Arc<AtomicUsize>,
    served: JoinSet<()>,
}

impl Outlet for WriteHalf<DuplexStream> {}

fn serve(scripts: Vec<Script>, idle_max: Duration, write_stall_max: Duration) -> World {
    let (client, broker) = tokio::io::duplex(64 * 1024);
    let (broker_reader, broker_writer) = tokio::io::split(broker);
    let metrics = Metrics::default();
    let terms = Terms {
        idle_max,
        write_stall_max,
        ..terms(&metrics)
    };
    let begun = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&begun);
    let scripts = Mutex::new(scripts.into_iter());
    let first_stage = Arc::new(move |frame: BytesMut, _: Instant| {
        let id = frame.get(7).copied().unwrap();
        seen.lock().push(id);
        let script = scripts.lock().next().expect("a script for each request");
        stage(script, id)
    });
    let n_silences = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&n_silences);
    let heard = watch::Sender::new(());
    let told = heard.clone();
    let mut served = JoinSet::new();
    served.spawn(async move {
        let mut halves = (broker_reader, broker_writer);
        let mut past = Past::begun(terms.clock.now());
        loop {
            let stage = Arc::clone(&first_stage);
            let stage = move |frame, at| stage(frame, at);
            let mut connection = Connection::new(halves.0, halves.1, past, terms.clone(), stage);
            let Left::Silence(it) = connection.run().await else {
                break;
            };
            counted.fetch_add(1, Ordering::Relaxed);
            told.subscribe().changed().await.unwrap();
            past = it.heard_again(terms.clock.now());
            halves = connection.into_halves();
        }
    });
    let (reader, writer) = tokio::io::split(client);
    World {
        reader,
        writer,
        begun,
        metrics,
        heard,
        n_silences,
        served,
    }
}

fn terms(metrics: &Metrics) -> Terms {
    Terms {
        mute: Mute::default(),
        peer: SocketAddr::from(([127, 0, 0, 1], 9)),
        request_bytes_max: 1_000_000,
        idle_max: PATIENCE,
        write_stall_max: PATIENCE,
        clock: Clock::system(),
        tasks: Tasks::new(),
        metrics: Arc::clone(metrics),
    }
}

fn stage(script: Script, id: u8) -> Result<Begun, Close> {
    let frame =
        move |size: usize| Answer::Frame(vec![Part::Bytes(vec![id; size].as_slice().into())]);
    let reply = match script {
        Script::Now => Reply::Now(frame(1)),
        Script::Silence => Reply::Now(Answer::Silence),
        Script::Large(size) => Reply::Now(frame(size)),
        Script::Break => return Err(Close::UnknownApi { key: 77 }),
        Script::When(signal) => Reply::later(async move {
            signal.await.unwrap();
            Ok(frame(1))
        }),
    };
    Ok(Begun {
        api: ApiKey::Produce.api(),
        reply,
        memory: BytesMut::new(),
    })
}

fn ordinary(scripts: Vec<Script>) -> World {
    serve(scripts, PATIENCE, PATIENCE)
}

/// A request frame.
fn request(id: u8) -> [u8; 12] {
    [0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 0, id]
}

impl World {
    async fn request(&mut self, id: u8) {
        self.writer.write_all(&request(id)).await.unwrap();
        self.heard.send_replace(());
    }

    async fn answers(&mut self, n: usize) -> Vec<u8> {
        let mut answers = vec![0; n];
        let read = self.reader.read_exact(&mut answers);
        tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
        answers
    }

    async fn n_silences_after(&self, ms: u64) -> usize {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        self.n_silences.load(Ordering::Relaxed)
    }

    async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let read = self.reader.read_to_end(&mut rest);
        tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
        rest
    }

    /// Waits until the first stages of `n` requests have run.
    async fn begun(&self, n: usize) -> Vec<u8> {
        let all = async {
            while self.begun.lock().len() < n {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, all).await.unwrap();
        self.begun.lock().clone()
    }
}

#[tokio::test]
async fn answers_keep_the_order_of_requests_while_all_of_them_wait() {
    let (first, wait_first) = oneshot::channel();
    let (second, wait_second) = oneshot::channel();
    let scripts = vec![
        Script::When(wait_first),
        Script::When(wait_second),
        Script::Now,
    ];
    let mut world = ordinary(scripts);
    for id in 1..=3 {
        world.request(id).await;
    }
    // Nothing is answered yet, and all three have begun: none waits for its turn to wait.
    assert_eq!(world.begun(3).await, [1, 2, 3]);
    second.send(()).unwrap();
    first.send(()).unwrap();
    assert_eq!(world.answers(3).await, [1, 2, 3]);
    assert_eq!(world.metrics.requests.with(&["Produce"]).value(), 3);
}

#[tokio::test]
async fn a_request_that_wants_no_answer_gets_none() {
    let mut world = ordinary(vec![Script::Silence, Script::Now, Script::Silence]);
    for id in 1..=3 {
        world.request(id).await;
    }
    assert_eq!(world.answers(1).await, [2]);
    world.begun(3).await;
    world.writer.shutdown().await.unwrap();
    assert!(world.rest().await.is_empty());
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_the_connection_and_is_counted_once() {
    let mut world = ordinary(vec![Script::Now, Script::Break]);
    world.request(1).await;
    assert_eq!(world.answers(1).await, [1]);
    world.request(2).await;
    assert!(world.rest().await.is_empty());
    world.served.join_next().await.unwrap().unwrap();
    let refused = &world.metrics.connections_refused;
    assert_eq!(refused.with(&["version"]).value(), 1);
}

#[tokio::test]
async fn what_was_finished_before_the_protocol_was_broken_is_answered() {
    let mut world = ordinary(vec![Script::Now, Script::Now, Script::Break]);
    let together = [request(1), request(2), request(3)].concat();
    world.writer.write_all(&together).await.unwrap();
    assert_eq!(world.rest().await, [1, 2]);
}

#[tokio::test]
async fn many_requests_at_once_are_answered_in_order_and_none_waits_for_another_to_come() {
    let ids: Vec<u8> = (0..100).collect();
    let mut world = ordinary(ids.iter().map(|_| Script::Now).collect());
    let together: Vec<u8> = ids.iter().flat_map(|id| request(*id)).collect();
    world.writer.write_all(&together).await.unwrap();
    assert_eq!(world.answers(ids.len()).await, ids);
}

#[tokio::test]
async fn bytes_that_are_no_frame_end_the_connection() {
    let mut world = ordinary(Vec::new());
    let two_gib = i32::MAX.to_be_bytes();
    world.writer.write_all(&two_gib).await.unwrap();
    assert!(world.rest().await.is_empty());
    world.served.join_next().await.unwrap().unwrap();
    let refused = &world.metrics.connections_refused;
    assert_eq!(refused.with(&["frame"]).value(), 1);
}

#[tokio::test]
async fn a_silent_connection_is_closed_and_a_waiting_one_is_not() {
    let idle_max = Duration::from_millis(60);
    let (signal, wait) = oneshot::channel();
    let mut world = serve(vec![Script::When(wait)], idle_max, PATIENCE);
    world.request(1).await;
    world.begun(1).await;
    tokio::time::sleep(idle_max * 4).await;
    signal.send(()).unwrap();
    assert_eq!(world.answers(1).await, [1]);
    assert!(world.rest().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_fell_silent_is_served_no_longer_until_it_is_heard_and_then_for_longer() {
    let mut world = ordinary(vec![Script::Now, Script::Now]);
    world.request(1).await;
    assert_eq!(world.answers(1).await, [1]);
    assert_eq!(world.n_silences_after(90).await, 0);
    assert_eq!(world.n_silences_after(15).await, 1);
    world.request(2).await;
    assert_eq!(world.answers(1).await, [2]);
    assert_eq!(world.n_silences_after(190).await, 1);
    assert_eq!(world.n_silences_after(15).await, 2);
}

#[tokio::test(start_paused = true)]
async fn who_speaks_every_three_seconds_is_soon_served_throughout() {
    let mut world = ordinary((0..100).map(|_| Script::Now).collect());
    let mut n_silences = 0;
    for id in 0..100 {
        world.request(id).await;
        assert_eq!(world.answers(1).await, [id]);
        n_silences = world.n_silences_after(3_000).await;
    }
    assert!(n_silences < 10, "{n_silences}");
}

#[tokio::test(start_paused = true)]
async fn half_a_request_and_one_that_waits_are_no_silence() {
    let (signal, wait) = oneshot::channel();
    let mut world = ordinary(vec![Script::Now, Script::When(wait)]);
    let half = request(1);
    world.writer.write_all(&half[..5]).await.unwrap();
    assert_eq!(world.n_silences_after(5_000).await, 0);
    world.writer.write_all(&half[5..]).await.unwrap();
    assert_eq!(world.answers(1).await, [1]);
    world.request(2).await;
    assert_eq!(world.n_silences_after(5_000).await, 0);
    signal.send(()).unwrap();
    assert_eq!(world.answers(1).await, [2]);
}

#[tokio::test]
async fn a_client_that_does_not_read_loses_its_connection() {
    let stall_max = Duration::from_millis(30);
    let mut world = serve(vec![Script::Large(1_000_000)], PATIENCE, stall_max);
    world.request(1).await;
    let ended = world.served.join_next();
    tokio::time::timeout(PATIENCE, ended)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let refused = &world.metrics.connections_refused;
    assert_eq!(refused.with(&["stalled"]).value(), 1);
}

/// Ten thousand idle connections are ten thousand times this.
#[tokio::test]
async fn a_connection_needs_little_memory() {
    let (_client, broker) = tokio::io::duplex(64);
    let (reader, writer) = tokio::io::split(broker);
    let terms = terms(&Metrics::default());
    let past = Past::begun(terms.clock.now());
    let mut connection = Connection::new(reader, writer, past, terms, |_, _| {
        Err(Close::UnknownApi { key: 77 })
    });
    let n_bytes = size_of_val(&connection) + size_of_val(&connection.run());
    assert!(n_bytes <= 1_536, "{n_bytes} bytes");
}
