//! What is written once can be read for ever: bytes of every record and stored value, pinned.

use std::collections::BTreeMap;

use bytes::Bytes;
use drave_protocol::ids::{
    BrokerEpoch, DirectoryId, LeaderEpoch, MetadataOffset, NodeId, PartitionEpoch, ProducerId,
    TopicIdPartition, Uuid,
};
use proptest::prelude::{any, prop_assert, proptest};

use crate::codec::{CodecError, decode, decode_records, encode, encode_records};
use crate::image::MetadataImage;
use crate::record::{
    BrokerDrainedV1, BrokerFencedV1, BrokerRegisteredV1, BrokerShuttingDownV1, BrokerUndrainedV1,
    BrokerUnfencedV1, BrokerUnregisteredV1, ClusterV1, ConfigChangedV1, ConfigResource,
    ControllerActivatedV1, LeaderRecovery, ListenerV1, MetadataRecord, PartitionChangedV2,
    PartitionCreatedV1, ProducerIdsAllocatedV1, ReplicasCameOnlineV1, ReplicasWentOfflineV1,
    TopicCreatedV1, TopicDeletedV1,
};
use crate::stored::{EntryV1, LogIdV1, MemberV1, MembershipV1, PayloadV1};

const TOPIC: Uuid = Uuid([0xab; 16]);
const PARTITION: TopicIdPartition = TopicIdPartition {
    topic_id: TOPIC,
    partition: 5,
};

/// One of each kind, with its bytes.
#[allow(clippy::too_many_lines, reason = "a table")]
fn golden() -> Vec<(MetadataRecord, &'static str)> {
    let broker = NodeId(3);
    let broker_epoch = BrokerEpoch(300);
    vec![
        (
            MetadataRecord::Cluster(ClusterV1 {
                cluster_id: "c".into(),
            }),
            "0100010001000000020163",
        ),
        (
            MetadataRecord::ControllerActivated(ControllerActivatedV1 { controller: broker }),
            "01000200010000000106",
        ),
        (
            MetadataRecord::BrokerRegistered(BrokerRegisteredV1 {
                broker,
                incarnation: Uuid([1; 16]),
                directory: DirectoryId(9),
                listeners: vec![ListenerV1 {
                    name: "PLAINTEXT".into(),
                    host: "h".into(),
                    port: 9092,
                }],
                controller_address: "h:9093".into(),
                http_address: Some("h:8080".into()),
                rack: None,
                clean_shutdown: true,
            }),
            "0100030001000000330601010101010101010101010101010101090109504c41494e54\
4558540168fb842306683a393039330106683a383038300001",
        ),
        (
            MetadataRecord::BrokerFenced(BrokerFencedV1 {
                broker,
                broker_epoch,
            }),
            "01000400010000000406fb5802",
        ),
        (
            MetadataRecord::BrokerUnfenced(BrokerUnfencedV1 {
                broker,
                broker_epoch,
            }),
            "01000500010000000406fb5802",
        ),
        (
            MetadataRecord::BrokerShuttingDown(BrokerShuttingDownV1 {
                broker,
                broker_epoch,
            }),
            "01000600010000000406fb5802",
        ),
        (
            MetadataRecord::BrokerUnregistered(BrokerUnregisteredV1 {
                broker,
                broker_epoch,
            }),
            "01000700010000000406fb5802",
        ),
        (
            MetadataRecord::TopicCreated(TopicCreatedV1 {
                topic_id: TOPIC,
                name: "t".into(),
            }),
            "010008000100000012abababababababababababababababab0174",
        ),
        (
            MetadataRecord::TopicDeleted(TopicDeletedV1 { topic_id: TOPIC }),
            "010009000100000010abababababababababababababababab",
        ),
        (
            MetadataRecord::PartitionCreated(PartitionCreatedV1 {
                topic_id: TOPIC,
                partition: 5,
                replicas: vec![NodeId(1), NodeId(2)],
                isr: vec![NodeId(1)],
                leader: Some(NodeId(1)),
            }),
            "01000a000100000018abababababababababababababababab0a02020401020102",
        ),
        (
            // Of no reassignment, as version 1 says it.
            MetadataRecord::PartitionChanged(PartitionChangedV2 {
                topic_id: TOPIC,
                partition: 5,
                previous_partition_epoch: PartitionEpoch(6),
                replicas: vec![NodeId(1), NodeId(2)],
                adding_replicas: Vec::new(),
                removing_replicas: Vec::new(),
                isr: vec![NodeId(2)],
                elr: vec![NodeId(1)],
                leader: None,
                leader_epoch: LeaderEpoch(7),
                recovery: LeaderRecovery::Recovering,
            }),
            "01000b00010000001cabababababababababababababababab0a0c0202040104010200\
0e01",
        ),
        (
            MetadataRecord::PartitionChanged(PartitionChangedV2 {
                topic_id: TOPIC,
                partition: 5,
                previous_partition_epoch: PartitionEpoch(6),
                replicas: vec![NodeId(3), NodeId(1), NodeId(2)],
                adding_replicas: vec![NodeId(3)],
                removing_replicas: vec![NodeId(2)],
                isr: vec![NodeId(2)],
                elr: vec![NodeId(1)],
                leader: Some(NodeId(2)),
                leader_epoch: LeaderEpoch(7),
                recovery: LeaderRecovery::Recovered,
            }),
            "01000b000200000022abababababababababababababababab0a0c030602040106010401\
04010201040e00",
        ),
        (
            MetadataRecord::ConfigChanged(ConfigChangedV1 {
                resource: ConfigResource::Topic("t".into()),
                key: "k".into(),
                value: Some("v".into()),
            }),
            "01000c000100000008000174016b010176",
        ),
        (
            MetadataRecord::ReplicasWentOffline(ReplicasWentOfflineV1 {
                broker,
                broker_epoch,
                partitions: vec![PARTITION],
            }),
            "01000d00010000001606fb580201abababababababababababababababab0a",
        ),
        (
            MetadataRecord::ReplicasCameOnline(ReplicasCameOnlineV1 {
                broker,
                broker_epoch,
                partitions: vec![PARTITION],
            }),
            "01000e00010000001606fb580201abababababababababababababababab0a",
        ),
        (
            MetadataRecord::ProducerIdsAllocated(ProducerIdsAllocatedV1 {
                broker,
                broker_epoch,
                first: ProducerId(0),
                next: ProducerId(1000),
            }),
            "01000f00010000000806fb580200fbd007",
        ),
        (
            MetadataRecord::BrokerDrained(BrokerDrainedV1 { broker }),
            "01001000010000000106",
        ),
        (
            MetadataRecord::BrokerUndrained(BrokerUndrainedV1 { broker }),
            "01001100010000000106",
        ),
    ]
}

fn unhex(text: &str) -> Vec<u8> {
    let pair = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(pair).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

#[test]
fn bytes_of_every_record_are_pinned() {
    for (record, bytes) in golden() {
        let encoded = encode_records(std::slice::from_ref(&record)).unwrap();
        assert_eq!(hex(&encoded), bytes, "{record:?}");
        assert_eq!(decode_records(&encoded).unwrap(), [record]);
    }
}

#[test]
fn bytes_of_log_entries_are_pinned() {
    let id = LogIdV1 {
        term: 2,
        index: 300,
    };
    let blank = EntryV1 {
        id,
        payload: PayloadV1::Blank,
    };
    let records = EntryV1 {
        id,
        payload: PayloadV1::Records {
            wall_ms: 1_700_000_000_000,
            records: Bytes::from_static(b"xy"),
        },
    };
    let member = MemberV1 {
        node: 1,
        address: "h:9093".into(),
    };
    let membership = EntryV1 {
        id,
        payload: PayloadV1::Membership(MembershipV1 {
            configs: vec![[7].into()],
            nodes: BTreeMap::from([(7, member)]),
        }),
    };
    for (entry, bytes) in [
        (blank, "02fb2c0100"),
        (records, "02fb2c0101fd00d0ca9f17030000027879"),
        (membership, "02fb2c010201010701070206683a39303933"),
    ] {
        let encoded = encode(&entry).unwrap();
        assert_eq!(hex(&encoded), bytes, "{entry:?}");
        assert_eq!(decode::<EntryV1>(&encoded).unwrap(), entry);
    }
}

#[test]
fn bytes_of_an_image_are_pinned() {
    let records: Vec<MetadataRecord> = golden()
        .into_iter()
        .map(|(record, _)| record)
        .filter(|it| match it {
            MetadataRecord::Cluster(_)
            | MetadataRecord::BrokerRegistered(_)
            | MetadataRecord::TopicCreated(_)
            | MetadataRecord::ConfigChanged(_) => true,
            MetadataRecord::ControllerActivated(_)
            | MetadataRecord::BrokerFenced(_)
            | MetadataRecord::BrokerUnfenced(_)
            | MetadataRecord::BrokerShuttingDown(_)
            | MetadataRecord::BrokerUnregistered(_)
            | MetadataRecord::TopicDeleted(_)
            | MetadataRecord::PartitionCreated(_)
            | MetadataRecord::PartitionChanged(_)
            | MetadataRecord::ReplicasWentOffline(_)
            | MetadataRecord::ReplicasCameOnline(_)
            | MetadataRecord::ProducerIdsAllocated(_)
            | MetadataRecord::BrokerDrained(_)
            | MetadataRecord::BrokerUndrained(_) => false,
        })
        .chain([MetadataRecord::PartitionCreated(PartitionCreatedV1 {
            topic_id: TOPIC,
            partition: 0,
            replicas: vec![NodeId(1)],
            isr: vec![NodeId(1)],
            leader: Some(NodeId(1)),
        })])
        .collect();
    let applied = MetadataImage::default().apply(MetadataOffset(5), 2, &records);
    let image = applied.unwrap().0;
    // Before brokers told of offline replicas, and were given producer ids.
    let version_1 = "05020101630106060a01010101010101010101010101010101090109504c41494e5445\
58540168fb842306683a393039330106683a3830383000010001ababababababababab\
ababababababababababababababababababababababab017401010201020001020000\
00010174abababababababababababababababab0100017401016b0176";
    assert_eq!(MetadataImage::from_bytes(&unhex(version_1)).unwrap(), image);

    let offline = MetadataRecord::ReplicasWentOffline(ReplicasWentOfflineV1 {
        broker: NodeId(3),
        broker_epoch: BrokerEpoch(5),
        partitions: vec![PARTITION],
    });
    let ids = MetadataRecord::ProducerIdsAllocated(ProducerIdsAllocatedV1 {
        broker: NodeId(3),
        broker_epoch: BrokerEpoch(5),
        first: ProducerId(0),
        next: ProducerId(1000),
    });
    let records = [offline, ids];
    let (image, _) = image.apply(MetadataOffset(5), 2, &records).unwrap();
    let appended = "010601abababababababababababababababab0afbd007";
    // Before partitions could be reassigned.
    let version_2 = format!("ff02{version_1}{appended}");
    assert_eq!(
        MetadataImage::from_bytes(&unhex(&version_2)).unwrap(),
        image
    );

    // Before nodes could be drained.
    let partition = ("017401010201020001020000", "0174010102000001020001020000");
    assert_eq!(version_1.matches(partition.0).count(), 1);
    let reassignable = version_1.replacen(partition.0, partition.1, 1);
    let version_3 = format!("ff03{reassignable}{appended}");
    assert_eq!(
        MetadataImage::from_bytes(&unhex(&version_3)).unwrap(),
        image
    );

    let drained = MetadataRecord::BrokerDrained(BrokerDrainedV1 { broker: NodeId(3) });
    let (image, _) = image.apply(MetadataOffset(5), 2, &[drained]).unwrap();
    let encoded = image.to_bytes().unwrap();
    assert_eq!(hex(&encoded), format!("ff04{reassignable}{appended}0106"));
    assert_eq!(MetadataImage::from_bytes(&encoded).unwrap(), image);
    assert!(MetadataImage::from_bytes(&encoded[..encoded.len() - 1]).is_err());
}

#[test]
fn an_image_of_a_later_version_is_an_error_that_says_so() {
    let error = MetadataImage::from_bytes(&[0xff, 5, 0]).unwrap_err();
    assert_eq!(error, CodecError::Image(5));
    assert!(error.to_string().contains("upgrade"), "{error}");
}

#[test]
fn what_this_node_does_not_know_is_an_error_that_says_so() {
    let record = golden().remove(0).0;
    let known = encode_records(&[record]).unwrap();
    let with = |place: usize, value: u8| {
        let mut bytes = known.to_vec();
        bytes[place] = value;
        decode_records(&bytes).unwrap_err()
    };
    assert_eq!(with(0, 9), CodecError::Schema(9));
    let kind = CodecError::Unknown {
        kind: 99,
        version: 1,
    };
    assert_eq!(with(2, 99), kind);
    assert!(kind.to_string().contains("upgrade"), "{kind}");
    let version = CodecError::Unknown {
        kind: 1,
        version: 2,
    };
    assert_eq!(with(4, 2), version);
}

#[test]
fn records_cut_short_or_with_more_behind_are_refused() {
    for (record, _) in golden() {
        let whole = encode_records(&[record]).unwrap();
        for end in 1..whole.len() {
            assert!(decode_records(&whole[..end]).is_err());
        }
        let mut longer = whole.to_vec();
        longer.push(0);
        assert!(decode_records(&longer).is_err());
        // One byte more inside the record.
        let length = u32::from_be_bytes(longer[5..9].try_into().unwrap()) + 1;
        longer[5..9].copy_from_slice(&length.to_be_bytes());
        assert!(decode_records(&longer).is_err());
    }
}

proptest! {
    /// Hostile bytes end in an error, quickly and without taking memory for what they announce.
    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(records) = decode_records(&bytes) {
            prop_assert!(records.len() * 9 <= bytes.len());
        }
        prop_assert!(decode::<EntryV1>(&bytes).is_ok() || decode::<EntryV1>(&bytes).is_err());
    }
}
