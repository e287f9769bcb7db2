//! Produce: appends to the partitions led here; with `acks=all` answers once they are committed.
//!
//! Two stages: appending happens in the order requests arrived, waiting beside the neighbours.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use drave_log::refused_records::RefusedRecord;
use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::{Offset, TopicId, TopicIdPartition};
use drave_protocol::record::attributes::Compression;
use drave_protocol::record::batch::{BatchError, BatchHeader};
use drave_protocol::schema::produce::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse,
    ProduceRequest, ProduceResponse, TopicProduceResponse,
};

use crate::cluster::ClusterView;
use crate::replica::{Acks, AppendError, Appended, Replicas};
use crate::server::context::RequestContext;
use crate::server::frame::Frame;
use crate::server::handlers::data::leader_hints::{Endpoint, LeaderHints};
use crate::server::handlers::data::naming::{self, TopicsBy};
use crate::server::handlers::discovery::metadata::is_internal;
use crate::server::quotas::Usage;
use crate::server::reply::{Answer, Close, Reply};
use crate::server::services::Services;
use crate::telemetry::Metrics;

/// First version that names topics by id.
const TOPIC_IDS_SINCE: i16 = 13;
/// Kafka's name of clients that may write to internal topics.
const ADMIN_CLIENT: &str = "__admin_client";
/// First version of the API whose clients know zstd.
const ZSTD_SINCE: i16 = 7;

/// A request, its records in buffers of their own.
#[derive(Debug)]
pub(crate) struct Produce {
    acks: i16,
    timeout_ms: i32,
    is_transactional: bool,
    pub(super) topics: Vec<Topic<BytesMut>>,
}

/// A topic of the request; `T` is what stands for each partition: its records, then its outcome.
#[derive(Debug)]
pub(super) struct Topic<T> {
    pub(super) name: String,
    pub(super) id: TopicId,
    pub(super) partitions: Vec<(i32, T)>,
}

/// What became of one partition's records.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) partition: Option<TopicIdPartition>,
    pub(super) n_bytes: usize,
    pub(super) n_records: i32,
    pub(super) result: Result<Appended, Refusal>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: ErrorCode,
    message: Option<String>,
    /// Where single records are at fault: which, and why.
    records: Vec<RefusedRecord>,
}

impl Produce {
    /// Takes the records out of the frame, so that the log can stamp them in place.
    pub(crate) fn detach(mut request: ProduceRequest, frame: &mut Frame) -> Self {
        let partitions = request
            .topic_data
            .iter_mut()
            .flat_map(|topic| &mut topic.partition_data);
        let slices: Vec<Bytes> = partitions
            .map(|it| it.records.take().unwrap_or_default())
            .collect();
        let mut records = frame.detach(slices).into_iter();
        let topics = request.topic_data.into_iter().map(|topic| Topic {
            name: topic.name,
            id: topic.topic_id,
            partitions: topic
                .partition_data
                .into_iter()
                .map(|it| (it.index, records.next().unwrap_or_default()))
                .collect(),
        });
        Self {
            acks: request.acks,
            timeout_ms: request.timeout_ms,
            is_transactional: request.transactional_id.is_some(),
            topics: topics.collect(),
        }
    }
}

/// Stage one: appends everything, in order.
pub(crate) fn handle(
    ctx: RequestContext,
    services: &Services,
    request: Produce,
) -> Result<Reply, Close> {
    let metadata = services.metadata.clone();
    let deadline = ctx.deadline(request.timeout_ms);
    let acks = acks(request.acks);
    let view = metadata.view();
    let throttle_ms = throttle(&ctx, services, &view, &request);
    let outcomes = append_all(&ctx, &services.replicas, &view, acks.as_ref(), request);
    count(&services.metrics, &view, &outcomes);
    match acks {
        Ok(Acks::None) => silence(&outcomes).map(Reply::Now),
        Ok(Acks::All) if outcomes.iter().any(has_ticket) => Ok(Reply::later(async move {
            let settled = settle(outcomes, deadline).await;
            ctx.answer(&ProduceResponse {
                throttle_time_ms: throttle_ms,
                ..respond(&ctx, &metadata.view(), settled)
            })
        })),
        Ok(Acks::All | Acks::Leader) | Err(_) => {
            let response = ProduceResponse {
                throttle_time_ms: throttle_ms,
                ..respond(&ctx, &view, outcomes)
            };
            ctx.answer(&response).map(Reply::Now)
        }
    }
}

/// Counts what came; the connection is not read from again before the producer's quota allows it.
fn throttle(
    ctx: &RequestContext,
    services: &Services,
    view: &ClusterView,
    request: &Produce,
) -> i32 {
    let partitions = request.topics.iter().flat_map(|it| &it.partitions);
    let n_bytes = partitions.map(|(_, records)| records.len()).sum();
    let used = (Usage::Produce, n_bytes);
    let client_id = ctx.client_id.as_deref();
    let wait = services.quotas.used(view, client_id, used, ctx.received_at);
    ctx.mute(wait, ctx.received_at)
}

impl Outcome {
    fn refused(partition: Option<TopicIdPartition>, refusal: Refusal) -> Self {
        Self {
            partition,
            n_bytes: 0,
            n_records: 0,
            result: Err(refusal),
        }
    }
}

impl Refusal {
    pub(super) fn new(code: ErrorCode, message: String) -> Self {
        Self {
            code,
            message: Some(message),
            records: Vec::new(),
        }
    }
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self {
            code,
            message: None,
            records: Vec::new(),
        }
    }
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Self {
        Self {
            records: error.refused_records().to_vec(),
            ..Self::new(naming::refusal(&error), error.to_string())
        }
    }
}

impl From<Endpoint> for NodeEndpoint {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            node_id: endpoint.node.0,
            host: endpoint.host,
            port: endpoint.port,
            rack: endpoint.rack,
        }
    }
}

pub(super) fn acks(number: i16) -> Result<Acks, Refusal> {
    match number {
        0 => Ok(Acks::None),
        1 => Ok(Acks::Leader),
        -1 => Ok(Acks::All),
        _ => Err(Refusal::new(
            ErrorCode::InvalidRequiredAcks,
            format!("acks is {number}; it must be -1 (all), 0 or 1"),
        )),
    }
}

fn append_all(
    ctx: &RequestContext,
    replicas: &Replicas,
    view: &ClusterView,
    acks: Result<&Acks, &Refusal>,
    request: Produce,
) -> Vec<Topic<Outcome>> {
    let is_transactional = request.is_transactional;
    let append = |(name, topic_id): (&str, TopicId), index: i32, records: BytesMut| {
        let by = topics_by(ctx.version);
        let partition = match naming::resolve(view, by, (name, topic_id), index) {
            Ok(partition) => partition,
            Err(code) => return Outcome::refused(None, Refusal::from(code)),
        };
        if let Some(refusal) = internal(ctx, view, partition) {
            return Outcome::refused(Some(partition), refusal);
        }
        let header = check(ctx.version, is_transactional, &records);
        let (acks, header) = match (acks, header) {
            (Ok(acks), Ok(header)) => (*acks, header),
            (Err(refusal), _) => return Outcome::refused(Some(partition), refusal.clone()),
            (_, Err(refusal)) => return Outcome::refused(Some(partition), refusal),
        };
        Outcome {
            partition: Some(partition),
            n_bytes: records.len(),
            n_records: header.records_count,
            result: replicas
                .append(partition, records, acks)
                .map_err(Refusal::from),
        }
    };
    let topics = request.topics.into_iter().map(|topic| Topic {
        partitions: topic
            .partitions
            .into_iter()
            .map(|(index, records)| {
                let outcome = append((&topic.name, topic.id), index, records);
                (index, outcome)
            })
            .collect(),
        name: topic.name,
        id: topic.id,
    });
    topics.collect()
}

/// What a coordinator keeps in a topic is written by the coordinator. Kafka lets its own administrators in.
fn internal(
    ctx: &RequestContext,
    view: &ClusterView,
    partition: TopicIdPartition,
) -> Option<Refusal> {
    let name = &view.topic_by_id(partition.topic_id)?.name;
    let is_admin = ctx.client_id.as_deref() == Some(ADMIN_CLIENT);
    (is_internal(name) && !is_admin).then(|| {
        let message = format!("{name} is internal: only the cluster itself writes there");
        Refusal::new(ErrorCode::InvalidTopicException, message)
    })
}

/// What the request's version demands of its records; the log checks the batch itself.
///
/// librdkafka that finds no Fetch API falls back to formats of ten years ago inside a new request:
/// those must never reach the log.
pub(super) fn check(
    version: i16,
    is_transactional: bool,
    records: &[u8],
) -> Result<BatchHeader, Refusal> {
    let invalid = |message: String| Err(Refusal::new(ErrorCode::InvalidRecord, message));
    let header = match BatchHeader::parse(records) {
        Ok(header) => header,
        Err(error @ BatchError::UnsupportedMagic(0 | 1)) => {
            return Err(Refusal::new(
                ErrorCode::UnsupportedForMessageFormat,
                error.to_string(),
            ));
        }
        Err(error) => return invalid(format!("records of {} bytes: {error}", records.len())),
    };
    if header.total_size() != records.len() {
        return invalid(format!(
            "one batch per partition: the batch has {} bytes, the records {}",
            header.total_size(),
            records.len()
        ));
    }
    let unreadable = match header.compression() {
        None => Some(format!("attributes {:#x} name no codec", header.attributes)),
        Some(Compression::Zstd) if version < ZSTD_SINCE => Some(format!(
            "zstd needs Produce {ZSTD_SINCE}, this is {version}"
        )),
        Some(_) => None,
    };
    if let Some(message) = unreadable {
        return Err(Refusal::new(ErrorCode::UnsupportedCompressionType, message));
    }
    if is_transactional || header.is_transactional() {
        return Err(Refusal::new(
            ErrorCode::InvalidTxnState,
            "transactions are not served".to_owned(),
        ));
    }
    Ok(header)
}

fn count(metrics: &Metrics, view: &ClusterView, outcomes: &[Topic<Outcome>]) {
    for (_, outcome) in outcomes.iter().flat_map(|it| &it.partitions) {
        let Some(topic) = outcome
            .partition
            .and_then(|it| view.topic_by_id(it.topic_id))
        else {
            continue;
        };
        let topic = [topic.name.as_str()];
        if outcome.result.is_ok() {
            let n_records = u64::try_from(outcome.n_records).unwrap_or_default();
            let n_bytes = u64::try_from(outcome.n_bytes).unwrap_or_default();
            metrics.records_in.with(&topic).add(n_records);
            metrics.bytes_in.with(&topic).add(n_bytes);
        } else {
            metrics.failed_produces.with(&topic).increment();
        }
    }
}

/// Stage two: waits for each ticket; an append that is not committed in time says so.
async fn settle(mut outcomes: Vec<Topic<Outcome>>, deadline: Instant) -> Vec<Topic<Outcome>> {
    for topic in &mut outcomes {
        for (_, outcome) in &mut topic.partitions {
            let ticket = outcome.result.as_mut().ok().and_then(|it| it.ticket.take());
            if let Some(ticket) = ticket
                && let Err(error) = ticket.committed(deadline).await
            {
                outcome.result = Err(Refusal::from(error));
            }
        }
    }
    outcomes
}

/// Nobody waits for an answer; a producer learns that something failed by losing its connection.
pub(super) fn silence(outcomes: &[Topic<Outcome>]) -> Result<Answer, Close> {
    for topic in outcomes {
        for (index, outcome) in &topic.partitions {
            if let Err(refusal) = &outcome.result {
                let message = refusal.message.as_deref().unwrap_or_default();
                return Err(Close::UnansweredProduce(format!(
                    "{}-{index}: {} {message}",
                    topic.name, refusal.code
                )));
            }
        }
    }
    Ok(Answer::Silence)
}

pub(super) fn respond(
    ctx: &RequestContext,
    view: &ClusterView,
    outcomes: Vec<Topic<Outcome>>,
) -> ProduceResponse {
    let mut hints = LeaderHints::new(view, ctx.listener());
    let mut responses = Vec::with_capacity(outcomes.len());
    for topic in outcomes {
        let partitions = topic.partitions.into_iter();
        responses.push(TopicProduceResponse {
            name: topic.name,
            topic_id: topic.id,
            partition_responses: partitions
                .map(|(index, outcome)| partition_response(index, outcome, &mut hints))
                .collect(),
        });
    }
    ProduceResponse {
        responses,
        node_endpoints: hints.into_endpoints().map(NodeEndpoint::from).collect(),
        ..ProduceResponse::default()
    }
}

fn partition_response(
    index: i32,
    outcome: Outcome,
    hints: &mut LeaderHints<'_>,
) -> PartitionProduceResponse {
    match outcome.result {
        Ok(appended) => PartitionProduceResponse {
            index,
            base_offset: appended.base_offset.0,
            log_append_time_ms: appended.log_append_time_ms.unwrap_or(-1),
            log_start_offset: appended.log_start_offset.0,
            ..PartitionProduceResponse::default()
        },
        Err(refusal) => {
            let leader = outcome
                .partition
                .and_then(|partition| hints.after(refusal.code, partition));
            let current_leader = leader.map(|(leader, epoch)| LeaderIdAndEpoch {
                leader_id: leader.0,
                leader_epoch: epoch.0,
            });
            PartitionProduceResponse {
                index,
                error_code: refusal.code.number(),
                base_offset: Offset::UNKNOWN.0,
                record_errors: refusal.records.iter().map(record_error).collect(),
                error_message: refusal.message,
                current_leader: current_leader.unwrap_or_default(),
                ..PartitionProduceResponse::default()
            }
        }
    }
}

fn record_error(refused: &RefusedRecord) -> BatchIndexAndErrorMessage {
    BatchIndexAndErrorMessage {
        batch_index: refused.index,
        batch_index_error_message: Some(refused.fault.to_string()),
    }
}

fn has_ticket(topic: &Topic<Outcome>) -> bool {
    let waits = |(_, it): &(i32, Outcome)| it.result.as_ref().is_ok_and(|it| it.ticket.is_some());
    topic.partitions.iter().any(waits)
}

fn topics_by(version: i16) -> TopicsBy {
    if version >= TOPIC_IDS_SINCE {
        TopicsBy::Id
    } else {
        TopicsBy::Name
    }
}
