//! Random lives of a compacted log: whatever is appended and however often it is compacted, readers of
//! all of it know the same in the end.

use std::collections::BTreeMap;

use drave_log::fs::faulty::CrashLoss;
use drave_log::{LogConfig, PartitionLog};
use drave_protocol::ids::{LeaderEpoch, Offset};
use drave_protocol::record::attributes::Compression;
use proptest::prelude::*;

use crate::compacted::{Rec, compact, compacting, contents, keyed, last_values, packed};
use crate::support::{NOW, crash, disk, open};

const RETENTION_MS: i64 = 1_000;
const LAG_MS: i64 = 300;

#[derive(Clone, Debug)]
enum Step {
    /// Keys 0 to 9; a value of this length, or a tombstone.
    Append {
        codec: Compression,
        records: Vec<(u8, Option<usize>)>,
    },
    Wait {
        ms: i64,
    },
    Compact {
        /// How far, in percent of what is flushed.
        percent: i64,
        memory_bytes: usize,
        segment_bytes: u64,
    },
    Truncate {
        n: i64,
    },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let codec = prop_oneof![
        6 => Just(Compression::None),
        1 => Just(Compression::Gzip),
        1 => Just(Compression::Snappy),
        1 => Just(Compression::Lz4),
        1 => Just(Compression::Zstd),
    ];
    let value = proptest::option::weighted(0.7, 0..60_usize);
    let records = proptest::collection::vec((0..10_u8, value), 1..6);
    let memory = prop_oneof![Just(1_usize << 16), 24..300_usize];
    prop_oneof![
        12 => (codec, records).prop_map(|(codec, records)| Step::Append { codec, records }),
        3 => (0..900_i64).prop_map(|ms| Step::Wait { ms }),
        3 => (50..=100_i64, memory, 300..3_000_u64)
            .prop_map(|(percent, memory_bytes, segment_bytes)| {
                Step::Compact { percent, memory_bytes, segment_bytes }
            }),
        1 => (0..12_i64).prop_map(|n| Step::Truncate { n }),
        1 => Just(Step::Reopen),
    ]
}

/// All that was ever appended and not cut, and what passes may have done to it.
struct Model {
    all: Vec<Rec>,
    now_ms: i64,
    n_values: usize,
    /// Above it no pass has been.
    touched_below: i64,
    /// When a pass first saw the offset, and so may have started the tombstone's time.
    seen_ms: BTreeMap<i64, i64>,
}

impl Model {
    fn append(
        &mut self,
        log: &mut PartitionLog,
        codec: Compression,
        records: &[(u8, Option<usize>)],
    ) {
        let mut named = Vec::new();
        for (key, size) in records {
            self.n_values += 1;
            let value = size.map(|it| format!("{}{}", self.n_values, "v".repeat(it)));
            named.push((format!("key {key}"), value));
        }
        let borrowed: Vec<(&str, Option<&str>)> = named
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_deref()))
            .collect();
        let batch = packed(&keyed(self.now_ms, &borrowed), codec);
        let appended = log
            .append_as_leader(batch, LeaderEpoch(0), self.now_ms)
            .unwrap();
        for (offset, (key, value)) in (appended.base_offset.0..).zip(named) {
            self.all.push(Rec {
                offset,
                timestamp_ms: self.now_ms,
                key: Some(key),
                value,
            });
        }
    }

    fn config(segment_bytes: u64) -> LogConfig {
        LogConfig {
            segment_bytes,
            delete_retention_ms: RETENTION_MS,
            min_compaction_lag_ms: LAG_MS,
            timestamp_after_max_ms: i64::MAX,
            ..compacting()
        }
    }

    fn compact(
        &mut self,
        log: &mut PartitionLog,
        percent: i64,
        memory_bytes: usize,
        segment_bytes: u64,
    ) {
        log.flush().unwrap();
        log.set_config(Self::config(segment_bytes));
        let upper = Offset(log.log_end_offset().0 * percent / 100);
        let dirt = log.dirt(self.now_ms, upper).unwrap().unwrap();
        let passed = compact(log, self.now_ms, upper, memory_bytes).unwrap();
        log.set_config(Self::config(500));
        let Some((end, _)) = passed else {
            assert_eq!(dirt.cleanable_bytes, 0);
            return;
        };
        assert!(end <= dirt.first_uncleanable_offset && end <= upper);
        assert!(end > dirt.first_dirty_offset, "a pass gets on");
        self.touched_below = self.touched_below.max(dirt.first_uncleanable_offset.0);
        let (_, left) = contents(log);
        for record in &left {
            self.seen_ms.entry(record.offset).or_insert(self.now_ms);
        }
        // Below its end, each key is there once.
        let mut seen = BTreeMap::new();
        for record in left.iter().filter(|it| it.offset < end.0) {
            let before = seen.insert(record.key.clone(), record.offset);
            assert_eq!(before, None, "{record:?} below {end}");
        }
    }

    fn check(&self, log: &PartitionLog) {
        let (headers, left) = contents(log);
        assert!(headers.is_sorted_by(|a, b| a.next_offset() <= b.base_offset));
        let by_offset: BTreeMap<i64, &Rec> = self.all.iter().map(|it| (it.offset, it)).collect();
        assert!(left.is_sorted_by(|a, b| a.offset < b.offset));
        for record in &left {
            assert_eq!(
                by_offset.get(&record.offset),
                Some(&record),
                "nothing is changed"
            );
        }
        assert_eq!(last_values(&left), last_values(&self.all));
        let is_left = |it: &Rec| {
            left.binary_search_by_key(&it.offset, |it| it.offset)
                .is_ok()
        };
        let mut last_of_key = BTreeMap::new();
        for record in &self.all {
            last_of_key.insert(&record.key, record);
        }
        for record in last_of_key.values().filter(|it| it.value.is_none()) {
            let seen_ms = self.seen_ms.get(&record.offset);
            let may_be_gone = seen_ms.is_some_and(|it| self.now_ms >= it + RETENTION_MS);
            assert!(may_be_gone || is_left(record), "{record:?} went too early");
        }
        let untouched = self
            .all
            .iter()
            .filter(|it| it.offset >= self.touched_below || it.timestamp_ms > self.now_ms - LAG_MS);
        for record in untouched {
            assert!(is_left(record), "{record:?} is too young to be touched");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn compaction_changes_nothing_that_a_reader_of_all_could_know(
        steps in proptest::collection::vec(step(), 10..80),
    ) {
        let fs = disk();
        let mut log = open(&fs);
        let mut model = Model {
            all: Vec::new(),
            now_ms: NOW,
            n_values: 0,
            touched_below: 0,
            seen_ms: BTreeMap::new(),
        };
        log.set_config(Model::config(500));
        for step in steps {
            match step {
                Step::Append { codec, records } => model.append(&mut log, codec, &records),
                Step::Wait { ms } => model.now_ms += ms,
                Step::Compact { percent, memory_bytes, segment_bytes } => {
                    model.compact(&mut log, percent, memory_bytes, segment_bytes);
                }
                Step::Truncate { n } => {
                    // As a follower does: never below what was compacted, which is committed.
                    let to = (log.log_end_offset().0 - n).max(model.touched_below);
                    log.truncate_to(Offset(to)).unwrap();
                    let end = log.log_end_offset().0;
                    model.all.retain(|it| it.offset < end);
                    model.seen_ms.retain(|offset, _| *offset < end);
                }
                Step::Reopen => {
                    log.flush().unwrap();
                    let noted = log.first_dirty_offset();
                    let end = log.log_end_offset();
                    let (again, report) = crash(&fs, log, CrashLoss::EverythingUnsynced);
                    prop_assert!(report.is_clean(), "{:?}", report);
                    log = again;
                    log.set_config(Model::config(500));
                    log.set_first_dirty_offset(noted);
                    prop_assert_eq!(log.log_end_offset(), end);
                }
            }
            model.check(&log);
        }
    }
}
