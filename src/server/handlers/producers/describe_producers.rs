//! `DescribeProducers`: whom a partition's leader remembers, and whether they have a transaction open.

use drave_log::ActiveProducer;
use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::TopicId;
use drave_protocol::schema::describe_producers::{
    DescribeProducersPartitionResponse, DescribeProducersRequest, DescribeProducersResponse,
    DescribeProducersTopicResponse, ProducerState,
};

use crate::cluster::ClusterView;
use crate::replica::Replicas;
use crate::server::handlers::data::naming::{self, TopicsBy};

const NONE: i64 = -1;

pub(crate) fn handle(
    replicas: &Replicas,
    view: &ClusterView,
    request: DescribeProducersRequest,
) -> DescribeProducersResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partition_indexes.into_iter();
        DescribeProducersTopicResponse {
            partitions: partitions
                .map(|index| partition(replicas, view, &topic.name, index))
                .collect(),
            name: topic.name,
        }
    });
    DescribeProducersResponse {
        topics: topics.collect(),
        ..DescribeProducersResponse::default()
    }
}

fn partition(
    replicas: &Replicas,
    view: &ClusterView,
    topic: &str,
    partition_index: i32,
) -> DescribeProducersPartitionResponse {
    let found = naming::resolve(
        view,
        TopicsBy::Name,
        (topic, TopicId::ZERO),
        partition_index,
    );
    let result = match found {
        Ok(id) => replicas
            .producers(id)
            .map_err(|error| (naming::refusal(&error), error.to_string())),
        Err(code) => Err((
            code,
            format!("there is no partition {topic}-{partition_index}"),
        )),
    };
    let (code, error_message, producers) = match result {
        Ok(producers) => (ErrorCode::None, None, producers),
        Err((code, message)) => (code, Some(message), Vec::new()),
    };
    DescribeProducersPartitionResponse {
        partition_index,
        error_code: code.number(),
        error_message,
        active_producers: producers.into_iter().map(state).collect(),
    }
}

fn state(it: ActiveProducer) -> ProducerState {
    ProducerState {
        producer_id: it.producer_id.0,
        producer_epoch: i32::from(it.epoch),
        last_sequence: it.last_sequence,
        last_timestamp: it.last_timestamp,
        coordinator_epoch: it.coordinator_epoch,
        current_txn_start_offset: it.transaction_start.map_or(NONE, |it| it.0),
    }
}
