//! The few things every story of groups does over a bare connection.

use std::io;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::find_coordinator::FindCoordinatorRequest;
use drave_protocol::schema::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use drave_protocol::schema::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use drave_protocol::schema::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};

use crate::support::client::code;
use crate::support::wait::{seconds, wait_for};
use crate::support::wire::Wire;

/// The last versions that name topics: a test then needs no ids.
pub(crate) const COMMIT_BY_NAME: i16 = 9;
pub(crate) const FETCH_OFFSETS_BY_NAME: i16 = 9;
const FIND_VERSION: i16 = 6;

/// Makes the group's topic, and waits until the node asked has loaded, if it is the coordinator; its node.
pub(crate) fn coordinator(wire: &mut Wire, group: &str) -> i32 {
    wait_for("a coordinator", seconds(30), || {
        let found = find(wire, group).map_err(|error| error.to_string())?;
        let loaded = committed(wire, group, "t", 0).map_err(|error| error.to_string())?;
        let node = found.ok_or("nobody yet")?;
        // Another node than the one asked says where to go, which is all it can.
        match loaded {
            Ok(_) | Err(ErrorCode::NotCoordinator) => Ok(node),
            Err(error) => Err(error.to_string()),
        }
    })
}

/// The same where any of the nodes may be it: `wires` are to nodes 1, 2 and so on.
pub(crate) fn loaded_coordinator(wires: &mut [Wire], group: &str) -> usize {
    wait_for("a coordinator that has loaded", seconds(30), || {
        let found = find(&mut wires[0], group).map_err(|error| error.to_string())?;
        let place = found.and_then(|it| usize::try_from(it - 1).ok());
        let place = place.ok_or("nobody yet")?;
        match committed(&mut wires[place], group, "t", 0) {
            Ok(Ok(_)) => Ok(place),
            other => Err(format!("node {}: {other:?}", place + 1)),
        }
    })
}

pub(crate) fn find(wire: &mut Wire, group: &str) -> io::Result<Option<i32>> {
    let request = FindCoordinatorRequest {
        coordinator_keys: vec![group.to_owned()],
        ..FindCoordinatorRequest::default()
    };
    let answer = wire.call(FIND_VERSION, &request)?;
    let found = &answer.coordinators[0];
    Ok((found.error_code == 0).then_some(found.node_id))
}

pub(crate) fn commit_request(
    group: &str,
    topic: &str,
    partition: i32,
    offset: i64,
) -> OffsetCommitRequest {
    OffsetCommitRequest {
        group_id: group.to_owned(),
        topics: vec![OffsetCommitRequestTopic {
            name: topic.to_owned(),
            partitions: vec![OffsetCommitRequestPartition {
                partition_index: partition,
                committed_offset: offset,
                committed_metadata: Some("note".to_owned()),
                ..OffsetCommitRequestPartition::default()
            }],
            ..OffsetCommitRequestTopic::default()
        }],
        ..OffsetCommitRequest::default()
    }
}

/// As one who is in no group.
pub(crate) fn commit(
    wire: &mut Wire,
    group: &str,
    topic: &str,
    partition: i32,
    offset: i64,
) -> io::Result<ErrorCode> {
    let request = commit_request(group, topic, partition, offset);
    let answer = wire.call(COMMIT_BY_NAME, &request)?;
    Ok(code(answer.topics[0].partitions[0].error_code))
}

/// `Ok(-1)`: nothing was.
pub(crate) fn committed(
    wire: &mut Wire,
    group: &str,
    topic: &str,
    partition: i32,
) -> io::Result<Result<i64, ErrorCode>> {
    let request = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: group.to_owned(),
            topics: Some(vec![OffsetFetchRequestTopics {
                name: topic.to_owned(),
                partition_indexes: vec![partition],
                ..OffsetFetchRequestTopics::default()
            }]),
            ..OffsetFetchRequestGroup::default()
        }],
        ..OffsetFetchRequest::default()
    };
    let answer = wire.call(FETCH_OFFSETS_BY_NAME, &request)?;
    let group = &answer.groups[0];
    if group.error_code != 0 {
        return Ok(Err(code(group.error_code)));
    }
    let partition = &group.topics[0].partitions[0];
    Ok(match code(partition.error_code) {
        ErrorCode::None => Ok(partition.committed_offset),
        refused => Err(refused),
    })
}

pub(crate) fn join_request(group: &str, member: &str, topic: &str) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: group.to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        member_id: member.to_owned(),
        protocol_type: "consumer".to_owned(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".to_owned(),
            metadata: subscription(topic),
        }],
        ..JoinGroupRequest::default()
    }
}

/// What a consumer of one topic says to its assignor.
pub(crate) fn subscription(topic: &str) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(0);
    bytes.put_i32(1);
    bytes.put_i16(i16::try_from(topic.len()).unwrap());
    bytes.put_slice(topic.as_bytes());
    bytes.put_i32(0);
    bytes.freeze()
}

/// Long enough for a failover on a loaded machine.
pub(crate) const FAILOVER: Duration = Duration::from_mins(1);
