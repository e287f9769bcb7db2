//! The few things every story does over a bare connection: produce, fetch, ask for metadata and offsets.

use std::io;

use bytes::Bytes;
use drave_protocol::error_code::ErrorCode;
use drave_protocol::record::batch;
use drave_protocol::record::builder::BatchBuilder;
use drave_protocol::record::record;
use drave_protocol::schema::delete_records::{
    DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsTopic,
};
use drave_protocol::schema::fetch::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, PartitionData,
};
use drave_protocol::schema::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsTopic,
};
use drave_protocol::schema::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseTopic,
};
use drave_protocol::schema::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse,
    TopicProduceData,
};

use crate::support::wire::Wire;

/// The last version that names topics: a test then needs no ids.
pub(crate) const PRODUCE_BY_NAME: i16 = 12;
pub(crate) const FETCH_BY_NAME: i16 = 12;
const METADATA_VERSION: i16 = 12;

pub(crate) const ACKS_ALL: i16 = -1;
pub(crate) const LATEST: i64 = -1;
pub(crate) const EARLIEST: i64 = -2;

pub(crate) fn batch_of<V: AsRef<[u8]>>(values: impl IntoIterator<Item = V>) -> Bytes {
    let builder = values
        .into_iter()
        .fold(BatchBuilder::new(), |batch, value| {
            batch.value(1_700_000_000_000, value.as_ref().to_vec())
        });
    builder.build().freeze()
}

pub(crate) fn produce_request(
    topic: &str,
    partition: i32,
    acks: i16,
    records: Bytes,
) -> ProduceRequest {
    ProduceRequest {
        acks,
        timeout_ms: 10_000,
        topic_data: vec![TopicProduceData {
            name: topic.to_owned(),
            partition_data: vec![PartitionProduceData {
                index: partition,
                records: Some(records),
            }],
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    }
}

/// The one partition of an answer to a request about one.
pub(crate) fn produced(mut response: ProduceResponse) -> PartitionProduceResponse {
    let mut topic = response.responses.pop().expect("one topic was asked for");
    topic
        .partition_responses
        .pop()
        .expect("one partition was asked for")
}

/// Produces one batch with `acks=all`.
pub(crate) fn produce<V: AsRef<[u8]>>(
    wire: &mut Wire,
    topic: &str,
    partition: i32,
    values: impl IntoIterator<Item = V>,
) -> io::Result<PartitionProduceResponse> {
    let request = produce_request(topic, partition, ACKS_ALL, batch_of(values));
    Ok(produced(wire.call(PRODUCE_BY_NAME, &request)?))
}

pub(crate) fn fetch_request(topic: &str, partition: i32, offset: i64) -> FetchRequest {
    FetchRequest {
        max_wait_ms: 0,
        min_bytes: 0,
        topics: vec![FetchTopic {
            topic: topic.to_owned(),
            partitions: vec![FetchPartition {
                partition,
                fetch_offset: offset,
                partition_max_bytes: 4 * 1024 * 1024,
                ..FetchPartition::default()
            }],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    }
}

pub(crate) fn fetched(mut response: FetchResponse) -> PartitionData {
    let mut topic = response.responses.pop().expect("one topic was asked for");
    topic.partitions.pop().expect("one partition was asked for")
}

/// Fetches what is there now from `offset` on.
pub(crate) fn fetch(
    wire: &mut Wire,
    topic: &str,
    partition: i32,
    offset: i64,
) -> io::Result<PartitionData> {
    let request = fetch_request(topic, partition, offset);
    Ok(fetched(wire.call(FETCH_BY_NAME, &request)?))
}

/// Offsets and values of uncompressed batches, as they came.
pub(crate) fn values_of(batches: &[u8]) -> Vec<(i64, Vec<u8>)> {
    let mut values = Vec::new();
    for item in batch::iter(batches) {
        let (_, header, bytes) = item.expect("whole batches are answered");
        assert!(batch::verify_crc(bytes), "a batch arrives undamaged");
        for record in record::iter(bytes).expect("uncompressed records") {
            let record = record.expect("a whole record");
            let value = record.value.unwrap_or_default().to_vec();
            values.push((record.offset(&header).0, value));
        }
    }
    values
}

/// Everything committed in a partition, read from its leader; refuses holes.
pub(crate) fn read_all(wire: &mut Wire, topic: &str, partition: i32) -> Vec<Vec<u8>> {
    read_from(wire, topic, partition, 0)
}

/// The same of a partition whose records were deleted up to `start`.
pub(crate) fn read_from(wire: &mut Wire, topic: &str, partition: i32, start: i64) -> Vec<Vec<u8>> {
    let mut values = Vec::new();
    let mut next = start;
    loop {
        let data = fetch(wire, topic, partition, next).expect("the leader answers");
        assert_eq!(code(data.error_code), ErrorCode::None, "fetch at {next}");
        let batches = data.records.unwrap_or_default();
        if batches.is_empty() {
            assert_eq!(next, data.high_watermark, "all that is committed is served");
            return values;
        }
        for (offset, value) in values_of(&batches) {
            // A batch may begin before the offset that was asked for.
            if offset >= next {
                assert_eq!(offset, next, "offsets have no holes");
                values.push(value);
                next += 1;
            }
        }
    }
}

/// Deletes what lies before `offset`; -1 is the high watermark.
pub(crate) fn delete_records(
    wire: &mut Wire,
    topic: &str,
    partition: i32,
    offset: i64,
) -> io::Result<DeleteRecordsPartitionResult> {
    let request = DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic {
            name: topic.to_owned(),
            partitions: vec![DeleteRecordsPartition {
                partition_index: partition,
                offset,
            }],
        }],
        timeout_ms: 20_000,
    };
    let mut response = wire.call_newest(&request)?;
    let mut topic = response.topics.pop().expect("one topic was asked for");
    Ok(topic.partitions.pop().expect("one partition was asked for"))
}

pub(crate) fn list_offset(
    wire: &mut Wire,
    topic: &str,
    partition: i32,
    timestamp: i64,
) -> io::Result<ListOffsetsPartitionResponse> {
    list_offset_as(wire, 0, (topic, partition), timestamp)
}

/// As readers of committed records see it.
pub(crate) fn list_committed_offset(
    wire: &mut Wire,
    topic: &str,
    partition: i32,
    timestamp: i64,
) -> io::Result<ListOffsetsPartitionResponse> {
    list_offset_as(wire, 1, (topic, partition), timestamp)
}

fn list_offset_as(
    wire: &mut Wire,
    isolation_level: i8,
    (topic, partition): (&str, i32),
    timestamp: i64,
) -> io::Result<ListOffsetsPartitionResponse> {
    let request = ListOffsetsRequest {
        replica_id: -1,
        isolation_level,
        topics: vec![ListOffsetsTopic {
            name: topic.to_owned(),
            partitions: vec![ListOffsetsPartition {
                partition_index: partition,
                timestamp,
                ..ListOffsetsPartition::default()
            }],
        }],
        ..ListOffsetsRequest::default()
    };
    let mut response = wire.call_newest(&request)?;
    let mut topic = response.topics.pop().expect("one topic was asked for");
    Ok(topic.partitions.pop().expect("one partition was asked for"))
}

/// Metadata of the named topics, creating none.
pub(crate) fn metadata(wire: &mut Wire, topics: &[&str]) -> io::Result<MetadataResponse> {
    let by_name = |name: &&str| MetadataRequestTopic {
        name: Some((*name).to_owned()),
        ..MetadataRequestTopic::default()
    };
    let request = MetadataRequest {
        topics: Some(topics.iter().map(by_name).collect()),
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    };
    wire.call(METADATA_VERSION, &request)
}

pub(crate) fn topic_metadata(wire: &mut Wire, topic: &str) -> io::Result<MetadataResponseTopic> {
    let mut response = metadata(wire, &[topic])?;
    Ok(response.topics.pop().expect("one topic was asked for"))
}

pub(crate) fn code(number: i16) -> ErrorCode {
    ErrorCode::from_number(number)
}
