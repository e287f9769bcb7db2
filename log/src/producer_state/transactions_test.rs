//! Transactions: what is undecided, what was aborted, who may end them.

use drave_protocol::ids::{Offset, ProducerId};
use drave_protocol::record::batch::BatchHeader;
use drave_protocol::record::builder::BatchBuilder;

use super::batch::{Contents, EndMarker, Outcome, ProducerBatch};
use super::error::Refused;
use super::rules::{ID, marker, records, transactional};
use super::{AbortedTransaction, Origin, ProducerStates};

const END: Offset = Offset(1_000);

fn with(batches: &[ProducerBatch]) -> ProducerStates {
    let mut states = ProducerStates::default();
    for batch in batches {
        states.apply(batch, 0);
    }
    states
}

fn by(id: i64, batch: ProducerBatch) -> ProducerBatch {
    ProducerBatch {
        producer_id: ProducerId(id),
        ..batch
    }
}

#[test]
fn an_open_transaction_holds_the_stable_offset_at_its_first_record() {
    let mut states = with(&[
        by(1, records(0, (0, 4), 0)),
        by(1, transactional(records(0, (5, 9), 5))),
        by(2, transactional(records(0, (0, 9), 10))),
        by(1, transactional(records(0, (10, 19), 20))),
    ]);
    let unstable = |states: &ProducerStates, high| states.first_unstable_offset(high);
    assert_eq!(unstable(&states, END), Some(Offset(5)));
    states.apply(&by(1, marker(Outcome::Committed, 0, 30)), 0);
    assert_eq!(unstable(&states, END), Some(Offset(10)));
    // The marker is not yet committed: it may still be lost.
    assert_eq!(unstable(&states, Offset(30)), Some(Offset(5)));
    assert_eq!(unstable(&states, Offset(31)), Some(Offset(10)));
    states.apply(&by(2, marker(Outcome::Aborted, 0, 31)), 0);
    assert_eq!(unstable(&states, END), None);
    states.forget_ended_below(Offset(31));
    assert_eq!(unstable(&states, Offset(0)), Some(Offset(10)));
}

#[test]
fn an_aborted_transaction_is_noted_with_what_was_stable_then() {
    let states = with(&[
        by(1, transactional(records(0, (0, 9), 0))),
        by(2, transactional(records(0, (0, 9), 10))),
    ]);
    let aborted = |producer_id, first_offset, last_stable_offset| AbortedTransaction {
        producer_id: ProducerId(producer_id),
        first_offset: Offset(first_offset),
        last_offset: Offset(20),
        last_stable_offset: Offset(last_stable_offset),
    };
    let abort = |id| states.aborts(&by(id, marker(Outcome::Aborted, 0, 20)));
    assert_eq!(abort(1), Some(aborted(1, 0, 10)));
    assert_eq!(abort(2), Some(aborted(2, 10, 0)));
    assert_eq!(abort(3), None, "it had no transaction here");
    assert_eq!(
        states.aborts(&by(1, marker(Outcome::Committed, 0, 20))),
        None
    );
    let alone = with(&[by(1, transactional(records(0, (0, 9), 0)))]);
    let abort = alone.aborts(&by(1, marker(Outcome::Aborted, 0, 20)));
    assert_eq!(abort, Some(aborted(1, 0, 21)));
}

#[test]
fn a_record_outside_the_open_transaction_is_refused() {
    let states = with(&[transactional(records(0, (0, 9), 0))]);
    let refused = states.check(&records(0, (10, 19), 10), Origin::Client);
    assert_eq!(refused.unwrap_err().refused, Refused::OutsideTransaction);
    let inside = transactional(records(0, (10, 19), 10));
    assert!(states.check(&inside, Origin::Client).is_ok());
}

#[test]
fn a_replaced_coordinator_and_an_old_epoch_end_nothing() {
    let states = with(&[
        transactional(records(4, (0, 9), 0)),
        marker(Outcome::Committed, 4, 10),
    ]);
    let refused = states.check(&marker(Outcome::Aborted, 3, 11), Origin::Broker);
    assert_eq!(
        refused.unwrap_err().refused,
        Refused::OldEpoch { current: 4 }
    );
    let zombie = ProducerBatch {
        contents: Contents::End(EndMarker {
            outcome: Outcome::Aborted,
            coordinator_epoch: 2,
        }),
        ..marker(Outcome::Aborted, 4, 11)
    };
    let refused = states.check(&zombie, Origin::Broker).unwrap_err().refused;
    assert_eq!(refused, Refused::OldCoordinator { current: 3, got: 2 });
}

#[test]
fn a_marker_that_bumps_the_epoch_starts_its_sequences_anew() {
    let states = with(&[
        transactional(records(0, (0, 9), 0)),
        marker(Outcome::Aborted, 1, 10),
    ]);
    let next = records(1, (0, 4), 11);
    assert!(states.check(&next, Origin::Client).is_ok());
    assert!(
        states
            .check(&records(1, (10, 14), 11), Origin::Client)
            .is_err()
    );
    let refused = states.check(&records(0, (0, 9), 11), Origin::Client);
    assert_eq!(
        refused.unwrap_err().refused,
        Refused::OldEpoch { current: 1 }
    );
}

#[test]
fn a_marker_is_read_from_its_control_batch() {
    let control = |key: &'static [u8], value: &'static [u8]| {
        let batch = BatchBuilder::new().producer(ID, 2, -1).transactional();
        let bytes = batch.control().key_value(5, key, value).build();
        ProducerBatch::of(&BatchHeader::parse(&bytes).unwrap(), &bytes)
    };
    let contents = |it: Option<ProducerBatch>| it.map(|it| it.contents);
    let end = |outcome| {
        Some(Contents::End(EndMarker {
            outcome,
            coordinator_epoch: 9,
        }))
    };
    let value = &[0, 0, 0, 0, 0, 9];
    assert_eq!(
        contents(control(&[0, 0, 0, 0], value)),
        end(Outcome::Aborted)
    );
    assert_eq!(
        contents(control(&[0, 0, 0, 1], value)),
        end(Outcome::Committed)
    );
    assert_eq!(
        control(&[0, 0, 0, 2], value),
        None,
        "not the end of a transaction"
    );
    assert_eq!(control(&[0, 0, 0], value), None);
    assert_eq!(control(&[0, 0, 0, 1], &[0, 0, 0]), None);
}
