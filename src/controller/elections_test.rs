//! Elections on demand: who gets to lead, what each refusal says, what is named as lost.

use drave_protocol::error_code::ErrorCode;
use drave_raft::record::LeaderRecovery;

use super::*;
use crate::controller::test_cluster::{
    add_topic, change_broker, change_of, cluster, name_of, nodes, partition, policy,
};

/// 0: led by its preferred replica; 1: by another; 2: preferred replica out of sync; 3: by nobody,
/// broker 3, which had it all, is fenced.
fn image() -> MetadataImage {
    let mut image = cluster(&[1, 2, 3]);
    change_broker(&mut image, 3, |it| it.fenced = true);
    let leaderless = PartitionRegistration {
        leader: None,
        ..partition(&[3, 1, 2], &[], &[3])
    };
    let partitions = vec![
        partition(&[1, 2, 3], &[1, 2], &[]),
        partition(&[1, 2, 3], &[2, 1], &[]),
        partition(&[1, 2], &[2], &[]),
        leaderless,
    ];
    add_topic(&mut image, "t", partitions);
    image
}

fn named(kind: ElectionKind, partitions: &[i32]) -> ElectLeaders {
    let named = partitions.iter().map(|it| ("t".to_owned(), *it));
    ElectLeaders {
        kind,
        partitions: Some(named.collect()),
    }
}

fn codes(elections: &[Election]) -> Vec<(i32, ErrorCode)> {
    let code = |it: &Election| it.result.as_ref().err().map_or(ErrorCode::None, Into::into);
    elections
        .iter()
        .map(|it| (it.partition, code(it)))
        .collect()
}

#[test]
fn the_preferred_replica_takes_over_where_it_can_and_the_rest_say_why_not() {
    let request = named(ElectionKind::Preferred, &[0, 1, 2, 3, 9]);
    let decision = elect(&image(), &policy(), &request);
    let expected = [
        (0, ErrorCode::ElectionNotNeeded),
        (1, ErrorCode::None),
        (2, ErrorCode::PreferredLeaderNotAvailable),
        (3, ErrorCode::PreferredLeaderNotAvailable),
        (9, ErrorCode::UnknownTopicOrPartition),
    ];
    assert_eq!(codes(&decision.response), expected);
    let change = change_of(&decision.records, name_of("t", 1)).unwrap();
    assert_eq!((change.2, change.3.0), (Some(NodeId(1)), 6));
    assert_eq!(decision.records.len(), 1);
}

#[test]
fn an_unclean_election_names_who_held_what_is_lost() {
    let request = named(ElectionKind::Unclean, &[1, 3]);
    let decision = elect(&image(), &policy(), &request);
    let codes = codes(&decision.response);
    assert_eq!(
        codes,
        [(1, ErrorCode::ElectionNotNeeded), (3, ErrorCode::None)]
    );
    let elected = decision.response[1].result.as_ref().unwrap();
    assert_eq!((elected.leader, &elected.lost), (NodeId(1), &nodes(&[3])));
    let MetadataRecord::PartitionChanged(it) = &decision.records[0] else {
        panic!("{decision:?}")
    };
    assert_eq!(it.recovery, LeaderRecovery::Recovering);
    assert_eq!((&it.isr, &it.elr), (&nodes(&[1]), &vec![]));
}

#[test]
fn an_unclean_election_is_clean_where_somebody_eligible_is_back() {
    let mut image = image();
    change_broker(&mut image, 3, |it| it.fenced = false);
    let decision = elect(&image, &policy(), &named(ElectionKind::Unclean, &[3]));
    let elected = decision.response[0].result.as_ref().unwrap();
    assert_eq!((elected.leader, &elected.lost), (NodeId(3), &vec![]));
    let MetadataRecord::PartitionChanged(it) = &decision.records[0] else {
        panic!("{decision:?}")
    };
    assert_eq!(it.recovery, LeaderRecovery::Recovered);
}

#[test]
fn where_no_replica_lives_nobody_is_elected() {
    let mut image = image();
    for id in [1, 2] {
        change_broker(&mut image, id, |it| it.fenced = true);
    }
    let decision = elect(&image, &policy(), &named(ElectionKind::Unclean, &[3]));
    let nobody = [(3, ErrorCode::EligibleLeadersNotAvailable)];
    assert_eq!(codes(&decision.response), nobody);
    assert_eq!(decision.records, vec![]);
}

#[test]
fn asked_for_all_only_those_are_told_that_needed_an_election() {
    let all = |kind| ElectLeaders {
        kind,
        partitions: None,
    };
    let preferred = elect(&image(), &policy(), &all(ElectionKind::Preferred));
    let told: Vec<i32> = preferred.response.iter().map(|it| it.partition).collect();
    assert_eq!(told, [1, 2, 3]);
    let unclean = elect(&image(), &policy(), &all(ElectionKind::Unclean));
    assert_eq!(codes(&unclean.response), [(3, ErrorCode::None)]);
}

#[test]
fn a_partition_named_twice_is_elected_once() {
    let decision = elect(
        &image(),
        &policy(),
        &named(ElectionKind::Preferred, &[1, 1]),
    );
    assert_eq!(decision.records.len(), 1);
    assert_eq!(decision.response[1].result, Err(ElectionError::NamedTwice));
}
