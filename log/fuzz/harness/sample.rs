//! A small log of everything: codecs, an idempotent producer, transactions, several segments.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bytes::{BufMut, Bytes, BytesMut};
use drave_log::fs::faulty::FaultyFs;
use drave_log::fs::{self, FileSystem};
use drave_log::{LogConfig, PartitionLog};
use drave_protocol::ids::{LeaderEpoch, Offset, ProducerId};
use drave_protocol::record::attributes::Compression;
use drave_protocol::record::builder::BatchBuilder;
use drave_protocol::record::compression::{Packing, pack};
use drave_protocol::record::record::Record;

pub(crate) const NOW: i64 = 1_700_000_000_000;
pub(crate) const CODECS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

/// The files of a log, and what it holds.
pub(crate) struct Sample {
    pub(crate) files: Vec<(String, Vec<u8>)>,
    pub(crate) batches: Vec<Bytes>,
    pub(crate) end: Offset,
}

pub(crate) fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 900,
        index_interval_bytes: 150,
        ..LogConfig::default()
    }
}

pub(crate) fn dir() -> PathBuf {
    PathBuf::from("/data/sample-0")
}

impl Sample {
    pub(crate) fn get() -> &'static Self {
        static SAMPLE: OnceLock<Sample> = OnceLock::new();
        SAMPLE.get_or_init(Self::make)
    }

    fn make() -> Self {
        let fs = FaultyFs::new();
        let mut log = open(&fs, Offset::ZERO).expect("a new log");
        let epoch = LeaderEpoch(3);
        for n in 0..12_i32 {
            let codec = CODECS[usize::try_from(n).expect("a small number") % CODECS.len()];
            let sent = batch(codec, i64::from(n) * 10).producer(ProducerId(7), 0, n * 4);
            log.append_as_leader(sent.build(), epoch, NOW)
                .expect("room");
            let open = BatchBuilder::new().value(NOW, "in a transaction");
            let open = open.producer(ProducerId(8), 1, n).transactional();
            log.append_as_leader(open.build(), epoch, NOW)
                .expect("room");
            if n % 4 == 3 {
                log.append_own(marker(n), epoch, NOW).expect("room");
            }
        }
        log.close().expect("a disk that works");
        let end = log.log_end_offset();
        let batches = read_all(&log).expect("what was appended");
        drop(log);
        let listed = fs.list(&dir()).expect("a folder");
        let mut names: Vec<String> = listed.into_iter().map(|it| it.name).collect();
        names.sort();
        let content = |name: String| {
            let bytes = fs::read_file(&fs, &dir().join(&name)).expect("a file");
            (name, bytes)
        };
        Self {
            files: names.into_iter().map(content).collect(),
            batches,
            end,
        }
    }

    /// Names of the files that end so, in order.
    pub(crate) fn names(&self, ending: &str) -> Vec<&str> {
        let names = self.files.iter().map(|(name, _)| name.as_str());
        names.filter(|it| it.ends_with(ending)).collect()
    }
}

/// Files on a disk of their own.
pub(crate) fn disk_of(files: &[(String, Vec<u8>)]) -> FaultyFs {
    let fs = FaultyFs::new();
    fs.create_dir_all(&dir()).expect("memory");
    for (name, bytes) in files {
        write(&fs, &dir().join(name), bytes);
    }
    fs
}

pub(crate) fn write(fs: &FaultyFs, path: &Path, bytes: &[u8]) {
    let file = fs.create(path).expect("memory");
    file.write_all_at(bytes, 0).expect("memory");
}

pub(crate) fn open(
    fs: &FaultyFs,
    recovery_point: Offset,
) -> Result<PartitionLog, drave_log::LogError> {
    let fs = Arc::new(fs.clone());
    PartitionLog::open(fs, &dir(), config(), recovery_point, Offset::ZERO).map(|it| it.0)
}

/// Every batch from the log's start to its end.
pub(crate) fn read_all(log: &PartitionLog) -> Result<Vec<Bytes>, drave_log::ReadError> {
    let mut batches = Vec::new();
    let mut next = log.log_start_offset();
    while next < log.log_end_offset() {
        let mut bytes = log.read(next, log.log_end_offset(), 1)?;
        let header = drave_protocol::record::batch::BatchHeader::parse(&bytes);
        let header = header.expect("what is read is whole batches");
        assert!(header.next_offset() > next, "reading goes on");
        next = header.next_offset();
        batches.push(bytes.split_to(header.total_size()));
    }
    Ok(batches)
}

fn batch(codec: Compression, later_ms: i64) -> BatchBuilder {
    let mut batch = BatchBuilder::new().packed(Packing::of(codec));
    for n in 0..4 {
        batch = batch.record(Record {
            timestamp_ms: NOW + later_ms + n,
            key: Some(format!("key {n}").into()),
            value: Some("a value and a value and a value".into()),
            headers: vec![("header".to_owned(), Some("x".into()))],
        });
    }
    batch
}

/// Ends the transaction of producer 8: by a commit each second time.
fn marker(n: i32) -> BytesMut {
    let (mut key, mut value) = (BytesMut::new(), BytesMut::new());
    key.put_i16(0);
    key.put_i16(i16::from(n % 8 == 7));
    value.put_i16(0);
    value.put_i32(1);
    let marker = BatchBuilder::new().producer(ProducerId(8), 1, -1);
    let marker = marker.transactional().control();
    marker.key_value(NOW, key.freeze(), value.freeze()).build()
}

/// Inputs from which a search may start: what the target means when nothing is wrong.
pub(crate) fn seeds(target: &str) -> Vec<Vec<u8>> {
    let codec = match target {
        "validate" => return validated_seeds(),
        "records" => return CODECS.map(|it| batch(it, 0).build().to_vec()).into(),
        "unpack_gzip" => Compression::Gzip,
        "unpack_snappy" => Compression::Snappy,
        "unpack_lz4" => Compression::Lz4,
        "unpack_zstd" => Compression::Zstd,
        "offset_index" => return file_seeds(".index"),
        "time_index" => return file_seeds(".timeindex"),
        "transaction_index" => return file_seeds(".txnindex"),
        "producer_snapshot" => return file_seeds(".snapshot"),
        "recovery" => {
            return vec![
                vec![0],
                vec![1],
                vec![0, 3, 0, 1, 0, 9],
                vec![0, 4, 2, 0, 90, 0],
            ];
        }
        _ => panic!("no target is called {target}"),
    };
    // The last is more than the harness lets unpack.
    let texts = [
        String::new(),
        "a".into(),
        "again and ".repeat(30),
        "0".repeat(300_000),
    ];
    let packed = |text: String| {
        let mut out = BytesMut::new();
        pack(text.as_bytes(), Packing::of(codec), &mut out);
        out.to_vec()
    };
    texts.map(packed).into()
}

fn validated_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (choice, codec) in (0_u8..).zip(CODECS) {
        for choice in [choice, choice + 1, choice + 8, 7] {
            let bytes = batch(codec, 0).build();
            seeds.push([&[choice, 1], &bytes[..]].concat());
        }
    }
    seeds
}

/// Each file of the sample with this ending, after the bytes that choose it.
fn file_seeds(ending: &str) -> Vec<Vec<u8>> {
    let sample = Sample::get();
    let names = sample.names(ending);
    let seed = |(at, name): (u8, &str)| {
        let found = sample.files.iter().find(|(it, _)| it == name);
        let (_, bytes) = found.expect("a name of the sample");
        [&[at, 1], &bytes[..]].concat()
    };
    (0..).zip(names).map(seed).collect()
}
