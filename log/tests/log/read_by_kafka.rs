//! Kafka's own reader, `kafka-dump-log`, agrees with every file this log writes.
//!
//! It needs Java and Kafka's jars (`make java`). Where they are not, the test says so and does nothing;
//! on a build server that is a failure.
#![allow(clippy::disallowed_methods, reason = "another program reads the files")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use drave_log::fs::RealFs;
use drave_log::{LogConfig, PartitionLog};
use drave_protocol::ids::{LeaderEpoch, Offset, ProducerId};
use drave_protocol::record::attributes::Compression;
use drave_protocol::record::builder::BatchBuilder;
use drave_protocol::record::compression::Packing;
use drave_protocol::record::record::Record;

use crate::compacted::{compact_all, compacting, contents, keyed, packed};
use crate::support::*;

const ABORT: i16 = 0;
const COMMIT: i16 = 1;
/// Kafka's word for "there was no offset before".
const NOTHING_BEFORE: &str = "  -1 is followed by ";
const FOLLOWED_BY: &str = " is followed by ";

#[test]
fn nothing_is_wrong_with_what_producers_and_transactions_wrote() {
    let Some(kafka) = Kafka::found() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut log = open_in(folder.path(), sized(1500, 300));
    let mut n_records = 0;
    for (turn, epoch) in [(0, 0), (1, 3)] {
        for (codec, id) in [
            (Compression::None, 10),
            (Compression::Gzip, 11),
            (Compression::Snappy, 12),
            (Compression::Lz4, 13),
            (Compression::Zstd, 14),
        ] {
            for n in 0..4 {
                let packed = |it: BatchBuilder| it.packed(Packing::of(codec));
                let numbered = packed(records(5)).producer(ProducerId(id), 0, turn * 20 + n * 5);
                for batch in [numbered, packed(records(3))] {
                    let batch = batch.build();
                    log.append_as_leader(batch, LeaderEpoch(epoch), NOW)
                        .unwrap();
                }
                n_records += 8;
            }
        }
    }
    n_records += transactions(&mut log);
    log.close().unwrap();
    drop(log);

    let dump = kafka.dump(folder.path());
    dump.refuse_complaints();
    assert_eq!(dump.count("| offset: "), n_records);
    assert!(
        dump.count("Dumping ") > 20,
        "several files of several kinds"
    );
    assert_eq!(dump.count("version: 0 producerId: 21 "), 3, "aborts");
    assert!(
        dump.count("producerId: 22 producerEpoch: 2 ") > 0,
        "a snapshot"
    );
    kafka.check_indexes(folder.path());
}

#[test]
fn nothing_is_wrong_with_a_compacted_log_but_the_offsets_it_lacks() {
    let Some(kafka) = Kafka::found() else { return };
    let folder = tempfile::tempdir().unwrap();
    let config = LogConfig {
        cleanup: compacting().cleanup,
        ..sized(2000, 100)
    };
    let mut log = open_in(folder.path(), config);
    for n in 0..60 {
        let codec = Compression::from_attributes(i16::try_from(n % 5).unwrap()).unwrap();
        let (often, seldom) = (format!("key {}", n % 3), format!("key {}", n % 17));
        // Some are deleted, and their mark is given a horizon.
        let value = format!("value {n}");
        let value = (n % 7 != 0).then_some(value.as_str());
        let batch = packed(&keyed(NOW + n, &[(&often, value), (&seldom, value)]), codec);
        log.append_as_leader(batch, LeaderEpoch(0), NOW + n)
            .unwrap();
    }
    let (_, passed) = compact_all(&mut log, NOW + 60).unwrap();
    assert!(passed.bytes_after < passed.bytes_before, "{passed:?}");
    let (headers, records) = contents(&log);
    log.close().unwrap();
    drop(log);

    let dump = kafka.dump(folder.path());
    dump.refuse_complaints_but_holes();
    assert_eq!(dump.count("baseOffset: "), headers.len());
    assert_eq!(dump.count("| offset: "), records.len());
    for record in records {
        let (offset, time) = (record.offset, record.timestamp_ms);
        let seen = format!("| offset: {offset} CreateTime: {time} ");
        let line = dump.0.lines().find(|it| it.starts_with(&seen)).unwrap();
        let key = format!(" key: {}", record.key.unwrap());
        let value = record.value.map(|it| format!(" payload: {it}"));
        assert!(
            line.ends_with(&(key + &value.unwrap_or_default())),
            "{line}"
        );
    }
    kafka.check_indexes(folder.path());
}

#[test]
fn what_a_follower_wrote_of_kafkas_batches_is_what_kafka_wrote() {
    let Some(kafka) = Kafka::found() else { return };
    for (name, config) in [
        ("codecs-0", sized(2048, 300)),
        ("transactions-0", sized(1024, 300)),
        ("appendtime-0", sized(1024, 300)),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut log = open_in(folder.path(), config);
        for segment in files(&fixtures().join(name), ".log") {
            let bytes = fs::read(fixtures().join(name).join(segment)).unwrap();
            let mut rest = bytes.as_slice();
            while let Ok(header) = drave_protocol::record::batch::BatchHeader::parse(rest) {
                let (one, after) = rest.split_at(header.total_size());
                log.append_as_follower(one, NOW).unwrap();
                rest = after;
            }
        }
        log.close().unwrap();
        drop(log);
        let ours = kafka.dump(folder.path());
        ours.refuse_complaints();
        kafka.check_indexes(folder.path());
        let theirs = Dump(fs::read_to_string(fixtures().join(name).with_extension("txt")).unwrap());
        for kind in [".log", ".txnindex", ".index", ".timeindex", ".snapshot"] {
            let theirs = theirs.about(kind);
            assert!(
                name != "transactions-0" || theirs.len() >= 2,
                "{kind} is compared"
            );
            let ours = ours.about(kind);
            for (file, theirs) in theirs {
                if kind != ".snapshot" {
                    assert_eq!(ours[file], theirs, "{name} {file}");
                } else if let Some(ours) = ours.get(file) {
                    // When Kafka started again, it forgot those that were silent since 2023.
                    let is_known = theirs.iter().all(|it| ours.contains(it));
                    assert!(is_known, "{name} {file}: {ours:#?} {theirs:#?}");
                }
            }
        }
    }
}

/// Three aborted, one committed and one open at the end; how many records they are, markers included.
fn transactions(log: &mut PartitionLog) -> usize {
    let mut n_records = 0;
    for n in 0..4 {
        let outcome = if n == 2 { COMMIT } else { ABORT };
        let producer = ProducerId(if n == 2 { 22 } else { 21 });
        let epoch = i16::try_from(n).unwrap();
        let batch = records(2)
            .producer(producer, epoch, 0)
            .transactional()
            .build();
        log.append_own(batch, LeaderEpoch(3), NOW).unwrap();
        let marker = marker(producer, epoch, outcome);
        log.append_own(marker, LeaderEpoch(3), NOW).unwrap();
        n_records += 3;
    }
    let open = records(1)
        .producer(ProducerId(23), 0, 0)
        .transactional()
        .build();
    log.append_own(open, LeaderEpoch(3), NOW).unwrap();
    n_records + 1
}

fn marker(producer: ProducerId, epoch: i16, outcome: i16) -> BytesMut {
    let mut key = BytesMut::new();
    key.put_i16(0);
    key.put_i16(outcome);
    let mut value = BytesMut::new();
    value.put_i16(0);
    value.put_i32(7);
    BatchBuilder::new()
        .producer(producer, epoch, -1)
        .transactional()
        .control()
        .key_value(NOW, key.freeze(), value.freeze())
        .build()
}

fn records(n: i64) -> BatchBuilder {
    (0..n).fold(BatchBuilder::new(), |batch, n| {
        batch.record(Record {
            timestamp_ms: NOW + n,
            key: (n % 2 == 0).then(|| Bytes::from(format!("key {n}"))),
            value: (n % 3 != 2).then(|| Bytes::from(format!("value {n}").repeat(9))),
            headers: vec![("h".into(), Some(Bytes::from_static(b"1")))],
        })
    })
}

fn sized(segment_bytes: u64, index_interval_bytes: u64) -> LogConfig {
    LogConfig {
        segment_bytes,
        index_interval_bytes,
        ..LogConfig::default()
    }
}

fn open_in(folder: &Path, config: LogConfig) -> PartitionLog {
    let opened = PartitionLog::open(Arc::new(RealFs), folder, config, Offset::ZERO, Offset::ZERO);
    opened.unwrap().0
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn fixtures() -> PathBuf {
    root().join("log/tests/fixtures/kafka-4")
}

/// Names that end with one of `kinds`, separated by spaces, in order.
fn files(folder: &Path, kinds: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|it| it.unwrap().file_name().into_string().unwrap());
    let is_wanted = |name: &String| kinds.split(' ').any(|kind| name.ends_with(kind));
    let mut names: Vec<String> = names.filter(is_wanted).collect();
    names.sort();
    names
}

/// Kafka's tool, as `make java` fetched it.
struct Kafka {
    class_path: String,
}

impl Kafka {
    fn found() -> Option<Self> {
        let class_path = fs::read_to_string(root().join("target/java-classpath"));
        let class_path = class_path.unwrap_or_default().trim().to_owned();
        let has_jars = class_path.split(':').all(|it| Path::new(it).is_file());
        let java = Command::new("java").arg("-version").output();
        if has_jars && java.is_ok_and(|it| it.status.success()) {
            return Some(Self { class_path });
        }
        let reason = "no Java 17 or none of Kafka's jars (make java)";
        assert!(std::env::var_os("CI").is_none(), "{reason}");
        let test = std::thread::current();
        // Not through `eprintln!`, which the test runner hides when a test passes.
        let name = test.name().unwrap_or("a test");
        let _ = writeln!(std::io::stderr(), "SKIPPED {name}: {reason}");
        None
    }

    fn run(&self, folder: &Path, arguments: &[&str], files: &[String]) -> Dump {
        let output = Command::new("java")
            .args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .args(["-cp", &self.class_path])
            .arg("org.apache.kafka.tools.DumpLogSegments")
            .args(arguments)
            .args(["--files", &files.join(",")])
            .current_dir(folder)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        // It complains on the one and describes on the other.
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.success(), "{said}");
        Dump(said)
    }

    fn dump(&self, folder: &Path) -> Dump {
        let files = files(folder, ".log .index .timeindex .txnindex .snapshot");
        self.run(folder, &["--deep-iteration", "--print-data-log"], &files)
    }

    /// As a broker checks them when it starts.
    fn check_indexes(&self, folder: &Path) {
        let files = files(folder, ".index .timeindex");
        let checked = self.run(folder, &["--index-sanity-check"], &files);
        for name in files {
            // That of the active segment may lag behind it.
            let fine = ["passed sanity check.", "is empty."];
            let fine = fine.map(|it| checked.0.contains(&format!("{name} {it}")));
            assert!(fine.contains(&true), "{name}: {}", checked.0);
        }
    }
}

/// What Kafka's tool printed.
struct Dump(String);

impl Dump {
    /// Whatever it says besides describing is a complaint.
    fn refuse_complaints(&self) {
        self.refuse_complaints_but_holes();
        for line in self.0.lines() {
            // Of every segment but the first it says that nothing came before.
            if let Some(offset) = line.strip_prefix(NOTHING_BEFORE) {
                let first = format!("Dumping {offset:0>20}.log");
                assert!(self.0.contains(&first), "{line}\n\n{}", self.0);
            } else {
                let is_other = line.contains(FOLLOWED_BY) || line.contains("mismatch");
                assert!(!is_other, "{line}\n\n{}", self.0);
            }
        }
    }

    /// The same, of a log that compaction took offsets from.
    fn refuse_complaints_but_holes(&self) {
        let descriptions = [
            "Dumping ",
            "Log starting offset: ",
            "baseOffset: ",
            "| offset: ",
            "offset: ",
            "timestamp: ",
            "producerId: ",
            "version: ",
            "Non-consecutive offsets in ",
            "Found timestamp mismatch in :",
        ];
        let active = self.active();
        for line in self.0.lines() {
            let is_described = descriptions.iter().any(|it| line.starts_with(it));
            // The indexes of the active segment may lag behind it, and one batch needs no entry.
            let is_empty = line.strip_suffix(" is empty.").is_some_and(|name| {
                let (segment, _) = name.split_once('.').unwrap();
                segment == active || self.n_batches(segment) == 1
            });
            let is_hole = line.split_once(FOLLOWED_BY).is_some_and(|(before, after)| {
                let number = |text: &str| text.trim().parse::<i64>().unwrap();
                number(before) + 1 < number(after)
            });
            let is_of_empty_batch = self.is_time_of_an_empty_batch(line);
            assert!(
                is_described || is_empty || is_hole || is_of_empty_batch,
                "{line}\n\n{}",
                self.0
            );
            if line.starts_with("baseOffset: ") {
                assert!(line.ends_with(" isvalid: true"), "{line}");
            }
        }
    }

    fn count(&self, prefix: &str) -> usize {
        self.0.lines().filter(|it| it.starts_with(prefix)).count()
    }

    /// Kafka's tool looks for the time among the records, and misses that of a batch whose records all
    /// went, in Kafka's own files too. A time that differs from a record's is another line.
    fn is_time_of_an_empty_batch(&self, line: &str) -> bool {
        let told = line.strip_prefix("  Index timestamp: ");
        let Some(time) = told.and_then(|it| it.strip_suffix(", log timestamp: -1")) else {
            return false;
        };
        let time = format!(" CreateTime: {time} ");
        let mut batches = self.0.lines().filter(|it| it.starts_with("baseOffset: "));
        batches.any(|it| it.contains(" count: 0 ") && it.contains(&time))
    }

    fn n_batches(&self, segment: &str) -> usize {
        let header = format!("Dumping {segment}.log");
        let lines = self.0.lines().skip_while(|it| *it != header).skip(1);
        let lines = lines.take_while(|it| !it.starts_with("Dumping "));
        lines.filter(|it| it.starts_with("baseOffset: ")).count()
    }

    /// The segment that is written to.
    fn active(&self) -> &str {
        let logs = self.0.lines().filter(|it| it.ends_with(".log"));
        let active = logs.filter_map(|it| it.strip_prefix("Dumping ")).max();
        active.unwrap().trim_end_matches(".log")
    }

    /// What it says of each file of one kind; of the active segment's indexes nothing.
    fn about(&self, kind: &str) -> BTreeMap<&str, Vec<&str>> {
        let mut files = BTreeMap::<_, Vec<_>>::new();
        let mut file = "";
        for line in self.0.lines() {
            if let Some(name) = line.strip_prefix("Dumping ") {
                file = name;
            } else if !line.starts_with("Non-consecutive") && !line.starts_with(NOTHING_BEFORE) {
                files.entry(file).or_default().push(line);
            }
        }
        let lags = kind.ends_with("index") && kind != ".txnindex";
        let active = self.active();
        files.retain(|it, _| it.ends_with(kind) && !(lags && it.starts_with(active)));
        if kind == ".snapshot" {
            files.values_mut().for_each(last_of_each_producer);
        }
        files
    }
}

/// Of several entries of an id the last one counts.
fn last_of_each_producer(lines: &mut Vec<&str>) {
    let id = |line: &str| line.split(' ').nth(1).map(str::to_owned);
    let last: BTreeMap<_, _> = lines.iter().map(|line| (id(line), *line)).collect();
    *lines = last.into_values().collect();
}
