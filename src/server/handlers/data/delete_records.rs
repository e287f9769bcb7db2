//! `DeleteRecords`: everything below an offset goes, on the leader and its live followers.

use std::collections::BTreeMap;

use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::{Offset, TopicId, TopicIdPartition};
use drave_protocol::schema::delete_records::{
    DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteRecordsTopicResult,
};
use tracing::debug;

use crate::cluster::ClusterView;
use crate::replica::{DeleteBefore, Deletion, DeletionError, Replicas};
use crate::server::context::RequestContext;
use crate::server::handlers::data::naming::{self, TopicsBy};

/// The offset that stands for the high watermark.
const HIGH_WATERMARK: i64 = -1;
/// What is answered where there is none to tell.
const NO_LOW_WATERMARK: i64 = -1;

pub(crate) async fn handle(
    ctx: &RequestContext,
    replicas: &Replicas,
    view: &ClusterView,
    request: DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let deadline = ctx.deadline(request.timeout_ms);
    let deletions = deletions(view, &request);
    let deleted = replicas.delete_records(&deletions, deadline).await;
    let deleted = deletions.iter().map(|it| it.partition).zip(deleted);
    respond(view, request, &deleted.collect())
}

/// What is asked of partitions that exist; a partition named twice is deleted from as its last mention says,
/// as in Kafka.
fn deletions(view: &ClusterView, request: &DeleteRecordsRequest) -> Vec<Deletion> {
    let mut by_partition = BTreeMap::new();
    for topic in &request.topics {
        for asked in &topic.partitions {
            let before = match asked.offset {
                HIGH_WATERMARK => DeleteBefore::HighWatermark,
                offset => DeleteBefore::Offset(Offset(offset)),
            };
            if let Ok(partition) = found(view, &topic.name, asked.partition_index) {
                by_partition.insert(partition, before);
            }
        }
    }
    let deletion = |(partition, before)| Deletion { partition, before };
    by_partition.into_iter().map(deletion).collect()
}

fn found(view: &ClusterView, topic: &str, partition: i32) -> Result<TopicIdPartition, ErrorCode> {
    naming::resolve(view, TopicsBy::Name, (topic, TopicId::ZERO), partition)
}

type Deleted = BTreeMap<TopicIdPartition, Result<Offset, DeletionError>>;

fn respond(
    view: &ClusterView,
    request: DeleteRecordsRequest,
    deleted: &Deleted,
) -> DeleteRecordsResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let results = topic.partitions.iter().map(|asked| {
            let found = found(view, &topic.name, asked.partition_index);
            let result = found.map(|it| deleted.get(&it));
            partition_result(asked.partition_index, result)
        });
        DeleteRecordsTopicResult {
            partitions: results.collect(),
            name: topic.name,
        }
    });
    DeleteRecordsResponse {
        topics: topics.collect(),
        ..DeleteRecordsResponse::default()
    }
}

fn partition_result(
    partition_index: i32,
    result: Result<Option<&Result<Offset, DeletionError>>, ErrorCode>,
) -> DeleteRecordsPartitionResult {
    let (low_watermark, code) = match result {
        Ok(Some(Ok(low_watermark))) => (low_watermark.0, ErrorCode::None),
        Ok(Some(Err(error))) => {
            debug!(%error, "records not deleted");
            let low_watermark = match error {
                DeletionError::TimedOut { low_watermark, .. } => low_watermark.0,
                DeletionError::UnknownPartition(_)
                | DeletionError::NotLeading(_)
                | DeletionError::LeaseLost(_)
                | DeletionError::Policy(_)
                | DeletionError::OffsetOutOfRange { .. }
                | DeletionError::NotNoted(_) => NO_LOW_WATERMARK,
            };
            (low_watermark, naming::refusal(error))
        }
        Ok(None) => (NO_LOW_WATERMARK, ErrorCode::UnknownServerError),
        Err(code) => (NO_LOW_WATERMARK, code),
    };
    DeleteRecordsPartitionResult {
        partition_index,
        low_watermark,
        error_code: code.number(),
    }
}
