//! Records that Kafka's Java client packed, with each codec, are those Kafka's own reader sees.
#![allow(
    clippy::disallowed_methods,
    reason = "reads files that another program wrote"
)]

use std::fmt::Write;
use std::fs;
use std::path::Path;

use drave_log::LogConfig;
use drave_log::config::TargetCompression;
use drave_log::validate::validate;
use drave_protocol::record::attributes::Compression;
use drave_protocol::record::batch;
use drave_protocol::record::compression::{Packing, UnpackedLimit};
use drave_protocol::record::reader::RecordReader;

const CODECS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/kafka-4")
        .join(name)
}

/// Lines of Kafka's reader about records, without what it makes of sequences.
fn described(name: &str) -> Vec<String> {
    let text = fs::read_to_string(fixture(name).with_extension("txt")).unwrap();
    let records = text.lines().filter_map(|it| it.strip_prefix("| "));
    let told = records.map(|line| {
        let (front, rest) = line.split_once(" sequence: ").unwrap();
        let (_, back) = rest.split_once(' ').unwrap();
        format!("{front} {back}").trim_end().to_owned()
    });
    told.collect()
}

/// The same of one batch's records, as we read them.
fn told(batch: &[u8]) -> Vec<String> {
    let mut reader = RecordReader::open(batch, UnpackedLimit::default()).unwrap();
    let header = *reader.header();
    let mut lines = Vec::new();
    while let Some(record) = reader.next_record() {
        let record = record.unwrap();
        let size = |bytes: Option<&[u8]>| bytes.map_or("-1".to_owned(), |it| it.len().to_string());
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let headers: Vec<_> = record.headers().map(|(key, _)| text(key)).collect();
        let mut line = format!(
            "offset: {} {:?}: {} keySize: {} valueSize: {} headerKeys: [{}]",
            record.offset(&header),
            header.timestamp_type(),
            record.timestamp_ms(&header),
            size(record.key),
            size(record.value),
            headers.join(",")
        );
        for (what, bytes) in [("key", record.key), ("payload", record.value)] {
            if let Some(bytes) = bytes {
                write!(line, " {what}: {}", text(bytes)).unwrap();
            }
        }
        lines.push(line.trim_end().to_owned());
    }
    lines
}

fn segments(name: &str) -> Vec<Vec<u8>> {
    let files = fs::read_dir(fixture(name)).unwrap();
    let mut paths: Vec<_> = files.map(|it| it.unwrap().path()).collect();
    paths.retain(|it| it.extension().is_some_and(|it| it == "log"));
    paths.sort();
    paths.into_iter().map(|it| fs::read(it).unwrap()).collect()
}

#[test]
fn records_kafkas_client_packed_are_those_kafkas_reader_sees() {
    for name in ["codecs-0", "appendtime-0"] {
        let mut lines = Vec::new();
        for bytes in segments(name) {
            for found in batch::iter(&bytes) {
                lines.extend(told(found.unwrap().2));
            }
        }
        assert_eq!(lines, described(name), "{name}");
    }
}

#[test]
fn packed_anew_they_are_the_same() {
    for bytes in segments("codecs-0") {
        for (found, codec) in batch::iter(&bytes).flat_map(|it| CODECS.map(|to| (it, to))) {
            let (_, header, one) = found.unwrap();
            let level = Packing::of(codec).level;
            let config = LogConfig {
                compression: TargetCompression::Codec {
                    compression: codec,
                    level,
                },
                ..LogConfig::default()
            };
            let anew = validate(one.into(), &config, header.max_timestamp).unwrap();
            assert_eq!(told(anew.bytes()), told(one), "{codec}");
        }
    }
}
