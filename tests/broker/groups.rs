//! JoinGroup, SyncGroup, Heartbeat, LeaveGroup in every version, and groups as tools see them.

use bytes::Bytes;
use drave_protocol::api::ApiKey;
use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::delete_groups::DeleteGroupsRequest;
use drave_protocol::schema::describe_groups::DescribeGroupsRequest;
use drave_protocol::schema::heartbeat::HeartbeatRequest;
use drave_protocol::schema::join_group::JoinGroupResponse;
use drave_protocol::schema::leave_group::{LeaveGroupRequest, MemberIdentity};
use drave_protocol::schema::list_groups::ListGroupsRequest;
use drave_protocol::schema::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};

use crate::broker::versions;
use crate::support::client::code;
use crate::support::cluster::Cluster;
use crate::support::groups::{commit, coordinator, join_request};
use crate::support::wire::Wire;

/// A node whose groups do not wait for more members, and a connection to it.
fn node() -> (Cluster, Wire) {
    let settings = [
        ("group.initial.rebalance.delay.ms", "0"),
        ("offsets.topic.num.partitions", "4"),
    ];
    let mut cluster = Cluster::start_with(1, &settings);
    cluster.create_topic("t", 2, 1, &[]);
    let mut wire = cluster.wire(1);
    coordinator(&mut wire, "g");
    (cluster, wire)
}

fn join(wire: &mut Wire, version: i16, group: &str) -> JoinGroupResponse {
    let mut request = join_request(group, "", "t");
    let first = wire.call(version, &request).unwrap();
    if version < 4 {
        return first;
    }
    assert_eq!(code(first.error_code), ErrorCode::MemberIdRequired);
    request.member_id = first.member_id;
    wire.call(version, &request).unwrap()
}

fn sync(wire: &mut Wire, version: i16, group: &str, joined: &JoinGroupResponse) -> Bytes {
    let request = SyncGroupRequest {
        group_id: group.to_owned(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        assignments: vec![SyncGroupRequestAssignment {
            member_id: joined.member_id.clone(),
            assignment: Bytes::from_static(b"all of it"),
        }],
        ..SyncGroupRequest::default()
    };
    let answer = wire.call(version, &request).unwrap();
    assert_eq!(code(answer.error_code), ErrorCode::None, "v{version}");
    answer.assignment
}

fn leave(wire: &mut Wire, version: i16, group: &str, member: &str) -> ErrorCode {
    let mut request = LeaveGroupRequest {
        group_id: group.to_owned(),
        ..LeaveGroupRequest::default()
    };
    if version < 3 {
        member.clone_into(&mut request.member_id);
    } else {
        request.members.push(MemberIdentity {
            member_id: member.to_owned(),
            ..MemberIdentity::default()
        });
    }
    let answer = wire.call(version, &request).unwrap();
    let of_member = answer.members.first().map(|it| it.error_code);
    code(of_member.unwrap_or(answer.error_code))
}

#[test]
fn a_member_joins_lives_and_leaves_in_every_version() {
    let (_cluster, mut wire) = node();
    for version in versions(ApiKey::JoinGroup) {
        let joined = join(&mut wire, version, "g");
        assert_eq!(code(joined.error_code), ErrorCode::None, "v{version}");
        assert_eq!(joined.leader, joined.member_id);
        assert_eq!(joined.protocol_name.as_deref(), Some("range"));
        assert_eq!(joined.members.len(), 1);
        let assigned = sync(&mut wire, version.min(5), "g", &joined);
        assert_eq!(assigned, "all of it");
        let heartbeat = HeartbeatRequest {
            group_id: "g".to_owned(),
            generation_id: joined.generation_id,
            member_id: joined.member_id.clone(),
            ..HeartbeatRequest::default()
        };
        let alive = wire.call(version.min(4), &heartbeat).unwrap();
        assert_eq!(code(alive.error_code), ErrorCode::None);
        let left = leave(&mut wire, version.min(5), "g", &joined.member_id);
        assert_eq!(left, ErrorCode::None, "v{version}");
        let gone = wire.call(version.min(4), &heartbeat).unwrap();
        assert_eq!(code(gone.error_code), ErrorCode::UnknownMemberId);
        let left = leave(&mut wire, version.min(5), "g", &joined.member_id);
        assert_eq!(left, ErrorCode::UnknownMemberId);
    }
}

#[test]
fn what_a_join_is_refused_for_is_said_in_every_version() {
    let (_cluster, mut wire) = node();
    for version in versions(ApiKey::JoinGroup) {
        let mut too_short = join_request("g", "", "t");
        too_short.session_timeout_ms = 5999;
        let mut nameless = join_request("", "", "t");
        nameless.rebalance_timeout_ms = 1;
        let ghost = join_request("g", "ghost", "t");
        let refused = [
            (too_short, ErrorCode::InvalidSessionTimeout),
            (nameless, ErrorCode::InvalidGroupId),
            (ghost, ErrorCode::UnknownMemberId),
        ];
        for (request, expected) in refused {
            let answer = wire.call(version, &request).unwrap();
            assert_eq!(code(answer.error_code), expected, "v{version}");
            assert_eq!(answer.generation_id, -1);
        }
    }
}

#[test]
fn tools_see_groups_as_they_are() {
    let (_cluster, mut wire) = node();
    assert_eq!(
        commit(&mut wire, "offsets-only", "t", 0, 3).unwrap(),
        ErrorCode::None
    );
    let joined = join(&mut wire, 9, "g");
    sync(&mut wire, 5, "g", &joined);
    for version in versions(ApiKey::ListGroups) {
        let answer = wire.call(version, &ListGroupsRequest::default()).unwrap();
        let mut listed: Vec<(&str, &str, &str)> = answer
            .groups
            .iter()
            .map(|it| {
                (
                    it.group_id.as_str(),
                    it.protocol_type.as_str(),
                    it.group_state.as_str(),
                )
            })
            .collect();
        listed.sort_unstable();
        let state = |name| if version >= 4 { name } else { "" };
        let expected = [
            ("g", "consumer", state("Stable")),
            ("offsets-only", "", state("Empty")),
        ];
        assert_eq!(listed, expected, "v{version}");
    }
    let stable = ListGroupsRequest {
        states_filter: vec!["stable".to_owned()],
        types_filter: vec!["classic".to_owned()],
    };
    let answer = wire.call(5, &stable).unwrap();
    assert_eq!(answer.groups.len(), 1);
    assert_eq!(answer.groups[0].group_type, "classic");
    for version in versions(ApiKey::DescribeGroups) {
        let request = DescribeGroupsRequest {
            groups: vec!["g".to_owned(), "nobody".to_owned()],
            include_authorized_operations: false,
        };
        let answer = wire.call(version, &request).unwrap();
        let [found, nobody] = &answer.groups[..] else {
            panic!("two groups were asked for");
        };
        assert_eq!(
            (found.group_state.as_str(), found.protocol_data.as_str()),
            ("Stable", "range")
        );
        assert_eq!(found.members[0].member_id, joined.member_id);
        assert_eq!(found.members[0].client_host, "/127.0.0.1");
        assert_eq!(found.members[0].member_assignment, "all of it");
        assert_eq!(nobody.group_state, "Dead");
        let expected = if version >= 6 { 69 } else { 0 };
        assert_eq!(nobody.error_code, expected, "v{version}");
    }
    for version in versions(ApiKey::DeleteGroups) {
        let request = DeleteGroupsRequest {
            groups_names: vec!["g".to_owned(), "nobody".to_owned()],
        };
        let answer = wire.call(version, &request).unwrap();
        let codes = answer.results.iter().map(|it| code(it.error_code));
        let expected = [ErrorCode::NonEmptyGroup, ErrorCode::GroupIdNotFound];
        assert!(codes.eq(expected), "v{version}");
    }
    assert_eq!(leave(&mut wire, 5, "g", &joined.member_id), ErrorCode::None);
    let request = DeleteGroupsRequest {
        groups_names: vec!["g".to_owned(), "offsets-only".to_owned()],
    };
    let answer = wire.call(2, &request).unwrap();
    assert!(answer.results.iter().all(|it| it.error_code == 0));
    let answer = wire.call(5, &ListGroupsRequest::default()).unwrap();
    assert!(answer.groups.is_empty());
}
