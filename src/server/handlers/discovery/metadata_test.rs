//! What clients of one listener are told of the sample cluster.

use std::sync::Arc;

use drave_protocol::api::ApiKey;
use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::{NodeId, Uuid};
use drave_protocol::schema::api_versions::ApiVersionsRequest;
use drave_protocol::schema::describe_cluster::DescribeClusterRequest;
use drave_protocol::schema::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};

use crate::cluster::Metadata;
use crate::server::context::RequestContext;
use crate::server::handlers::discovery::{api_versions, describe_cluster, metadata};
use crate::server::handlers::sample;

async fn ask(ctx: &RequestContext, request: MetadataRequest) -> MetadataResponse {
    let (_feed, metadata) = Metadata::starting_at(sample::image());
    metadata::handle(ctx, &metadata, Some(NodeId(2)), None, request).await
}

async fn ask_for(version: i16, topics: Option<Vec<MetadataRequestTopic>>) -> MetadataResponse {
    let request = MetadataRequest {
        topics,
        ..MetadataRequest::default()
    };
    ask(&sample::context(ApiKey::Metadata, version), request).await
}

fn named(name: &str) -> MetadataRequestTopic {
    MetadataRequestTopic {
        name: Some(name.to_owned()),
        ..MetadataRequestTopic::default()
    }
}

#[tokio::test]
async fn fenced_brokers_are_hidden_and_their_replicas_offline() {
    let response = ask_for(13, None).await;
    let brokers: Vec<i32> = response.brokers.iter().map(|it| it.node_id).collect();
    assert_eq!(brokers, [1, 2]);
    assert_eq!(response.controller_id, 2);
    let [orders] = &response.topics[..] else {
        panic!("one topic, not {:?}", response.topics);
    };
    assert_eq!(orders.topic_id, sample::ORDERS);
    let leaders: Vec<i32> = orders.partitions.iter().map(|it| it.leader_id).collect();
    assert_eq!(leaders, [1, 2, -1]);
    let first = orders.partitions.first().unwrap();
    assert_eq!((first.error_code, first.leader_epoch), (0, 4));
    assert_eq!(first.offline_replicas, [3]);
    let leaderless = orders.partitions.last().unwrap();
    let code = ErrorCode::from_number(leaderless.error_code);
    assert_eq!(code, ErrorCode::LeaderNotAvailable);
}

#[tokio::test]
async fn an_empty_list_means_all_only_in_version_0() {
    assert_eq!(ask_for(0, Some(Vec::new())).await.topics.len(), 1);
    assert_eq!(ask_for(1, Some(Vec::new())).await.topics.len(), 0);
    assert_eq!(ask_for(1, None).await.topics.len(), 1);
}

#[tokio::test]
async fn unknown_names_and_ids_have_their_own_errors() {
    let by_id = |id: [u8; 16]| MetadataRequestTopic {
        topic_id: Uuid(id),
        name: None,
    };
    let topics = vec![named("nope"), by_id([9; 16]), by_id(sample::ORDERS.0)];
    let response = ask_for(13, Some(topics)).await;
    let codes: Vec<i16> = response.topics.iter().map(|it| it.error_code).collect();
    assert_eq!(codes, [3, 100, 0]);
    assert_eq!(response.topics[2].name.as_deref(), Some("orders"));
}

#[tokio::test]
async fn only_endpoints_of_the_clients_listener_are_told() {
    let mut ctx = sample::context(ApiKey::Metadata, 13);
    ctx.origin.listener = Arc::from(sample::INTERNAL);
    let response = ask(
        &ctx,
        MetadataRequest {
            topics: None,
            ..MetadataRequest::default()
        },
    )
    .await;
    let ports: Vec<i32> = response.brokers.iter().map(|it| it.port).collect();
    assert_eq!(ports, [9094]);
    // Its leader lives, but not where this client could reach it.
    let first = response.topics[0].partitions.first().unwrap();
    let code = ErrorCode::from_number(first.error_code);
    assert_eq!((code, first.leader_id), (ErrorCode::ListenerNotFound, -1));
}

#[tokio::test]
async fn answers_have_bytes_in_every_version() {
    let (first, last) = ApiKey::Metadata.api().decode_versions;
    for version in first..=last {
        let mut topics = vec![named("orders"), named("nope")];
        if version >= 10 {
            topics.push(MetadataRequestTopic {
                topic_id: Uuid([9; 16]),
                name: None,
            });
        }
        let request = MetadataRequest {
            topics: Some(topics),
            include_cluster_authorized_operations: (8..=10).contains(&version),
            include_topic_authorized_operations: version >= 8,
            ..MetadataRequest::default()
        };
        let ctx = sample::context(ApiKey::Metadata, version);
        let response = ask(&ctx, request).await;
        assert!(ctx.answer(&response).is_ok(), "{version}");
    }
    let view = sample::view();
    sample::encodes_in_every_version(ApiKey::ApiVersions, |version| {
        let ctx = sample::context(ApiKey::ApiVersions, version);
        let request = ApiVersionsRequest {
            client_software_name: "test".to_owned(),
            client_software_version: "1".to_owned(),
        };
        api_versions::handle(&ctx, &view, &request)
    });
    sample::encodes_in_every_version(ApiKey::DescribeCluster, |version| {
        let ctx = sample::context(ApiKey::DescribeCluster, version);
        let request = DescribeClusterRequest {
            include_cluster_authorized_operations: true,
            include_fenced_brokers: version >= 2,
            endpoint_type: if version >= 1 { 2 } else { 1 },
        };
        describe_cluster::handle(&ctx, &view, None, &request)
    });
}

#[test]
fn finalized_features_need_a_cluster_and_never_name_transactions() {
    let ctx = sample::context(ApiKey::ApiVersions, 4);
    let request = ApiVersionsRequest {
        client_software_name: "test".to_owned(),
        client_software_version: "1".to_owned(),
    };
    let response = api_versions::handle(&ctx, &sample::view(), &request);
    assert_eq!(response.finalized_features_epoch, 42);
    let finalized = response.finalized_features.iter();
    let names: Vec<&str> = finalized.map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["metadata.version"]);
    assert_eq!(
        response.api_keys[0].min_version, 0,
        "old librdkafka compresses only then"
    );
}

#[test]
fn describe_cluster_shows_fenced_brokers_when_asked() {
    let ctx = sample::context(ApiKey::DescribeCluster, 2);
    let ask = |include_fenced_brokers| {
        let request = DescribeClusterRequest {
            include_fenced_brokers,
            ..DescribeClusterRequest::default()
        };
        describe_cluster::handle(&ctx, &sample::view(), Some(NodeId(3)), &request)
    };
    assert_eq!(ask(false).brokers.len(), 2);
    let all = ask(true);
    assert_eq!(all.brokers.len(), 3);
    // The active controller is fenced as a broker: clients are sent to one they can reach.
    assert_eq!(all.controller_id, 1);
    assert_eq!(all.cluster_id, "sample");
}
