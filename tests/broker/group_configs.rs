//! Configs of single groups: agreed, described, listed, bounded; and in force with the next heartbeat.

use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
use drave_protocol::schema::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResult,
};
use drave_protocol::schema::incremental_alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse, AlterableConfig,
    IncrementalAlterConfigsRequest,
};
use drave_protocol::schema::list_config_resources::ListConfigResourcesRequest;

use crate::support::client::code;
use crate::support::cluster::Cluster;
use crate::support::groups::coordinator;
use crate::support::wait::{seconds, wait_until};
use crate::support::wire::Wire;

const GROUP: i8 = 32;
const SET: i8 = 0;
const DELETE: i8 = 1;
const SESSION: &str = "consumer.session.timeout.ms";
const HEARTBEAT: &str = "consumer.heartbeat.interval.ms";

fn node() -> (Cluster, Wire) {
    let settings = [
        ("offsets.topic.num.partitions", "2"),
        ("group.consumer.min.session.timeout.ms", "500"),
        ("group.consumer.min.heartbeat.interval.ms", "100"),
    ];
    let mut cluster = Cluster::start_with(1, &settings);
    cluster.create_topic("t", 1, 1, &[]);
    let mut wire = cluster.wire(1);
    coordinator(&mut wire, "g");
    (cluster, wire)
}

fn alter(
    wire: &mut Wire,
    group: &str,
    entries: &[(&str, i8, &str)],
) -> AlterConfigsResourceResponse {
    let entry = |(name, config_operation, value): &(&str, i8, &str)| AlterableConfig {
        name: (*name).to_owned(),
        config_operation: *config_operation,
        value: Some((*value).to_owned()),
    };
    let request = IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: GROUP,
            resource_name: group.to_owned(),
            configs: entries.iter().map(entry).collect(),
        }],
        validate_only: false,
    };
    let answer = wire.call_newest(&request).unwrap();
    answer.responses.into_iter().next().unwrap()
}

fn describe(wire: &mut Wire, group: &str) -> DescribeConfigsResult {
    let request = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: GROUP,
            resource_name: group.to_owned(),
            configuration_keys: None,
        }],
        include_synonyms: true,
        ..DescribeConfigsRequest::default()
    };
    let answer = wire.call_newest(&request).unwrap();
    answer.results.into_iter().next().unwrap()
}

/// Value, and who said so.
fn in_force(wire: &mut Wire, name: &str) -> (String, i8) {
    let found = describe(wire, "g").configs.into_iter();
    let found = found.into_iter().find(|it| it.name == name).unwrap();
    (found.value.unwrap(), found.config_source)
}

/// The answer, the epoch and the interval in it.
fn beat(wire: &mut Wire, member: &str, epoch: i32) -> (ErrorCode, i32, i32) {
    let request = ConsumerGroupHeartbeatRequest {
        group_id: "g".to_owned(),
        member_id: member.to_owned(),
        member_epoch: epoch,
        rebalance_timeout_ms: 60_000,
        subscribed_topic_names: Some(vec!["t".to_owned()]),
        topic_partitions: Some(Vec::new()),
        ..ConsumerGroupHeartbeatRequest::default()
    };
    let answer = wire.call_newest(&request).unwrap();
    let interval = answer.heartbeat_interval_ms;
    (code(answer.error_code), answer.member_epoch, interval)
}

#[test]
fn what_a_group_is_given_holds_from_the_next_heartbeat_on() {
    let (_cluster, mut wire) = node();
    let (answer, epoch, interval) = beat(&mut wire, "a", 0);
    assert_eq!((answer, interval), (ErrorCode::None, 5000));
    assert_eq!(in_force(&mut wire, SESSION), ("45000".to_owned(), 5));

    let set = [(SESSION, SET, "900"), (HEARTBEAT, SET, "300")];
    let altered = alter(&mut wire, "g", &set);
    assert_eq!(code(altered.error_code), ErrorCode::None, "{altered:?}");
    assert_eq!(in_force(&mut wire, SESSION), ("900".to_owned(), 8));
    let (answer, _, interval) = beat(&mut wire, "a", epoch);
    assert_eq!((answer, interval), (ErrorCode::None, 300));
    // Its session is 900 ms by now, no longer 45 s.
    wait_until("the silent member to be gone", seconds(20), || {
        beat(&mut wire, "b", 0);
        let heard = beat(&mut wire, "a", i32::MAX).0;
        heard == ErrorCode::UnknownMemberId
    });

    let unset = [(SESSION, DELETE, ""), (HEARTBEAT, DELETE, "")];
    let altered = alter(&mut wire, "g", &unset);
    assert_eq!(code(altered.error_code), ErrorCode::None, "{altered:?}");
    assert_eq!(in_force(&mut wire, HEARTBEAT), ("5000".to_owned(), 5));
}

#[test]
fn what_is_out_of_bounds_is_refused() {
    let (_cluster, mut wire) = node();
    let invalid = ErrorCode::InvalidConfig;
    for (name, value, expected) in [
        (SESSION, "499", invalid),
        (SESSION, "60001", invalid),
        (SESSION, "4000", invalid), // shorter than the heartbeat interval
        (HEARTBEAT, "99", invalid),
        (HEARTBEAT, "15001", invalid),
        ("consumer.session.timeout", "1", invalid),
        (
            "share.session.timeout.ms",
            "45000",
            ErrorCode::InvalidRequest,
        ),
    ] {
        let refused = alter(&mut wire, "g", &[(name, SET, value)]);
        let found = code(refused.error_code);
        assert_eq!(found, expected, "{name}={value} {refused:?}");
    }
    let nameless = alter(&mut wire, "", &[(SESSION, SET, "50000")]);
    assert_eq!(code(nameless.error_code), ErrorCode::InvalidRequest);
    let nameless = describe(&mut wire, "");
    assert_eq!(code(nameless.error_code), ErrorCode::InvalidRequest);
}

#[test]
fn groups_that_were_given_something_are_listed_after_a_restart_too() {
    let (mut cluster, mut wire) = node();
    for group in ["g", "of nobody"] {
        let altered = alter(&mut wire, group, &[(SESSION, SET, "50000")]);
        assert_eq!(code(altered.error_code), ErrorCode::None, "{altered:?}");
    }
    cluster.kill9(1);
    cluster.start_again(1);
    let request = ListConfigResourcesRequest {
        resource_types: vec![GROUP],
    };
    let listed = cluster.ask(|wire| wire.call_newest(&request));
    let names = listed.config_resources.into_iter();
    let names: Vec<String> = names.map(|it| it.resource_name).collect();
    assert_eq!(names, ["g", "of nobody"]);
    let mut wire = cluster.wire(1);
    assert_eq!(in_force(&mut wire, SESSION), ("50000".to_owned(), 8));
}
