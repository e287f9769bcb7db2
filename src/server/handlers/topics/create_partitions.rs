//! `CreatePartitions`: carried to the active controller; refused topic by topic.

use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::NodeId;
use drave_protocol::schema::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
    CreatePartitionsTopicResult,
};

use crate::cluster::administration::{CreatePartitions, GrowTopic};
use crate::cluster::rpc::CreateMode;
use crate::cluster::{ClusterView, ControllerLink, Metadata};
use crate::replica::Replicas;
use crate::server::context::RequestContext;
use crate::server::quotas::mutations::{EXCEEDED, EXCEEDED_MESSAGE, Mutations};

/// The first version whose clients know that changes may be refused for a while.
pub(crate) const REFUSES_SINCE: i16 = 3;

pub(crate) async fn handle(
    ctx: &RequestContext,
    controller: &ControllerLink,
    (replicas, metadata): (&Replicas, &Metadata),
    mut mutations: Mutations,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let deadline = ctx.deadline(request.timeout_ms);
    let mode = if request.validate_only {
        CreateMode::ValidateOnly
    } else {
        CreateMode::Create
    };
    let view = metadata.view();
    let asked = request.topics.into_iter().map(translate);
    let (topics, refused): (Vec<GrowTopic>, Vec<GrowTopic>) =
        asked.partition(|it| mutations.may_change(ctx, n_new(&view, it)));
    drop(view);
    let refused = refused.into_iter();
    let refused = refused.map(|it| result(it.name, EXCEEDED, Some(EXCEEDED_MESSAGE.to_owned())));
    let names: Vec<String> = topics.iter().map(|it| it.name.clone()).collect();
    let asked = CreatePartitions { topics, mode };
    let mut results: Vec<CreatePartitionsTopicResult> =
        match controller.create_partitions(asked, deadline).await {
            Ok(grown) => {
                // What this broker leads of it, it is ready to lead when the client hears of it.
                replicas.settled(metadata.offset(), deadline).await;
                let results = grown.into_iter().map(|it| match it.result {
                    Ok(()) => result(it.name, ErrorCode::None, None),
                    Err(error) => result(it.name, (&error).into(), Some(error.to_string())),
                });
                results.collect()
            }
            Err(error) => {
                let code = ErrorCode::from(&error);
                let refused = |name| result(name, code, Some(error.to_string()));
                names.into_iter().map(refused).collect()
            }
        };
    results.extend(refused);
    CreatePartitionsResponse {
        results,
        throttle_time_ms: mutations.throttle_ms(ctx),
    }
}

/// What is refused anyway counts as nothing.
fn n_new(view: &ClusterView, topic: &GrowTopic) -> usize {
    let wanted = usize::try_from(topic.n_partitions).unwrap_or_default();
    let found = view.topic(&topic.name);
    found.map_or(0, |it| wanted.saturating_sub(it.partitions.len()))
}

fn translate(topic: CreatePartitionsTopic) -> GrowTopic {
    let assignments = topic.assignments.map(|assignments| {
        let nodes = |ids: Vec<i32>| ids.into_iter().map(NodeId).collect();
        assignments
            .into_iter()
            .map(|it| nodes(it.broker_ids))
            .collect()
    });
    GrowTopic {
        name: topic.name,
        n_partitions: topic.count,
        assignments,
    }
}

fn result(name: String, code: ErrorCode, message: Option<String>) -> CreatePartitionsTopicResult {
    CreatePartitionsTopicResult {
        name,
        error_code: code.number(),
        error_message: message,
    }
}
