//! What validation does with the records of a batch: looks at them, lists those it refuses, packs
//! them anew.

use drave_protocol::ids::Offset;
use drave_protocol::record::attributes::Compression;
use drave_protocol::record::builder::BatchBuilder;
use drave_protocol::record::record::Record;

use super::*;
use crate::config::CleanupPolicy;
use crate::refused_records::{LISTED_MAX, RefusedRecord};

const NOW: i64 = 1_000_000;
const CODECS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

fn record(timestamp_ms: i64, key: Option<&str>) -> Record {
    Record {
        timestamp_ms,
        key: key.map(|it| it.to_owned().into()),
        value: Some("some value".into()),
        headers: Vec::new(),
    }
}

fn batch_of(codec: Compression, records: impl IntoIterator<Item = Record>) -> BytesMut {
    let batch = BatchBuilder::new().packed(Packing::of(codec));
    records
        .into_iter()
        .fold(batch, BatchBuilder::record)
        .build()
}

fn log_with(compression: Compression) -> LogConfig {
    let level = Packing::of(compression).level;
    LogConfig {
        compression: TargetCompression::Codec { compression, level },
        ..LogConfig::default()
    }
}

fn compacted(config: &LogConfig) -> LogConfig {
    let cleanup = CleanupPolicy {
        delete: false,
        compact: true,
    };
    LogConfig {
        cleanup,
        ..config.clone()
    }
}

fn walked(bytes: &[u8]) -> Vec<(Offset, i64, Option<Vec<u8>>)> {
    let mut reader = RecordReader::open(bytes, UnpackedLimit::default()).unwrap();
    let header = *reader.header();
    let mut records = Vec::new();
    while let Some(record) = reader.next_record() {
        let record = record.unwrap();
        let key = record.key.map(<[u8]>::to_vec);
        records.push((record.offset(&header), record.timestamp_ms(&header), key));
    }
    records
}

#[test]
fn a_log_that_names_a_codec_holds_no_other() {
    let records = || {
        [
            record(NOW, Some("a")),
            record(NOW - 7, None),
            record(NOW + 5, Some("b")),
        ]
    };
    for (from, to) in CODECS.iter().flat_map(|from| CODECS.map(|to| (*from, to))) {
        let sent = batch_of(from, records());
        let stored = validate(sent.clone(), &log_with(to), NOW)
            .unwrap()
            .into_bytes();
        assert!(batch::verify_crc(&stored), "{from} to {to}");
        let header = BatchHeader::parse(&stored).unwrap();
        assert_eq!(header.compression(), Some(to));
        assert_eq!(
            (header.base_timestamp, header.max_timestamp),
            (NOW, NOW + 5)
        );
        assert_eq!(walked(&stored), walked(&sent), "{from} to {to}");
        assert_eq!(stored == sent, from == to);
    }
}

#[test]
fn what_the_producer_chose_stays_byte_for_byte() {
    for codec in CODECS {
        let sent = batch_of(codec, [record(NOW, Some("a")), record(NOW, Some("b"))]);
        for config in [LogConfig::default(), compacted(&LogConfig::default())] {
            let stored = validate(sent.clone(), &config, NOW).unwrap().into_bytes();
            assert_eq!(stored, sent, "{codec}");
        }
    }
}

#[test]
fn packing_anew_keeps_producer_and_sequence() {
    let sent = BatchBuilder::new()
        .producer(ProducerId(7), 3, 12)
        .transactional()
        .value(NOW, "a");
    let stored = validate(sent.build(), &log_with(Compression::Lz4), NOW).unwrap();
    let header = BatchHeader::parse(&stored.into_bytes()).unwrap();
    assert_eq!(
        (
            header.producer_id,
            header.producer_epoch,
            header.base_sequence
        ),
        (ProducerId(7), 3, 12)
    );
    assert!(header.is_transactional());
}

#[test]
fn times_count_from_the_first_record_once_packed_anew() {
    let sent = batch_of(
        Compression::None,
        [record(NOW, None), record(NOW + 1, None)],
    );
    let header = BatchHeader::parse(&sent).unwrap();
    let mut odd = Rebuild::of(&header).base_timestamp(5);
    let mut reader = RecordReader::open(&sent, UnpackedLimit::default()).unwrap();
    while let Some(record) = reader.next_record() {
        odd.push(&record.unwrap());
    }
    let odd = odd.build(Packing::of(Compression::None));
    let stored = validate(odd, &log_with(Compression::Zstd), NOW).unwrap();
    let header = BatchHeader::parse(&stored.into_bytes()).unwrap();
    assert_eq!(
        (header.base_timestamp, header.max_timestamp),
        (NOW, NOW + 1)
    );
}

#[test]
fn a_batch_too_large_once_packed_anew_is_refused_with_both_numbers() {
    let zeros = Record {
        value: Some(vec![0; 9_000].into()),
        ..record(NOW, None)
    };
    let sent = batch_of(Compression::Zstd, [zeros]);
    let config = LogConfig {
        message_bytes_max: 5_000,
        ..log_with(Compression::None)
    };
    let refused = validate(sent, &config, NOW).err();
    let too_large =
        matches!(refused, Some(AppendError::TooLarge { size, max: 5_000 }) if size > 9_000);
    assert!(too_large, "{refused:?}");
}

#[test]
fn a_lie_about_the_largest_timestamp_is_put_right() {
    for claimed in [NOW + 99, NOW - 99, NO_TIMESTAMP] {
        let mut sent = batch_of(
            Compression::None,
            [record(NOW, None), record(NOW - 3, None)],
        );
        batch::set_max_timestamp(&mut sent, claimed);
        let stored = validate(sent, &LogConfig::default(), NOW)
            .unwrap()
            .into_bytes();
        assert!(batch::verify_crc(&stored));
        assert_eq!(BatchHeader::parse(&stored).unwrap().max_timestamp, NOW);
    }
    let timeless = batch_of(Compression::None, [record(NO_TIMESTAMP, None)]);
    let stored = validate(timeless, &LogConfig::default(), NOW)
        .unwrap()
        .into_bytes();
    assert_eq!(
        BatchHeader::parse(&stored).unwrap().max_timestamp,
        NO_TIMESTAMP
    );
}

#[test]
fn records_without_a_key_are_listed_in_a_compacted_log_whatever_the_codec() {
    for codec in CODECS {
        let sent = || {
            let keyless = [record(NOW, Some("a")), record(NOW, None), record(NOW, None)];
            batch_of(codec, keyless)
        };
        for config in [LogConfig::default(), log_with(Compression::Zstd)] {
            assert!(validate(sent(), &config, NOW).is_ok());
            let refused = validate(sent(), &compacted(&config), NOW);
            let Err(AppendError::RefusedRecords(refused)) = refused else {
                panic!("{codec}: {refused:?}")
            };
            let no_key = |index| RefusedRecord {
                index,
                fault: RecordFault::NoKey,
            };
            assert_eq!(refused.listed(), [no_key(1), no_key(2)]);
            assert!(!refused.has_bad_time());
            let expected = "2 records of the batch are refused: record 1: it has no key, and this log \
                            is compacted; record 2: it has no key, and this log is compacted";
            assert_eq!(refused.to_string(), expected);
        }
    }
}

#[test]
fn each_record_out_of_time_is_listed_where_records_are_looked_at() {
    let config = LogConfig {
        timestamp_before_max_ms: 10,
        timestamp_after_max_ms: 10,
        ..log_with(Compression::Gzip)
    };
    let times = [NOW, NOW - 11, NO_TIMESTAMP, NOW + 11, NOW + 10];
    let sent = batch_of(Compression::Snappy, times.map(|time| record(time, None)));
    let refused = validate(sent, &config, NOW);
    let Err(AppendError::RefusedRecords(refused)) = refused else {
        panic!("{refused:?}")
    };
    let indexes: Vec<i32> = refused.listed().iter().map(|it| it.index).collect();
    assert_eq!(indexes, [1, 3]);
    assert!(refused.has_bad_time());
}

#[test]
fn a_batch_that_stays_packed_is_judged_by_its_header() {
    let config = LogConfig {
        timestamp_after_max_ms: 10,
        ..LogConfig::default()
    };
    let sent = batch_of(
        Compression::Zstd,
        [record(NOW, None), record(NOW + 11, None)],
    );
    let refused = validate(sent, &config, NOW);
    let out_of_time = matches!(
        refused,
        Err(AppendError::InvalidTimestamp { timestamp_ms, .. }) if timestamp_ms == NOW + 11
    );
    assert!(out_of_time, "{refused:?}");
}

#[test]
fn an_answer_names_a_thousand_records_and_counts_the_rest() {
    let n = LISTED_MAX + 500;
    let sent = batch_of(Compression::None, (0..n).map(|_| record(NOW, None)));
    let refused = validate(sent, &compacted(&LogConfig::default()), NOW);
    let Err(AppendError::RefusedRecords(refused)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(refused.listed().len(), LISTED_MAX);
    assert!(refused.to_string().starts_with("1500 records"), "{refused}");
}

#[test]
fn a_bomb_is_refused_where_it_would_be_opened_and_kept_where_not() {
    let zeros = Record {
        value: Some(vec![0; 110 * 1024 * 1024].into()),
        ..record(NOW, Some("k"))
    };
    let bomb = batch_of(Compression::Zstd, [zeros]);
    assert!(bomb.len() < 16_000, "{}", bomb.len());
    for config in [compacted(&LogConfig::default()), log_with(Compression::Lz4)] {
        let refused = validate(bomb.clone(), &config, NOW);
        let too_large = matches!(
            refused,
            Err(AppendError::UnpacksTooLarge { max: 104_857_600 })
        );
        assert!(too_large, "{refused:?}");
    }
    assert!(validate(bomb, &LogConfig::default(), NOW).is_ok());
}
