use drave_protocol::ids::{BrokerEpoch, NodeId};

use super::*;
use crate::replica::{FollowerId, Isolation, ReadsFrom};

const QUIET: Outcome = Outcome {
    n_bytes: 0,
    numbers: Some(Numbers {
        high_watermark: Offset(10),
        log_start_offset: Offset(0),
    }),
    was_skipped: false,
    is_settled: true,
};

fn consumer() -> Who {
    Who {
        reader: Reader::Consumer {
            isolation: Isolation::ReadUncommitted,
            from: ReadsFrom::Leader,
        },
        rack: String::new(),
    }
}

fn follower(node: i32, is_eligible: bool) -> Who {
    let id = FollowerId {
        node: NodeId(node),
        broker_epoch: BrokerEpoch(1),
    };
    Who {
        reader: Reader::Follower { id, is_eligible },
        rack: String::new(),
    }
}

fn called(partition: i32) -> Called {
    Called {
        topic: CalledTopic::Name(Arc::from("t")),
        partition,
    }
}

fn from(offset: i64) -> FetchPartition {
    FetchPartition {
        fetch_offset: offset,
        ..FetchPartition::default()
    }
}

/// A session over so many partitions, each looked at once with nothing to read.
fn settled(n_partitions: i32) -> Session<()> {
    let mut session = Session::new(TopicsBy::Name, consumer());
    for partition in 0..n_partitions {
        session.ask(called(partition), from(10));
    }
    for place in session.due() {
        assert!(session.settle(place, QUIET, Telling::All));
    }
    assert!(session.due().is_empty());
    session
}

fn with_bytes(n_bytes: usize) -> Outcome {
    Outcome { n_bytes, ..QUIET }
}

#[test]
fn an_idle_partition_is_neither_looked_at_nor_told_of() {
    let mut session = settled(3);
    session.mark(1);
    assert_eq!(session.due(), [1], "only what changed");
    assert!(!session.settle(1, QUIET, Telling::News), "nothing is new");
    assert!(session.due().is_empty());
}

#[test]
fn new_numbers_are_told_once() {
    let mut session = settled(2);
    let rose = Outcome {
        numbers: Some(Numbers {
            high_watermark: Offset(11),
            log_start_offset: Offset(0),
        }),
        ..QUIET
    };
    assert!(session.settle(0, rose, Telling::News));
    assert!(!session.settle(0, rose, Telling::News));
    let log_start = Outcome {
        numbers: rose.numbers.map(|it| Numbers {
            log_start_offset: Offset(4),
            ..it
        }),
        ..QUIET
    };
    assert!(session.settle(0, log_start, Telling::News));
}

#[test]
fn records_are_sent_again_until_the_reader_moves_on() {
    let mut session = settled(1);
    session.mark(0);
    assert!(session.settle(0, with_bytes(100), Telling::News));
    assert_eq!(session.due(), [0], "it may not have got them");
    session.ask(called(0), from(12));
    assert_eq!(session.entry(0).unwrap().asked.fetch_offset, 12);
    session.settle(0, QUIET, Telling::News);
    assert!(session.due().is_empty());
}

#[test]
fn trouble_is_told_with_every_answer_and_its_end_is_news() {
    let mut session = settled(1);
    session.entry_mut(0).unwrap().watching = Some(());
    let trouble = Outcome {
        numbers: None,
        ..QUIET
    };
    for _ in 0..3 {
        session.mark(0);
        assert!(session.settle(0, trouble, Telling::News));
        assert_eq!(session.due(), [0]);
        let entry = session.entry(0).unwrap();
        assert!(
            entry.partition.is_none() && entry.watching.is_none(),
            "looked up anew"
        );
    }
    assert!(
        session.settle(0, QUIET, Telling::News),
        "the same numbers as before"
    );
}

#[test]
fn nobody_starves() {
    let mut session = settled(5);
    let mut n_served = [0; 5];
    for place in 0..5 {
        session.mark(place);
    }
    for _ in 0..20 {
        // Room for two in each answer; all have more than that.
        for (turn, place) in session.due().into_iter().enumerate() {
            let outcome = if turn < 2 {
                n_served[usize::try_from(place).unwrap()] += 1;
                with_bytes(100)
            } else {
                Outcome {
                    was_skipped: true,
                    ..QUIET
                }
            };
            session.settle(place, outcome, Telling::News);
        }
    }
    assert_eq!(n_served, [8; 5]);
}

#[test]
fn a_follower_that_is_to_join_is_looked_at_with_every_request() {
    let mut session = settled(1);
    session.mark(0);
    let outside = Outcome {
        is_settled: false,
        ..QUIET
    };
    assert!(
        !session.settle(0, outside, Telling::News),
        "nothing to tell"
    );
    assert_eq!(session.due(), [0]);
}

#[test]
fn what_was_forgotten_is_not_heard_of_and_its_place_is_used_again() {
    let mut session = settled(3);
    session.forget(&called(1));
    session.forget(&called(7));
    session.mark(1);
    assert_eq!((session.len(), session.due()), (2, Vec::new()));
    assert!(!session.settle(1, QUIET, Telling::News));
    session.ask(called(9), from(0));
    assert_eq!(session.entry(1).unwrap().called, called(9));
    assert_eq!(session.due(), [1]);
    for partition in [0, 2, 9] {
        session.forget(&called(partition));
    }
    assert!(session.is_empty());
    assert!(session.due().is_empty());
}

#[test]
fn epochs_rise_and_wrap_to_one() {
    let mut session: Session<()> = Session::new(TopicsBy::Id, consumer());
    assert_eq!(session.epoch(), 1);
    session.advance_epoch();
    assert_eq!(session.epoch(), 2);
    assert_eq!(epoch_after(i32::MAX), 1);
}

#[test]
fn who_sees_otherwise_than_before_looks_at_everything() {
    let mut session: Session<()> = Session::new(TopicsBy::Id, follower(2, false));
    for partition in 0..3 {
        session.ask(called(partition), from(0));
    }
    for place in session.due() {
        session.settle(place, QUIET, Telling::All);
    }
    assert_eq!(session.claim(follower(2, false)), Claim::Accepted);
    assert!(session.due().is_empty());
    assert_eq!(session.claim(follower(2, true)), Claim::Accepted);
    assert_eq!(session.due(), [0, 1, 2], "it may join the ISR now");
    assert_eq!(session.claim(follower(3, true)), Claim::Refused);
    assert_eq!(session.claim(consumer()), Claim::Refused);
}
