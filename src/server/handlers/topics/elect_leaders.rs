//! `ElectLeaders`: carried to the active controller; answered partition by partition.

use std::collections::BTreeMap;

use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::elect_leaders::{
    ElectLeadersRequest, ElectLeadersResponse, PartitionResult, ReplicaElectionResult,
};

use crate::cluster::ControllerLink;
use crate::cluster::administration::{ElectLeaders, Elected, Election, ElectionKind};
use crate::server::context::RequestContext;

const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;
/// First version with an error of the whole request.
const TOP_LEVEL_ERROR_SINCE: i16 = 1;

pub(crate) async fn handle(
    ctx: &RequestContext,
    controller: &ControllerLink,
    request: ElectLeadersRequest,
) -> ElectLeadersResponse {
    let deadline = ctx.deadline(request.timeout_ms);
    let named = request.topic_partitions.map(|topics| {
        let of_topic = topics.into_iter().flat_map(|it| {
            let topic = it.topic;
            let name = move |partition| (topic.clone(), partition);
            it.partitions.into_iter().map(name)
        });
        of_topic.collect::<Vec<(String, i32)>>()
    });
    let kind = match request.election_type {
        PREFERRED => ElectionKind::Preferred,
        UNCLEAN => ElectionKind::Unclean,
        other => {
            let message = format!("there is no election of type {other}");
            return refused(ctx.version, named, ErrorCode::InvalidRequest, &message);
        }
    };
    let asked = ElectLeaders {
        kind,
        partitions: named.clone(),
    };
    match controller.elect_leaders(asked, deadline).await {
        Ok(elections) => ElectLeadersResponse {
            replica_election_results: by_topic(elections.into_iter().map(told)),
            ..ElectLeadersResponse::default()
        },
        Err(error) => refused(ctx.version, named, (&error).into(), &error.to_string()),
    }
}

fn told(election: Election) -> (String, PartitionResult) {
    let (code, message) = match &election.result {
        Ok(elected) => (ErrorCode::None, loss(elected)),
        Err(error) => (error.into(), Some(error.to_string())),
    };
    let result = PartitionResult {
        partition_id: election.partition,
        error_code: code.number(),
        error_message: message,
    };
    (election.topic, result)
}

/// Beside a success Kafka's clients pass it over; ours shows it.
fn loss(elected: &Elected) -> Option<String> {
    let lost: Vec<String> = elected.lost.iter().map(ToString::to_string).collect();
    (!lost.is_empty()).then(|| {
        format!(
            "broker {} leads uncleanly: records that only {} had are lost",
            elected.leader,
            lost.join(", ")
        )
    })
}

fn refused(
    version: i16,
    named: Option<Vec<(String, i32)>>,
    code: ErrorCode,
    message: &str,
) -> ElectLeadersResponse {
    let results = named.into_iter().flatten().map(|(topic, partition_id)| {
        let result = PartitionResult {
            partition_id,
            error_code: code.number(),
            error_message: Some(message.to_owned()),
        };
        (topic, result)
    });
    ElectLeadersResponse {
        error_code: if version >= TOP_LEVEL_ERROR_SINCE {
            code.number()
        } else {
            ErrorCode::None.number()
        },
        replica_election_results: by_topic(results),
        ..ElectLeadersResponse::default()
    }
}

fn by_topic(
    results: impl IntoIterator<Item = (String, PartitionResult)>,
) -> Vec<ReplicaElectionResult> {
    let mut by_topic: BTreeMap<String, Vec<PartitionResult>> = BTreeMap::new();
    for (topic, result) in results {
        by_topic.entry(topic).or_default().push(result);
    }
    let result = |(topic, partition_result)| ReplicaElectionResult {
        topic,
        partition_result,
    };
    by_topic.into_iter().map(result).collect()
}
