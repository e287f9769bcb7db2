use drave_protocol::ids::LeaderEpoch;
use drave_protocol::record::attributes::{Compression, TimestampType};
use drave_protocol::record::batch::{self, HEADER_BYTES};
use drave_protocol::record::builder::BatchBuilder;
use drave_protocol::record::record::Record;

use super::*;
use crate::compaction::offset_map::HashKey;
use crate::producer_state::AbortedTransaction;

const NOW: i64 = 1_000_000;
const RETENTION: i64 = 500;
const PRODUCER: ProducerId = ProducerId(7);

/// A filter whose map has these last offsets, and knows all below 100.
fn filter(lasts: &[(&str, i64)]) -> Filter {
    let mut map = OffsetMap::new(1 << 16, 100, HashKey([1, 2]));
    for (key, offset) in lasts {
        assert!(map.put(key.as_bytes(), Offset(*offset)));
    }
    Filter {
        map,
        mapped_upto: Offset(100),
        now_ms: NOW,
        delete_retention_ms: RETENTION,
        compression: TargetCompression::Producer,
        last_records: BTreeMap::new(),
        transactions: CleanedTransactions::default(),
        n_without_key: 0,
    }
}

fn record(key: Option<&str>, value: Option<&str>) -> Record {
    Record {
        timestamp_ms: NOW - 10,
        key: key.map(|it| it.to_owned().into()),
        value: value.map(|it| it.to_owned().into()),
        headers: Vec::new(),
    }
}

/// Offsets 10, 11, 12: a value of `a`, a tombstone of `b`, a value of `c`.
fn builder() -> BatchBuilder {
    BatchBuilder::new()
        .base_offset(Offset(10))
        .leader_epoch(LeaderEpoch(3))
        .record(record(Some("a"), Some("1")))
        .record(record(Some("b"), None))
        .record(record(Some("c"), Some("1")))
}

fn run(filter: &mut Filter, bytes: &[u8], when_empty: WhenEmpty) -> Kept {
    let header = BatchHeader::parse(bytes).unwrap();
    filter.batch(&header, bytes, when_empty).unwrap()
}

fn offsets(bytes: &[u8]) -> Vec<i64> {
    assert!(batch::verify_crc(bytes));
    let mut reader = RecordReader::open(bytes, UnpackedLimit::default()).unwrap();
    let header = *reader.header();
    let mut offsets = Vec::new();
    while let Some(record) = reader.next_record() {
        let record = record.unwrap();
        assert_eq!(record.timestamp_ms(&header), NOW - 10);
        offsets.push(record.offset(&header).0);
    }
    offsets
}

#[track_caller]
fn rebuilt(kept: Kept) -> (BatchHeader, Vec<i64>) {
    let Kept::Rebuilt(bytes) = kept else {
        panic!("{kept:?}");
    };
    (BatchHeader::parse(&bytes).unwrap(), offsets(&bytes))
}

#[test]
fn a_batch_of_which_nothing_goes_stays_byte_for_byte() {
    let bytes = BatchBuilder::new().key_value(NOW, "a", "1").build();
    assert_eq!(
        run(&mut filter(&[("a", 0)]), &bytes, WhenEmpty::Drop),
        Kept::AsItIs
    );
    // Nor does one whose key the dirty part does not know.
    assert_eq!(run(&mut filter(&[]), &bytes, WhenEmpty::Drop), Kept::AsItIs);
}

#[test]
fn what_is_replaced_goes_and_the_rest_keeps_its_offsets() {
    let bytes = builder().build();
    let original = BatchHeader::parse(&bytes).unwrap();
    let kept = run(
        &mut filter(&[("a", 50), ("b", 51), ("c", 12)]),
        &bytes,
        WhenEmpty::Drop,
    );
    let (header, offsets) = rebuilt(kept);
    assert_eq!(offsets, [12]);
    assert_eq!(
        (header.base_offset, header.last_offset()),
        (Offset(10), Offset(12))
    );
    assert_eq!(
        header.partition_leader_epoch,
        original.partition_leader_epoch
    );
    assert_eq!(header.records_count, 1);
    assert_eq!(
        horizon_of(&header),
        None,
        "no tombstone is left to wait for"
    );
}

#[test]
fn a_tombstone_gets_its_horizon_with_the_first_pass_and_goes_after_it() {
    let bytes = builder().build();
    let mut first = filter(&[("a", 10), ("b", 11), ("c", 12)]);
    let Kept::Rebuilt(marked) = run(&mut first, &bytes, WhenEmpty::Drop) else {
        panic!("it is marked");
    };
    let header = BatchHeader::parse(&marked).unwrap();
    assert_eq!(horizon_of(&header), Some(NOW + RETENTION));
    assert_eq!(offsets(&marked), [10, 11, 12]);
    for (now_ms, gone) in [
        (NOW, false),
        (NOW + RETENTION - 1, false),
        (NOW + RETENTION, true),
    ] {
        let mut later = filter(&[]);
        later.now_ms = now_ms;
        let kept = run(&mut later, &marked, WhenEmpty::Drop);
        if gone {
            let (header, offsets) = rebuilt(kept);
            assert_eq!(offsets, [10, 12]);
            assert_eq!(horizon_of(&header), Some(NOW + RETENTION));
        } else {
            assert_eq!(kept, Kept::AsItIs);
        }
    }
}

#[test]
fn records_the_map_did_not_reach_all_stay() {
    let bytes = builder().build();
    let mut filter = filter(&[("a", 50), ("b", 50), ("c", 50)]);
    filter.mapped_upto = Offset(11);
    let (_, offsets) = rebuilt(run(&mut filter, &bytes, WhenEmpty::Drop));
    assert_eq!(offsets, [11, 12]);
}

#[test]
fn a_record_without_a_key_goes_and_is_counted() {
    let bytes = builder().record(record(None, Some("lost"))).build();
    let mut filter = filter(&[]);
    let (_, offsets) = rebuilt(run(&mut filter, &bytes, WhenEmpty::Drop));
    assert_eq!(
        (offsets.as_slice(), filter.n_without_key),
        ([10, 11, 12].as_slice(), 1)
    );
}

#[test]
fn a_batch_without_records_goes_unless_it_is_asked_for() {
    let bytes = builder().build();
    let lasts = [("a", 50), ("b", 50), ("c", 50)];
    assert_eq!(
        run(&mut filter(&lasts), &bytes, WhenEmpty::Drop),
        Kept::Nothing
    );
    let Kept::Rebuilt(empty) = run(&mut filter(&lasts), &bytes, WhenEmpty::Keep) else {
        panic!("its header stays");
    };
    let header = BatchHeader::parse(&empty).unwrap();
    assert_eq!((empty.len(), header.records_count), (HEADER_BYTES, 0));
    assert_eq!(header.next_offset(), Offset(13));
    assert_eq!(
        run(&mut filter(&lasts), &empty, WhenEmpty::Keep),
        Kept::AsItIs
    );
    assert_eq!(
        run(&mut filter(&lasts), &empty, WhenEmpty::Drop),
        Kept::Nothing
    );
}

#[test]
fn the_last_batch_of_a_live_producer_stays_for_its_sequence() {
    let bytes = builder().producer(PRODUCER, 2, 40).build();
    let mut filter = filter(&[("a", 50), ("b", 50), ("c", 50)]);
    let last = |offset| LastRecord {
        epoch: 2,
        offset: Some(Offset(offset)),
    };
    filter.last_records = BTreeMap::from([(PRODUCER, last(12))]);
    let (header, offsets) = rebuilt(run(&mut filter, &bytes, WhenEmpty::Drop));
    assert_eq!(offsets, []);
    assert_eq!(
        (
            header.producer_id,
            header.producer_epoch,
            header.base_sequence
        ),
        (PRODUCER, 2, 40)
    );
    filter.last_records = BTreeMap::from([(PRODUCER, last(99))]);
    assert_eq!(run(&mut filter, &bytes, WhenEmpty::Drop), Kept::Nothing);
}

#[test]
fn codecs_stay_and_a_log_with_a_level_uses_it() {
    let packed = |codec| builder().packed(Packing::of(codec)).build();
    for codec in [
        Compression::Gzip,
        Compression::Lz4,
        Compression::Snappy,
        Compression::Zstd,
    ] {
        let mut filter = filter(&[("a", 50)]);
        let (header, offsets) = rebuilt(run(&mut filter, &packed(codec), WhenEmpty::Drop));
        assert_eq!(
            (header.compression(), offsets.as_slice()),
            (Some(codec), [11, 12].as_slice())
        );
        assert_eq!(filter.packing(&header), Packing::of(codec));
        let level = 7;
        filter.compression = TargetCompression::Codec {
            compression: codec,
            level,
        };
        assert_eq!(filter.packing(&header), Packing { codec, level });
    }
}

#[test]
fn a_broker_stamped_batch_keeps_its_stamp() {
    let mut bytes = builder().build();
    batch::set_log_append_time(&mut bytes, NOW - 10);
    let (header, offsets) = rebuilt(run(&mut filter(&[("a", 50)]), &bytes, WhenEmpty::Drop));
    assert_eq!(offsets, [11, 12]);
    assert_eq!(header.timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!(header.max_timestamp, NOW - 10);
}

/// A marker at `offset`; 0 aborts, 1 commits.
fn marker(offset: i64, kind: u8) -> BytesMut {
    let end = Record {
        timestamp_ms: NOW - 10,
        key: Some(vec![0, 0, 0, kind].into()),
        value: Some(vec![0, 0, 0, 0, 0, 1].into()),
        headers: Vec::new(),
    };
    let builder = BatchBuilder::new().base_offset(Offset(offset));
    let builder = builder.producer(PRODUCER, 2, -1).transactional().control();
    builder.record(end).build()
}

fn of_transaction() -> BytesMut {
    builder().producer(PRODUCER, 2, 0).transactional().build()
}

fn aborted() -> CleanedTransactions {
    CleanedTransactions::new(vec![AbortedTransaction {
        producer_id: PRODUCER,
        first_offset: Offset(10),
        last_offset: Offset(20),
        last_stable_offset: Offset(21),
    }])
}

#[test]
fn records_of_an_aborted_transaction_go_before_its_marker() {
    let mut filter = filter(&[]);
    filter.transactions = aborted();
    assert_eq!(
        run(&mut filter, &of_transaction(), WhenEmpty::Drop),
        Kept::Nothing
    );
    assert_eq!(
        run(&mut filter, &marker(20, 0), WhenEmpty::Drop),
        Kept::AsItIs
    );
    assert_eq!(filter.transactions.take_kept().len(), 1);
}

#[test]
fn a_marker_whose_records_are_gone_waits_like_a_tombstone() {
    for kind in [0, 1] {
        let mut first = filter(&[]);
        first.transactions = aborted();
        let Kept::Rebuilt(marked) = run(&mut first, &marker(20, kind), WhenEmpty::Drop) else {
            panic!("it is marked");
        };
        let header = BatchHeader::parse(&marked).unwrap();
        assert_eq!(
            (horizon_of(&header), offsets(&marked)),
            (Some(NOW + RETENTION), vec![20])
        );
        for (now_ms, expected) in [
            (NOW + RETENTION - 1, Kept::AsItIs),
            (NOW + RETENTION, Kept::Nothing),
        ] {
            let mut later = filter(&[]);
            later.now_ms = now_ms;
            assert_eq!(run(&mut later, &marked, WhenEmpty::Drop), expected);
        }
    }
}

#[test]
fn the_marker_of_a_committed_transaction_stays_while_its_records_do() {
    let mut filter = filter(&[("a", 10), ("b", 11), ("c", 12)]);
    run(&mut filter, &of_transaction(), WhenEmpty::Drop);
    assert_eq!(
        run(&mut filter, &marker(20, 1), WhenEmpty::Drop),
        Kept::AsItIs
    );
    assert_eq!(filter.transactions.take_kept(), []);
}
