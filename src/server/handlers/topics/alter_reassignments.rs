//! `AlterPartitionReassignments`: carried to the active controller; refused partition by partition.

use std::collections::BTreeMap;

use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::NodeId;
use drave_protocol::schema::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse,
    ReassignablePartitionResponse, ReassignableTopicResponse,
};

use crate::cluster::ControllerLink;
use crate::cluster::administration::{AlterReassignments, FactorChange, Reassigned, Reassignment};
use crate::server::context::RequestContext;

pub(crate) async fn handle(
    ctx: &RequestContext,
    controller: &ControllerLink,
    request: AlterPartitionReassignmentsRequest,
) -> AlterPartitionReassignmentsResponse {
    let deadline = ctx.deadline(request.timeout_ms);
    let allows_change = request.allow_replication_factor_change;
    let mut reassignments = Vec::new();
    for topic in request.topics {
        let name = topic.name;
        reassignments.extend(topic.partitions.into_iter().map(|it| Reassignment {
            topic: name.clone(),
            partition: it.partition_index,
            target: it.replicas.map(|ids| ids.into_iter().map(NodeId).collect()),
        }));
    }
    let asked = AlterReassignments {
        reassignments,
        factor_change: if allows_change {
            FactorChange::Allowed
        } else {
            FactorChange::Refused
        },
    };
    let response = AlterPartitionReassignmentsResponse {
        allow_replication_factor_change: allows_change,
        ..AlterPartitionReassignmentsResponse::default()
    };
    match controller.alter_reassignments(asked, deadline).await {
        Ok(reassigned) => AlterPartitionReassignmentsResponse {
            responses: by_topic(reassigned),
            ..response
        },
        Err(error) => AlterPartitionReassignmentsResponse {
            error_code: ErrorCode::from(&error).number(),
            error_message: Some(error.to_string()),
            ..response
        },
    }
}

fn by_topic(reassigned: Vec<Reassigned>) -> Vec<ReassignableTopicResponse> {
    let mut by_topic: BTreeMap<String, Vec<ReassignablePartitionResponse>> = BTreeMap::new();
    for it in reassigned {
        let error = it.result.err();
        let code = error.as_ref().map_or(ErrorCode::None, ErrorCode::from);
        let partition = ReassignablePartitionResponse {
            partition_index: it.partition,
            error_code: code.number(),
            error_message: error.map(|it| it.to_string()),
        };
        by_topic.entry(it.topic).or_default().push(partition);
    }
    let topic = |(name, partitions)| ReassignableTopicResponse { name, partitions };
    by_topic.into_iter().map(topic).collect()
}
