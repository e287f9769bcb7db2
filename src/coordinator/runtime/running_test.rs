//! The loop over a log in memory: when answers leave, and what becomes of them when the log is another's.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use drave_protocol::ErrorCode;
use drave_protocol::ids::{LeaderEpoch, Offset, TopicId, TopicIdPartition, Uuid};
use drave_protocol::record::batch::{self, BatchHeader};
use drave_protocol::record::builder::BatchBuilder;
use drave_raft::image::{MetadataImage, TopicImage};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::loading;
use super::running::{Running, Surroundings};
use super::slot::Slot;
use crate::clock::Clock;
use crate::cluster::Metadata;
use crate::coordinator::decision::{Awaited, Decision};
use crate::coordinator::error::GroupError;
use crate::coordinator::group::classic::Presence;
use crate::coordinator::group::scene;
use crate::coordinator::group::{
    Commit, CommitPartition, CommitTopic, FetchOffsets, FetchedTopic, Outcomes,
};
use crate::coordinator::writer::{
    Commit as Committing, Extent, PartitionWriter, Settled, WriteError,
};
use crate::random::Random;
use crate::tasks::Tasks;

const EPOCH: LeaderEpoch = LeaderEpoch(3);

/// A log whose high watermark is moved by hand.
#[derive(Clone, Debug)]
struct Memory {
    state: Arc<Mutex<State>>,
    high_watermark: watch::Sender<i64>,
}

#[derive(Debug)]
struct State {
    epoch: LeaderEpoch,
    batches: BTreeMap<i64, Bytes>,
    end: i64,
    /// What the next appends are told.
    refusal: Option<WriteError>,
    n_batches_taken: usize,
}

impl Memory {
    fn new() -> Self {
        let state = State {
            epoch: EPOCH,
            batches: BTreeMap::new(),
            end: 0,
            refusal: None,
            n_batches_taken: 0,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            high_watermark: watch::channel(0).0,
        }
    }

    fn commit_all(&self) {
        let end = self.state.lock().end;
        self.high_watermark.send_replace(end);
    }
}

impl PartitionWriter for Memory {
    fn leads_in(&self, epoch: LeaderEpoch) -> bool {
        self.state.lock().epoch == epoch
    }

    fn takes_appends(&self, epoch: LeaderEpoch) -> Result<(), WriteError> {
        if self.leads_in(epoch) {
            Ok(())
        } else {
            Err(WriteError::NotLeading(epoch))
        }
    }

    fn batch_bytes_max(&self) -> usize {
        4096
    }

    fn append(&self, epoch: LeaderEpoch, mut batch: BytesMut) -> Result<Committing, WriteError> {
        let mut state = self.state.lock();
        if state.epoch != epoch {
            return Err(WriteError::NotLeading(epoch));
        }
        if let Some(refusal) = state.refusal.take() {
            return Err(refusal);
        }
        let base = state.end;
        batch::patch(&mut batch, Offset(base), epoch);
        let header = BatchHeader::parse(&batch).unwrap();
        state.end = header.next_offset().0;
        state.n_batches_taken += 1;
        state.batches.insert(base, batch.freeze());
        let end = state.end;
        let mut high_watermark = self.high_watermark.subscribe();
        Ok(Box::pin(async move {
            let reached = high_watermark.wait_for(|it| *it >= end).await;
            reached
                .map(|_| ())
                .map_err(|_| WriteError::NotLeading(epoch))
        }))
    }

    fn settled(&self, epoch: LeaderEpoch) -> Settled<'_> {
        Box::pin(async move {
            let end = self.state.lock().end;
            let mut high_watermark = self.high_watermark.subscribe();
            drop(high_watermark.wait_for(|it| *it >= end).await);
            if !self.leads_in(epoch) {
                return Err(WriteError::NotLeading(epoch));
            }
            Ok(Extent {
                log_start_offset: Offset(0),
                log_end_offset: Offset(end),
            })
        })
    }

    fn read(&self, _: LeaderEpoch, from: Offset) -> Result<Bytes, WriteError> {
        let state = self.state.lock();
        let found = state.batches.range(from.0..).next();
        Ok(found.map(|(_, batch)| batch.clone()).unwrap_or_default())
    }
}

fn begin(memory: &Memory, tasks: &Tasks) -> Slot {
    let partition = TopicIdPartition {
        topic_id: Uuid([1; 16]),
        partition: 0,
    };
    let (slot, asks) = Slot::new((partition, EPOCH));
    let cx = scene::context();
    let metadata = where_there_is_a_topic();
    let running = Running {
        partition: 0,
        epoch: EPOCH,
        writer: Arc::new(memory.clone()),
        gauges: Arc::clone(&slot.gauges),
        asks,
        around: Surroundings {
            config: cx.config,
            clock: Clock::system(),
            tasks: tasks.clone(),
            random: Random::seeded(1),
            metadata,
        },
    };
    tasks.spawn("groups", running.run());
    slot
}

/// Offsets of topics that are not there would be forgotten.
fn where_there_is_a_topic() -> Metadata {
    let topic = TopicImage {
        topic_id: TopicId::ZERO,
        name: "t".to_owned(),
        partitions: Vec::new(),
    };
    let image = MetadataImage {
        topic_ids: Arc::new(BTreeMap::from([(topic.name.clone(), topic.topic_id)])),
        topics: Arc::new(BTreeMap::from([(topic.topic_id, Arc::new(topic))])),
        ..MetadataImage::default()
    };
    Metadata::starting_at(Arc::new(image)).1
}

async fn begun(memory: &Memory, tasks: &Tasks) -> Slot {
    let slot = begin(memory, tasks);
    loaded(&slot).await;
    slot
}

async fn loaded(slot: &Slot) {
    while !slot.gauges.is_loaded() {
        tokio::task::yield_now().await;
    }
}

fn commit(slot: &Slot, offset: i64) -> Awaited<Outcomes> {
    let commit = Commit {
        group_id: "g".to_owned(),
        member: Presence {
            generation: -1,
            ..Presence::default()
        },
        topics: vec![CommitTopic {
            name: "t".to_owned(),
            partitions: vec![CommitPartition {
                offset,
                ..CommitPartition::default()
            }],
            ..CommitTopic::default()
        }],
        ..Commit::default()
    };
    slot.ask(move |shard, cx| shard.commit(&commit, cx))
}

fn fetch(slot: &Slot) -> Awaited<Vec<FetchedTopic>> {
    let asked = FetchOffsets {
        group_id: "g".to_owned(),
        topics: Some(vec![("t".to_owned(), vec![0])]),
        ..FetchOffsets::default()
    };
    slot.ask(move |shard, _| shard.fetch(&asked).map(Decision::answer))
}

async fn fetched(slot: &Slot) -> Option<i64> {
    let topics = fetch(slot).answer().await.unwrap();
    topics[0].partitions[0].1.as_ref().map(|it| it.offset)
}

/// Lets the loop take what waits for it.
async fn until_end_is(memory: &Memory, end: i64) {
    while memory.state.lock().end < end {
        tokio::task::yield_now().await;
    }
}

async fn code<T>(awaited: Awaited<T>) -> Option<ErrorCode> {
    awaited.answer().await.err().map(ErrorCode::from)
}

#[tokio::test]
async fn nothing_is_answered_before_it_is_committed_nor_what_was_asked_after_it() {
    let (memory, tasks) = (Memory::new(), Tasks::new());
    let slot = begun(&memory, &tasks).await;
    let mut committing = commit(&slot, 7);
    until_end_is(&memory, 1).await;
    let mut fetching = fetch(&slot);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(committing.poll().is_none() && fetching.poll().is_none());
    memory.commit_all();
    assert_eq!(committing.answer().await, Ok(vec![vec![Ok(())]]));
    let topics = fetching.answer().await.unwrap();
    assert_eq!(topics[0].partitions[0].1.as_ref().unwrap().offset, 7);
}

#[tokio::test]
async fn what_waits_together_is_one_batch() {
    let (memory, tasks) = (Memory::new(), Tasks::new());
    let slot = begun(&memory, &tasks).await;
    // On one thread the loop runs only when this one waits.
    let asked: Vec<Awaited<Outcomes>> = (0..20).map(|it| commit(&slot, it)).collect();
    until_end_is(&memory, 20).await;
    memory.commit_all();
    for awaited in asked {
        assert!(awaited.answer().await.is_ok());
    }
    assert_eq!(memory.state.lock().n_batches_taken, 1);
    assert_eq!(fetched(&slot).await, Some(19), "the last of them stands");
}

#[tokio::test]
async fn a_refused_append_is_told_and_the_shard_is_as_the_log_is() {
    let (memory, tasks) = (Memory::new(), Tasks::new());
    let slot = begun(&memory, &tasks).await;
    let first = commit(&slot, 1);
    until_end_is(&memory, 1).await;
    memory.commit_all();
    assert_eq!(code(first).await, None);
    memory.state.lock().refusal = Some(WriteError::Refused("disk is full".to_owned()));
    let refused = code(commit(&slot, 2)).await;
    assert_eq!(refused, Some(ErrorCode::CoordinatorNotAvailable));
    loaded(&slot).await;
    assert_eq!(fetched(&slot).await, Some(1));
}

#[tokio::test]
async fn another_epoch_answers_nothing_that_was_asked_in_this_one() {
    let (memory, tasks) = (Memory::new(), Tasks::new());
    let slot = begun(&memory, &tasks).await;
    let waits = commit(&slot, 1);
    until_end_is(&memory, 1).await;
    memory.state.lock().epoch = LeaderEpoch(4);
    memory.commit_all();
    assert_eq!(code(waits).await, Some(ErrorCode::NotCoordinator));
    assert_eq!(code(fetch(&slot)).await, Some(ErrorCode::NotCoordinator));
}

#[tokio::test]
async fn while_the_log_is_not_known_to_be_committed_nobody_is_served() {
    let (memory, tasks) = (Memory::new(), Tasks::new());
    let slot = begun(&memory, &tasks).await;
    drop(commit(&slot, 5));
    until_end_is(&memory, 1).await;
    drop(slot);
    let slot = begin(&memory, &tasks);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        code(fetch(&slot)).await,
        Some(ErrorCode::CoordinatorLoadInProgress)
    );
    memory.commit_all();
    loaded(&slot).await;
    assert_eq!(code(fetch(&slot)).await, None);
}

#[tokio::test]
async fn a_decision_that_fits_no_batch_is_refused_alone() {
    let (memory, tasks) = (Memory::new(), Tasks::new());
    let slot = begun(&memory, &tasks).await;
    let huge = slot.ask(|shard, cx| {
        let mut commit = Commit {
            group_id: "g".to_owned(),
            ..Commit::default()
        };
        commit.member.generation = -1;
        let partitions = (0..1000).map(|index| CommitPartition {
            index,
            ..CommitPartition::default()
        });
        commit.topics.push(CommitTopic {
            name: "t".to_owned(),
            partitions: partitions.collect(),
            ..CommitTopic::default()
        });
        shard.commit(&commit, cx)
    });
    assert!(matches!(
        huge.answer().await,
        Err(GroupError::TooLarge { .. })
    ));
    assert_eq!(memory.state.lock().end, 0);
    loaded(&slot).await;
    assert_eq!(fetched(&slot).await, None);
}

#[test]
fn records_of_unknown_kinds_are_counted_and_left_out() {
    let memory = Memory::new();
    let of_kind = |batch: BatchBuilder, kind: i16| {
        batch.key_value(0, kind.to_be_bytes().to_vec(), b"x".to_vec())
    };
    let batch = [99, 11, 99].into_iter().fold(BatchBuilder::new(), of_kind);
    drop(memory.append(EPOCH, batch.build()).unwrap());
    let extent = Extent {
        log_start_offset: Offset(0),
        log_end_offset: Offset(3),
    };
    let (shard, loaded) = loading::load(&memory, EPOCH, extent, 0).unwrap();
    assert_eq!((shard.n_groups(), loaded.n_records), (0, 3));
    assert_eq!(loaded.unknown_by_kind, BTreeMap::from([(11, 1), (99, 2)]));
}
