//! Requests to the leader of one partition, with nothing hidden: batches go out as they are given, and
//! answers come back with their error codes, watermarks, control batches and leader epochs.

use std::time::Duration;

use bytes::Bytes;
use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::{LeaderEpoch, Offset, ProducerId, TopicId};
use drave_protocol::schema::fetch::{FetchPartition, FetchRequest, FetchTopic};
use drave_protocol::schema::init_producer_id::InitProducerIdRequest;
use drave_protocol::schema::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use drave_protocol::schema::produce::{
    PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData,
};
use drave_protocol::wire::Records;

use crate::error::ClientError;
use crate::network::connection::Connection;

/// `ListOffsets` with this timestamp asks for the end of the log.
const LATEST: i64 = -1;
const PARTITION_BYTES_MAX: i32 = 1 << 20;

/// A partition in both of its names: old versions know the topic's name, new ones its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub topic: String,
    pub topic_id: TopicId,
    pub partition: i32,
}

/// What the leader said to a produce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Produced {
    pub code: ErrorCode,
    pub base_offset: Offset,
}

/// Which records a reader is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    ReadUncommitted,
    ReadCommitted,
}

impl Isolation {
    fn number(self) -> i8 {
        match self {
            Self::ReadUncommitted => 0,
            Self::ReadCommitted => 1,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct FetchFrom {
    pub offset: Offset,
    /// What the reader takes for the leader's epoch; `UNKNOWN` to be answered by any.
    pub leader_epoch: LeaderEpoch,
    pub isolation: Isolation,
    /// How long the leader may wait for records.
    pub wait: Duration,
}

/// What the leader said to a fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    pub code: ErrorCode,
    pub high_watermark: Offset,
    pub last_stable_offset: Offset,
    pub log_start_offset: Offset,
    /// Batches as they lie in the log; the last may be cut short.
    pub records: Bytes,
}

/// A produce of one batch; `timeout` is what the leader may wait for its followers.
pub fn produce_request(
    target: &Target,
    acks: i16,
    timeout: Duration,
    records: Bytes,
) -> ProduceRequest {
    ProduceRequest {
        acks,
        timeout_ms: millis(timeout),
        topic_data: vec![TopicProduceData {
            name: target.topic.clone(),
            topic_id: target.topic_id,
            partition_data: vec![PartitionProduceData {
                index: target.partition,
                records: Some(records),
            }],
        }],
        ..ProduceRequest::default()
    }
}

/// Another batch for the partition of a request as `produce_request` made it.
pub fn set_records(request: &mut ProduceRequest, records: Bytes) {
    let topic = request.topic_data.first_mut();
    if let Some(partition) = topic.and_then(|it| it.partition_data.first_mut()) {
        partition.records = Some(records);
    }
}

/// The answer for the one partition that was written to.
pub fn produced(response: &ProduceResponse) -> Produced {
    let topic = response.responses.first();
    let partition = topic.and_then(|it| it.partition_responses.first());
    partition.map_or(
        Produced {
            code: ErrorCode::UnknownServerError,
            base_offset: Offset::UNKNOWN,
        },
        |it| Produced {
            code: ErrorCode::from_number(it.error_code),
            base_offset: Offset(it.base_offset),
        },
    )
}

/// Reads one partition; `timeout` comes on top of what the leader may wait.
pub async fn fetch(
    connection: &Connection,
    target: &Target,
    from: FetchFrom,
    timeout: Duration,
) -> Result<Fetched, ClientError> {
    let partition = FetchPartition {
        partition: target.partition,
        current_leader_epoch: from.leader_epoch.0,
        fetch_offset: from.offset.0,
        partition_max_bytes: PARTITION_BYTES_MAX,
        last_fetched_epoch: -1,
        ..FetchPartition::default()
    };
    let request = FetchRequest {
        max_wait_ms: millis(from.wait),
        min_bytes: 1,
        isolation_level: from.isolation.number(),
        topics: vec![FetchTopic {
            topic: target.topic.clone(),
            topic_id: target.topic_id,
            partitions: vec![partition],
        }],
        ..FetchRequest::default()
    };
    let response = connection.fetch(request, from.wait + timeout).await?;
    let code = ErrorCode::from_number(response.error_code);
    let topic = response.responses.into_iter().next();
    let found = topic.and_then(|it| it.partitions.into_iter().next());
    let Some(found) = found.filter(|_| !code.is_error()) else {
        let unsaid = ErrorCode::UnknownServerError;
        return Ok(Fetched {
            code: if code.is_error() { code } else { unsaid },
            high_watermark: Offset::UNKNOWN,
            last_stable_offset: Offset::UNKNOWN,
            log_start_offset: Offset::UNKNOWN,
            records: Bytes::new(),
        });
    };
    Ok(Fetched {
        code: ErrorCode::from_number(found.error_code),
        high_watermark: Offset(found.high_watermark),
        last_stable_offset: Offset(found.last_stable_offset),
        log_start_offset: Offset(found.log_start_offset),
        records: found.records.map(Records::into_bytes).unwrap_or_default(),
    })
}

/// The end of the log as readers of this isolation see it.
pub async fn latest_offset(
    connection: &Connection,
    target: &Target,
    isolation: Isolation,
    timeout: Duration,
) -> Result<Offset, ClientError> {
    let request = ListOffsetsRequest {
        replica_id: -1,
        isolation_level: isolation.number(),
        topics: vec![ListOffsetsTopic {
            name: target.topic.clone(),
            partitions: vec![ListOffsetsPartition {
                partition_index: target.partition,
                timestamp: LATEST,
                ..ListOffsetsPartition::default()
            }],
        }],
        timeout_ms: millis(timeout),
    };
    let response = connection.send(&request, timeout).await?;
    let topic = response.topics.first();
    let found = topic.and_then(|it| it.partitions.first());
    let code = found.map_or(ErrorCode::UnknownServerError, |it| {
        ErrorCode::from_number(it.error_code)
    });
    match found {
        Some(found) if !code.is_error() => Ok(Offset(found.offset)),
        _ => Err(ClientError::Refused {
            code,
            message: None,
        }),
    }
}

/// An id and an epoch for an idempotent producer.
pub async fn init_producer_id(
    connection: &Connection,
    timeout: Duration,
) -> Result<(ProducerId, i16), ClientError> {
    let request = InitProducerIdRequest {
        transaction_timeout_ms: millis(timeout),
        ..InitProducerIdRequest::default()
    };
    let response = connection.send(&request, timeout).await?;
    let code = ErrorCode::from_number(response.error_code);
    if code.is_error() {
        return Err(ClientError::Refused {
            code,
            message: None,
        });
    }
    Ok((ProducerId(response.producer_id), response.producer_epoch))
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
