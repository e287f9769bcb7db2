//! `DescribeCluster`: the brokers, for administrators.

use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::NodeId;
use drave_protocol::schema::describe_cluster::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse,
};
use drave_raft::image::BrokerRegistration;

use crate::cluster::ClusterView;
use crate::server::context::RequestContext;
use crate::server::handlers::discovery::metadata;
use crate::server::handlers::discovery::operations::{ALL_ON_CLUSTER, NOT_ASKED};

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub(crate) fn handle(
    ctx: &RequestContext,
    view: &ClusterView,
    active_controller: Option<NodeId>,
    request: &DescribeClusterRequest,
) -> DescribeClusterResponse {
    if request.endpoint_type != BROKERS {
        return refused(request.endpoint_type);
    }
    let listed = view
        .brokers()
        .filter(|it| !it.fenced || request.include_fenced_brokers);
    let operations = if request.include_cluster_authorized_operations {
        ALL_ON_CLUSTER
    } else {
        NOT_ASKED
    };
    DescribeClusterResponse {
        cluster_id: view.cluster_id().unwrap_or_default().to_owned(),
        controller_id: metadata::controller_id(ctx, view, active_controller),
        brokers: listed
            .filter_map(|it| broker(it, view, ctx.listener()))
            .collect(),
        cluster_authorized_operations: operations,
        ..DescribeClusterResponse::default()
    }
}

fn refused(endpoint_type: i8) -> DescribeClusterResponse {
    let (code, message) = if endpoint_type == CONTROLLERS {
        (
            ErrorCode::MismatchedEndpointType,
            "this is a broker's listener; it does not tell the controllers' endpoints".to_owned(),
        )
    } else {
        (
            ErrorCode::UnsupportedEndpointType,
            format!("endpoint type {endpoint_type} is unknown"),
        )
    };
    DescribeClusterResponse {
        error_code: code.number(),
        error_message: Some(message),
        endpoint_type,
        ..DescribeClusterResponse::default()
    }
}

fn broker(
    broker: &BrokerRegistration,
    view: &ClusterView,
    listener: &str,
) -> Option<DescribeClusterBroker> {
    let endpoint = view.endpoint(broker.broker, listener)?;
    Some(DescribeClusterBroker {
        broker_id: broker.broker.0,
        host: endpoint.host.clone(),
        port: i32::from(endpoint.port),
        rack: broker.rack.clone(),
        is_fenced: broker.fenced,
    })
}
