//! A shard: offsets committed and forgotten, groups listed and deleted, all of it again from the records.

use std::time::Duration;

use drave_protocol::ErrorCode;
use drave_protocol::ids::Uuid;

use super::classic::{Join, JoinAbilities, Presence, Protocol};
use super::scene;
use super::*;
use crate::coordinator::decision::{Decision, Waiter};
use crate::coordinator::group::context::Context;
use crate::coordinator::records::GroupRecord;

const HOUR: Duration = Duration::from_hours(1);

fn commit(group: &str, topic: &str, offset: i64) -> Commit {
    Commit {
        group_id: group.to_owned(),
        member: Presence {
            generation: -1,
            ..Presence::default()
        },
        topics: vec![CommitTopic {
            name: topic.to_owned(),
            id: Uuid([1; 16]),
            partitions: vec![CommitPartition {
                index: 0,
                offset,
                leader_epoch: 4,
                metadata: "note".to_owned(),
            }],
        }],
        ..Commit::default()
    }
}

fn replay<R>(shard: &mut GroupShard, decision: &Decision<R>, cx: &Context) {
    for record in &decision.records {
        shard.replay(record, cx.wall_ms);
    }
}

fn committed(shard: &GroupShard, group: &str, topic: &str) -> Option<i64> {
    let asked = FetchOffsets {
        group_id: group.to_owned(),
        topics: Some(vec![(topic.to_owned(), vec![0])]),
        ..FetchOffsets::default()
    };
    let fetched = shard.fetch(&asked).unwrap();
    fetched[0].partitions[0].1.as_ref().map(|it| it.offset)
}

fn stable_group(shard: &mut GroupShard, cx: &Context) {
    let join = Join {
        group_id: "g".to_owned(),
        member_id: String::new(),
        instance_id: None,
        client_id: "c".to_owned(),
        client_host: String::new(),
        protocol_type: "consumer".to_owned(),
        protocols: vec![Protocol {
            name: "range".to_owned(),
            metadata: bytes::Bytes::from_static(b"\x00\x00\x00\x00\x00\x01\x00\x04read"),
        }],
        session_timeout: Duration::from_secs(10),
        rebalance_timeout: Duration::from_secs(10),
        abilities: JoinAbilities::default(),
    };
    let (waiter, _awaited) = Waiter::new();
    drop(shard.join(&join, waiter, cx));
}

#[test]
fn what_was_decided_is_what_its_records_bring_about_elsewhere() {
    let cx = scene::context();
    let (mut here, mut elsewhere) = (GroupShard::default(), GroupShard::default());
    for (group, topic, offset) in [("a", "t", 5), ("b", "t", 6), ("a", "u", 7), ("a", "t", 9)] {
        let decision = here.commit(&commit(group, topic, offset), &cx).unwrap();
        assert_eq!(decision.response, [[Ok(())]]);
        replay(&mut here, &decision, &cx);
        replay(&mut elsewhere, &decision, &cx);
    }
    for shard in [&here, &elsewhere] {
        assert_eq!((shard.n_groups(), shard.n_offsets()), (2, 3));
        assert_eq!(committed(shard, "a", "t"), Some(9));
        assert_eq!(committed(shard, "b", "u"), None);
    }
}

#[test]
fn nothing_is_committed_before_it_is_replayed() {
    let cx = scene::context();
    let shard = GroupShard::default();
    drop(shard.commit(&commit("a", "t", 5), &cx).unwrap());
    assert_eq!(committed(&shard, "a", "t"), None);
    assert_eq!(shard.n_groups(), 0);
}

#[test]
fn one_who_claims_a_generation_of_a_group_that_is_not_there_is_refused() {
    let cx = scene::context();
    let shard = GroupShard::default();
    let mut asked = commit("a", "t", 5);
    asked.member.generation = 3;
    let refused = shard.commit(&asked, &cx).unwrap_err();
    assert_eq!(ErrorCode::from(refused), ErrorCode::IllegalGeneration);
    asked.knows_unknown_groups = true;
    let refused = shard.commit(&asked, &cx).unwrap_err();
    assert_eq!(ErrorCode::from(refused), ErrorCode::GroupIdNotFound);
}

#[test]
fn too_much_metadata_is_refused_for_its_partition_alone() {
    let cx = scene::context();
    let mut asked = commit("a", "t", 5);
    let mut long = asked.topics[0].partitions[0].clone();
    long.index = 1;
    long.metadata = "x".repeat(4097);
    asked.topics[0].partitions.push(long);
    let decision = GroupShard::default().commit(&asked, &cx).unwrap();
    let codes = decision.response[0].iter();
    let codes: Vec<Option<ErrorCode>> = codes
        .map(|it| it.clone().err().map(ErrorCode::from))
        .collect();
    assert_eq!(codes, [None, Some(ErrorCode::OffsetMetadataTooLarge)]);
    assert_eq!(decision.records.len(), 1);
}

#[test]
fn offsets_of_a_simple_consumer_go_a_week_after_their_commit_and_the_group_with_them() {
    let mut cx = scene::context();
    let mut shard = GroupShard::default();
    let decision = shard.commit(&commit("a", "t", 5), &cx).unwrap();
    replay(&mut shard, &decision, &cx);
    scene::pass(&mut cx, 6 * 24 * HOUR);
    let again = shard.commit(&commit("a", "u", 5), &cx).unwrap();
    replay(&mut shard, &again, &cx);
    scene::pass(&mut cx, 24 * HOUR);
    for decision in shard.forget_old_offsets(&cx) {
        replay(&mut shard, &decision, &cx);
    }
    assert_eq!(committed(&shard, "a", "t"), None);
    assert_eq!(committed(&shard, "a", "u"), Some(5));
    scene::pass(&mut cx, 7 * 24 * HOUR);
    for decision in shard.forget_old_offsets(&cx) {
        replay(&mut shard, &decision, &cx);
    }
    assert_eq!((shard.n_groups(), shard.n_offsets()), (0, 0));
    assert!(shard.forget_old_offsets(&cx).is_empty());
}

#[test]
fn an_old_client_says_itself_how_long() {
    let mut cx = scene::context();
    let mut shard = GroupShard::default();
    let mut asked = commit("a", "t", 5);
    asked.keep_ms = Some(1000);
    let decision = shard.commit(&asked, &cx).unwrap();
    replay(&mut shard, &decision, &cx);
    assert!(shard.forget_old_offsets(&cx).is_empty());
    scene::pass(&mut cx, Duration::from_secs(1));
    assert_eq!(shard.forget_old_offsets(&cx).len(), 1);
}

#[test]
fn offsets_of_topics_that_are_gone_are_forgotten() {
    let cx = scene::context();
    let mut shard = GroupShard::default();
    let decision = shard.commit(&commit("a", "t", 5), &cx).unwrap();
    replay(&mut shard, &decision, &cx);
    // The view of this context knows no topic at all.
    let decision = shard.loaded(&cx);
    assert!(matches!(
        &decision.records[..],
        [GroupRecord::OffsetCommit(_, None)]
    ));
    replay(&mut shard, &decision, &cx);
    assert_eq!(shard.n_offsets(), 0);
}

#[test]
fn a_group_with_members_is_neither_deleted_nor_are_the_offsets_it_needs() {
    let cx = scene::context();
    let mut shard = GroupShard::default();
    drop(shard.loaded(&cx));
    stable_group(&mut shard, &cx);
    let refused = shard.delete_group("g").unwrap_err();
    assert_eq!(ErrorCode::from(refused), ErrorCode::NonEmptyGroup);
    let refused = shard.delete_group("h").unwrap_err();
    assert_eq!(ErrorCode::from(refused), ErrorCode::GroupIdNotFound);

    let decision = shard.commit(&commit("h", "t", 5), &cx).unwrap();
    replay(&mut shard, &decision, &cx);
    let decision = shard.delete_group("h").unwrap();
    assert_eq!(decision.records.len(), 2);
    replay(&mut shard, &decision, &cx);
    assert_eq!(committed(&shard, "h", "t"), None);
    assert_eq!(shard.n_groups(), 1);
}

#[test]
fn groups_are_listed_by_state_and_kind() {
    let cx = scene::context();
    let mut shard = GroupShard::default();
    stable_group(&mut shard, &cx);
    let decision = shard.commit(&commit("h", "t", 5), &cx).unwrap();
    replay(&mut shard, &decision, &cx);
    let names = |states: &[&str], kinds: &[&str]| {
        let all = |of: &[&str]| of.iter().map(|it| (*it).to_owned()).collect();
        let filter = ListFilter {
            states: all(states),
            kinds: all(kinds),
        };
        let listed = shard.list(&filter).into_iter();
        listed.map(|it| it.group_id).collect::<Vec<_>>()
    };
    assert_eq!(names(&[], &[]), ["g", "h"]);
    assert_eq!(names(&["empty"], &["Classic"]), ["h"]);
    assert_eq!(names(&["PreparingRebalance"], &[]), ["g"]);
    assert!(names(&[], &["consumer"]).is_empty());
}
