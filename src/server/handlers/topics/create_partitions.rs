//! `CreatePartitions`: carried to the active controller; refused topic by topic.

use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::NodeId;
use drave_protocol::schema::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
    CreatePartitionsTopicResult,
};

use crate::cluster::administration::{CreatePartitions, GrowTopic};
use crate::cluster::rpc::CreateMode;
use crate::cluster::{ControllerLink, Metadata};
use crate::replica::Replicas;
use crate::server::context::RequestContext;

pub(crate) async fn handle(
    ctx: &RequestContext,
    controller: &ControllerLink,
    (replicas, metadata): (&Replicas, &Metadata),
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let deadline = ctx.deadline(request.timeout_ms);
    let mode = if request.validate_only {
        CreateMode::ValidateOnly
    } else {
        CreateMode::Create
    };
    let topics: Vec<GrowTopic> = request.topics.into_iter().map(translate).collect();
    let names: Vec<String> = topics.iter().map(|it| it.name.clone()).collect();
    let asked = CreatePartitions { topics, mode };
    let results = match controller.create_partitions(asked, deadline).await {
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
    CreatePartitionsResponse {
        results,
        ..CreatePartitionsResponse::default()
    }
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
