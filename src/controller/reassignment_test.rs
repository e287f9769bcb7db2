//! Reassignments: the way there, the way back, and what each step is never allowed to lose.

use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::MetadataOffset;
use drave_raft::record::{LeaderRecovery, MetadataRecord, TopicDeletedV1};

use super::*;
use crate::controller::election::{Standing, settle};
use crate::controller::test_cluster::{
    add_topic, change_broker, cluster, name_of, nodes, partition, policy, topic_id,
};

const RULES: TopicRules = TopicRules {
    min_insync_replicas: 2,
    unclean_election: false,
    flushed_on_commit: true,
};

fn image_with(state: PartitionRegistration) -> MetadataImage {
    let mut image = cluster(&[1, 2, 3, 4, 5]);
    add_topic(&mut image, "t", vec![state]);
    image
}

fn to(target: Option<&[i32]>) -> AlterReassignments {
    AlterReassignments {
        reassignments: vec![Reassignment {
            topic: "t".to_owned(),
            partition: 0,
            target: target.map(nodes),
        }],
        factor_change: FactorChange::Allowed,
    }
}

fn state(image: &MetadataImage) -> &PartitionRegistration {
    image.partition(name_of("t", 0)).unwrap()
}

#[track_caller]
fn reassign(image: &MetadataImage, target: Option<&[i32]>) -> MetadataImage {
    let decision = alter(image, &policy(), &to(target));
    assert_eq!(decision.response[0].result, Ok(()));
    let at = MetadataOffset(image.offset.0 + 1);
    image.apply(at, 1, &decision.records).unwrap().0
}

fn refusal(image: &MetadataImage, request: &AlterReassignments) -> ErrorCode {
    let decision = alter(image, &policy(), request);
    assert_eq!(decision.records, vec![]);
    (&decision.response[0].result.clone().unwrap_err()).into()
}

/// The leader proposes this ISR.
fn joined(before: &PartitionRegistration, isr: &[i32]) -> PartitionRegistration {
    let everybody = |_: NodeId| true;
    let electorate = Electorate {
        is_active: &everybody,
        may_lack: &|_| false,
        rules: RULES,
    };
    let after = electorate.change(before, nodes(isr), LeaderRecovery::Recovered);
    after.unwrap_or_else(|| before.clone())
}

fn parts(it: &PartitionRegistration) -> (Vec<i32>, Vec<i32>, Vec<i32>, Vec<i32>) {
    let ids = |nodes: &[NodeId]| nodes.iter().map(|it| it.0).collect();
    (
        ids(&it.replicas),
        ids(&it.adding_replicas),
        ids(&it.removing_replicas),
        ids(&it.isr),
    )
}

#[test]
fn those_to_come_are_first_and_those_to_go_stay_until_they_are_there() {
    let image = reassign(
        &image_with(partition(&[1, 2, 3], &[1, 2, 3], &[])),
        Some(&[4, 2, 5]),
    );
    let begun = state(&image);
    let expected = (vec![4, 2, 5, 1, 3], vec![4, 5], vec![1, 3], vec![1, 2, 3]);
    assert_eq!(parts(begun), expected);
    assert_eq!((begun.leader, begun.leader_epoch.0), (Some(NodeId(1)), 5));
    assert_eq!(begun.replication_factor(), 3);

    let half = joined(begun, &[1, 2, 3, 4]);
    assert_eq!(
        half.removing_replicas,
        nodes(&[1, 3]),
        "5 is still on its way"
    );
    let done = joined(&half, &[1, 2, 3, 4, 5]);
    assert_eq!(parts(&done), (vec![4, 2, 5], vec![], vec![], vec![2, 4, 5]));
    assert_eq!(done.leader, Some(NodeId(4)), "the leader left");
    assert_eq!(done.leader_epoch.0, 6);
}

#[test]
fn a_leader_that_stays_goes_on_in_a_new_epoch() {
    let image = reassign(&image_with(partition(&[1, 2], &[1, 2], &[])), Some(&[1, 3]));
    let done = joined(state(&image), &[1, 2, 3]);
    assert_eq!((done.leader, done.leader_epoch.0), (Some(NodeId(1)), 6));
    assert_eq!(done.isr, nodes(&[1, 3]));
}

#[test]
fn fewer_replicas_or_another_order_need_no_waiting() {
    let image = image_with(partition(&[1, 2, 3], &[1, 2, 3], &[]));
    let fewer = reassign(&image, Some(&[2, 1]));
    assert_eq!(
        parts(state(&fewer)),
        (vec![2, 1], vec![], vec![], vec![1, 2])
    );
    let other = reassign(&image, Some(&[3, 2, 1]));
    assert_eq!(
        state(&other).leader,
        Some(NodeId(1)),
        "only the preference changed"
    );
    assert_eq!(state(&other).leader_epoch.0, 5);
    let same = alter(&image, &policy(), &to(Some(&[1, 2, 3])));
    assert_eq!(same.records, vec![]);
}

#[test]
fn the_last_in_sync_does_not_leave() {
    let image = reassign(&image_with(partition(&[1, 2], &[1], &[])), Some(&[2]));
    assert_eq!(parts(state(&image)), (vec![2, 1], vec![], vec![1], vec![1]));
    let done = joined(state(&image), &[1, 2]);
    assert_eq!(parts(&done), (vec![2], vec![], vec![], vec![2]));
}

#[test]
fn who_is_in_sync_stays_until_enough_of_the_others_are() {
    let begun = image_with(partition(&[1, 2, 3], &[1, 3], &[]));
    let image = reassign(&begun, Some(&[1, 2]));
    let waits = (vec![1, 2, 3], vec![], vec![3], vec![1, 3]);
    assert_eq!(parts(state(&image)), waits);
    let done = joined(state(&image), &[1, 3, 2]);
    assert_eq!(parts(&done), (vec![1, 2], vec![], vec![], vec![1, 2]));
    // It may be the only other one that has it all.
    let later = image_with(partition(&[1, 2, 3], &[1], &[3]));
    let image = reassign(&later, Some(&[1, 2]));
    assert_eq!(state(&image).removing_replicas, nodes(&[3]));
    // One that is not in sync is missed by nobody.
    let image = reassign(&begun, Some(&[1, 3]));
    let done = (vec![1, 3], vec![], vec![], vec![1, 3]);
    assert_eq!(parts(state(&image)), done);
}

#[test]
fn who_stops_on_the_way_is_not_let_go_for_that() {
    let begun = image_with(partition(&[1, 2, 3], &[1, 2], &[]));
    let image = reassign(&begun, Some(&[1, 3]));
    let stopped = joined(state(&image), &[1]);
    assert_eq!(parts(&stopped), (vec![1, 3, 2], vec![], vec![2], vec![1]));
    assert_eq!(stopped.elr, nodes(&[2]));
}

#[test]
fn cancelling_goes_back_and_says_when_there_is_nothing_to_cancel() {
    let image = image_with(partition(&[1, 2], &[1, 2], &[]));
    assert_eq!(
        refusal(&image, &to(None)),
        ErrorCode::NoReassignmentInProgress
    );
    let begun = reassign(&image, Some(&[3, 4]));
    let back = reassign(&begun, None);
    assert_eq!(
        parts(state(&back)),
        (vec![1, 2], vec![], vec![], vec![1, 2])
    );
}

#[test]
fn a_cancellation_that_would_lose_data_is_refused() {
    let mut state = partition(&[3, 1], &[3], &[]);
    state.adding_replicas = nodes(&[3]);
    state.removing_replicas = nodes(&[1]);
    state.adding_replicas.push(NodeId(4));
    state.replicas = nodes(&[3, 4, 1]);
    let image = image_with(state);
    assert_eq!(
        refusal(&image, &to(None)),
        ErrorCode::InvalidReplicaAssignment
    );
}

#[test]
fn a_cancellation_waits_until_enough_of_those_that_were_there_are_in_sync() {
    let begun = reassign(&image_with(partition(&[1, 2], &[1], &[])), Some(&[3, 4]));
    // What was committed since lies on these two only.
    let half = joined(state(&begun), &[1, 3]);
    assert_eq!(
        refusal(&image_with(half.clone()), &to(None)),
        ErrorCode::InvalidReplicaAssignment
    );
    let enough = joined(&half, &[1, 2, 3]);
    let back = reassign(&image_with(enough), None);
    let there = (vec![1, 2], vec![], vec![], vec![1, 2]);
    assert_eq!(parts(state(&back)), there);
}

#[test]
fn another_target_on_the_way_drops_what_came_in_vain() {
    let begun = reassign(&image_with(partition(&[1, 2], &[1, 2], &[])), Some(&[3, 4]));
    let turned = reassign(&begun, Some(&[4, 5]));
    let expected = (vec![4, 5, 1, 2], vec![4, 5], vec![1, 2], vec![1, 2]);
    assert_eq!(parts(state(&turned)), expected);
    let back = reassign(&turned, None);
    assert_eq!(state(&back).replicas, nodes(&[1, 2]));
    // One that is in sync may be the best there is.
    let half = joined(state(&begun), &[1, 2, 3]);
    let turned = Assignment::towards(&half, &nodes(&[5]));
    assert_eq!(turned.removing, nodes(&[3, 1, 2]));
    // So may one that was, until too few were left.
    let later = joined(&half, &[1]);
    assert_eq!(later.elr, nodes(&[3, 2]));
    let turned = Assignment::towards(&later, &nodes(&[5]));
    assert_eq!(turned.removing, nodes(&[3, 1, 2]));
}

#[test]
fn each_refusal_has_kafkas_code() {
    let image = image_with(partition(&[1, 2], &[1, 2], &[]));
    for target in [&[][..], &[1, 1], &[9]] {
        let code = refusal(&image, &to(Some(target)));
        assert_eq!(code, ErrorCode::InvalidReplicaAssignment, "{target:?}");
    }
    let mut unknown = to(Some(&[1]));
    unknown.reassignments[0].partition = 7;
    assert_eq!(
        refusal(&image, &unknown),
        ErrorCode::UnknownTopicOrPartition
    );
    let fixed = AlterReassignments {
        factor_change: FactorChange::Refused,
        ..to(Some(&[1, 2, 3]))
    };
    assert_eq!(refusal(&image, &fixed), ErrorCode::InvalidReplicationFactor);
    let mut twice = to(Some(&[3, 4]));
    twice.reassignments.extend(twice.reassignments.clone());
    let decision = alter(&image, &policy(), &twice);
    assert_eq!(decision.records.len(), 1);
    assert_eq!(decision.response[1].result, Err(ReassignError::NamedTwice));
}

#[test]
fn a_broker_may_die_on_the_way_and_a_topic_be_deleted() {
    let begun = reassign(&image_with(partition(&[1, 2], &[1, 2], &[])), Some(&[3, 4]));
    let mut image = begun.clone();
    for dead in [3, 1] {
        change_broker(&mut image, dead, |it| it.fenced = true);
    }
    let records = settle(&image, &policy(), Standing::AsAgreed);
    let (after, _) = image.apply(MetadataOffset(200), 1, &records).unwrap();
    let on = state(&after);
    assert_eq!((on.leader, &on.isr), (Some(NodeId(2)), &nodes(&[2])));
    assert_eq!(
        on.adding_replicas,
        nodes(&[3, 4]),
        "it goes on when 3 is back"
    );
    assert_eq!(on.elr, nodes(&[1]));
    let done = joined(on, &[2, 3, 4]);
    assert_eq!(parts(&done), (vec![3, 4], vec![], vec![], vec![3, 4]));
    let topic_id = topic_id("t");
    let deleted = MetadataRecord::TopicDeleted(TopicDeletedV1 { topic_id });
    begun.apply(MetadataOffset(200), 1, &[deleted]).unwrap();
}

#[test]
fn what_is_on_its_way_does_not_raise_the_min_isr() {
    let begun = reassign(&image_with(partition(&[1], &[1], &[])), Some(&[2, 3]));
    assert_eq!(state(&begun).elr, vec![]);
    assert_eq!(RULES.min_isr(state(&begun).replication_factor()), 1);
    let done = joined(state(&begun), &[1, 2, 3]);
    assert_eq!(RULES.min_isr(done.replication_factor()), 2);
}
