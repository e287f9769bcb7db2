use std::future::Future;
use std::io;
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage};
use openraft::type_config::TypeConfigExt;

use crate::backend::LogBackend;
use crate::log_store::{CacheLimits, LogStore};
use crate::memory_log::MemoryLog;
use crate::stored::{LogIdV1, VoteV1};
use crate::types::{Entry, Payload, RecordBatch, TypeConfig, Vote, log_id};

const TINY: CacheLimits = CacheLimits {
    entries: 1,
    bytes: 1,
};

fn open(log: &MemoryLog, limits: CacheLimits) -> LogStore {
    let backend: Arc<dyn LogBackend> = Arc::new(log.clone());
    LogStore::new(backend, log.recovered(), limits).unwrap()
}

fn entry(term: u64, index: u64, size: usize) -> Entry {
    let batch = RecordBatch {
        wall_ms: 0,
        records: Bytes::from(vec![1; size]),
    };
    Entry::new(log_id(term, index), Payload::Normal(batch))
}

async fn append(store: &mut LogStore, entries: Vec<Entry>) -> io::Result<()> {
    let (answer, answered) = TypeConfig::oneshot();
    store.append(entries, IOFlushed::signal(answer)).await?;
    answered.await.unwrap()
}

fn indexes(entries: &[Entry]) -> Vec<u64> {
    entries.iter().map(|it| it.log_id.index()).collect()
}

#[tokio::test]
async fn one_read_for_a_follower_is_bounded_in_bytes_cached_or_not() {
    for limits in [CacheLimits::default(), TINY] {
        let mut store = open(&MemoryLog::default(), limits);
        let entries = (0..10).map(|index| entry(1, index, 900 << 10)).collect();
        append(&mut store, entries).await.unwrap();
        append(&mut store, vec![entry(1, 10, 5 << 20)])
            .await
            .unwrap();
        let mut reader = store.get_log_reader().await;
        let read = reader.limited_get_log_entries(3, 10).await.unwrap();
        assert_eq!(indexes(&read), [3, 4], "{limits:?}");
        let read = reader.limited_get_log_entries(10, 11).await.unwrap();
        assert_eq!(indexes(&read), [10], "one entry at least, {limits:?}");
        let all = reader.try_get_log_entries(0..).await.unwrap();
        assert_eq!(all.len(), 11, "{limits:?}");
    }
}

#[tokio::test]
async fn a_follower_that_needs_purged_entries_gets_none_instead_of_later_ones() {
    let mut store = open(&MemoryLog::default(), CacheLimits::default());
    append(&mut store, (0..10).map(|it| entry(1, it, 9)).collect())
        .await
        .unwrap();
    store.purge(log_id(1, 4)).await.unwrap();
    let mut reader = store.get_log_reader().await;
    let read = reader.limited_get_log_entries(3, 9).await.unwrap();
    assert_eq!(indexes(&read), Vec::<u64>::new());
}

#[tokio::test]
async fn entries_are_readable_before_they_are_durable_and_gone_if_they_never_were() {
    let log = MemoryLog::default();
    let mut store = open(&log, TINY);
    append(&mut store, vec![entry(1, 0, 9)]).await.unwrap();
    log.hold();
    let (answer, mut answered) = TypeConfig::oneshot();
    store
        .append(
            vec![entry(1, 1, 9), entry(1, 2, 9)],
            IOFlushed::signal(answer),
        )
        .await
        .unwrap();
    let mut reader = store.get_log_reader().await;
    let read = reader.try_get_log_entries(0..3).await.unwrap();
    assert_eq!(indexes(&read), [0, 1, 2]);
    assert!(answered.try_recv().is_err(), "not durable yet");
    log.crash();
    let mut store = open(&log, TINY);
    let state = store.get_log_state().await.unwrap();
    assert_eq!(state.last_log_id, Some(log_id(1, 0)));
}

#[tokio::test]
async fn a_vote_is_readable_only_once_it_is_durable() {
    let log = MemoryLog::default();
    let mut store = open(&log, TINY);
    log.hold();
    let mut reader = store.get_log_reader().await;
    let vote = Vote::new(7, 1);
    let mut saving = Box::pin(store.save_vote(&vote));
    let mut context = Context::from_waker(Waker::noop());
    let pending = saving.as_mut().poll(&mut context).is_pending();
    assert!(pending);
    assert_eq!(reader.read_vote().await.unwrap(), None);
    log.release();
    saving.await.unwrap();
    assert_eq!(reader.read_vote().await.unwrap(), Some(vote));
    assert_eq!(log.recovered().vote, Some(VoteV1::of(&vote)));
}

#[tokio::test]
async fn a_hole_is_refused() {
    let mut store = open(&MemoryLog::default(), TINY);
    append(&mut store, vec![entry(1, 0, 9)]).await.unwrap();
    assert!(append(&mut store, vec![entry(1, 2, 9)]).await.is_err());
}

#[tokio::test]
async fn an_answer_for_a_replaced_entry_does_not_touch_its_successor() {
    let log = MemoryLog::default();
    let mut store = open(&log, TINY);
    append(&mut store, vec![entry(1, 0, 9)]).await.unwrap();
    log.hold();
    let (answer, _answered) = TypeConfig::oneshot();
    let overwritten = vec![entry(1, 1, 9), entry(1, 2, 9)];
    store
        .append(overwritten, IOFlushed::signal(answer))
        .await
        .unwrap();
    store.truncate_after(Some(log_id(1, 0))).await.unwrap();
    let (answer, _answered) = TypeConfig::oneshot();
    store
        .append(vec![entry(2, 1, 50)], IOFlushed::signal(answer))
        .await
        .unwrap();
    log.release();
    let mut reader = store.get_log_reader().await;
    let read = reader.try_get_log_entries(0..9).await.unwrap();
    assert_eq!(indexes(&read), [0, 1]);
    assert_eq!(LogIdV1::of(&read[1].log_id).term, 2);
    assert_eq!(store.reader().term_at(1), Some(2));
}

#[tokio::test]
async fn a_committed_hint_past_the_end_is_not_believed() {
    let log = MemoryLog::default();
    let mut store = open(&log, TINY);
    append(&mut store, vec![entry(1, 0, 9)]).await.unwrap();
    store.save_committed(Some(log_id(1, 5))).await.unwrap();
    let mut store = open(&log, TINY);
    let committed = store.read_committed().await.unwrap();
    assert_eq!(committed, Some(log_id(1, 0)));
}
