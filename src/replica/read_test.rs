//! What leaders and followers show to whom, on a partition with a log of its own.

use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use drave_log::LogDir;
use drave_log::fs::FileSystem;
use drave_log::fs::faulty::FaultyFs;
use drave_protocol::ErrorCode;
use drave_protocol::ids::{BrokerEpoch, DirectoryId, PartitionEpoch, TopicPartition, Uuid};
use drave_protocol::record::builder::BatchBuilder;
use drave_raft::image::PartitionRegistration;
use drave_raft::record::LeaderRecovery;

use super::*;
use crate::replica::fetch::Watching;
use crate::replica::follower::{LeaderBounds, Position};
use crate::replica::homes::{Home, Homes};
use crate::replica::opening::Opening;
use crate::replica::partition::{Acks, Policy, Telling};
use crate::replica::purgatory::{WaitFor, Watch};
use crate::replica::roster::Roster;
use crate::replica::signals::Signals;
use crate::replica::syncing::{Durability, Lazily};
use crate::replica::throttle::Paced;

const ID: TopicIdPartition = TopicIdPartition {
    topic_id: Uuid([5; 16]),
    partition: 0,
};
const WALL_MS: i64 = 1_700_000_000_000;
const CONSUMER: Isolation = Isolation::ReadUncommitted;

/// The replica on broker 1 of a partition on 1, 2 and 3.
struct Replica {
    partition: Arc<Partition>,
    now: Instant,
}

#[allow(clippy::disallowed_methods, reason = "any starting point will do")]
fn replica() -> Replica {
    let fs: Arc<dyn FileSystem> = Arc::new(FaultyFs::new());
    let dir = LogDir::open(Arc::clone(&fs), Path::new("/one")).unwrap();
    let home = Home::open(dir, DirectoryId(1), 0).unwrap();
    let roster = Roster::open(fs, Path::new("/one")).unwrap();
    let homes = Homes::new(vec![home], Vec::new(), roster);
    let name = TopicPartition {
        topic: "t".to_owned(),
        partition: 0,
    };
    let opening = Opening::new(&homes, true);
    let open = opening.open(ID, &name, drave_log::LogConfig::default());
    let policy = Policy {
        min_isr: 1,
        durability: Durability::PageCache(Lazily {
            n_records: u64::MAX,
            after: Duration::MAX,
        }),
        lag_max: Duration::from_secs(10),
        paced: Paced::default(),
    };
    let around = (policy, Arc::new(Signals::default()));
    let partition = Partition::new(ID, name, NodeId(1), open.unwrap().unwrap(), around);
    Replica {
        partition: Arc::new(partition),
        now: Instant::now(),
    }
}

fn batch(n_records: usize) -> BytesMut {
    let values = 0..n_records;
    let filled = values.fold(BatchBuilder::new(), |batch, n| {
        batch.value(WALL_MS, n.to_string().into_bytes())
    });
    filled.build()
}

fn from(offset: i64) -> FetchPartition {
    FetchPartition {
        partition: ID,
        current_leader_epoch: None,
        fetch_offset: Offset(offset),
        last_fetched_epoch: None,
        log_start_offset: None,
        max_bytes: 1000,
    }
}

fn in_epoch(epoch: i32, asked: FetchPartition) -> FetchPartition {
    FetchPartition {
        current_leader_epoch: Some(LeaderEpoch(epoch)),
        ..asked
    }
}

impl Replica {
    /// Leads, or follows whoever does, with these in sync.
    fn is_led_by(&self, leader: i32, epoch: i32, isr: &[i32]) {
        self.is_registered(leader, (epoch, epoch), isr);
    }

    fn is_registered(&self, leader: i32, (epoch, partition_epoch): (i32, i32), isr: &[i32]) {
        let registration = PartitionRegistration {
            replicas: [1, 2, 3].map(NodeId).to_vec(),
            isr: isr.iter().copied().map(NodeId).collect(),
            adding_replicas: Vec::new(),
            removing_replicas: Vec::new(),
            elr: Vec::new(),
            leader: Some(NodeId(leader)),
            leader_epoch: LeaderEpoch(epoch),
            partition_epoch: PartitionEpoch(partition_epoch),
            recovery: LeaderRecovery::Recovered,
        };
        self.partition
            .take_role(self.now, &registration, Telling::Each);
    }

    fn appends(&self, n_records: usize) {
        let appended =
            self.partition
                .append(batch(n_records), Acks::Leader, None, (self.now, WALL_MS));
        appended.unwrap();
    }

    /// Takes records from its leader, and the leader's word on what is committed.
    fn takes(&self, n_records: usize, high_watermark: i64, epoch: i32) {
        let (end, start) = {
            let state = self.partition.lock();
            (state.log.log_end_offset(), state.log.log_start_offset())
        };
        let position = Position {
            leader_epoch: LeaderEpoch(epoch),
            fetch_offset: end,
            last_fetched_epoch: None,
            log_start_offset: start,
        };
        let records = if n_records == 0 {
            Bytes::new()
        } else {
            let mut bytes = batch(n_records);
            drave_protocol::record::batch::patch(&mut bytes, end, LeaderEpoch(epoch));
            bytes.freeze()
        };
        let bounds = LeaderBounds {
            high_watermark: Offset(high_watermark),
            log_start_offset: Offset(0),
        };
        let taken = self
            .partition
            .append_fetched(&position, &records, bounds, WALL_MS);
        taken.unwrap();
    }

    fn is_fetched_by(&self, follower: i32, asked: FetchPartition) -> Result<Fetched, ErrorCode> {
        let follower = FollowerId {
            node: NodeId(follower),
            broker_epoch: BrokerEpoch(7),
        };
        let read = self
            .partition
            .read_as_follower(&asked, (follower, true), self.now);
        read.map_err(|error| ErrorCode::from(&error))
    }

    fn is_read(&self, asked: FetchPartition, from: ReadsFrom) -> Result<Fetched, ErrorCode> {
        let read = self.partition.read_as_consumer(&asked, CONSUMER, from);
        read.map_err(|error| ErrorCode::from(&error))
    }

    fn latest(&self) -> Result<i64, ErrorCode> {
        let listed = self
            .partition
            .list_offset(OffsetQuery::Latest, CONSUMER, None);
        let listed = listed.map_err(|error| ErrorCode::from(&error))?;
        Ok(listed.unwrap().offset.0)
    }
}

#[test]
fn a_new_leader_tells_no_end_and_gives_no_record_before_it_knows_what_is_committed() {
    let replica = replica();
    replica.is_led_by(2, 4, &[1, 2]);
    replica.takes(5, 2, 4);
    replica.is_led_by(1, 5, &[1, 2]);
    assert_eq!(replica.latest(), Err(ErrorCode::OffsetNotAvailable));
    let beyond = replica.is_read(from(5), ReadsFrom::Leader).map(|_| ());
    assert_eq!(
        beyond,
        Err(ErrorCode::OffsetNotAvailable),
        "and not out of range"
    );
    let committed = replica.is_read(from(0), ReadsFrom::Leader).unwrap();
    assert_eq!(committed.high_watermark, Offset(2));

    replica.is_fetched_by(2, in_epoch(5, from(5))).unwrap();
    assert_eq!(replica.latest(), Ok(5));
}

#[test]
fn a_follower_counts_only_in_the_epoch_of_its_leader() {
    let replica = replica();
    replica.is_led_by(1, 5, &[1, 2]);
    replica.appends(3);
    let fenced = Err(ErrorCode::FencedLeaderEpoch);
    let fetch = |asked| replica.is_fetched_by(2, asked).map(|_| ());
    assert_eq!(fetch(from(3)), fenced, "it does not say which it follows");
    assert_eq!(fetch(in_epoch(4, from(3))), fenced);
    let unknown = Err(ErrorCode::UnknownLeaderEpoch);
    assert_eq!(fetch(in_epoch(6, from(3))), unknown);
    assert_eq!(replica.partition.lock().high_watermark(), Offset(0));
    assert_eq!(fetch(in_epoch(5, from(3))), Ok(()));
    assert_eq!(replica.partition.lock().high_watermark(), Offset(3));
}

#[test]
fn a_follower_out_of_range_counts_for_nothing_though_there_is_no_room_for_records() {
    let replica = replica();
    replica.is_led_by(1, 5, &[1, 2]);
    replica.appends(3);
    for max_bytes in [0, 1000] {
        let beyond = FetchPartition {
            max_bytes,
            ..in_epoch(5, from(4))
        };
        let refused = replica.is_fetched_by(2, beyond).map(|_| ());
        assert_eq!(refused, Err(ErrorCode::OffsetOutOfRange));
        assert_eq!(replica.partition.lock().high_watermark(), Offset(0));
    }
}

#[test]
fn a_follower_whose_history_parts_counts_for_nothing() {
    let replica = replica();
    replica.is_led_by(2, 3, &[1, 2]);
    replica.takes(2, 0, 3);
    replica.is_led_by(1, 5, &[1, 2]);
    replica.appends(4);
    let parted = FetchPartition {
        last_fetched_epoch: Some(LeaderEpoch(4)),
        ..in_epoch(5, from(6))
    };
    let told = replica.is_fetched_by(2, parted).unwrap();
    assert_eq!(told.diverging, Some((LeaderEpoch(3), Offset(2))));
    assert!(told.records.is_none() && told.has_news);
    assert_eq!(replica.partition.lock().high_watermark(), Offset(0));
}

#[test]
fn a_follower_all_of_whose_records_were_deleted_here_or_never_were_starts_over() {
    let replica = replica();
    replica.is_led_by(2, 3, &[1, 2]);
    let position = replica.partition.position(NodeId(2)).unwrap();
    replica.partition.restart_at(&position, Offset(5)).unwrap();
    replica.is_led_by(1, 5, &[1, 2]);
    replica.appends(4);
    for (fetch_offset, leader_epoch, parts_at) in [(5, 4, Some(0)), (6, 4, Some(0)), (6, 5, None)] {
        let asked = FetchPartition {
            last_fetched_epoch: Some(LeaderEpoch(leader_epoch)),
            ..in_epoch(5, from(fetch_offset))
        };
        let told = replica.is_fetched_by(2, asked).unwrap().diverging;
        let parts = parts_at.map(|it| (LeaderEpoch(leader_epoch), Offset(it)));
        assert_eq!(told, parts, "{fetch_offset}, epoch {leader_epoch}");
    }
}

#[test]
fn what_no_log_reaches_is_answered_with_the_leaders_bounds() {
    let replica = replica();
    replica.is_led_by(1, 5, &[1]);
    replica.appends(4);
    let probe = FetchPartition {
        last_fetched_epoch: Some(LeaderEpoch(5)),
        max_bytes: 0,
        ..in_epoch(5, from(i64::MAX))
    };
    let told = replica.is_fetched_by(2, probe).unwrap();
    assert_eq!(told.diverging, Some((LeaderEpoch(5), Offset(4))));
    assert_eq!(told.log_start_offset, Offset(0));
}

#[test]
fn a_follower_serves_what_it_knows_to_be_committed_to_those_who_can_be_sent_to_it() {
    let replica = replica();
    replica.is_led_by(2, 4, &[1, 2]);
    replica.takes(3, 3, 4);
    replica.takes(3, 3, 4);
    let elsewhere = replica.is_read(from(0), ReadsFrom::Leader).map(|_| ());
    assert_eq!(elsewhere, Err(ErrorCode::NotLeaderOrFollower));
    let near = |asked| replica.is_read(asked, ReadsFrom::AnyReplica);
    let read = near(from(0)).unwrap();
    assert!(read.n_bytes() > 0);
    assert_eq!(read.high_watermark, Offset(3));
    assert!(
        near(from(3)).unwrap().records.is_none(),
        "at its end: it waits"
    );
    for written in [4, 6] {
        let refused = near(from(written)).map(|_| ());
        assert_eq!(refused, Err(ErrorCode::OffsetNotAvailable), "{written}");
    }
    let refused = near(from(7)).map(|_| ());
    assert_eq!(refused, Err(ErrorCode::OffsetOutOfRange));
    let old = near(in_epoch(3, from(0))).map(|_| ());
    assert_eq!(old, Err(ErrorCode::FencedLeaderEpoch));
    assert_eq!(replica.latest(), Err(ErrorCode::NotLeaderOrFollower));
}

#[test]
fn who_waits_at_a_follower_hears_of_what_is_committed() {
    let replica = replica();
    replica.is_led_by(2, 4, &[1, 2]);
    replica.takes(3, 0, 4);
    let watch = Arc::new(Watch::default());
    let partition = &replica.partition;
    let watching = Watching::enter(partition, WaitFor::HighWatermark, (&watch, 1));
    replica.takes(0, 0, 4);
    assert!(watch.take_marked().is_empty());
    replica.takes(0, 3, 4);
    assert!(watch.take_marked().contains(&1));
    drop(watching);
    replica.is_led_by(1, 5, &[1]);
    assert!(watch.take_marked().is_empty(), "it left");
}

#[test]
fn a_follower_of_an_idle_partition_that_left_the_isr_is_looked_at_until_it_is_back() {
    let replica = replica();
    replica.is_led_by(1, 5, &[1, 2]);
    let watch = Arc::new(Watch::default());
    let _watching = Watching::enter(&replica.partition, WaitFor::Append, (&watch, 3));
    let settled = replica.is_fetched_by(2, in_epoch(5, from(0))).unwrap();
    assert!(settled.is_settled, "it is not asked for again");
    watch.take_marked();

    replica.is_registered(1, (5, 6), &[1]);
    assert!(watch.take_marked().contains(&3));
    let outside = replica.is_fetched_by(2, in_epoch(5, from(0))).unwrap();
    assert!(!outside.is_settled, "with each request");
    replica.is_registered(1, (5, 7), &[1, 2]);
    assert!(watch.take_marked().is_empty());
}

#[test]
fn a_follower_that_begins_within_a_batch_claims_its_start_once_that_is_noted() {
    let it = replica();
    it.is_led_by(2, 1, &[2]);
    let position = || it.partition.position(NodeId(2)).unwrap();
    it.partition.restart_at(&position(), Offset(5)).unwrap();
    let mut records = batch(4);
    drave_protocol::record::batch::patch(&mut records, Offset(3), LeaderEpoch(1));
    let bounds = LeaderBounds {
        high_watermark: Offset(7),
        log_start_offset: Offset(5),
    };
    let records = records.freeze();
    let taken = it
        .partition
        .append_fetched(&position(), &records, bounds, WALL_MS);
    assert!(taken.unwrap().has_more_to_note);
    let claimed = position();
    // A crash would take the log back to where its first batch begins.
    assert_eq!(
        (claimed.log_start_offset, claimed.fetch_offset),
        (Offset(3), Offset(7))
    );
    it.partition
        .home()
        .write_log_starts(&[&it.partition])
        .unwrap();
    assert_eq!(position().log_start_offset, Offset(5));
    let below = it.is_read(in_epoch(1, from(4)), ReadsFrom::AnyReplica);
    assert_eq!(below.unwrap_err(), ErrorCode::OffsetOutOfRange);
    let there = it.is_read(in_epoch(1, from(5)), ReadsFrom::AnyReplica);
    assert_eq!(there.unwrap().n_bytes(), records.len());
    let taken = it
        .partition
        .append_fetched(&position(), &Bytes::new(), bounds, WALL_MS);
    let taken = taken.unwrap();
    assert!(!taken.has_more_to_note && !taken.has_more_to_sync);
}
