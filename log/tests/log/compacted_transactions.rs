//! Random transactions in a compacted log: readers of committed records know the same in the end, and
//! producers stay known by their last batch.

use std::collections::{BTreeMap, BTreeSet};

use bytes::BytesMut;
use drave_log::fs::FileSystem;
use drave_log::fs::faulty::{CrashLoss, FaultyFs};
use drave_log::{LogConfig, PartitionLog};
use drave_protocol::ids::{LeaderEpoch, Offset, ProducerId};
use drave_protocol::record::batch::{self, BatchHeader};
use drave_protocol::record::builder::BatchBuilder;
use drave_protocol::record::record::{self, Record};
use proptest::prelude::*;

use crate::compacted::{PLENTY, Rec, compact, compacting, last_values, records_of};
use crate::support::{NOW, crash, dir, disk, names, open};

const N_PRODUCERS: u8 = 4;
const RETENTION_MS: i64 = 1_000;

#[derive(Clone, Debug)]
enum Step {
    /// Producer 0 writes without transactions, the others in them.
    Append {
        producer: u8,
        records: Vec<(u8, bool)>,
    },
    End {
        producer: u8,
        commits: bool,
    },
    Compact {
        wait_ms: i64,
        memory_bytes: usize,
    },
    Reopen {
        without_snapshots: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let records = proptest::collection::vec((0..6_u8, proptest::bool::weighted(0.7)), 1..4);
    let memory = prop_oneof![2 => Just(PLENTY), 1 => 24..200_usize];
    prop_oneof![
        12 => (0..N_PRODUCERS, records)
            .prop_map(|(producer, records)| Step::Append { producer, records }),
        6 => (1..N_PRODUCERS, any::<bool>())
            .prop_map(|(producer, commits)| Step::End { producer, commits }),
        3 => (0..700_i64, memory)
            .prop_map(|(wait_ms, memory_bytes)| Step::Compact { wait_ms, memory_bytes }),
        1 => any::<bool>().prop_map(|without_snapshots| Step::Reopen { without_snapshots }),
    ]
}

#[derive(Default)]
struct Model {
    /// Committed, or of no transaction.
    committed: Vec<Rec>,
    /// Of open transactions, by producer.
    open: BTreeMap<u8, Vec<Rec>>,
    next_sequence: BTreeMap<u8, i32>,
    last_batch: BTreeMap<u8, BytesMut>,
    n_values: usize,
    now_ms: i64,
}

fn builder(producer: u8, sequence: i32) -> BatchBuilder {
    let builder = BatchBuilder::new().producer(ProducerId(i64::from(producer)), 0, sequence);
    if producer == 0 {
        builder
    } else {
        builder.transactional()
    }
}

impl Model {
    fn append(&mut self, log: &mut PartitionLog, producer: u8, records: &[(u8, bool)]) {
        let sequence = self.next_sequence.entry(producer).or_default();
        let mut builder = builder(producer, *sequence);
        *sequence += i32::try_from(records.len()).unwrap();
        let mut written = Vec::new();
        for (offset, (key, has_value)) in (log.log_end_offset().0..).zip(records) {
            self.n_values += 1;
            let (key, value) = (format!("key {key}"), format!("value {}", self.n_values));
            let record = Rec {
                offset,
                timestamp_ms: self.now_ms,
                key: Some(key),
                value: has_value.then_some(value),
            };
            builder = builder.record(Record {
                timestamp_ms: self.now_ms,
                key: record.key.clone().map(Into::into),
                value: record.value.clone().map(Into::into),
                headers: Vec::new(),
            });
            written.push(record);
        }
        let batch = builder.build();
        log.append_as_leader(batch.clone(), LeaderEpoch(0), self.now_ms)
            .unwrap();
        self.last_batch.insert(producer, batch);
        if producer == 0 {
            self.committed.extend(written);
        } else {
            self.open.entry(producer).or_default().extend(written);
        }
    }

    fn end(&mut self, log: &mut PartitionLog, producer: u8, commits: bool) {
        let Some(records) = self.open.remove(&producer) else {
            return;
        };
        let key = vec![0, 0, 0, u8::from(commits)];
        let marker = builder(producer, -1).control();
        let marker = marker
            .key_value(self.now_ms, key, vec![0, 0, 0, 0, 0, 1])
            .build();
        log.append_own(marker, LeaderEpoch(0), self.now_ms).unwrap();
        if commits {
            self.committed.extend(records);
            self.committed.sort_unstable_by_key(|it| it.offset);
        }
    }

    fn compact(&mut self, log: &mut PartitionLog, wait_ms: i64, memory_bytes: usize) {
        self.now_ms += wait_ms;
        log.flush().unwrap();
        let stable = log.last_stable_offset(log.log_end_offset());
        let passed = compact(log, self.now_ms, stable, memory_bytes).unwrap();
        if let Some((end, _)) = passed {
            assert!(end <= stable, "nothing undecided is compacted");
        }
    }

    fn check(&self, log: &PartitionLog) {
        let stable = log.last_stable_offset(log.log_end_offset());
        let first_open = self
            .open
            .values()
            .filter_map(|it| it.first())
            .map(|it| it.offset)
            .min();
        assert_eq!(stable.0, first_open.unwrap_or(log.log_end_offset().0));
        let read = committed(log, stable);
        let known: BTreeSet<&Rec> = self.committed.iter().collect();
        for record in &read {
            assert!(
                known.contains(record),
                "{record:?} is not committed, or changed"
            );
        }
        let below: Vec<Rec> = self
            .committed
            .iter()
            .filter(|it| it.offset < stable.0)
            .cloned()
            .collect();
        assert_eq!(last_values(&read), last_values(&below));
    }

    /// A retry of the last batch is still known for what it is.
    fn check_producers(&self, log: &mut PartitionLog) {
        let end = log.log_end_offset();
        for (producer, batch) in &self.last_batch {
            let again = log.append_as_leader(batch.clone(), LeaderEpoch(0), self.now_ms);
            assert!(
                again.unwrap().is_duplicate,
                "producer {producer} is forgotten"
            );
        }
        assert_eq!(log.log_end_offset(), end);
    }
}

/// What a reader of committed records sees below `stable`, told of aborted transactions with every
/// piece as a fetch tells it.
fn committed(log: &PartitionLog, stable: Offset) -> Vec<Rec> {
    let mut read = Vec::new();
    let mut next = log.log_start_offset();
    let mut aborting: BTreeSet<ProducerId> = BTreeSet::new();
    while next < stable {
        let bytes = log.read(next, stable, 400).unwrap();
        let Some(last) = batch::iter(&bytes).last() else {
            break;
        };
        let upper = last.unwrap().1.next_offset();
        let mut aborted = log.aborted_transactions(next, upper).unwrap();
        aborted.sort_unstable_by_key(|it| std::cmp::Reverse(it.first_offset));
        for one in batch::iter(&bytes) {
            let (_, header, bytes) = one.unwrap();
            next = header.next_offset();
            while aborted
                .last()
                .is_some_and(|it| it.first_offset <= header.last_offset())
            {
                aborting.extend(aborted.pop().map(|it| it.producer_id));
            }
            if header.is_control() {
                if is_abort(&header, bytes) {
                    aborting.remove(&header.producer_id);
                }
            } else if !(header.is_transactional() && aborting.contains(&header.producer_id)) {
                read.extend(records_of(bytes));
            }
        }
    }
    read
}

fn is_abort(header: &BatchHeader, bytes: &[u8]) -> bool {
    header.records_count > 0
        && record::iter(bytes).unwrap().next().unwrap().unwrap().key == Some(&[0, 0, 0, 0])
}

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 600,
        delete_retention_ms: RETENTION_MS,
        timestamp_after_max_ms: i64::MAX,
        ..compacting()
    }
}

fn reopened(fs: &FaultyFs, mut log: PartitionLog, without_snapshots: bool) -> PartitionLog {
    log.flush().unwrap();
    let noted = log.first_dirty_offset();
    if without_snapshots {
        for name in names(fs, &dir()) {
            if name.ends_with(".snapshot") {
                fs.remove_file(&dir().join(name)).unwrap();
            }
        }
    }
    let (mut log, report) = crash(fs, log, CrashLoss::Nothing);
    assert!(report.is_clean(), "{report:?}");
    log.set_config(config());
    log.set_first_dirty_offset(noted);
    log
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn compaction_changes_nothing_for_readers_of_committed_records(
        steps in proptest::collection::vec(step(), 10..90),
    ) {
        let fs = disk();
        let mut log = open(&fs);
        log.set_config(config());
        let mut model = Model {
            now_ms: NOW,
            ..Model::default()
        };
        for step in steps {
            match step {
                Step::Append { producer, records } => model.append(&mut log, producer, &records),
                Step::End { producer, commits } => model.end(&mut log, producer, commits),
                Step::Compact { wait_ms, memory_bytes } => {
                    model.compact(&mut log, wait_ms, memory_bytes);
                }
                Step::Reopen { without_snapshots } => {
                    log = reopened(&fs, log, without_snapshots);
                    model.check_producers(&mut log);
                }
            }
            model.check(&log);
        }
        model.check_producers(&mut log);
    }
}
