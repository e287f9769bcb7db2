//! Each rule of Kafka's, one by one.

use drave_protocol::ids::{Offset, ProducerId};

use super::batch::{Contents, EndMarker, Outcome, ProducerBatch};
use super::error::Refused;
use super::sequence::Sequence;
use super::{Origin, Original, ProducerStates, Verdict, WINDOW};

pub(super) const ID: ProducerId = ProducerId(7);

/// Records with sequences `first` to `last`, at `base` and after.
pub(super) fn records(epoch: i16, (first, last): (i32, i32), base: i64) -> ProducerBatch {
    let (first, last) = (Sequence(first), Sequence(last));
    let n_more = if last < first {
        i64::from(i32::MAX) + 1 + i64::from(last.0) - i64::from(first.0)
    } else {
        i64::from(last.0) - i64::from(first.0)
    };
    ProducerBatch {
        producer_id: ID,
        epoch,
        base_offset: Offset(base),
        last_offset: Offset(base + n_more),
        max_timestamp: 1_000 + base,
        contents: Contents::Records {
            first,
            last,
            is_transactional: false,
        },
    }
}

pub(super) fn transactional(mut batch: ProducerBatch) -> ProducerBatch {
    if let Contents::Records {
        is_transactional, ..
    } = &mut batch.contents
    {
        *is_transactional = true;
    }
    batch
}

pub(super) fn marker(outcome: Outcome, epoch: i16, base: i64) -> ProducerBatch {
    let coordinator_epoch = 3;
    let contents = Contents::End(EndMarker {
        outcome,
        coordinator_epoch,
    });
    ProducerBatch {
        contents,
        ..records(epoch, (0, 0), base)
    }
}

/// A producer that wrote batches of ten records, one after the other.
fn after(n_batches: i32, epoch: i16) -> ProducerStates {
    let mut states = ProducerStates::default();
    for n in 0..n_batches {
        let batch = records(epoch, (n * 10, n * 10 + 9), i64::from(n) * 10);
        assert_eq!(states.check(&batch, Origin::Client), Ok(Verdict::Append));
        states.apply(&batch, 0);
    }
    states
}

fn refusal(states: &ProducerStates, batch: &ProducerBatch) -> Refused {
    states.check(batch, Origin::Client).unwrap_err().refused
}

#[test]
fn a_duplicate_is_answered_with_the_offsets_it_has() {
    let states = after(8, 0);
    for n in 3..8 {
        let again = records(0, (n * 10, n * 10 + 9), 500);
        let original = Original {
            base_offset: Offset(i64::from(n) * 10),
            last_offset: Offset(i64::from(n) * 10 + 9),
            timestamp: 1_000 + i64::from(n) * 10,
        };
        assert_eq!(
            states.check(&again, Origin::Client),
            Ok(Verdict::Duplicate(original))
        );
    }
}

/// How many of a producer's last batches are recognised.
fn recognised(states: &ProducerStates, n_batches: i32) -> usize {
    let again = (0..n_batches).map(|n| records(0, (n * 10, n * 10 + 9), 500));
    let verdicts = again.map(|batch| states.check(&batch, Origin::Client));
    verdicts
        .filter(|it| matches!(it, Ok(Verdict::Duplicate(_))))
        .count()
}

#[test]
fn exactly_five_batches_are_recognised() {
    assert_eq!((recognised(&after(8, 0), 8), WINDOW), (5, 5));
}

#[test]
fn a_window_of_four_would_be_noticed() {
    let mut states = ProducerStates::remembering(4);
    for n in 0..8 {
        states.apply(&records(0, (n * 10, n * 10 + 9), i64::from(n) * 10), 0);
    }
    assert_ne!(recognised(&states, 8), 5);
}

#[test]
fn a_duplicate_older_than_the_window_is_refused_as_one() {
    let (first, last) = (Sequence(20), Sequence(29));
    let refused = refusal(&after(8, 0), &records(0, (20, 29), 500));
    assert_eq!(refused, Refused::OldDuplicate { first, last });
}

#[test]
fn what_may_never_have_been_appended_is_no_duplicate() {
    // Known from sequence 100 on: nobody knows whether 90 to 99 got here.
    let mut states = ProducerStates::default();
    states.apply(&records(0, (100, 109), 0), 0);
    let (last, got) = (Sequence(109), Sequence(90));
    let refused = refusal(&states, &records(0, (90, 99), 10));
    assert_eq!(refused, Refused::OutOfOrder { last, got });
}

#[test]
fn other_sequences_than_before_are_no_duplicate() {
    let mut states = ProducerStates::default();
    states.apply(&records(0, (100, 109), 0), 0);
    for overlapping in [(100, 108), (101, 109), (105, 120), (100, 119)] {
        let refused = refusal(&states, &records(0, overlapping, 10));
        assert!(matches!(refused, Refused::OutOfOrder { .. }), "{refused:?}");
    }
}

#[test]
fn a_gap_is_out_of_order() {
    let (last, got) = (Sequence(19), Sequence(21));
    let refused = refusal(&after(2, 0), &records(0, (21, 30), 20));
    assert_eq!(refused, Refused::OutOfOrder { last, got });
}

#[test]
fn an_older_epoch_is_refused_even_with_the_next_sequence() {
    let states = after(2, 4);
    for sequences in [(20, 29), (0, 9), (10, 19)] {
        let refused = refusal(&states, &records(3, sequences, 20));
        assert_eq!(refused, Refused::OldEpoch { current: 4 });
    }
}

#[test]
fn a_new_epoch_starts_at_zero() {
    let mut states = after(2, 0);
    let got = Sequence(20);
    let refused = refusal(&states, &records(1, (20, 29), 20));
    assert_eq!(refused, Refused::NewEpochInTheMiddle { got });
    let first = records(1, (0, 9), 20);
    assert_eq!(states.check(&first, Origin::Client), Ok(Verdict::Append));
    states.apply(&first, 0);
    let next = records(1, (10, 10), 30);
    assert_eq!(states.check(&next, Origin::Client), Ok(Verdict::Append));
    // What the old epoch wrote is no duplicate any more, it is fenced.
    let refused = refusal(&states, &records(0, (10, 19), 31));
    assert_eq!(refused, Refused::OldEpoch { current: 1 });
}

#[test]
fn an_unknown_producer_may_start_anywhere() {
    let states = ProducerStates::default();
    for sequences in [(0, 9), (5_000, 5_009)] {
        let batch = records(9, sequences, 0);
        assert_eq!(states.check(&batch, Origin::Client), Ok(Verdict::Append));
    }
}

#[test]
fn sequences_wrap_at_the_largest() {
    let mut states = ProducerStates::default();
    states.apply(&records(0, (i32::MAX - 4, i32::MAX), 0), 0);
    let (last, got) = (Sequence(i32::MAX), Sequence(1));
    let refused = refusal(&states, &records(0, (1, 5), 5));
    assert_eq!(refused, Refused::OutOfOrder { last, got });
    let next = records(0, (0, 4), 5);
    assert_eq!(states.check(&next, Origin::Client), Ok(Verdict::Append));
    states.apply(&next, 0);

    let mut states = ProducerStates::default();
    let across = records(0, (i32::MAX - 1, 2), 0);
    states.apply(&across, 0);
    let original = Original {
        base_offset: Offset(0),
        last_offset: Offset(4),
        timestamp: 1_000,
    };
    assert_eq!(
        states.check(&across, Origin::Client),
        Ok(Verdict::Duplicate(original))
    );
    let next = records(0, (3, 3), 5);
    assert_eq!(states.check(&next, Origin::Client), Ok(Verdict::Append));
}

#[test]
fn after_a_wrap_a_small_sequence_proves_nothing() {
    let mut states = ProducerStates::default();
    states.apply(&records(0, (0, i32::MAX), 0), 0);
    for n in 0..9 {
        states.apply(&records(0, (n, n), 3_000_000_000 + i64::from(n)), 0);
    }
    let refused = refusal(&states, &records(0, (2, 2), 4_000_000_000));
    assert!(matches!(refused, Refused::OutOfOrder { .. }));
}

#[test]
fn the_brokers_own_batches_need_no_sequence_but_an_epoch() {
    let states = after(2, 4);
    let own = |epoch| records(epoch, (-1, -1), 20);
    assert_eq!(states.check(&own(4), Origin::Broker), Ok(Verdict::Append));
    let refused = states.check(&own(3), Origin::Broker).unwrap_err().refused;
    assert_eq!(refused, Refused::OldEpoch { current: 4 });
}

#[test]
fn a_silent_producer_is_forgotten_one_in_a_transaction_is_not() {
    let mut states = ProducerStates::default();
    states.apply(&records(0, (0, 9), 0), 1_000);
    states.expire(1_999, 1_000);
    assert!(!states.is_empty());
    states.expire(2_000, 1_000);
    assert!(states.is_empty());

    states.apply(&transactional(records(0, (0, 9), 0)), 1_000);
    states.expire(i64::MAX, 1_000);
    assert!(!states.is_empty());
    states.apply(&marker(Outcome::Committed, 0, 10), 5_000);
    states.expire(6_000, 1_000);
    assert!(states.is_empty());
}

#[test]
fn too_many_ids_push_out_those_silent_for_longest() {
    let mut states = ProducerStates {
        ids_max: 20,
        ..ProducerStates::default()
    };
    for id in 0..50 {
        let producer_id = ProducerId(id);
        let batch = ProducerBatch {
            producer_id,
            ..records(0, (0, 0), id)
        };
        states.apply(&batch, id);
        assert!(states.by_id.len() <= 20);
    }
    let youngest = (40..50).map(ProducerId);
    assert!(
        youngest
            .into_iter()
            .all(|id| states.by_id.contains_key(&id))
    );
}

#[test]
fn compaction_learns_the_last_record_of_each() {
    let mut states = after(2, 4);
    let last = |states: &ProducerStates| states.last_records()[&ID];
    assert_eq!(
        (last(&states).epoch, last(&states).offset),
        (4, Some(Offset(19)))
    );
    states.apply(&marker(Outcome::Aborted, 5, 20), 0);
    assert_eq!((last(&states).epoch, last(&states).offset), (5, None));
}
