//! Logs of one directory that are made durable beside each other.

use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use drave_log::fs::FileSystem;
use drave_log::fs::faulty::FaultyFs;
use drave_log::{LogConfig, LogDir};
use drave_protocol::ids::{
    DirectoryId, LeaderEpoch, NodeId, PartitionEpoch, TopicIdPartition, TopicPartition, Uuid,
};
use drave_protocol::record::builder::BatchBuilder;
use drave_raft::image::PartitionRegistration;
use drave_raft::record::LeaderRecovery;

use super::*;
use crate::replica::error::{AppendError, NotLeading};
use crate::replica::homes::Homes;
use crate::replica::opening::Opening;
use crate::replica::partition::{Acks, Appended, Policy, Telling};
use crate::replica::purgatory::CommitTicket;
use crate::replica::roster::Roster;
use crate::replica::signals::Signals;
use crate::replica::syncing::Durability;
use crate::replica::throttle::Paced;

const ME: NodeId = NodeId(1);
const LEADER: NodeId = NodeId(2);

fn homes(fs: &FaultyFs) -> Homes {
    homes_at(fs, &["/one"])
}

fn homes_at(fs: &FaultyFs, paths: &[&str]) -> Homes {
    let fs: Arc<dyn FileSystem> = Arc::new(fs.clone());
    let home = |(path, number): (&&str, u64)| {
        let dir = LogDir::open(Arc::clone(&fs), Path::new(path)).unwrap();
        Home::open(dir, DirectoryId(number), 0).unwrap()
    };
    let present = paths.iter().zip(1..).map(home).collect();
    let roster = Roster::open(Arc::clone(&fs), Path::new("/one")).unwrap();
    Homes::new(present, Vec::new(), roster)
}

/// Led by this node, which has the only replica.
fn partition(homes: &Homes, number: i32, clock: &Clock) -> Arc<Partition> {
    let id = TopicIdPartition {
        topic_id: Uuid([5; 16]),
        partition: number,
    };
    let name = TopicPartition {
        topic: "orders".to_owned(),
        partition: number,
    };
    let opened = Opening::new(homes, true).open(id, &name, LogConfig::default());
    let policy = Policy {
        paced: Paced::default(),
        min_isr: 1,
        durability: Durability::Disk,
        lag_max: Duration::from_secs(10),
    };
    let signals = Arc::<Signals>::default();
    let open = opened.unwrap().unwrap();
    let placed = [(id, open.home.directory())];
    homes.roster.lock().place(&placed).unwrap();
    let partition = Arc::new(Partition::new(id, name, ME, open, (policy, signals)));
    let registration = PartitionRegistration {
        replicas: vec![ME],
        isr: vec![ME],
        elr: Vec::new(),
        adding_replicas: Vec::new(),
        removing_replicas: Vec::new(),
        leader: Some(ME),
        leader_epoch: LeaderEpoch(0),
        partition_epoch: PartitionEpoch(0),
        recovery: LeaderRecovery::Recovered,
    };
    partition.take_role(clock.now(), &registration, Telling::Each);
    partition
}

fn append(partition: &Arc<Partition>, clock: &Clock) -> CommitTicket {
    let appended = append_at(clock.now(), partition, clock, Acks::All);
    appended.ticket.unwrap()
}

fn append_at(now: Instant, partition: &Arc<Partition>, clock: &Clock, acks: Acks) -> Appended {
    let records = BatchBuilder::new().value(clock.wall_ms(), "x").build();
    let at = (now, clock.wall_ms());
    partition.append(records, acks, None, at).unwrap()
}

async fn outcome(ticket: CommitTicket, clock: &Clock) -> Result<(), AppendError> {
    ticket
        .committed(clock.now() + Duration::from_secs(20))
        .await
}

fn start(homes: &Homes, clock: &Clock) -> Tasks {
    let tasks = Tasks::new();
    for home in homes.present() {
        let running = run(Arc::clone(home), clock.clone(), tasks.clone());
        tasks.spawn("log flusher", running);
    }
    tasks
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_held_up_keeps_no_other_waiting() {
    let (homes, clock) = (homes(&FaultyFs::new()), Clock::system());
    let logs: Vec<_> = (0..20).map(|it| partition(&homes, it, &clock)).collect();
    let tickets: Vec<_> = logs.iter().map(|it| append(it, &clock)).collect();
    let (begun, has_begun) = mpsc::channel();
    let (let_go, is_let_go) = mpsc::channel::<()>();
    let held = Arc::clone(&logs[0]);
    Tasks::new().start_blocking(move || {
        let state = held.lock();
        begun.send(()).unwrap();
        is_let_go.recv().unwrap();
        drop(state);
    });
    has_begun.recv().unwrap();
    let tasks = start(&homes, &clock);
    let mut tickets = tickets.into_iter();
    let first = tickets.next().unwrap();
    for ticket in tickets {
        outcome(ticket, &clock).await.unwrap();
    }
    let_go.send(()).unwrap();
    outcome(first, &clock).await.unwrap();
    tasks.drain(Duration::from_secs(5)).await;
}

/// How many are to be synced now; they are begun.
fn marked(homes: &Homes) -> usize {
    let unsynced = &homes.present()[0].unsynced;
    std::iter::from_fn(|| unsynced.begin()).count()
}

#[tokio::test]
async fn what_nobody_waits_for_is_synced_with_what_comes_within_5_ms() {
    let (homes, clock) = (homes(&FaultyFs::new()), Clock::system());
    let log = partition(&homes, 0, &clock);
    let now = clock.now();
    for after_ms in [0, 4] {
        let at = now + Duration::from_millis(after_ms);
        append_at(at, &log, &clock, Acks::Leader);
    }
    assert_eq!(marked(&homes), 0);
    let due = now + Duration::from_millis(5);
    assert_eq!(homes.present()[0].unsynced.mark_due(now), Some(due));
    assert_eq!(homes.present()[0].unsynced.mark_due(due), None);
    assert_eq!(marked(&homes), 1);
}

#[tokio::test]
async fn what_somebody_waits_for_is_synced_now() {
    let (homes, clock) = (homes(&FaultyFs::new()), Clock::system());
    let [acked, read] = [0, 1].map(|it| partition(&homes, it, &clock));
    append_at(clock.now(), &acked, &clock, Acks::Leader);
    assert_eq!(marked(&homes), 0);
    let _ticket = append(&acked, &clock);
    assert_eq!(marked(&homes), 1, "an ack");

    append_at(clock.now(), &read, &clock, Acks::Leader);
    let entered = Entered::new(&[Arc::clone(&read)], WaitFor::Append);
    read.note_appended(clock.now());
    assert_eq!(marked(&homes), 0, "a follower reads what is not committed");
    drop(entered);
    let _entered = Entered::new(&[Arc::clone(&read)], WaitFor::HighWatermark);
    read.note_appended(clock.now());
    assert_eq!(marked(&homes), 1, "a consumer does not");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_synced_takes_its_directory_along() {
    let fs = FaultyFs::new();
    let (homes, clock) = (homes(&fs), Clock::system());
    let logs: Vec<_> = (0..20).map(|it| partition(&homes, it, &clock)).collect();
    let tickets: Vec<_> = logs.iter().map(|it| append(it, &clock)).collect();
    fs.fail_syncs(1);
    let tasks = start(&homes, &clock);
    let mut n_failed = 0;
    for ticket in tickets {
        // Those whose own sync came first may be acked: their bytes are on disk.
        match tokio::time::timeout(Duration::from_millis(200), outcome(ticket, &clock)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => n_failed += 1,
        }
    }
    assert!(n_failed >= 1);
    assert!(homes.present()[0].failure().is_some());
    let end = |it: &Arc<Partition>| it.lock().high_watermark();
    let before: Vec<_> = logs.iter().map(end).collect();
    for log in &logs {
        let records = BatchBuilder::new().value(clock.wall_ms(), "y").build();
        let now = (clock.now(), clock.wall_ms());
        let refusal = log.append(records, Acks::All, None, now).unwrap_err();
        assert!(
            matches!(refusal, AppendError::NotLeading(NotLeading::Offline { .. })),
            "{refusal:?}"
        );
    }
    assert_eq!(logs.iter().map(end).collect::<Vec<_>>(), before);
    tasks.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_sync_that_ends_after_its_directory_failed_acks_nothing() {
    let fs = FaultyFs::new();
    let (homes, clock) = (homes(&fs), Clock::system());
    let [first, second] = [0, 1].map(|it| partition(&homes, it, &clock));
    append(&first, &clock);
    let ticket = append(&second, &clock);
    let done = second.prepare_sync(clock.now()).unwrap().run();
    assert!(done.is_ok());
    fs.fail_syncs(1);
    let failed = first.prepare_sync(clock.now()).unwrap().run();
    first.synced(failed, clock.now());
    second.synced(done, clock.now());
    let told = outcome(ticket, &clock).await.unwrap_err();
    assert!(
        matches!(told, AppendError::NotLeading(NotLeading::Offline { .. })),
        "{told:?}"
    );
}

/// The same, with a replica that follows and has taken a record in.
fn follower(homes: &Homes, number: i32, clock: &Clock) -> Arc<Partition> {
    let partition = partition(homes, number, clock);
    let registration = PartitionRegistration {
        replicas: vec![LEADER, ME],
        isr: vec![LEADER, ME],
        elr: Vec::new(),
        adding_replicas: Vec::new(),
        removing_replicas: Vec::new(),
        leader: Some(LEADER),
        leader_epoch: LeaderEpoch(1),
        partition_epoch: PartitionEpoch(1),
        recovery: LeaderRecovery::Recovered,
    };
    append(&partition, clock);
    partition.take_role(clock.now(), &registration, Telling::Each);
    partition
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_claims_what_is_on_disk_and_waits_for_no_slow_directory() {
    let homes = homes_at(&FaultyFs::new(), &["/one", "/two"]);
    let clock = Clock::system();
    let logs: Vec<_> = (0..4).map(|it| follower(&homes, it, &clock)).collect();
    let is_claimed = |it: &Arc<Partition>| it.position(LEADER).is_some();
    assert!(!logs.iter().any(is_claimed), "nothing is on disk yet");
    let in_second = |it: &&Arc<Partition>| it.home().directory() == DirectoryId(2);
    let slow: Vec<_> = logs.iter().filter(in_second).cloned().collect();
    assert_eq!(slow.len(), 2, "new logs are spread");

    // The slow directory's syncs are begun, and do not end.
    let requests: Vec<_> = slow
        .iter()
        .map(|it| (Arc::clone(it), it.prepare_sync(clock.now()).unwrap()))
        .collect();
    let tasks = Tasks::new();
    let fast = run(
        Arc::clone(&homes.present()[0]),
        clock.clone(),
        tasks.clone(),
    );
    tasks.spawn("log flusher", fast);
    sync(&logs, &clock).await;
    for log in &logs {
        assert_eq!(is_claimed(log), !in_second(&log), "{}", log.name());
    }
    for (log, request) in requests {
        log.synced(request.run(), clock.now());
    }
    let mut woken = slow[0].signals.take_fetchable().await;
    woken.extend(slow[1].signals.take_fetchable().await);
    assert!(
        woken.iter().eq(slow
            .iter()
            .map(|it| it.id())
            .collect::<BTreeSet<_>>()
            .iter())
    );
    assert!(logs.iter().all(is_claimed));
    tasks.drain(Duration::from_secs(5)).await;
}
