//! `ListConfigResources`: everything that has a configuration of its own or could have one.

use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::list_config_resources::{
    ListConfigResourcesRequest, ListConfigResourcesResponse, ListedConfigResource,
};

use drave_raft::record::ConfigResource;

use crate::cluster::ClusterView;
use crate::server::context::RequestContext;
use crate::server::handlers::configs::resource::{BROKER, GROUP, TOPIC};

/// Types of Kafka's of which there are none here: known, so asking for them is no mistake.
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const KNOWN: [i8; 5] = [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP];
/// First version that asks for anything but client metrics.
const TYPES_SINCE: i16 = 1;

pub(crate) fn handle(
    ctx: &RequestContext,
    view: &ClusterView,
    request: ListConfigResourcesRequest,
) -> ListConfigResourcesResponse {
    let asked = if ctx.version < TYPES_SINCE {
        vec![CLIENT_METRICS]
    } else if request.resource_types.is_empty() {
        KNOWN.to_vec()
    } else {
        request.resource_types
    };
    if !asked.iter().all(|it| KNOWN.contains(it)) {
        return ListConfigResourcesResponse {
            error_code: ErrorCode::UnsupportedVersion.number(),
            ..ListConfigResourcesResponse::default()
        };
    }
    let topics = view.topics().map(|it| (TOPIC, it.name.clone()));
    let brokers = view
        .brokers()
        .flat_map(|it| [BROKER, BROKER_LOGGER].map(|kind| (kind, it.broker.to_string())));
    // As Kafka: those that were given any.
    let groups = view.image().configs.keys().filter_map(|it| match it {
        ConfigResource::Group(id) => Some((GROUP, id.clone())),
        ConfigResource::Topic(_)
        | ConfigResource::Broker(_)
        | ConfigResource::Cluster
        | ConfigResource::ClientQuota(_) => None,
    });
    let listed = topics
        .chain(brokers)
        .chain(groups)
        .filter(|(kind, _)| asked.contains(kind));
    ListConfigResourcesResponse {
        config_resources: listed
            .map(|(resource_type, resource_name)| ListedConfigResource {
                resource_name,
                resource_type,
            })
            .collect(),
        ..ListConfigResourcesResponse::default()
    }
}
