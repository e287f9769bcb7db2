use bytes::Bytes;

use super::*;
use crate::ids::{LeaderEpoch, Offset, ProducerId};
use crate::record::batch::{self, verify_crc};
use crate::record::builder::BatchBuilder;
use crate::record::compression::UnpackedLimit;
use crate::record::reader::RecordReader;
use crate::record::record::Record;

const CODECS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

fn original(codec: Compression) -> BytesMut {
    let mut batch = BatchBuilder::new()
        .base_offset(Offset(100))
        .leader_epoch(LeaderEpoch(4))
        .producer(ProducerId(9), 2, 33)
        .transactional()
        .packed(Packing::of(codec));
    for (time, key) in [(50, "a"), (70, "b"), (60, "a"), (55, "c")] {
        let headers = vec![("h".to_owned(), Some(Bytes::from(key)))];
        batch = batch.record(Record {
            timestamp_ms: time,
            key: Some(key.into()),
            value: Some(format!("{key} at {time}").into()),
            headers,
        });
    }
    batch.build()
}

/// Offset, time, key, value, number of headers.
type Seen = (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>, usize);

fn walk(batch: &[u8]) -> Vec<Seen> {
    let mut reader = RecordReader::open(batch, UnpackedLimit::default()).unwrap();
    let header = *reader.header();
    let mut seen = Vec::new();
    while let Some(record) = reader.next_record() {
        let record = record.unwrap();
        seen.push((
            record.offset(&header).0,
            record.timestamp_ms(&header),
            record.key.map(<[u8]>::to_vec),
            record.value.map(<[u8]>::to_vec),
            record.headers().count(),
        ));
    }
    seen
}

/// Keeps the records for which `keep` says so.
fn rebuilt(batch: &[u8], mut rebuild: Rebuild, keep: impl Fn(i32) -> bool) -> Rebuild {
    let mut reader = RecordReader::open(batch, UnpackedLimit::default()).unwrap();
    while let Some(record) = reader.next_record() {
        let record = record.unwrap();
        if keep(record.offset_delta) {
            rebuild.push(&record);
        }
    }
    rebuild
}

#[test]
fn what_is_kept_keeps_its_offset_time_and_producer_in_every_codec() {
    for (from, to) in CODECS.iter().flat_map(|from| CODECS.map(|to| (*from, to))) {
        let bytes = original(from);
        let header = BatchHeader::parse(&bytes).unwrap();
        let made = rebuilt(&bytes, Rebuild::of(&header), |delta| {
            delta == 1 || delta == 3
        });
        let made = made.build(Packing::of(to));
        assert!(verify_crc(&made), "{from} to {to}");
        let after = BatchHeader::parse(&made).unwrap();
        assert_eq!(after.compression(), Some(to));
        assert_eq!(
            (after.base_offset, after.last_offset(), after.records_count),
            (Offset(100), Offset(103), 2)
        );
        assert_eq!(after.partition_leader_epoch, LeaderEpoch(4));
        assert_eq!(
            (after.producer_id, after.producer_epoch, after.base_sequence),
            (ProducerId(9), 2, 33)
        );
        assert!(after.is_transactional());
        assert_eq!(after.max_timestamp, 70);
        let all = walk(&bytes);
        assert_eq!(
            walk(&made),
            [all[1].clone(), all[3].clone()],
            "{from} to {to}"
        );
    }
}

#[test]
fn a_moved_base_timestamp_moves_no_record() {
    let bytes = original(Compression::Zstd);
    let header = BatchHeader::parse(&bytes).unwrap();
    for base in [0, 49, 50, 1_000_000, i64::MAX, i64::MIN] {
        let made = rebuilt(&bytes, Rebuild::of(&header).base_timestamp(base), |_| true);
        let made = made.build(Packing::of(Compression::Lz4));
        assert_eq!(BatchHeader::parse(&made).unwrap().base_timestamp, base);
        assert_eq!(walk(&made), walk(&bytes), "base {base}");
    }
}

#[test]
fn a_delete_horizon_is_written_where_kafka_looks_for_it() {
    let bytes = original(Compression::None);
    let header = BatchHeader::parse(&bytes).unwrap();
    let made = rebuilt(&bytes, Rebuild::of(&header).delete_horizon(7_777), |_| true);
    let made = made.build(Packing::of(Compression::None));
    let after = BatchHeader::parse(&made).unwrap();
    assert_eq!(after.attributes & DELETE_HORIZON_BIT, DELETE_HORIZON_BIT);
    assert_eq!(after.base_timestamp, 7_777);
    assert_eq!(walk(&made), walk(&bytes));
}

#[test]
fn with_no_record_kept_a_header_remembers_the_producer() {
    let bytes = original(Compression::Zstd);
    let header = BatchHeader::parse(&bytes).unwrap();
    let made = Rebuild::of(&header).build(Packing::of(Compression::Zstd));
    assert_eq!(made.len(), batch::HEADER_BYTES);
    assert!(verify_crc(&made));
    let after = BatchHeader::parse(&made).unwrap();
    assert_eq!((after.records_count, after.last_offset()), (0, Offset(103)));
    assert_eq!((after.base_sequence, after.is_compressed()), (33, false));
    assert_eq!((after.base_timestamp, after.max_timestamp), (-1, 70));
    assert_eq!(walk(&made), []);
}

#[test]
fn a_time_the_broker_set_stays_the_batchs() {
    let mut bytes = original(Compression::None);
    batch::set_log_append_time(&mut bytes, 5_000);
    let header = BatchHeader::parse(&bytes).unwrap();
    let made = rebuilt(&bytes, Rebuild::of(&header), |delta| delta == 0);
    let made = made.build(Packing::of(Compression::Gzip));
    assert_eq!(BatchHeader::parse(&made).unwrap().max_timestamp, 5_000);
    assert_eq!(walk(&made)[0].1, 5_000);
}
