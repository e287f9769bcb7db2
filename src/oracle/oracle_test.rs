//! A history that is right, and for each kind of violation one that is not.

use crate::oracle::Oracle;
use crate::oracle::event::{Acks, Event, Item, Lane, Promise};
use crate::oracle::verdict::{Kind, Verdict};

const LANE: Lane = Lane {
    producer: 7,
    partition: 0,
};
const SAFE: Promise = Promise {
    acks: Acks::All,
    idempotent: true,
};

fn producer(promise: Promise) -> Event {
    Event::Producer {
        producer: LANE.producer,
        promise,
    }
}

fn sent(first: u64) -> Event {
    Event::Sent {
        lane: LANE,
        first,
        n: 1,
    }
}

fn acked(first: u64, offset: i64) -> Event {
    Event::Acked {
        lane: LANE,
        first,
        n: 1,
        offset: Some(offset),
    }
}

fn items(numbers: &[u64]) -> Vec<Item> {
    numbers
        .iter()
        .map(|it| Item::Record(LANE.producer, *it))
        .collect()
}

fn read(base: i64, numbers: &[u64]) -> Event {
    read_at_epoch(base, 0, numbers)
}

fn read_at_epoch(base: i64, epoch: i32, numbers: &[u64]) -> Event {
    Event::Read {
        reader: 1,
        partition: 0,
        base,
        epoch,
        items: items(numbers),
    }
}

fn marks(high_watermark: i64) -> Event {
    Event::Marks {
        reader: 1,
        partition: 0,
        high_watermark,
        last_stable_offset: -1,
        log_start_offset: -1,
    }
}

fn kept(numbers: &[u64]) -> Event {
    Event::Kept {
        partition: 0,
        base: 0,
        items: items(numbers),
    }
}

fn judge(events: &[Event]) -> Verdict {
    let mut oracle = Oracle::new();
    for event in events {
        oracle.see(event);
    }
    oracle.close()
}

fn kinds(events: &[Event]) -> Vec<Kind> {
    judge(events).counts.into_keys().collect()
}

/// Three records are sent and acked one after the other.
fn three(promise: Promise) -> Vec<Event> {
    let mut events = vec![producer(promise)];
    for (number, offset) in (0..3).zip(0..) {
        events.extend([sent(number), acked(number, offset)]);
    }
    events
}

fn three_and(events: &[Event]) -> Vec<Event> {
    let mut all = three(SAFE);
    all.extend_from_slice(events);
    all
}

#[test]
fn a_history_that_is_right_is_clean() {
    let verdict = judge(&three_and(&[
        marks(2),
        read(0, &[0, 1]),
        marks(3),
        read(2, &[2]),
        kept(&[0, 1, 2]),
    ]));
    assert!(verdict.is_clean(), "{verdict:?}");
    let counts = (
        verdict.n_sent,
        verdict.n_acked,
        verdict.n_read,
        verdict.n_kept,
    );
    assert_eq!(counts, (3, 3, 3, 3));
}

#[test]
fn what_is_acked_and_not_kept_is_lost() {
    let verdict = judge(&three_and(&[kept(&[0, 1])]));
    assert_eq!(verdict.count(Kind::LostWrite), 1, "{verdict:?}");
    assert!(
        verdict.told[0]
            .what
            .contains("record 2 was acked at 2 and is gone")
    );
}

#[test]
fn what_only_the_leader_acked_may_be_lost_and_is_counted() {
    let promise = Promise {
        acks: Acks::Leader,
        idempotent: false,
    };
    let mut events = three(promise);
    events.push(kept(&[0, 1]));
    let verdict = judge(&events);
    assert!(verdict.is_clean(), "{verdict:?}");
    assert_eq!(
        (verdict.n_lost_by_leader, verdict.n_acked_by_leader),
        (1, 3)
    );
}

#[test]
fn what_was_never_answered_may_be_kept_or_not() {
    for last in [&[0, 1, 2, 3][..], &[0, 1, 2]] {
        assert_eq!(kinds(&three_and(&[sent(3), kept(last)])), []);
    }
}

#[test]
fn an_offset_that_changes_its_value_is_inconsistent() {
    let moved = three_and(&[sent(3), read(2, &[3]), kept(&[0, 1, 2, 3])]);
    assert!(kinds(&moved).contains(&Kind::InconsistentOffset));
    let other_at_the_end = three_and(&[kept(&[0, 2, 1])]);
    assert!(kinds(&other_at_the_end).contains(&Kind::InconsistentOffset));
    let acked_twice = three_and(&[sent(3), acked(3, 1), kept(&[0, 1, 2, 3])]);
    assert!(kinds(&acked_twice).contains(&Kind::InconsistentOffset));
}

#[test]
fn a_record_kept_twice_is_a_duplicate_only_of_an_idempotent_producer() {
    assert_eq!(kinds(&three_and(&[kept(&[0, 1, 2, 2])])), [Kind::Duplicate]);
    let mut events = three(Promise {
        idempotent: false,
        ..SAFE
    });
    events.push(kept(&[0, 1, 2, 2]));
    let verdict = judge(&events);
    assert!(verdict.is_clean(), "{verdict:?}");
    assert_eq!(verdict.n_repeated, 1);
}

#[test]
fn records_kept_in_another_order_than_sent_are_told() {
    let events = [producer(SAFE), sent(0), sent(1), kept(&[1, 0])];
    assert_eq!(kinds(&events), [Kind::NonmonotonicSend]);
}

#[test]
fn what_is_sent_after_an_ack_lies_behind_it() {
    let other = Lane {
        producer: 8,
        ..LANE
    };
    let late = Event::Sent {
        lane: other,
        first: 0,
        n: 1,
    };
    let early = Event::Acked {
        lane: other,
        first: 0,
        n: 1,
        offset: Some(0),
    };
    let events = [sent(0), acked(0, 1), late, early];
    assert_eq!(kinds(&events), [Kind::LostWrite, Kind::RealTimeOrder]);
}

#[test]
fn what_was_read_and_is_not_kept_was_dirty() {
    let events = three_and(&[sent(3), read(0, &[0, 1, 2, 3]), kept(&[0, 1, 2])]);
    assert_eq!(kinds(&events), [Kind::DirtyRead]);
}

#[test]
fn a_reader_goes_over_no_offset_and_over_none_twice() {
    let skips = three_and(&[read(0, &[0]), read(2, &[2]), kept(&[0, 1, 2])]);
    assert_eq!(kinds(&skips), [Kind::PollSkip]);
    let goes_back = three_and(&[read(0, &[0, 1, 2]), read(1, &[1]), kept(&[0, 1, 2])]);
    assert_eq!(kinds(&goes_back), [Kind::NonmonotonicPoll]);
}

#[test]
fn what_a_reader_waits_for_it_is_given() {
    let events = three_and(&[read(0, &[0, 1]), kept(&[0, 1, 2])]);
    assert_eq!(kinds(&events), [Kind::Unseen]);
}

#[test]
fn a_high_watermark_never_falls_and_bounds_what_is_read() {
    let falls = three_and(&[marks(3), marks(2), kept(&[0, 1, 2])]);
    assert_eq!(kinds(&falls), [Kind::WatermarkFell]);
    let below_what_was_read = three_and(&[
        marks(3),
        read(0, &[0, 1]),
        marks(2),
        marks(1),
        read(2, &[]),
        kept(&[0, 1]),
    ]);
    assert!(judge(&below_what_was_read).count(Kind::WatermarkFell) == 1);
    let above = three_and(&[marks(2), read(0, &[0, 1, 2]), kept(&[0, 1, 2])]);
    assert_eq!(kinds(&above), [Kind::ReadAboveWatermark]);
}

#[test]
fn an_epoch_has_one_leader_and_epochs_rise_along_the_log() {
    let led = |leader| Event::Led {
        partition: 0,
        epoch: 4,
        leader,
    };
    assert_eq!(kinds(&[led(1), led(1)]), []);
    assert_eq!(kinds(&[led(1), led(2)]), [Kind::TwoLeaders]);
    let falls = three_and(&[
        read_at_epoch(0, 2, &[0, 1]),
        read_at_epoch(2, 1, &[2]),
        kept(&[0, 1, 2]),
    ]);
    assert_eq!(kinds(&falls), [Kind::EpochFell]);
}

#[test]
fn what_nobody_sent_is_a_phantom() {
    assert_eq!(kinds(&three_and(&[kept(&[0, 1, 2, 9])])), [Kind::Phantom]);
    assert_eq!(kinds(&[kept(&[0])]), [Kind::Phantom]);
}

#[test]
fn bytes_that_are_none_of_ours_are_corrupt() {
    let stranger = Event::Kept {
        partition: 0,
        base: 0,
        items: vec![Item::Stranger { crc: 1 }],
    };
    assert_eq!(kinds(&[stranger]), [Kind::Corrupt]);
}

#[test]
fn a_history_reads_back_from_its_lines() {
    for event in three_and(&[marks(3), read(0, &[0, 1, 2]), kept(&[0, 1, 2])]) {
        let line = serde_json::to_string(&event).unwrap();
        assert_eq!(
            serde_json::from_str::<Event>(&line).unwrap(),
            event,
            "{line}"
        );
    }
}
