use drave_protocol::ids::{LeaderEpoch, MetadataOffset};

use super::*;
use crate::controller::balance::{MOVES_PER_ROUND, rebalance, relieve_drained};
use crate::controller::test_cluster::{
    add_topic, change_broker, change_of, cluster, name_of, nodes, partition, policy, policy_with,
};

fn after(image: &MetadataImage, records: &[MetadataRecord]) -> MetadataImage {
    let at = MetadataOffset(image.offset.0 + 1);
    image.apply(at, image.term, records).unwrap().0
}

fn drained(image: &MetadataImage, broker: i32) -> MetadataImage {
    let decision = drain(image, &policy(), NodeId(broker));
    after(image, &decision.records)
}

#[test]
fn who_is_drained_gives_up_what_others_in_sync_can_lead() {
    let mut image = cluster(&[1, 2, 3]);
    let partitions = vec![
        partition(&[1, 2, 3], &[1, 2], &[]),
        partition(&[1, 2, 3], &[1], &[]),
        partition(&[2, 3, 1], &[2, 3, 1], &[]),
    ];
    add_topic(&mut image, "t", partitions);
    let decision = drain(&image, &policy(), NodeId(1));
    let left = Remains {
        leaders: 1,
        replicas: 3,
    };
    assert_eq!(decision.response, Ok(left));
    assert_eq!(decision.records.len(), 2, "the state, and one move");
    let moved = change_of(&decision.records, name_of("t", 0)).unwrap();
    assert_eq!(moved.2, Some(NodeId(2)));
    assert_eq!(moved.3, LeaderEpoch(6), "a new leader, a new epoch");
    assert_eq!(moved.0, nodes(&[1, 2]), "it stays in sync");
    let image = after(&image, &decision.records);
    let again = drain(&image, &policy(), NodeId(1));
    assert!(again.records.is_empty(), "{:?}", again.records);
}

#[test]
fn a_drained_broker_does_not_get_its_leaderships_back() {
    let mut image = cluster(&[1, 2, 3]);
    add_topic(&mut image, "t", vec![partition(&[1, 2, 3], &[2, 1], &[])]);
    let image = drained(&image, 1);
    assert!(rebalance(&image, &policy(), MOVES_PER_ROUND).is_empty());
    let records = undrain(&image, NodeId(1)).records;
    let image = after(&image, &records);
    assert_eq!(rebalance(&image, &policy(), MOVES_PER_ROUND).len(), 1);
}

#[test]
fn a_drained_broker_is_elected_only_where_nobody_else_can() {
    let mut image = cluster(&[1, 2, 3]);
    let partitions = vec![
        partition(&[1, 2, 3], &[2, 1, 3], &[]),
        partition(&[1, 2, 3], &[2, 1], &[]),
    ];
    add_topic(&mut image, "t", partitions);
    let image = drained(&image, 1);
    let records = settle(&image, &policy(), Standing::Inactive(NodeId(2)));
    assert_eq!(
        change_of(&records, name_of("t", 0)).unwrap().2,
        Some(NodeId(3))
    );
    assert_eq!(
        change_of(&records, name_of("t", 1)).unwrap().2,
        Some(NodeId(1))
    );
    let image = after(&image, &records);
    let back = settle(&image, &policy(), Standing::Active(NodeId(2)));
    assert!(back.is_empty(), "the ISR grows only by its leader's word");
}

#[test]
fn what_a_drained_broker_had_to_keep_moves_when_another_catches_up() {
    let mut image = cluster(&[1, 2, 3]);
    add_topic(&mut image, "t", vec![partition(&[1, 2, 3], &[1], &[])]);
    let mut image = drained(&image, 1);
    assert!(relieve_drained(&image, &policy()).is_empty());
    add_topic(&mut image, "t", vec![partition(&[1, 2, 3], &[1, 3], &[])]);
    let records = relieve_drained(&image, &policy());
    assert_eq!(
        change_of(&records, name_of("t", 0)).unwrap().2,
        Some(NodeId(3))
    );
}

#[test]
fn a_broker_is_forgotten_with_all_it_was_counted_on_for() {
    let mut image = cluster(&[1, 2, 3]);
    change_broker(&mut image, 2, |it| it.fenced = true);
    let partitions = vec![
        partition(&[1, 2, 3], &[1, 3], &[]),
        // Below min ISR: 2 was eligible to lead, with a disk that is not counted on any more.
        partition(&[1, 2, 3], &[1], &[2, 3]),
    ];
    add_topic(&mut image, "t", partitions);
    let policy = policy_with([("min.insync.replicas", "2")]);
    let decision = unregister(&image, &policy, NodeId(2));
    assert_eq!(decision.response, Ok(()));
    let (isr, elr, leader, _) = change_of(&decision.records, name_of("t", 1)).unwrap();
    assert_eq!(
        (isr, elr, leader),
        (nodes(&[1]), nodes(&[3]), Some(NodeId(1)))
    );
    let image = after(&image, &decision.records);
    assert!(!image.brokers.contains_key(&NodeId(2)));
    let state = image.partition(name_of("t", 0)).unwrap();
    assert_eq!(state.replicas, nodes(&[1, 2, 3]), "still assigned");
}

#[test]
fn the_last_copy_of_anything_is_not_forgotten() {
    let mut image = cluster(&[1, 2]);
    change_broker(&mut image, 2, |it| it.fenced = true);
    let mut alone = partition(&[2], &[], &[2]);
    alone.leader = None;
    add_topic(&mut image, "t", vec![partition(&[1], &[1], &[]), alone]);
    let refused = unregister(&image, &policy(), NodeId(2));
    assert!(refused.records.is_empty());
    let error = refused.response.unwrap_err();
    let last = UnregisterError::LastCopy {
        broker: NodeId(2),
        n_partitions: 1,
        first: "t-1".to_owned(),
    };
    assert_eq!(error, last);
}

#[test]
fn a_running_broker_and_an_unknown_one_are_refused() {
    let image = cluster(&[1, 2]);
    let running = unregister(&image, &policy(), NodeId(2)).response;
    assert_eq!(running, Err(UnregisterError::Running(NodeId(2))));
    let unknown = unregister(&image, &policy(), NodeId(9)).response;
    assert_eq!(unknown, Err(NotRegistered(NodeId(9)).into()));
    let unknown = drain(&image, &policy(), NodeId(9)).response;
    assert_eq!(unknown, Err(NotRegistered(NodeId(9))));
}
