//! From a frame to the handler of its API.
//!
//! The first stage runs here, in the order frames arrived. What cannot be served as asked ends the
//! connection, as in Kafka; the one exception is an unknown version of `ApiVersions`, which every client
//! must be able to ask about.

use std::time::Instant;

use bytes::BytesMut;
use drave_protocol::api::{self, Api, ApiKey};
use drave_protocol::header::RequestHeader;
use drave_protocol::message::{Message, Request};
use drave_protocol::schema::offset_for_leader_epoch::OffsetForLeaderEpochRequest;
use drave_protocol::wire::Reader;
use tracing::debug;

use crate::cluster::ClusterView;
use crate::server::context::{Origin, RequestContext};
use crate::server::frame::Frame;
use crate::server::handlers::cluster::{
    describe_quorum, drain_broker, raft_voters, unregister_broker,
};
use crate::server::handlers::configs::{alter, client_quotas, describe_configs, list_resources};
use crate::server::handlers::data::{
    delete_records, fetch, list_offsets, offset_for_leader_epoch, produce,
};
use crate::server::handlers::discovery::auto_creation::AutoCreation;
use crate::server::handlers::discovery::{
    api_versions, describe_cluster, describe_topic_partitions, find_coordinator, metadata,
    update_features,
};
use crate::server::handlers::groups::{
    consumer_group_describe, consumer_group_heartbeat, delete_groups, describe_groups, heartbeat,
    join_group, leave_group, list_groups, offset_commit, offset_delete, offset_fetch, sync_group,
};
use crate::server::handlers::producers::{describe_producers, init_producer_id};
use crate::server::handlers::topics::{
    alter_reassignments, create_partitions, create_topics, delete_topics, describe_log_dirs,
    elect_leaders, list_reassignments,
};
use crate::server::quotas::Work;
use crate::server::quotas::mutations::Mutations;
use crate::server::reply::{Close, Reply};
use crate::server::services::Services;

/// A request whose first stage is done.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) api: &'static Api,
    pub(crate) reply: Reply,
    /// What is left of the frame's memory.
    pub(crate) memory: BytesMut,
}

/// Runs the first stage of the request in `frame`.
pub(crate) fn first_stage(
    services: &Services,
    origin: &Origin,
    frame: BytesMut,
    received_at: Instant,
) -> Result<Begun, Close> {
    let mut frame = Frame::new(frame);
    let mut body = frame.reader();
    let header = RequestHeader::decode(&mut body).map_err(Close::MalformedHeader)?;
    let api = api::lookup(header.api_key).ok_or(Close::UnknownApi {
        key: header.api_key,
    })?;
    let client_id = header.client_id.as_deref();
    let held = (&origin.mute, &services.clock);
    let view = services.metadata.view();
    let configs = &view.image().configs;
    let quotas = &services.quotas;
    let work = quotas.work_for(configs, client_id, held, received_at);
    let ctx = RequestContext {
        api,
        version: header.api_version,
        correlation_id: header.correlation_id,
        client_id: header.client_id,
        origin: origin.clone(),
        received_at,
        work: work.clone(),
    };
    debug!(
        api = api.name,
        version = ctx.version,
        correlation_id = ctx.correlation_id,
        client = ctx.client_id,
        peer = %origin.peer,
        "request"
    );
    let reply = if api.decodes(ctx.version) {
        route(services, (ctx, view), body, &mut frame)?
    } else {
        unknown_version(&ctx)?
    };
    Ok(Begun {
        api,
        reply: measured(reply, work),
        memory: frame.into_memory(),
    })
}

/// Its further stages are work for the client too.
fn measured(reply: Reply, work: Option<Work>) -> Reply {
    match (reply, work) {
        (Reply::Later(waiting), Some(work)) => {
            work.pause();
            Reply::Later(work.measured(waiting))
        }
        (reply, Some(work)) => {
            work.charge();
            reply
        }
        (reply, None) => reply,
    }
}

#[allow(clippy::too_many_lines, reason = "one arm per API")]
fn route(
    services: &Services,
    (ctx, view): (RequestContext, ClusterView),
    body: Reader,
    frame: &mut Frame,
) -> Result<Reply, Close> {
    let (metadata, replicas) = (services.metadata.clone(), services.replicas.clone());
    match ctx.api.key {
        ApiKey::Produce => {
            let request = produce::Produce::detach(decode(&ctx, body)?, frame);
            produce::handle(ctx, services, request)
        }
        ApiKey::Fetch => {
            let request = decode(&ctx, body)?;
            let ctx = exempt_if(fetch::is_replicas(&request), ctx);
            services.fetch_sessions.arrived(&request);
            let services = services.clone();
            Ok(Reply::later(async move {
                fetch::handle(&ctx, &services, request).await
            }))
        }
        ApiKey::ListOffsets => {
            let (request, tasks) = (decode(&ctx, body)?, services.tasks.clone());
            Ok(Reply::later(async move {
                ctx.answer(&list_offsets::handle(&ctx, &replicas, &tasks, &view, request).await)
            }))
        }
        ApiKey::Metadata => {
            let request = decode(&ctx, body)?;
            let (controller, config) = (services.controller.clone(), &services.config);
            let creation = AutoCreation::allowed(config, &controller, &replicas, &metadata);
            let active = services.active_controller();
            Ok(Reply::later(async move {
                let response = metadata::handle(&ctx, &metadata, active, creation, request);
                ctx.answer(&response.await)
            }))
        }
        ApiKey::FindCoordinator => {
            let (request, groups) = (decode(&ctx, body)?, services.groups.clone());
            Ok(Reply::later(async move {
                let response = find_coordinator::handle(&ctx, &groups, &metadata, request);
                ctx.answer(&response.await)
            }))
        }
        ApiKey::OffsetCommit => {
            let request = decode(&ctx, body)?;
            Ok(offset_commit::handle(ctx, &services.groups, &view, request))
        }
        ApiKey::OffsetFetch => {
            let request = decode(&ctx, body)?;
            Ok(offset_fetch::handle(ctx, &services.groups, view, request))
        }
        ApiKey::OffsetDelete => {
            let request = decode(&ctx, body)?;
            Ok(offset_delete::handle(ctx, &services.groups, request))
        }
        ApiKey::JoinGroup => {
            let request = decode(&ctx, body)?;
            Ok(join_group::handle(ctx, &services.groups, request))
        }
        ApiKey::SyncGroup => {
            let request = decode(&ctx, body)?;
            Ok(sync_group::handle(ctx, &services.groups, request))
        }
        ApiKey::Heartbeat => {
            let request = decode(&ctx, body)?;
            Ok(heartbeat::handle(ctx, &services.groups, request))
        }
        ApiKey::LeaveGroup => {
            let request = decode(&ctx, body)?;
            Ok(leave_group::handle(ctx, &services.groups, request))
        }
        ApiKey::ListGroups => {
            let (request, groups) = (decode(&ctx, body)?, services.groups.clone());
            Ok(Reply::later(async move {
                ctx.answer(&list_groups::handle(&groups, request).await)
            }))
        }
        ApiKey::DescribeGroups => {
            let request = decode(&ctx, body)?;
            Ok(describe_groups::handle(ctx, &services.groups, request))
        }
        ApiKey::ConsumerGroupHeartbeat => {
            let request = decode(&ctx, body)?;
            Ok(consumer_group_heartbeat::handle(
                ctx,
                &services.groups,
                request,
            ))
        }
        ApiKey::ConsumerGroupDescribe => {
            let request = decode(&ctx, body)?;
            Ok(consumer_group_describe::handle(
                ctx,
                &services.groups,
                view,
                request,
            ))
        }
        ApiKey::DeleteGroups => {
            let request = decode(&ctx, body)?;
            Ok(delete_groups::handle(ctx, &services.groups, request))
        }
        ApiKey::ApiVersions => {
            let request = decode(&ctx, body)?;
            now(&ctx, &api_versions::handle(&ctx, &view, &request))
        }
        ApiKey::CreateTopics => {
            let request = decode(&ctx, body)?;
            let (controller, config) = (services.controller.clone(), services.config.clone());
            let mutations = mutations(services, (&ctx, &view), create_topics::REFUSES_SINCE);
            Ok(Reply::later(async move {
                let around = (&controller, &replicas, &metadata);
                ctx.answer(&create_topics::handle(&ctx, around, mutations, &config, request).await)
            }))
        }
        ApiKey::DeleteTopics => {
            let (request, controller) = (decode(&ctx, body)?, services.controller.clone());
            let is_enabled = services.config.delete_topic_enable;
            let mutations = mutations(services, (&ctx, &view), delete_topics::REFUSES_SINCE);
            Ok(Reply::later(async move {
                let counted = (&view, mutations);
                let response =
                    delete_topics::handle(&ctx, &controller, counted, is_enabled, request);
                ctx.answer(&response.await)
            }))
        }
        ApiKey::DeleteRecords => {
            let request = decode(&ctx, body)?;
            Ok(Reply::later(async move {
                ctx.answer(&delete_records::handle(&ctx, &replicas, &view, request).await)
            }))
        }
        ApiKey::InitProducerId => {
            let (request, ids) = (decode(&ctx, body)?, services.producer_ids.clone());
            Ok(Reply::later(async move {
                ctx.answer(&init_producer_id::handle(&ctx, &ids, request).await)
            }))
        }
        ApiKey::OffsetForLeaderEpoch => {
            let request: OffsetForLeaderEpochRequest = decode(&ctx, body)?;
            let ctx = exempt_if(request.replica_id >= 0, ctx);
            now(
                &ctx,
                &offset_for_leader_epoch::handle(&replicas, &view, request),
            )
        }
        ApiKey::DescribeConfigs => {
            let request = decode(&ctx, body)?;
            now(
                &ctx,
                &describe_configs::handle(&services.config, &view, request),
            )
        }
        ApiKey::AlterConfigs => {
            let (request, controller) = (decode(&ctx, body)?, services.controller.clone());
            Ok(Reply::later(async move {
                ctx.answer(&alter::wholly(&ctx, &controller, request).await)
            }))
        }
        ApiKey::IncrementalAlterConfigs => {
            let (request, controller) = (decode(&ctx, body)?, services.controller.clone());
            Ok(Reply::later(async move {
                ctx.answer(&alter::incrementally(&ctx, &controller, request).await)
            }))
        }
        ApiKey::CreatePartitions => {
            let (request, controller) = (decode(&ctx, body)?, services.controller.clone());
            let mutations = mutations(services, (&ctx, &view), create_partitions::REFUSES_SINCE);
            Ok(Reply::later(async move {
                let roles = (&replicas, &metadata);
                let response =
                    create_partitions::handle(&ctx, &controller, roles, mutations, request);
                ctx.answer(&response.await)
            }))
        }
        ApiKey::ElectLeaders => {
            let (request, controller) = (decode(&ctx, body)?, services.controller.clone());
            Ok(Reply::later(async move {
                ctx.answer(&elect_leaders::handle(&ctx, &controller, request).await)
            }))
        }
        ApiKey::AlterPartitionReassignments => {
            let (request, controller) = (decode(&ctx, body)?, services.controller.clone());
            Ok(Reply::later(async move {
                ctx.answer(&alter_reassignments::handle(&ctx, &controller, request).await)
            }))
        }
        ApiKey::ListPartitionReassignments => {
            let request = decode(&ctx, body)?;
            now(&ctx, &list_reassignments::handle(&view, &request))
        }
        ApiKey::DescribeLogDirs => {
            let (request, tasks) = (decode(&ctx, body)?, services.tasks.clone());
            Ok(Reply::later(async move {
                let described = move || describe_log_dirs::handle(&replicas, &request);
                let described = tasks.run_blocking(described).await;
                ctx.answer(&described.unwrap_or_else(describe_log_dirs::failed))
            }))
        }
        ApiKey::DescribeCluster => {
            let request = decode(&ctx, body)?;
            let controller = services.active_controller();
            now(
                &ctx,
                &describe_cluster::handle(&ctx, &view, controller, &request),
            )
        }
        ApiKey::DescribeProducers => {
            let request = decode(&ctx, body)?;
            now(&ctx, &describe_producers::handle(&replicas, &view, request))
        }
        ApiKey::ListConfigResources => {
            let request = decode(&ctx, body)?;
            now(&ctx, &list_resources::handle(&ctx, &view, request))
        }
        ApiKey::DescribeTopicPartitions => {
            let request = decode(&ctx, body)?;
            now(
                &ctx,
                &describe_topic_partitions::handle(&ctx, &view, request),
            )
        }
        ApiKey::UpdateFeatures => {
            let request = decode(&ctx, body)?;
            now(&ctx, &update_features::handle(&ctx, request))
        }
        ApiKey::DescribeClientQuotas => {
            let request = decode(&ctx, body)?;
            now(&ctx, &client_quotas::describe(&view, request))
        }
        ApiKey::AlterClientQuotas => {
            let (request, controller) = (decode(&ctx, body)?, services.controller.clone());
            Ok(Reply::later(async move {
                ctx.answer(&client_quotas::alter(&ctx, &controller, request).await)
            }))
        }
        ApiKey::DescribeQuorum => {
            let (request, controller) = (decode(&ctx, body)?, services.controller.clone());
            let listener = services.config.controller_listener.name.clone();
            Ok(Reply::later(async move {
                let response = describe_quorum::handle(&ctx, &controller, &listener, request);
                ctx.answer(&response.await)
            }))
        }
        ApiKey::UnregisterBroker => {
            let (request, controller) = (decode(&ctx, body)?, services.controller.clone());
            Ok(Reply::later(async move {
                ctx.answer(&unregister_broker::handle(&ctx, &controller, request).await)
            }))
        }
        ApiKey::AddRaftVoter => {
            let (request, controller) = (decode(&ctx, body)?, services.controller.clone());
            Ok(Reply::later(async move {
                ctx.answer(&raft_voters::add(&ctx, &controller, &view, request).await)
            }))
        }
        ApiKey::RemoveRaftVoter => {
            let (request, controller) = (decode(&ctx, body)?, services.controller.clone());
            Ok(Reply::later(async move {
                ctx.answer(&raft_voters::remove(&ctx, &controller, &view, request).await)
            }))
        }
        ApiKey::DrainBroker => {
            let (request, controller) = (decode(&ctx, body)?, services.controller.clone());
            Ok(Reply::later(async move {
                ctx.answer(&drain_broker::handle(&ctx, &controller, &request).await)
            }))
        }
    }
}

/// Replicas are never held up.
fn exempt_if(is_replicas: bool, mut ctx: RequestContext) -> RequestContext {
    if let Some(work) = ctx.work.take_if(|_| is_replicas) {
        work.exempt();
    }
    ctx
}

/// What the request may change, if its client may change only so much.
fn mutations(
    services: &Services,
    (ctx, view): (&RequestContext, &ClusterView),
    refuses_since: i16,
) -> Mutations {
    let configs = &view.image().configs;
    let versions = (ctx.version, refuses_since);
    Mutations::of(&services.quotas, configs, &services.clock, versions)
}

/// A version we cannot read. Kafka's clients learn the versions of `ApiVersions` from its refusal.
fn unknown_version(ctx: &RequestContext) -> Result<Reply, Close> {
    if ctx.api.key != ApiKey::ApiVersions {
        return Err(Close::UnknownVersion {
            api: ctx.api.name,
            version: ctx.version,
        });
    }
    ctx.answer_in(0, &api_versions::refuse_version())
        .map(Reply::Now)
}

fn decode<R: Request>(ctx: &RequestContext, mut body: Reader) -> Result<R, Close> {
    R::decode(&mut body, ctx.version).map_err(|error| Close::Malformed {
        api: ctx.api.name,
        version: ctx.version,
        error,
    })
}

fn now(ctx: &RequestContext, response: &impl Message) -> Result<Reply, Close> {
    ctx.answer(response).map(Reply::Now)
}
