//! `__consumer_offsets` is deleted, as Kafka lets an administrator do: what groups had is gone, and they begin anew.

use drave_protocol::error_code::ErrorCode;
use drave_protocol::record::attributes::Compression;
use drave_protocol::record::batch;

use crate::support::client::fetch;
use crate::support::cluster::Cluster;
use crate::support::groups::{commit, committed, coordinator};

#[test]
fn groups_begin_anew_when_their_topic_was_deleted() {
    let settings = [("offsets.topic.num.partitions", "2")];
    let mut cluster = Cluster::start_with(1, &settings);
    cluster.create_topic("t", 1, 1, &[]);
    let mut wire = cluster.wire(1);
    for round in 0..5 {
        coordinator(&mut wire, "g");
        let before = committed(&mut wire, "g", "t", 0).unwrap();
        assert_eq!(before, Ok(-1), "round {round}");
        let kept = commit(&mut wire, "g", "t", 0, 10 + round).unwrap();
        assert_eq!(kept, ErrorCode::None);
        assert_eq!(committed(&mut wire, "g", "t", 0).unwrap(), Ok(10 + round));

        cluster.delete_topic("__consumer_offsets");
        let homeless = commit(&mut wire, "g", "t", 0, 99).unwrap();
        let expected = [
            ErrorCode::NotCoordinator,
            ErrorCode::CoordinatorNotAvailable,
        ];
        assert!(expected.contains(&homeless), "{homeless:?}");
    }
}

#[test]
fn what_groups_commit_lies_compressed_if_it_shall_and_is_read_again() {
    let settings = [
        ("offsets.topic.num.partitions", "1"),
        ("offsets.topic.compression.codec", "4"),
    ];
    let mut cluster = Cluster::start_with(1, &settings);
    cluster.create_topic("t", 1, 1, &[]);
    let mut wire = cluster.wire(1);
    coordinator(&mut wire, "g");
    let kept = commit(&mut wire, "g", "t", 0, 7).unwrap();
    assert_eq!(kept, ErrorCode::None);
    let found = fetch(&mut wire, "__consumer_offsets", 0, 0).unwrap();
    let bytes = found.records.unwrap();
    let (_, header, _) = batch::iter(&bytes).next().unwrap().unwrap();
    assert_eq!(header.compression(), Some(Compression::Zstd));

    cluster.kill9(1);
    cluster.start_again(1);
    let mut wire = cluster.wire(1);
    coordinator(&mut wire, "g");
    assert_eq!(committed(&mut wire, "g", "t", 0).unwrap(), Ok(7));
}
