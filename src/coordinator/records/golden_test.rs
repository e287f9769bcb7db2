//! Against what Kafka's own code says the bytes are: `golden.txt`, written by `make group-records`.

use std::collections::BTreeMap;

use bytes::Bytes;
use drave_protocol::ids::Uuid;
use drave_protocol::schema::group_records::{
    ClassicMember, ClassicMemberMetadata, ClassicProtocol,
    ConsumerGroupCurrentMemberAssignmentValue, ConsumerGroupMemberMetadataValue,
    ConsumerGroupMetadataValue, ConsumerGroupPartitionMetadataValue,
    ConsumerGroupRegularExpressionKey, ConsumerGroupRegularExpressionValue,
    ConsumerGroupTargetAssignmentMemberValue, ConsumerGroupTargetAssignmentMetadataValue,
    CurrentTopicPartitions, GroupKey, GroupMemberKey, GroupMetadataValue, OffsetCommitKey,
    OffsetCommitValue, PartitionMetadata, TargetTopicPartitions, TopicMetadata,
};

use super::{Decoded, Encoded, GroupRecord, RecordError};

const GOLDEN: &str = include_str!("golden.txt");
const NOON: i64 = 1_700_000_000_123;

/// What older versions say is read, but never written again.
const OLD: [&str; 9] = [
    "offset-commit-v0",
    "offset-commit-v1",
    "offset-commit-v2",
    "offset-commit-v3",
    "offset-commit-legacy",
    "group-metadata-v0",
    "group-metadata-v1",
    "group-metadata-v2",
    "group-metadata-v4",
];

#[test]
fn kafkas_bytes_mean_what_they_say_and_are_written_again() {
    let expected = expected();
    let mut n_lines = 0;
    for line in GOLDEN.lines() {
        let [name, key, value] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let encoded = Encoded {
            key: bytes(key),
            value: (value != "-").then(|| bytes(value)),
        };
        let record = expected.get(name).unwrap_or_else(|| panic!("{name}"));
        let decoded = GroupRecord::decode(&encoded.key, encoded.value.as_ref());
        assert_eq!(
            decoded,
            Ok(Decoded::Record(Box::new(record.clone()))),
            "{name}"
        );
        if !OLD.contains(&name) {
            assert_eq!(record.encode(), Ok(encoded), "{name}");
        }
        n_lines += 1;
    }
    assert_eq!(n_lines, expected.len());
}

#[test]
fn kinds_of_other_groups_are_told_apart_from_damage() {
    let share = Bytes::from_static(&[0, 11, 0, 1, b'g']);
    assert_eq!(
        GroupRecord::decode(&share, None),
        Ok(Decoded::UnknownKind(11))
    );
    let group = Bytes::from_static(&[0, 2, 0, 1, b'g']);
    let newer = Bytes::from_static(&[0, 5]);
    let value = GroupRecord::decode(&group, Some(&newer));
    assert!(
        matches!(value, Err(RecordError::Value { kind: 2, .. })),
        "{value:?}"
    );
    let long = Bytes::from_static(&[0, 2, 0, 1, b'g', 9]);
    assert_eq!(
        GroupRecord::decode(&long, None),
        Err(RecordError::Leftover {
            kind: 2,
            n_bytes: 1
        })
    );
    let short = GroupRecord::decode(&Bytes::from_static(&[0]), None);
    assert!(matches!(short, Err(RecordError::Key(_))), "{short:?}");
}

fn bytes(hex: &str) -> Bytes {
    (0..hex.len() / 2)
        .map(|place| u8::from_str_radix(&hex[2 * place..2 * place + 2], 16).unwrap())
        .collect()
}

fn expected() -> BTreeMap<String, GroupRecord> {
    let mut expected = BTreeMap::new();
    offset_commits(&mut expected);
    classic_groups(&mut expected);
    consumer_groups(&mut expected);
    assignments(&mut expected);
    expected
}

type Expected = BTreeMap<String, GroupRecord>;

fn topic_id() -> Uuid {
    Uuid([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16])
}

fn offset_commits(expected: &mut Expected) {
    let mut add = |name: &str, value: Option<OffsetCommitValue>| {
        let key = OffsetCommitKey {
            group_id: "g".into(),
            topic: "orders".into(),
            partition: 7,
        };
        let record = GroupRecord::OffsetCommit(key, value);
        expected.insert(format!("offset-commit-{name}"), record);
    };
    let old = OffsetCommitValue {
        offset: 4711,
        metadata: "note".into(),
        commit_timestamp: NOON,
        ..Default::default()
    };
    for name in ["v0", "v1", "v2", "legacy"] {
        add(name, Some(old.clone()));
    }
    let mut value = old.clone();
    value.expire_timestamp = 1_700_000_999_000;
    add("expires", Some(value));
    let mut value = old;
    value.leader_epoch = 3;
    add("v3", Some(value.clone()));
    add("v4-without-id", Some(value.clone()));
    value.topic_id = topic_id();
    add("v4", Some(value));
    add("tombstone", None);
}

fn classic_groups(expected: &mut Expected) {
    let mut add = |name: &str, value: Option<GroupMetadataValue>| {
        let record = GroupRecord::GroupMetadata(group("classic"), value);
        expected.insert(format!("group-metadata-{name}"), record);
    };
    let mut member = ClassicMember {
        member_id: "m-1".into(),
        client_id: "c".into(),
        client_host: "/127.0.0.1".into(),
        session_timeout: 45_000,
        subscription: Bytes::from_static(&[1, 2, 3]),
        assignment: Bytes::from_static(&[4, 5]),
        ..Default::default()
    };
    let mut value = GroupMetadataValue {
        protocol_type: "consumer".into(),
        generation: 5,
        protocol: Some("range".into()),
        leader: Some("m-1".into()),
        current_state_timestamp: -1,
        members: vec![member.clone()],
    };
    add("v0", Some(value.clone()));
    member.rebalance_timeout = 300_000;
    value.members = vec![member.clone()];
    add("v1", Some(value.clone()));
    value.current_state_timestamp = NOON;
    add("v2", Some(value.clone()));
    member.group_instance_id = Some("i-1".into());
    value.members = vec![member];
    add("v3", Some(value.clone()));
    add("v4", Some(value));
    let empty = GroupMetadataValue {
        protocol_type: "consumer".into(),
        generation: 6,
        protocol: None,
        leader: None,
        current_state_timestamp: 1,
        members: Vec::new(),
    };
    add("empty", Some(empty));
    add("tombstone", None);
}

fn consumer_groups(expected: &mut Expected) {
    let mut add = |name: &str, record| expected.insert(format!("consumer-group-{name}"), record);
    let metadata = |value| GroupRecord::ConsumerGroupMetadata(group("g"), value);
    let value = |metadata_hash| ConsumerGroupMetadataValue {
        epoch: 10,
        metadata_hash,
    };
    add("metadata", metadata(Some(value(0x1122_3344_5566_7788))));
    add("metadata-without-hash", metadata(Some(value(0))));
    add("metadata-tombstone", metadata(None));

    let partitions = |value| GroupRecord::ConsumerGroupPartitionMetadata(group("g"), value);
    let topic = TopicMetadata {
        topic_id: topic_id(),
        topic_name: "orders".into(),
        num_partitions: 2,
        partition_metadata: vec![PartitionMetadata {
            partition: 1,
            racks: vec!["a".into(), "b".into()],
        }],
    };
    let topics = vec![topic];
    add(
        "partition-metadata",
        partitions(Some(ConsumerGroupPartitionMetadataValue { topics })),
    );
    add("partition-metadata-tombstone", partitions(None));

    let of_member = |value| GroupRecord::ConsumerGroupMemberMetadata(member(), value);
    let value = ConsumerGroupMemberMetadataValue {
        instance_id: Some("i-1".into()),
        rack_id: Some("a".into()),
        client_id: "c".into(),
        client_host: "/127.0.0.1".into(),
        subscribed_topic_names: vec!["orders".into(), "refunds".into()],
        subscribed_topic_regex: Some("or.*".into()),
        rebalance_timeout_ms: 300_000,
        server_assignor: Some("uniform".into()),
        classic_member_metadata: None,
    };
    add("member-metadata", of_member(Some(value.clone())));
    let classic = ClassicMemberMetadata {
        session_timeout_ms: 45_000,
        supported_protocols: vec![ClassicProtocol {
            name: "range".into(),
            metadata: Bytes::from_static(&[1, 2, 3]),
        }],
    };
    let value = ConsumerGroupMemberMetadataValue {
        instance_id: None,
        rack_id: None,
        subscribed_topic_regex: None,
        server_assignor: None,
        classic_member_metadata: Some(classic),
        ..value
    };
    add("member-metadata-classic", of_member(Some(value)));
    add("member-metadata-tombstone", of_member(None));

    let key = ConsumerGroupRegularExpressionKey {
        group_id: "g".into(),
        regular_expression: "or.*".into(),
    };
    let expression = |value| GroupRecord::ConsumerGroupRegularExpression(key.clone(), value);
    let value = ConsumerGroupRegularExpressionValue {
        topics: vec!["orders".into()],
        version: 77,
        timestamp: NOON,
    };
    add("regular-expression", expression(Some(value)));
    add("regular-expression-tombstone", expression(None));
}

fn assignments(expected: &mut Expected) {
    let mut add = |name: &str, record| expected.insert(format!("consumer-group-{name}"), record);
    let epoch = |value| GroupRecord::ConsumerGroupTargetAssignmentMetadata(group("g"), value);
    let value = |assignment_timestamp| ConsumerGroupTargetAssignmentMetadataValue {
        assignment_epoch: 10,
        assignment_timestamp,
    };
    add("target-assignment-metadata", epoch(Some(value(NOON))));
    add(
        "target-assignment-metadata-without-time",
        epoch(Some(value(0))),
    );
    add("target-assignment-metadata-tombstone", epoch(None));

    let target = |value| GroupRecord::ConsumerGroupTargetAssignmentMember(member(), value);
    let topic_partitions = vec![TargetTopicPartitions {
        topic_id: topic_id(),
        partitions: vec![0, 1, 2],
    }];
    let value = ConsumerGroupTargetAssignmentMemberValue { topic_partitions };
    add("target-assignment-member", target(Some(value)));
    add("target-assignment-member-tombstone", target(None));

    let current = |value| GroupRecord::ConsumerGroupCurrentMemberAssignment(member(), value);
    let partitions = |partitions: &[i32], epochs: Option<&[i32]>| {
        vec![CurrentTopicPartitions {
            topic_id: topic_id(),
            partitions: partitions.to_vec(),
            assignment_epochs: epochs.map(<[i32]>::to_vec),
        }]
    };
    let value = ConsumerGroupCurrentMemberAssignmentValue {
        member_epoch: 10,
        previous_member_epoch: 9,
        state: 1,
        assigned_partitions: partitions(&[0, 1], Some(&[4, 10])),
        partitions_pending_revocation: partitions(&[2], None),
    };
    add("current-member-assignment", current(Some(value)));
    add("current-member-assignment-tombstone", current(None));
}

fn group(group_id: &str) -> GroupKey {
    GroupKey {
        group_id: group_id.into(),
    }
}

fn member() -> GroupMemberKey {
    GroupMemberKey {
        group_id: "g".into(),
        member_id: "m-1".into(),
    }
}
