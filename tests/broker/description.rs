//! DescribeCluster, DescribeConfigs, FindCoordinator: what tools ask before they do anything.

use drave_protocol::api::ApiKey;
use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::describe_cluster::DescribeClusterRequest;
use drave_protocol::schema::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResult,
};
use drave_protocol::schema::find_coordinator::FindCoordinatorRequest;

use crate::broker::{node_with, versions};
use crate::support::client::code;
use crate::support::wire::Wire;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

#[test]
fn every_version_describes_the_cluster() {
    let (cluster, mut wire) = node_with(&[]);
    for version in versions(ApiKey::DescribeCluster) {
        let answer = wire
            .call(version, &DescribeClusterRequest::default())
            .unwrap();
        assert_eq!(code(answer.error_code), ErrorCode::None);
        assert_eq!(
            answer.cluster_id.len(),
            22,
            "Kafka's form of an id: {}",
            answer.cluster_id
        );
        assert_eq!(answer.controller_id, 1);
        let brokers: Vec<_> = answer
            .brokers
            .iter()
            .map(|it| (it.broker_id, it.port))
            .collect();
        assert_eq!(brokers, [(1, i32::from(cluster.node(1).ports.kafka))]);
    }
    let controllers = DescribeClusterRequest {
        endpoint_type: 2,
        ..DescribeClusterRequest::default()
    };
    let answer = wire.call(2, &controllers).unwrap();
    assert_eq!(code(answer.error_code), ErrorCode::MismatchedEndpointType);
}

#[track_caller]
fn configs(wire: &mut Wire, version: i16, kind: i8, name: &str) -> DescribeConfigsResult {
    let request = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: kind,
            resource_name: name.to_owned(),
            configuration_keys: None,
        }],
        include_synonyms: true,
        include_documentation: version >= 3,
    };
    wire.call(version, &request).unwrap().results.remove(0)
}

#[test]
fn every_version_describes_the_configs_of_a_topic_and_of_the_broker() {
    let (mut cluster, mut wire) = node_with(&[]);
    cluster.create_topic("t", 1, 1, &[("max.message.bytes", "1000")]);
    for version in versions(ApiKey::DescribeConfigs) {
        let topic = configs(&mut wire, version, TOPIC, "t");
        assert_eq!(
            code(topic.error_code),
            ErrorCode::None,
            "{:?}",
            topic.error_message
        );
        let find = |name: &str| topic.configs.iter().find(|it| it.name == name).unwrap();
        let set = find("max.message.bytes");
        assert_eq!((set.value.as_deref(), set.config_source), (Some("1000"), 1));
        let agreed = find("min.insync.replicas");
        assert_eq!(
            (agreed.value.as_deref(), agreed.config_source),
            (Some("2"), 3)
        );
        let default = find("retention.ms");
        assert_eq!(default.config_source, 5);
        assert_eq!(default.documentation.is_some(), version >= 3);
        let broker = configs(&mut wire, version, BROKER, "1");
        assert!(
            broker.configs.iter().any(|it| it.name == "log.dirs"),
            "{broker:?}"
        );
        let unknown = configs(&mut wire, version, TOPIC, "nowhere");
        assert_eq!(code(unknown.error_code), ErrorCode::UnknownTopicOrPartition);
    }
}

#[test]
fn every_version_names_the_coordinator_and_the_first_makes_its_topic() {
    let (cluster, mut wire) = node_with(&[]);
    for version in versions(ApiKey::FindCoordinator) {
        let is_batched = version >= 4;
        let request = FindCoordinatorRequest {
            key: if is_batched {
                String::new()
            } else {
                "group".to_owned()
            },
            coordinator_keys: if is_batched {
                vec!["group".to_owned(), "another".to_owned()]
            } else {
                Vec::new()
            },
            ..FindCoordinatorRequest::default()
        };
        let answer = wire.call(version, &request).unwrap();
        let found = match answer.coordinators.first() {
            Some(found) => (found.error_code, found.node_id, found.port),
            None => (answer.error_code, answer.node_id, answer.port),
        };
        let port = i32::from(cluster.node(1).ports.kafka);
        assert_eq!(found, (0, 1, port), "v{version}");
        let n_answers = if is_batched { 2 } else { 0 };
        assert_eq!(answer.coordinators.len(), n_answers);
    }
}
