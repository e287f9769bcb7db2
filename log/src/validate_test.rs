use bytes::BytesMut;
use drave_protocol::record::batch::crc32c;
use drave_protocol::record::builder::BatchBuilder;
use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_000_000;

fn good() -> BatchBuilder {
    BatchBuilder::new().value(NOW, "a").value(NOW + 1, "b")
}

fn check(bytes: &[u8]) -> Result<BatchHeader, AppendError> {
    check_with(bytes, &LogConfig::default())
}

fn check_with(bytes: &[u8], config: &LogConfig) -> Result<BatchHeader, AppendError> {
    let validated = validate(bytes.into(), config, NOW)?.into_bytes();
    assert!(batch::verify_crc(&validated));
    Ok(BatchHeader::parse(&validated).unwrap())
}

/// Changes bytes and makes the checksum right again, as a hostile client would.
fn forged(at: usize, field: &[u8]) -> BytesMut {
    forge(good().build(), at, field)
}

fn forge(mut bytes: BytesMut, at: usize, field: &[u8]) -> BytesMut {
    bytes[at..at + field.len()].copy_from_slice(field);
    let crc = crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes
}

#[test]
fn a_plain_batch_passes() {
    assert_eq!(check(&good().build()).unwrap().records_count, 2);
    let idempotent = good().producer(ProducerId(7), 0, 0);
    assert!(check(&idempotent.build()).is_ok());
    assert!(check(&idempotent.transactional().build()).is_ok());
}

#[test]
fn nothing_and_two_batches_are_not_one() {
    let one = good().build();
    for bytes in [&[][..], &[&one[..], &one[..]].concat()] {
        let refused = check(bytes);
        assert!(matches!(
            refused,
            Err(AppendError::InvalidRecord(InvalidRecord::NotOneBatch))
        ));
    }
}

#[test]
fn a_cut_batch_and_a_wrong_checksum_are_corrupt() {
    let bytes = good().build();
    for cut in [10, 40, bytes.len() - 1] {
        let refused = check(&bytes[..cut]);
        assert!(
            matches!(refused, Err(AppendError::CorruptBatch(Fault::Shape(_)))),
            "{cut}"
        );
    }
    let mut flipped = bytes;
    flipped[70] ^= 1;
    assert!(matches!(
        check(&flipped),
        Err(AppendError::CorruptBatch(Fault::Checksum))
    ));
}

#[test]
fn old_formats_are_named() {
    let refused = check(&forged(16, &[1]));
    assert!(matches!(
        refused,
        Err(AppendError::UnsupportedFormat { magic: 1 })
    ));
}

#[test]
fn a_large_batch_is_refused_with_both_numbers() {
    let config = LogConfig {
        message_bytes_max: 70,
        ..LogConfig::default()
    };
    let bytes = good().build();
    let refused = check_with(&bytes, &config);
    assert!(matches!(refused, Err(AppendError::TooLarge { size, max: 70 }) if size == bytes.len()));
}

#[test]
fn counts_that_disagree_are_refused() {
    for (at, number) in [
        (57, 3_i32),
        (57, 0),
        (57, -1),
        (23, 5),
        (23, -1),
        (23, i32::MAX),
    ] {
        let refused = check(&forged(at, &number.to_be_bytes()));
        let count = matches!(
            refused,
            Err(AppendError::InvalidRecord(InvalidRecord::Count { .. }))
        );
        assert!(count, "{at} {number}");
    }
}

#[test]
fn control_batches_and_unknown_codecs_are_refused() {
    let refused = check(&good().producer(ProducerId(1), 0, 0).control().build());
    assert!(matches!(
        refused,
        Err(AppendError::InvalidRecord(InvalidRecord::Control))
    ));
    let refused = check(&forged(21, &7_i16.to_be_bytes()));
    let unknown = InvalidRecord::UnknownCompression(7);
    assert!(matches!(refused, Err(AppendError::InvalidRecord(it)) if it == unknown));
}

#[test]
fn a_producer_needs_epoch_and_sequence() {
    let id = ProducerId(7);
    let bad = [
        good().producer(id, 0, -1),
        good().producer(id, -1, 0),
        good().transactional(),
    ];
    for batch in bad {
        let refused = check(&batch.build());
        let producer = InvalidRecord::Producer {
            producer_id: 0,
            epoch: 0,
            sequence: 0,
        };
        let same =
            |it: InvalidRecord| std::mem::discriminant(&it) == std::mem::discriminant(&producer);
        assert!(matches!(refused, Err(AppendError::InvalidRecord(it)) if same(it)));
    }
}

#[test]
fn times_out_of_bounds_are_refused() {
    let config = LogConfig {
        timestamp_before_max_ms: 100,
        timestamp_after_max_ms: 50,
        ..LogConfig::default()
    };
    let at = |time| BatchBuilder::new().value(time, "v").build();
    for time in [NOW - 100, NOW, NOW + 50, NO_TIMESTAMP] {
        assert!(check_with(&at(time), &config).is_ok(), "{time}");
    }
    for time in [NOW - 101, NOW + 51, i64::MAX, i64::MIN] {
        let refused = check_with(&at(time), &config);
        assert!(
            matches!(&refused, Err(AppendError::RefusedRecords(it)) if it.has_bad_time()),
            "{time}"
        );
    }
    let broker_stamps = LogConfig {
        timestamp_type: TimestampType::LogAppendTime,
        ..LogConfig::default()
    };
    assert!(check_with(&at(NOW * 1_000), &broker_stamps).is_ok());
}

#[test]
fn only_the_broker_stamps_with_the_time_of_appending() {
    let stamped = forged(21, &8_i16.to_be_bytes());
    for timestamp_type in [TimestampType::CreateTime, TimestampType::LogAppendTime] {
        let config = LogConfig {
            timestamp_type,
            ..LogConfig::default()
        };
        let refused = check_with(&stamped, &config);
        assert!(matches!(
            refused,
            Err(AppendError::NotTheClientsTimestampType)
        ));
    }
}

#[test]
fn records_are_walked_when_they_can_be() {
    let bytes = good().build();
    // The second record's offset delta: after length, attributes and a one-byte time delta.
    let second = 61 + 1 + usize::from(bytes[61] / 2);
    let refused = check(&forge(bytes.clone(), second + 3, &[2 * 5]));
    let wrong = InvalidRecord::OffsetDelta {
        expected: 1,
        got: 5,
    };
    assert!(matches!(refused, Err(AppendError::InvalidRecord(it)) if it == wrong));
    let refused = check(&forge(bytes, second, &[2 * 60]));
    assert!(matches!(
        refused,
        Err(AppendError::InvalidRecord(InvalidRecord::Record(_)))
    ));
}

proptest! {
    #[test]
    fn no_forged_batch_makes_validation_panic(at in 0..100_usize, field in any::<[u8; 4]>()) {
        let bytes = good().build();
        let _ = check(&forge(bytes.clone(), at.min(bytes.len() - 4), &field));
    }
}
