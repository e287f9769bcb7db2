//! Replicas that go offline and come back, one broker's report at a time.

use drave_protocol::ids::{LeaderEpoch, MetadataOffset};
use drave_raft::image::PartitionRegistration;

use super::*;
use crate::controller::election::{Standing, settle};
use crate::controller::test_cluster::{
    add_topic, change_broker, change_of, cluster, epoch_of, name_of, nodes, partition, policy,
    set_topic_config,
};

fn image(partitions: Vec<PartitionRegistration>) -> MetadataImage {
    let mut image = cluster(&[1, 2, 3]);
    add_topic(&mut image, "t", partitions);
    image
}

fn says(broker: i32, partitions: &[i32]) -> OfflineReplicas {
    OfflineReplicas {
        broker: NodeId(broker),
        broker_epoch: epoch_of(broker),
        partitions: partitions.iter().map(|it| name_of("t", *it)).collect(),
    }
}

/// The image once a report is agreed; saying it again changes nothing.
fn after(image: &MetadataImage, report: &OfflineReplicas) -> MetadataImage {
    let decision = super::report(image, &policy(), report);
    assert_eq!(decision.response, Ok(()));
    let at = MetadataOffset(image.offset.0 + 1);
    let (next, _) = image.apply(at, 1, &decision.records).unwrap();
    let again = super::report(&next, &policy(), report);
    assert_eq!(again, Decision::answer(Ok(())), "said before");
    next
}

fn state(image: &MetadataImage, number: i32) -> PartitionRegistration {
    image
        .partition(name_of("t", number))
        .unwrap()
        .as_ref()
        .clone()
}

#[test]
fn an_offline_leader_is_replaced_by_a_member_of_the_isr() {
    let image = image(vec![partition(&[1, 2, 3], &[1, 2, 3], &[])]);
    let image = after(&image, &says(1, &[0]));
    let it = state(&image, 0);
    assert_eq!(
        (it.leader, it.isr, it.elr),
        (Some(NodeId(2)), nodes(&[2, 3]), nodes(&[]))
    );
    assert_eq!(it.leader_epoch, LeaderEpoch(6));
    assert!(image.is_offline(NodeId(1), name_of("t", 0)));
}

#[test]
fn fetches_made_before_a_follower_went_offline_no_longer_count() {
    let image = image(vec![
        partition(&[1, 2, 3], &[1, 2, 3], &[]),
        partition(&[1, 2, 3], &[1, 2], &[]),
    ]);
    let image = after(&image, &says(3, &[0, 1]));
    for number in [0, 1] {
        let it = state(&image, number);
        assert_eq!((it.leader, it.isr), (Some(NodeId(1)), nodes(&[1, 2])));
        assert_eq!(it.leader_epoch, LeaderEpoch(6), "partition {number}");
    }
}

#[test]
fn only_the_partitions_named_are_touched() {
    let image = image(vec![
        partition(&[1, 2, 3], &[1, 2, 3], &[]),
        partition(&[1, 2, 3], &[1, 2, 3], &[]),
    ]);
    let decision = super::report(&image, &policy(), &says(1, &[1]));
    assert_eq!(change_of(&decision.records, name_of("t", 0)), None);
    assert!(change_of(&decision.records, name_of("t", 1)).is_some());
}

#[test]
fn an_offline_replica_leaves_the_elr_and_the_isr_without_entering_the_elr() {
    let image = image(vec![
        partition(&[1, 2, 3], &[1], &[2, 3]),
        partition(&[1, 2, 3], &[1, 2], &[]),
    ]);
    let image = after(&image, &says(2, &[0, 1]));
    assert_eq!(state(&image, 0).elr, nodes(&[3]));
    let it = state(&image, 1);
    assert_eq!((it.isr, it.elr), (nodes(&[1]), nodes(&[])));
}

#[test]
fn the_last_replica_is_awaited_and_leads_once_it_is_usable_again() {
    let start = image(vec![partition(&[1, 2, 3], &[1], &[])]);
    let gone = after(&start, &says(1, &[0]));
    let it = state(&gone, 0);
    assert_eq!((it.leader, it.isr, it.elr), (None, nodes(&[]), nodes(&[1])));

    // Neither another controller nor a broker that comes back elects it.
    let settled = settle(&gone, &policy(), Standing::AsAgreed);
    assert_eq!(settled, vec![]);

    let back = after(&gone, &says(1, &[]));
    let it = state(&back, 0);
    assert_eq!((it.leader, it.isr), (Some(NodeId(1)), nodes(&[1])));
    assert!(back.offline_replicas.is_empty());
}

#[test]
fn an_elr_member_is_elected_before_an_offline_one_is_awaited() {
    let image = image(vec![partition(&[1, 2, 3], &[1], &[2])]);
    let it = state(&after(&image, &says(1, &[0])), 0);
    assert_eq!(
        (it.leader, it.isr, it.elr),
        (Some(NodeId(2)), nodes(&[2]), nodes(&[]))
    );
}

#[test]
fn unclean_election_passes_an_offline_replica_by() {
    let mut image = image(vec![partition(&[1, 2, 3], &[1], &[])]);
    set_topic_config(&mut image, "t", "unclean.leader.election.enable", "true");
    let decision = super::report(&image, &policy(), &says(1, &[0]));
    let (isr, _, leader, _) = change_of(&decision.records, name_of("t", 0)).unwrap();
    assert_eq!((leader, isr), (Some(NodeId(2)), nodes(&[2])));
}

#[test]
fn a_fenced_broker_may_report_and_is_not_elected() {
    let mut image = image(vec![partition(&[1, 2, 3], &[], &[1])]);
    change_broker(&mut image, 1, |it| it.fenced = true);
    let gone = after(&image, &says(1, &[0]));
    assert_eq!(
        state(&gone, 0).elr,
        nodes(&[1]),
        "nobody else holds the data"
    );
    let back = after(&gone, &says(1, &[]));
    assert_eq!(state(&back, 0).leader, None);
}

#[test]
fn an_earlier_process_is_not_listened_to() {
    let image = image(vec![partition(&[1, 2, 3], &[1, 2, 3], &[])]);
    let stale = OfflineReplicas {
        broker_epoch: epoch_of(3),
        ..says(1, &[0])
    };
    let decision = super::report(&image, &policy(), &stale);
    assert!(decision.records.is_empty() && decision.response.is_err());
}

#[test]
fn partitions_that_are_gone_or_elsewhere_are_not_noted() {
    let image = image(vec![partition(&[1, 2], &[1, 2], &[])]);
    for report in [says(1, &[7]), says(3, &[0])] {
        let decision = super::report(&image, &policy(), &report);
        assert_eq!(decision, Decision::answer(Ok(())));
    }
}
