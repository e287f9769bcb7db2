//! Fetch: records for consumers below the high watermark, for followers up to the end of the log.
//!
//! A follower's fetch moves the high watermark, so who claims to be one must be: its id and broker epoch
//! stand registered and unfenced in the image, or it gets nothing. Sessions are not offered (session id
//! 0): every fetch is complete in itself.

use std::collections::{BTreeMap, BTreeSet};

use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::{BrokerEpoch, LeaderEpoch, NodeId, Offset, TopicId, TopicIdPartition};
use drave_protocol::schema::fetch::{
    AbortedTransaction, EpochEndOffset, FetchPartition as AskedPartition, FetchRequest,
    FetchResponse, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use drave_protocol::wire::Records;

use crate::cluster::ClusterView;
use crate::cluster::Metadata;
use crate::replica::{
    Fetch, FetchError, FetchPartition, Fetched, FollowerId, Isolation, Reader, Replicas,
};
use crate::server::context::RequestContext;
use crate::server::handlers::data::leader_hints::{Endpoint, LeaderHints};
use crate::server::handlers::data::naming::{self, TopicsBy};
use crate::server::reply::{Answer, Close};
use crate::telemetry::Metrics;

const TOPIC_IDS_SINCE: i16 = 13;
const REPLICA_STATE_SINCE: i16 = 15;
const NODE_ENDPOINTS_SINCE: i16 = 16;
/// Session epochs of a fetch outside a session, and of one that wants to open one.
const SESSION_EPOCHS_FULL: [i32; 2] = [-1, 0];

/// A topic of the request; for each partition its number and where its answer comes from.
#[derive(Debug)]
pub(super) struct Topic {
    name: String,
    id: TopicId,
    pub(super) partitions: Vec<(i32, Result<TopicIdPartition, ErrorCode>)>,
}

pub(super) type Results = BTreeMap<TopicIdPartition, Result<Fetched, FetchError>>;

/// `bytes_max`: no answer is larger (by more than one batch), whatever the client allows.
pub(crate) async fn handle(
    ctx: &RequestContext,
    replicas: &Replicas,
    metadata: &Metadata,
    metrics: &Metrics,
    bytes_max: usize,
    request: FetchRequest,
) -> Result<Answer, Close> {
    if !SESSION_EPOCHS_FULL.contains(&request.session_epoch) {
        return ctx.answer(&FetchResponse {
            error_code: ErrorCode::FetchSessionIdNotFound.number(),
            ..FetchResponse::default()
        });
    }
    let view = metadata.view();
    let reader = reader(ctx.version, &request, &view);
    let is_consumer = matches!(reader, Ok(Reader::Consumer { .. }));
    let (topics, partitions) = resolve(ctx.version, &view, &reader, &request);
    let results = match reader {
        Ok(reader) if !partitions.is_empty() => {
            let max_wait_ms = if has_refusal(&topics) {
                // The client has something to learn that no record will tell it.
                0
            } else {
                request.max_wait_ms
            };
            let max_bytes = size(request.max_bytes).min(bytes_max);
            let fetch = Fetch {
                reader,
                deadline: ctx.deadline(max_wait_ms),
                // More than may be answered would never be there.
                min_bytes: size(request.min_bytes).min(max_bytes),
                max_bytes,
                partitions,
            };
            let fetched = replicas.fetch(fetch).await.into_iter();
            fetched.map(|it| (it.partition, it.result)).collect()
        }
        Ok(_) | Err(_) => Results::new(),
    };
    if is_consumer {
        count(metrics, &view, &results);
    }
    // Leadership may have moved while the fetch waited: hints come from the newest view.
    respond(ctx, &metadata.view(), &request, topics, results)
}

/// Who reads, by the image; not by what the request says of itself.
pub(super) fn reader(
    version: i16,
    request: &FetchRequest,
    view: &ClusterView,
) -> Result<Reader, ErrorCode> {
    let (id, epoch) = if version >= REPLICA_STATE_SINCE {
        let state = &request.replica_state;
        (state.replica_id, state.replica_epoch)
    } else {
        (request.replica_id, BrokerEpoch::NONE.0)
    };
    if id < 0 {
        let isolation = Isolation::of_level(request.isolation_level);
        return Ok(Reader::Consumer { isolation });
    }
    let node = NodeId(id);
    let broker_epoch = BrokerEpoch(epoch);
    let is_registered = view
        .broker(node)
        .is_some_and(|it| it.broker_epoch == broker_epoch && !it.fenced);
    if is_registered {
        Ok(Reader::Follower(FollowerId { node, broker_epoch }))
    } else {
        // What Kafka answers to a stale follower: it backs off and comes again.
        Err(ErrorCode::NotLeaderOrFollower)
    }
}

/// Translates names, and drops partitions asked for twice.
pub(super) fn resolve(
    version: i16,
    view: &ClusterView,
    reader: &Result<Reader, ErrorCode>,
    request: &FetchRequest,
) -> (Vec<Topic>, Vec<FetchPartition>) {
    let by = if version >= TOPIC_IDS_SINCE {
        TopicsBy::Id
    } else {
        TopicsBy::Name
    };
    let mut seen = BTreeSet::new();
    let mut wanted = Vec::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in &topic.partitions {
            let called = (topic.topic.as_str(), topic.topic_id);
            let found = naming::resolve(view, by, called, asked.partition);
            let found = found.and_then(|it| reader.as_ref().map(|_| it).map_err(|code| *code));
            if let Ok(partition) = found {
                if !seen.insert(partition) {
                    continue;
                }
                wanted.push(translate(partition, asked));
            }
            partitions.push((asked.partition, found));
        }
        topics.push(Topic {
            name: topic.topic.clone(),
            id: topic.topic_id,
            partitions,
        });
    }
    (topics, wanted)
}

fn translate(partition: TopicIdPartition, asked: &AskedPartition) -> FetchPartition {
    let epoch = |epoch: i32| (epoch >= 0).then_some(LeaderEpoch(epoch));
    FetchPartition {
        partition,
        current_leader_epoch: epoch(asked.current_leader_epoch),
        fetch_offset: Offset(asked.fetch_offset),
        last_fetched_epoch: epoch(asked.last_fetched_epoch),
        log_start_offset: (asked.log_start_offset >= 0).then_some(Offset(asked.log_start_offset)),
        max_bytes: size(asked.partition_max_bytes),
    }
}

pub(super) fn respond(
    ctx: &RequestContext,
    view: &ClusterView,
    request: &FetchRequest,
    topics: Vec<Topic>,
    mut results: Results,
) -> Result<Answer, Close> {
    let is_committed = request.isolation_level != 0;
    let mut hints = LeaderHints::new(view, ctx.listener());
    let mut responses = Vec::with_capacity(topics.len());
    let mut slices = Vec::new();
    for topic in topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for (index, found) in topic.partitions {
            let result = match found {
                Ok(partition) => results
                    .remove(&partition)
                    .ok_or(ErrorCode::UnknownServerError)
                    .and_then(|it| it.map_err(|error| naming::refusal(&error))),
                Err(code) => Err(code),
            };
            partitions.push(match result {
                Ok(fetched) => {
                    let data = records(index, &fetched, is_committed);
                    slices.extend(fetched.records);
                    data
                }
                Err(code) => refused(index, code, found.ok(), &mut hints),
            });
        }
        responses.push(FetchableTopicResponse {
            topic: topic.name,
            topic_id: topic.id,
            partitions,
        });
    }
    let endpoints = hints.into_endpoints().map(NodeEndpoint::from);
    let response = FetchResponse {
        responses,
        node_endpoints: endpoints
            .filter(|_| ctx.version >= NODE_ENDPOINTS_SINCE)
            .collect(),
        ..FetchResponse::default()
    };
    ctx.answer_with(ctx.version, &response, slices)
}

/// What consumers got; replication is counted elsewhere.
fn count(metrics: &Metrics, view: &ClusterView, results: &Results) {
    for (partition, result) in results {
        let Some(topic) = view.topic_by_id(partition.topic_id) else {
            continue;
        };
        let topic = [topic.name.as_str()];
        match result {
            Ok(fetched) if fetched.records.is_none() => {}
            Ok(fetched) => {
                let n_bytes = u64::try_from(fetched.n_bytes()).unwrap_or(u64::MAX);
                metrics.bytes_out.with(&topic).add(n_bytes);
            }
            Err(_) => metrics.failed_fetches.with(&topic).increment(),
        }
    }
}

fn records(index: i32, fetched: &Fetched, is_committed: bool) -> PartitionData {
    let diverging = fetched.diverging.map(|(epoch, end_offset)| EpochEndOffset {
        epoch: epoch.0,
        end_offset: end_offset.0,
    });
    PartitionData {
        partition_index: index,
        high_watermark: fetched.high_watermark.0,
        last_stable_offset: fetched.last_stable_offset.0,
        log_start_offset: fetched.log_start_offset.0,
        diverging_epoch: diverging.unwrap_or_default(),
        // Null says "not asked for"; an empty list says "none".
        aborted_transactions: is_committed.then(|| aborted(fetched)),
        preferred_read_replica: -1,
        records: Some(Records::left_out(fetched.n_bytes())),
        ..PartitionData::default()
    }
}

fn aborted(fetched: &Fetched) -> Vec<AbortedTransaction> {
    let aborted = fetched.aborted.iter().map(|it| AbortedTransaction {
        producer_id: it.producer_id.0,
        first_offset: it.first_offset.0,
    });
    aborted.collect()
}

fn refused(
    index: i32,
    code: ErrorCode,
    partition: Option<TopicIdPartition>,
    hints: &mut LeaderHints<'_>,
) -> PartitionData {
    let leader = partition.and_then(|partition| hints.after(code, partition));
    let current_leader = leader.map(|(leader, epoch)| LeaderIdAndEpoch {
        leader_id: leader.0,
        leader_epoch: epoch.0,
    });
    PartitionData {
        partition_index: index,
        error_code: code.number(),
        high_watermark: -1,
        current_leader: current_leader.unwrap_or_default(),
        aborted_transactions: None,
        records: Some(Records::default()),
        ..PartitionData::default()
    }
}

fn has_refusal(topics: &[Topic]) -> bool {
    let mut partitions = topics.iter().flat_map(|it| &it.partitions);
    partitions.any(|(_, found)| found.is_err())
}

/// A count of bytes from the wire; less than none is none.
fn size(bytes: i32) -> usize {
    usize::try_from(bytes).unwrap_or_default()
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
