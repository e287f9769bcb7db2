//! One partition at a time: who leads, who is in sync, who is awaited.

use drave_protocol::ids::{LeaderEpoch, PartitionEpoch};

use super::*;

const RULES: TopicRules = TopicRules {
    min_insync_replicas: 2,
    unclean_election: false,
    flushed_on_commit: true,
};

fn nodes(ids: &[i32]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

/// Three replicas 1, 2, 3; the first of the ISR leads.
fn partition(isr: &[i32], elr: &[i32]) -> PartitionRegistration {
    PartitionRegistration {
        replicas: nodes(&[1, 2, 3]),
        adding_replicas: Vec::new(),
        removing_replicas: Vec::new(),
        isr: nodes(isr),
        elr: nodes(elr),
        leader: isr.first().copied().map(NodeId),
        leader_epoch: LeaderEpoch(5),
        partition_epoch: PartitionEpoch(9),
        recovery: LeaderRecovery::Recovered,
    }
}

fn settled(
    before: &PartitionRegistration,
    active: &[i32],
    rules: TopicRules,
) -> Option<PartitionRegistration> {
    let is_active = |it: NodeId| active.contains(&it.0);
    let electorate = Electorate {
        is_active: &is_active,
        may_lack: &|_| false,
        rules,
    };
    let after = electorate.settle(before);
    if let Some(after) = &after {
        assert_eq!(electorate.settle(after), None, "settling is idempotent");
    }
    after
}

#[test]
fn a_partition_whose_members_live_is_left_alone() {
    assert_eq!(
        settled(&partition(&[1, 2, 3], &[]), &[1, 2, 3], RULES),
        None
    );
}

#[test]
fn the_first_live_member_in_replica_order_takes_over() {
    let after = settled(&partition(&[1, 3, 2], &[]), &[2, 3], RULES).unwrap();
    assert_eq!(after.leader, Some(NodeId(2)));
    assert_eq!(after.isr, nodes(&[3, 2]));
    assert_eq!(after.leader_epoch, LeaderEpoch(6));
    assert_eq!(after.partition_epoch, PartitionEpoch(10));
}

#[test]
fn losing_a_follower_does_not_raise_the_leader_epoch() {
    let after = settled(&partition(&[1, 2, 3], &[]), &[1, 3], RULES).unwrap();
    assert_eq!(
        (after.leader, after.leader_epoch),
        (Some(NodeId(1)), LeaderEpoch(5))
    );
    assert_eq!(after.partition_epoch, PartitionEpoch(10));
    assert!(after.elr.is_empty(), "two members are enough");
}

#[test]
fn a_member_leaves_into_the_elr_when_too_few_remain() {
    let after = settled(&partition(&[1, 2], &[]), &[1], RULES).unwrap();
    assert_eq!((after.isr, after.elr), (nodes(&[1]), nodes(&[2])));
}

#[test]
fn elr_member_is_elected_when_the_isr_is_empty() {
    let after = settled(&partition(&[1], &[2]), &[2, 3], RULES).unwrap();
    assert_eq!(after.leader, Some(NodeId(2)));
    assert_eq!((after.isr, after.elr), (nodes(&[2]), nodes(&[1])));
    assert_eq!(
        after.recovery,
        LeaderRecovery::Recovered,
        "nothing was lost"
    );
}

#[test]
fn the_last_member_is_awaited_and_leads_again_when_it_returns() {
    let rules = TopicRules {
        min_insync_replicas: 1,
        ..RULES
    };
    let gone = settled(&partition(&[1], &[]), &[2, 3], rules).unwrap();
    assert_eq!(
        (gone.leader, &gone.isr, &gone.elr),
        (None, &nodes(&[]), &nodes(&[1]))
    );
    assert_eq!(gone.leader_epoch, LeaderEpoch(6));
    let back = settled(&gone, &[1, 2, 3], rules).unwrap();
    assert_eq!(
        (back.leader, back.isr, back.elr),
        (Some(NodeId(1)), nodes(&[1]), nodes(&[]))
    );
    assert_eq!(back.leader_epoch, LeaderEpoch(7));
}

#[test]
fn a_replica_outside_isr_and_elr_never_leads_by_default() {
    let after = settled(&partition(&[1], &[]), &[2, 3], RULES).unwrap();
    assert_eq!(after.leader, None);
    assert_eq!(after.elr, nodes(&[1]));
}

#[test]
fn an_unclean_election_is_made_only_if_configured_and_says_so() {
    let rules = TopicRules {
        unclean_election: true,
        ..RULES
    };
    let after = settled(&partition(&[1], &[]), &[3], rules).unwrap();
    assert_eq!((after.leader, after.isr), (Some(NodeId(3)), nodes(&[3])));
    assert_eq!(after.recovery, LeaderRecovery::Recovering);
    assert!(after.elr.is_empty(), "the old histories are over");
    let clean = settled(&partition(&[1], &[2]), &[2, 3], rules).unwrap();
    assert_eq!(
        clean.recovery,
        LeaderRecovery::Recovered,
        "a clean leader goes first"
    );
}

#[test]
fn the_elr_is_cleared_once_the_isr_is_large_enough() {
    let is_active = |_| true;
    let electorate = Electorate {
        is_active: &is_active,
        may_lack: &|_| false,
        rules: RULES,
    };
    let after = electorate
        .change(
            &partition(&[1], &[2]),
            nodes(&[1, 3]),
            LeaderRecovery::Recovered,
        )
        .unwrap();
    assert_eq!((after.isr, after.elr), (nodes(&[1, 3]), nodes(&[])));
}

#[test]
fn a_forgetful_replica_leaves_isr_and_elr_unless_it_is_the_last() {
    let is_active = |it| it == NodeId(1);
    let electorate = Electorate {
        is_active: &is_active,
        may_lack: &|it| it == NodeId(2),
        rules: RULES,
    };
    let after = electorate.settle(&partition(&[1, 2], &[])).unwrap();
    assert_eq!((after.isr, after.elr), (nodes(&[1]), nodes(&[])));
    let is_active = |_| false;
    let electorate = Electorate {
        is_active: &is_active,
        may_lack: &|it| it == NodeId(2),
        rules: RULES,
    };
    let after = electorate.settle(&partition(&[2], &[])).unwrap();
    assert_eq!((after.isr, after.elr), (nodes(&[]), nodes(&[2])));
}

#[test]
fn the_preferred_replica_leads_again_when_it_is_in_sync() {
    let is_active = |_| true;
    let electorate = Electorate {
        is_active: &is_active,
        may_lack: &|_| false,
        rules: RULES,
    };
    let after = electorate.prefer(&partition(&[2, 1], &[])).unwrap();
    assert_eq!(
        (after.leader, after.leader_epoch),
        (Some(NodeId(1)), LeaderEpoch(6))
    );
    assert_eq!(electorate.prefer(&partition(&[2, 3], &[])), None);
    assert_eq!(electorate.prefer(&after), None);
}
