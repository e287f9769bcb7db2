//! ConsumerGroupHeartbeat and ConsumerGroupDescribe, and consumer groups as the other APIs see them.

use drave_protocol::api::ApiKey;
use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::consumer_group_describe::{
    ConsumerGroupDescribeRequest, DescribedGroup,
};
use drave_protocol::schema::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
};
use drave_protocol::schema::delete_groups::DeleteGroupsRequest;
use drave_protocol::schema::describe_groups::DescribeGroupsRequest;
use drave_protocol::schema::list_groups::ListGroupsRequest;

use crate::broker::versions;
use crate::support::client::code;
use crate::support::cluster::Cluster;
use crate::support::groups::{COMMIT_BY_NAME, commit_request, committed, coordinator};
use crate::support::wire::Wire;

fn node() -> (Cluster, Wire) {
    let settings = [("offsets.topic.num.partitions", "4")];
    let mut cluster = Cluster::start_with(1, &settings);
    cluster.create_topic("t", 4, 1, &[]);
    let mut wire = cluster.wire(1);
    coordinator(&mut wire, "g");
    (cluster, wire)
}

fn join(member: &str) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: "g".to_owned(),
        member_id: member.to_owned(),
        rebalance_timeout_ms: 60_000,
        subscribed_topic_names: Some(vec!["t".to_owned()]),
        topic_partitions: Some(Vec::new()),
        ..ConsumerGroupHeartbeatRequest::default()
    }
}

fn said(
    member: &ConsumerGroupHeartbeatResponse,
    owned: &[TopicPartitions],
) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: "g".to_owned(),
        member_id: member.member_id.clone().unwrap(),
        member_epoch: member.member_epoch,
        topic_partitions: Some(owned.to_vec()),
        ..ConsumerGroupHeartbeatRequest::default()
    }
}

fn heard(
    wire: &mut Wire,
    request: &ConsumerGroupHeartbeatRequest,
) -> ConsumerGroupHeartbeatResponse {
    let answer = wire.call_newest(request).unwrap();
    assert_eq!(code(answer.error_code), ErrorCode::None, "{answer:?}");
    answer
}

fn assigned(answer: &ConsumerGroupHeartbeatResponse) -> Vec<TopicPartitions> {
    answer.assignment.clone().unwrap().topic_partitions
}

fn n_assigned(answer: &ConsumerGroupHeartbeatResponse) -> usize {
    assigned(answer).iter().map(|it| it.partitions.len()).sum()
}

fn described(wire: &mut Wire, version: i16) -> DescribedGroup {
    let request = ConsumerGroupDescribeRequest {
        group_ids: vec!["g".to_owned()],
        ..ConsumerGroupDescribeRequest::default()
    };
    wire.call(version, &request).unwrap().groups.remove(0)
}

#[test]
fn two_members_share_once_the_first_gave_up_its_half() {
    let (_cluster, mut wire) = node();
    let first = heard(&mut wire, &join("a"));
    assert_eq!((first.member_epoch, n_assigned(&first)), (1, 4));
    let second = heard(&mut wire, &join("b"));
    assert_eq!(
        (second.member_epoch, n_assigned(&second)),
        (2, 0),
        "the first has them still"
    );

    let shrunk = heard(&mut wire, &said(&first, &assigned(&first)));
    assert_eq!((shrunk.member_epoch, n_assigned(&shrunk)), (1, 2));
    let moved = heard(&mut wire, &said(&shrunk, &assigned(&shrunk)));
    assert_eq!(moved.member_epoch, 2);
    let second = heard(&mut wire, &said(&second, &[]));
    assert_eq!((second.member_epoch, n_assigned(&second)), (2, 2));

    for version in versions(ApiKey::ConsumerGroupDescribe) {
        let group = described(&mut wire, version);
        assert_eq!((group.group_epoch, group.assignment_epoch), (2, 2));
        assert_eq!(
            (group.group_state.as_str(), group.assignor_name.as_str()),
            ("Stable", "uniform")
        );
        for member in &group.members {
            assert_eq!(member.assignment, member.target_assignment, "{member:?}");
            assert_eq!(member.assignment.topic_partitions[0].topic_name, "t");
        }
    }
}

#[test]
fn a_member_without_an_id_is_given_one_in_version_0_only() {
    let (_cluster, mut wire) = node();
    let answer = wire.call(0, &join("")).unwrap();
    assert_eq!(code(answer.error_code), ErrorCode::None);
    assert!(answer.member_id.is_some_and(|it| !it.is_empty()));
    let answer = wire.call(1, &join("")).unwrap();
    assert_eq!(code(answer.error_code), ErrorCode::InvalidRequest);
}

#[test]
fn refusals_are_kafkas() {
    let (_cluster, mut wire) = node();
    let first = heard(&mut wire, &join("a"));
    let refused = |wire: &mut Wire, request: &ConsumerGroupHeartbeatRequest| {
        let answer = wire.call_newest(request).unwrap();
        assert!(answer.error_message.is_some());
        code(answer.error_code)
    };
    let mut request = said(&first, &[]);
    request.member_epoch = 7;
    assert_eq!(refused(&mut wire, &request), ErrorCode::FencedMemberEpoch);
    request.member_id = "nobody".to_owned();
    assert_eq!(refused(&mut wire, &request), ErrorCode::UnknownMemberId);
    request.group_id = "none".to_owned();
    assert_eq!(refused(&mut wire, &request), ErrorCode::GroupIdNotFound);
    let mut request = join("b");
    request.server_assignor = Some("alphabet".to_owned());
    assert_eq!(refused(&mut wire, &request), ErrorCode::UnsupportedAssignor);
    request.server_assignor = None;
    request.subscribed_topic_regex = Some("(".to_owned());
    assert_eq!(
        refused(&mut wire, &request),
        ErrorCode::InvalidRegularExpression
    );
}

#[test]
fn a_static_member_that_comes_back_has_what_it_had() {
    let (_cluster, mut wire) = node();
    let mut request = join("a");
    request.instance_id = Some("i".to_owned());
    let first = heard(&mut wire, &request);
    assert_eq!(n_assigned(&first), 4);
    request.member_id = "b".to_owned();
    let answer = wire.call_newest(&request).unwrap();
    assert_eq!(code(answer.error_code), ErrorCode::UnreleasedInstanceId);

    let mut leave = said(&first, &[]);
    leave.member_epoch = -2;
    leave.instance_id = Some("i".to_owned());
    assert_eq!(heard(&mut wire, &leave).member_epoch, -2);
    let back = heard(&mut wire, &request);
    assert_eq!(
        (back.member_epoch, assigned(&back)),
        (first.member_epoch, assigned(&first))
    );
}

#[test]
fn a_regular_expression_is_resolved_here() {
    let (mut cluster, mut wire) = node();
    cluster.create_topic("orders", 2, 1, &[]);
    let mut request = join("a");
    request.subscribed_topic_names = None;
    request.subscribed_topic_regex = Some("or.*|none".to_owned());
    let answer = heard(&mut wire, &request);
    assert_eq!(n_assigned(&answer), 2);
}

#[test]
fn offsets_go_by_the_members_epoch() {
    let (_cluster, mut wire) = node();
    let member = heard(&mut wire, &join("a"));
    let mut commit = |member_id: &str, epoch| {
        let mut request = commit_request("g", "t", 1, 42);
        request.member_id = member_id.to_owned();
        request.generation_id_or_member_epoch = epoch;
        let answer = wire.call(COMMIT_BY_NAME, &request).unwrap();
        code(answer.topics[0].partitions[0].error_code)
    };
    assert_eq!(commit("a", member.member_epoch), ErrorCode::None);
    assert_eq!(
        commit("a", member.member_epoch + 1),
        ErrorCode::StaleMemberEpoch
    );
    assert_eq!(
        commit("a", member.member_epoch - 1),
        ErrorCode::StaleMemberEpoch
    );
    assert_eq!(commit("b", member.member_epoch), ErrorCode::UnknownMemberId);
    assert_eq!(
        commit("", -1),
        ErrorCode::UnknownMemberId,
        "while it has members"
    );
    assert_eq!(committed(&mut wire, "g", "t", 1).unwrap(), Ok(42));
}

/// KIP-1251: an epoch of before is good for what the member has had since then, and for nothing else.
#[test]
fn a_commit_of_an_older_epoch_counts_for_what_the_member_kept() {
    let (_cluster, mut wire) = node();
    let first = heard(&mut wire, &join("a"));
    let second = heard(&mut wire, &join("b"));
    let shrunk = heard(&mut wire, &said(&first, &assigned(&first)));
    let moved = heard(&mut wire, &said(&shrunk, &assigned(&shrunk)));
    assert_eq!((first.member_epoch, moved.member_epoch), (1, 2));
    let got = heard(&mut wire, &said(&second, &[]));
    let partition = |of: &ConsumerGroupHeartbeatResponse| assigned(of)[0].partitions[0];
    let mut commit = |member_id: &str, epoch, partition| {
        let mut request = commit_request("g", "t", partition, 42);
        request.member_id = member_id.to_owned();
        request.generation_id_or_member_epoch = epoch;
        let answer = wire.call(COMMIT_BY_NAME, &request).unwrap();
        code(answer.topics[0].partitions[0].error_code)
    };
    let (kept, given_up) = (partition(&shrunk), partition(&got));
    assert_eq!(commit("a", 1, kept), ErrorCode::None);
    assert_eq!(commit("a", 1, given_up), ErrorCode::StaleMemberEpoch);
    assert_eq!(commit("b", 1, given_up), ErrorCode::StaleMemberEpoch);
    assert_eq!(commit("b", 2, given_up), ErrorCode::None);
}

#[test]
fn tools_see_the_group_and_delete_it_when_all_have_left() {
    let (_cluster, mut wire) = node();
    let member = heard(&mut wire, &join("a"));
    let mut listed = |kind: &str| {
        let request = ListGroupsRequest {
            types_filter: vec![kind.to_owned()],
            ..ListGroupsRequest::default()
        };
        wire.call_newest(&request).unwrap().groups
    };
    let groups = listed("consumer");
    assert_eq!(groups.len(), 1);
    let group = &groups[0];
    assert_eq!(
        (group.group_state.as_str(), group.group_type.as_str()),
        ("Stable", "consumer")
    );
    assert!(listed("classic").is_empty());

    let request = DescribeGroupsRequest {
        groups: vec!["g".to_owned()],
        ..DescribeGroupsRequest::default()
    };
    let classic = wire.call_newest(&request).unwrap().groups.remove(0);
    assert_eq!(code(classic.error_code), ErrorCode::GroupIdNotFound);

    let delete = DeleteGroupsRequest {
        groups_names: vec!["g".to_owned()],
    };
    let deleted = |wire: &mut Wire| code(wire.call_newest(&delete).unwrap().results[0].error_code);
    assert_eq!(deleted(&mut wire), ErrorCode::NonEmptyGroup);
    let mut leave = said(&member, &[]);
    leave.member_epoch = -1;
    heard(&mut wire, &leave);
    assert_eq!(described(&mut wire, 1).group_state, "Empty");
    assert_eq!(deleted(&mut wire), ErrorCode::None);
    assert_eq!(
        code(described(&mut wire, 1).error_code),
        ErrorCode::GroupIdNotFound
    );
}
