//! Metadata: brokers, topics, and who leads what, as one image shows it.
//!
//! Fenced brokers are hidden; endpoints are those of the listener the client came in by. A topic that is
//! not there may be created on demand.

use std::collections::BTreeMap;

use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::{NodeId, TopicId};
use drave_protocol::schema::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker,
    MetadataResponsePartition, MetadataResponseTopic,
};
use drave_raft::image::TopicImage;

use crate::cluster::Metadata;
use crate::cluster::view::{ClusterView, PartitionView};
use crate::coordinator::topic::OFFSETS_TOPIC;
use crate::server::context::RequestContext;
use crate::server::handlers::discovery::auto_creation::AutoCreation;
use crate::server::handlers::discovery::operations::{ALL_ON_CLUSTER, ALL_ON_TOPIC, NOT_ASKED};

/// First version whose clients know `LISTENER_NOT_FOUND`.
const LISTENER_NOT_FOUND_SINCE: i16 = 6;
/// First version in which a topic's name may be null.
const NULL_NAMES_SINCE: i16 = 12;
const INTERNAL_TOPICS: [&str; 3] = [OFFSETS_TOPIC, "__transaction_state", "__share_group_state"];

pub(crate) fn is_internal(topic: &str) -> bool {
    INTERNAL_TOPICS.contains(&topic)
}

/// Which topics a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    All,
    Only(Vec<TopicRef>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TopicRef {
    Name(String),
    Id(TopicId),
}

pub(crate) async fn handle(
    ctx: &RequestContext,
    metadata: &Metadata,
    active_controller: Option<NodeId>,
    creation: Option<AutoCreation>,
    request: MetadataRequest,
) -> MetadataResponse {
    let wanted = wanted(ctx.version, request.topics);
    let mut absent = BTreeMap::new();
    if let Some(creation) = creation.filter(|_| request.allow_auto_topic_creation) {
        let missing = missing(&metadata.view(), &wanted);
        if !missing.is_empty() {
            absent = creation.create(missing, ctx.received_at).await;
        }
    }
    let view = metadata.view();
    let operations = |is_asked, all| if is_asked { all } else { NOT_ASKED };
    let mut topics = topics(ctx, &view, wanted, &absent);
    for topic in &mut topics {
        topic.topic_authorized_operations =
            operations(request.include_topic_authorized_operations, ALL_ON_TOPIC);
    }
    MetadataResponse {
        brokers: brokers(&view, ctx.listener()),
        cluster_id: view.cluster_id().map(str::to_owned),
        controller_id: controller_id(ctx, &view, active_controller),
        topics,
        cluster_authorized_operations: operations(
            request.include_cluster_authorized_operations,
            ALL_ON_CLUSTER,
        ),
        ..MetadataResponse::default()
    }
}

/// Whom clients should send administrative requests to: the active controller where they can reach it,
/// else any broker, all of which pass such requests on.
pub(super) fn controller_id(
    ctx: &RequestContext,
    view: &ClusterView,
    active_controller: Option<NodeId>,
) -> i32 {
    let mut reachable = view
        .live_endpoints(ctx.listener())
        .map(|(it, _)| it.broker)
        .peekable();
    let any = reachable.peek().copied();
    let active = active_controller.filter(|active| reachable.any(|it| it == *active));
    active.or(any).unwrap_or(NodeId::NONE).0
}

/// In version 0, which has no null, an empty list means every topic.
pub(super) fn wanted(version: i16, topics: Option<Vec<MetadataRequestTopic>>) -> Wanted {
    match topics {
        None => Wanted::All,
        Some(topics) if version == 0 && topics.is_empty() => Wanted::All,
        Some(topics) => {
            // Java's consumer leaves the name empty, not null, where it goes by the id.
            let named = topics.into_iter().map(|topic| match topic.name {
                Some(name) if topic.topic_id.is_zero() => TopicRef::Name(name),
                Some(_) | None => TopicRef::Id(topic.topic_id),
            });
            Wanted::Only(named.collect())
        }
    }
}

/// Names asked for that are no topics yet, each once.
fn missing(view: &ClusterView, wanted: &Wanted) -> Vec<String> {
    let Wanted::Only(refs) = wanted else {
        return Vec::new();
    };
    let mut missing: Vec<String> = refs
        .iter()
        .filter_map(|it| match it {
            TopicRef::Name(name) if view.topic(name).is_none() => Some(name.clone()),
            TopicRef::Name(_) | TopicRef::Id(_) => None,
        })
        .collect();
    missing.sort();
    missing.dedup();
    missing
}

pub(super) fn topics(
    ctx: &RequestContext,
    view: &ClusterView,
    wanted: Wanted,
    absent: &BTreeMap<String, ErrorCode>,
) -> Vec<MetadataResponseTopic> {
    let refs = match wanted {
        Wanted::All => return view.topics().map(|it| topic(ctx, view, it)).collect(),
        Wanted::Only(refs) => refs,
    };
    let answer = |asked: TopicRef| {
        let found = match &asked {
            TopicRef::Name(name) => view.topic(name),
            TopicRef::Id(id) => view.topic_by_id(*id),
        };
        match (found, asked) {
            (Some(found), _) => topic(ctx, view, found),
            (None, TopicRef::Name(name)) => {
                let code = absent.get(&name).copied();
                let code = code.unwrap_or(ErrorCode::UnknownTopicOrPartition);
                no_topic(code, Some(name), TopicId::ZERO)
            }
            (None, TopicRef::Id(id)) => {
                let name = (ctx.version < NULL_NAMES_SINCE).then(String::new);
                no_topic(ErrorCode::UnknownTopicId, name, id)
            }
        }
    };
    refs.into_iter().map(answer).collect()
}

fn no_topic(code: ErrorCode, name: Option<String>, topic_id: TopicId) -> MetadataResponseTopic {
    MetadataResponseTopic {
        error_code: code.number(),
        name,
        topic_id,
        ..MetadataResponseTopic::default()
    }
}

fn topic(ctx: &RequestContext, view: &ClusterView, topic: &TopicImage) -> MetadataResponseTopic {
    let partitions = view.partitions_of(topic);
    MetadataResponseTopic {
        name: Some(topic.name.clone()),
        topic_id: topic.topic_id,
        is_internal: is_internal(&topic.name),
        partitions: partitions.map(|it| partition(ctx, view, &it)).collect(),
        ..MetadataResponseTopic::default()
    }
}

pub(super) fn partition(
    ctx: &RequestContext,
    view: &ClusterView,
    partition: &PartitionView<'_>,
) -> MetadataResponsePartition {
    let is_reachable =
        |node: NodeId| view.is_live(node) && view.endpoint(node, ctx.listener()).is_some();
    let numbers = |nodes: &[NodeId]| nodes.iter().map(|it| it.0).collect();
    let state = partition.state;
    let code = match state.leader {
        Some(leader) if is_reachable(leader) => ErrorCode::None,
        Some(leader) if view.is_live(leader) && ctx.version >= LISTENER_NOT_FOUND_SINCE => {
            ErrorCode::ListenerNotFound
        }
        Some(_) | None => ErrorCode::LeaderNotAvailable,
    };
    let leader = state.leader.filter(|_| !code.is_error());
    let is_usable = |it: NodeId| is_reachable(it) && !partition.is_offline(view, it);
    let offline = state.replicas.iter().filter(|it| !is_usable(**it));
    MetadataResponsePartition {
        error_code: code.number(),
        partition_index: partition.partition.partition,
        leader_id: leader.unwrap_or(NodeId::NONE).0,
        leader_epoch: state.leader_epoch.0,
        replica_nodes: numbers(&state.replicas),
        isr_nodes: numbers(&state.isr),
        offline_replicas: offline.map(|it| it.0).collect(),
    }
}

fn brokers(view: &ClusterView, listener: &str) -> Vec<MetadataResponseBroker> {
    let live = view.live_endpoints(listener);
    live.map(|(broker, endpoint)| MetadataResponseBroker {
        node_id: broker.broker.0,
        host: endpoint.host.clone(),
        port: i32::from(endpoint.port),
        rack: broker.rack.clone(),
    })
    .collect()
}
