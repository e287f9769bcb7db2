use drave_protocol::ids::{Offset, ProducerId};
use proptest::prelude::*;

use super::*;
use crate::producer_state::batch::Outcome;
use crate::producer_state::rules::{ID, marker, records, transactional};
use crate::producer_state::{ProducerBatch, WINDOW};

/// Two ids as Kafka writes them: 1000 with sequences 0 to 9 at offsets 100 to 109; 1001 in epoch 3
/// with the largest sequence at 250, a coordinator's epoch 7 and a transaction open since 248.
const KAFKAS: &str = "0001f7ad8f4500000002\
    00000000000003e8000000000009000000000000006d00000009\
    0000018bcfe56800ffffffffffffffffffffffff\
    00000000000003e900037fffffff00000000000000fa00000000\
    0000018bcfe5687b0000000700000000000000f8";

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

#[test]
fn kafkas_bytes_are_read_and_written() {
    let kafkas = bytes_of(KAFKAS);
    let states = ProducerStates::from_snapshot(&kafkas, WINDOW).unwrap();
    let first = &states.by_id[&ProducerId(1_000)];
    let second = &states.by_id[&ProducerId(1_001)];
    assert_eq!(first.batches[0].first_sequence(), Sequence(0));
    assert_eq!(first.batches[0].base_offset(), Offset(100));
    assert_eq!((first.epoch, first.coordinator_epoch), (0, -1));
    assert_eq!((second.epoch, second.coordinator_epoch), (3, 7));
    assert_eq!(second.last_sequence(), Sequence(i32::MAX));
    assert_eq!(states.first_unstable_offset(Offset(300)), Some(Offset(248)));
    assert_eq!(states.to_snapshot(), kafkas);
}

#[test]
fn nothing_known_is_ten_bytes() {
    let nothing = ProducerStates::default().to_snapshot();
    assert_eq!(nothing, bytes_of("000148674bc700000000"));
}

#[test]
fn the_whole_window_survives_and_the_last_entry_is_the_one_kafka_writes() {
    let mut states = ProducerStates::default();
    for n in 0..8 {
        states.apply(&records(2, (n, n), i64::from(n)), 0);
    }
    let bytes = states.to_snapshot();
    assert_eq!(bytes.len(), HEADER_BYTES + WINDOW * ENTRY_BYTES);
    let again = ProducerStates::from_snapshot(&bytes, WINDOW).unwrap();
    assert_eq!(again.by_id[&ID].batches, states.by_id[&ID].batches);
    let last = ProducerStates::from_snapshot(&bytes, 1).unwrap();
    assert_eq!(
        &bytes[bytes.len() - ENTRY_BYTES..],
        &last.to_snapshot()[HEADER_BYTES..]
    );
}

#[test]
fn the_end_of_a_transaction_survives_with_its_time() {
    let mut states = ProducerStates::default();
    states.apply(&transactional(records(0, (0, 9), 0)), 0);
    for (epoch, base) in [(0, 10), (1, 11)] {
        states.apply(&marker(Outcome::Aborted, epoch, base), 0);
        let bytes = states.to_snapshot();
        let again = ProducerStates::from_snapshot(&bytes, WINDOW).unwrap();
        let (found, expected) = (&again.by_id[&ID], &states.by_id[&ID]);
        assert_eq!(found.batches, expected.batches);
        assert_eq!(found.last_timestamp, expected.last_timestamp);
        assert_eq!((found.epoch, found.coordinator_epoch), (epoch, 3));
        assert_eq!(again.to_snapshot(), bytes);
    }
}

#[test]
fn a_damaged_snapshot_is_refused() {
    let good = bytes_of(KAFKAS);
    let read = |bytes: &[u8]| ProducerStates::from_snapshot(bytes, WINDOW).err();
    assert_eq!(read(&good[..9]), Some(SnapshotError::Short(9)));
    let mut newer = good.clone();
    newer[1] = 2;
    assert_eq!(read(&newer), Some(SnapshotError::Version(2)));
    for at in 2..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert_eq!(read(&bad), Some(SnapshotError::Checksum), "byte {at}");
    }
    for n_bytes in 10..good.len() {
        assert!(read(&good[..n_bytes]).is_some(), "{n_bytes} bytes");
    }
    for (count, n_bytes) in [(3, 92), (-1, 92), (1, 92), (i32::MAX, 92)] {
        let mut bad = good.clone();
        bad[6..10].copy_from_slice(&i32::to_be_bytes(count));
        let crc = crc32c(&bad[6..]);
        bad[2..6].copy_from_slice(&crc.to_be_bytes());
        assert_eq!(read(&bad), Some(SnapshotError::Count { count, n_bytes }));
    }
}

proptest! {
    #[test]
    fn any_entries_are_read_and_judged_without_a_panic(
        entries in proptest::collection::vec(any::<[u8; ENTRY_BYTES]>(), 0..8),
        (first, last) in (any::<i32>(), any::<i32>()),
    ) {
        let mut checked = i32::try_from(entries.len()).unwrap().to_be_bytes().to_vec();
        checked.extend(entries.concat());
        let mut bytes = VERSION.to_be_bytes().to_vec();
        bytes.extend(crc32c(&checked).to_be_bytes());
        bytes.extend(checked);
        let mut states = ProducerStates::from_snapshot(&bytes, WINDOW).unwrap();
        for id in states.by_id.keys().copied().collect::<Vec<_>>() {
            let batch = ProducerBatch { producer_id: id, ..records(0, (first.max(0), last.max(0)), 0) };
            let _ = states.check(&batch, crate::producer_state::Origin::Client);
            states.apply(&batch, 0);
        }
        let _ = states.to_snapshot();
    }
}
