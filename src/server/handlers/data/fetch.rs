//! Fetch: records for consumers below the high watermark, for followers up to the end of the log.
//!
//! A follower's fetch moves the high watermark, so who claims to be one must be: its id and broker epoch
//! stand registered and unfenced in the image, or it gets nothing. Sessions (KIP-227) are kept for whoever
//! wants one and comes again; a fetch outside a session is complete in itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::{BrokerEpoch, NodeId, TopicIdPartition};
use drave_protocol::schema::fetch::{
    AbortedTransaction, EpochEndOffset, FetchRequest, FetchResponse, FetchableTopicResponse,
    LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use drave_protocol::wire::Records;
use parking_lot::Mutex;

use crate::cluster::ClusterView;
use crate::random::Random;
use crate::replica::{Fetched, FollowerId, Isolation, Reader, ReadsFrom};
use crate::server::context::RequestContext;
use crate::server::fetch_session::{Called, CalledTopic, Claim, Session, Who};
use crate::server::handlers::data::fetching::{Client, Fetching, Live, Looked, Terms, size};
use crate::server::handlers::data::leader_hints::{Endpoint, LeaderHints};
use crate::server::handlers::data::naming::TopicsBy;
use crate::server::quotas::Usage;
use crate::server::reply::{Answer, Close};
use crate::server::services::Services;
use crate::server::session_cache::{Candidate, Privilege, SessionCache};
use crate::telemetry::Metrics;

/// Clients that know of `preferred_read_replica` may read from followers.
const FOLLOWERS_ANSWER_SINCE: i16 = 11;
const TOPIC_IDS_SINCE: i16 = 13;
const REPLICA_STATE_SINCE: i16 = 15;
const NODE_ENDPOINTS_SINCE: i16 = 16;
const NO_SESSION: i32 = 0;
/// Session epoch of a fetch that wants none; it may close one.
const EPOCH_FINAL: i32 = -1;
/// Session epoch of a fetch that wants to open one.
const EPOCH_INITIAL: i32 = 0;

/// The fetch sessions of this node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct FetchSessions {
    cache: Arc<Mutex<SessionCache<Arc<Live>>>>,
    random: Random,
    metrics: Metrics,
}

impl FetchSessions {
    pub fn new(n_slots: usize, random: Random, metrics: Metrics) -> Self {
        Self {
            cache: Arc::new(Mutex::new(SessionCache::new(n_slots))),
            random,
            metrics,
        }
    }

    /// A request came in: if one of its session waits already, that makes way for it.
    pub(crate) fn arrived(&self, request: &FetchRequest) {
        if request.session_id != NO_SESSION
            && let Some(live) = self.cache.lock().find(request.session_id)
        {
            live.arrived(request.session_epoch);
        }
    }

    /// The session of a request that asks for what changed in it, with the request's changes.
    pub(super) fn resume(
        &self,
        version: i16,
        request: &FetchRequest,
        who: Who,
        now: Instant,
    ) -> Result<Arc<Live>, ErrorCode> {
        let found = self.cache.lock().find(request.session_id);
        let live = found.ok_or(ErrorCode::FetchSessionIdNotFound)?;
        let n_partitions = {
            let mut session = live.session.lock();
            if session.epoch() != request.session_epoch {
                return Err(ErrorCode::InvalidFetchSessionEpoch);
            }
            if session.by() != topics_by(version) {
                return Err(ErrorCode::FetchSessionTopicIdError);
            }
            if session.claim(who) == Claim::Refused {
                return Err(ErrorCode::FetchSessionIdNotFound);
            }
            session.advance_epoch();
            change(&mut session, version, request);
            session.len()
        };
        let mut cache = self.cache.lock();
        if n_partitions == 0 {
            cache.remove(request.session_id);
        }
        let outgrown = cache.used(request.session_id, n_partitions, now);
        self.show(&cache);
        match outgrown {
            Some(_) => {
                self.metrics.fetch_session_evictions.increment();
                Err(ErrorCode::FetchSessionIdNotFound)
            }
            None => Ok(live),
        }
    }

    pub(super) fn close(&self, session_id: i32) {
        let mut cache = self.cache.lock();
        let closed = cache.remove(session_id);
        self.show(&cache);
        drop(cache);
        // Outside the lock: it leaves all its partitions.
        drop(closed);
    }

    /// Keeps a session that was opened; its id, or none where there is no room.
    fn keep(&self, live: &Arc<Live>, privilege: Privilege, now: Instant) -> i32 {
        let n_partitions = live.session.lock().len();
        if n_partitions == 0 {
            return NO_SESSION;
        }
        let candidate = Candidate {
            session: Arc::clone(live),
            privilege,
            n_partitions,
        };
        let mut cache = self.cache.lock();
        let offered = cache.offer(candidate, now, || self.random.u64());
        self.show(&cache);
        drop(cache);
        for _ in &offered.evicted {
            self.metrics.fetch_session_evictions.increment();
        }
        offered.id.unwrap_or(NO_SESSION)
    }

    fn show(&self, cache: &SessionCache<Arc<Live>>) {
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.metrics.fetch_sessions.set(count(cache.len()));
        let n_partitions = count(cache.n_partitions());
        self.metrics.fetch_session_partitions.set(n_partitions);
    }
}

pub(crate) async fn handle(
    ctx: &RequestContext,
    services: &Services,
    request: FetchRequest,
) -> Result<Answer, Close> {
    let view = services.metadata.view();
    let reader = match reader(ctx.version, &request, &view) {
        Ok(reader) => reader,
        Err(code) => return refuse_reader(ctx, &view, &request, code),
    };
    let is_consumer = matches!(reader, Reader::Consumer { .. });
    let who = Who {
        reader,
        rack: request.rack_id.clone(),
    };
    let (live, epoch) = match open(ctx, services, &request, who) {
        Ok(found) => found,
        Err(code) => return refuse_session(ctx, code),
    };
    // No answer is larger (by more than one batch), whatever the client allows.
    let max_bytes = size(request.max_bytes).min(services.config.fetch_max_bytes);
    let may_be_kept =
        request.session_epoch >= EPOCH_INITIAL && services.config.fetch_session_slots > 0;
    let terms = Terms {
        reader,
        deadline: ctx.deadline(request.max_wait_ms),
        // More than may be answered would never be there.
        min_bytes: size(request.min_bytes).min(max_bytes),
        max_bytes,
        epoch,
        may_be_kept,
    };
    let client = Client {
        rack: &request.rack_id,
        listener: ctx.listener(),
    };
    let node = (&services.replicas, &services.metadata);
    let mut fetching = Fetching::new(node, &live, client, terms);
    if !live.session.lock().is_empty() {
        fetching.run().await;
    }
    let Some(looked) = fetching.finish() else {
        return refuse_session(ctx, ErrorCode::InvalidFetchSessionEpoch);
    };
    let mut throttle_ms = 0;
    if is_consumer {
        count(&services.metrics, &view, &looked);
        throttle_ms = throttle(ctx, services, &view, &looked);
    }
    let session_id = match epoch {
        Some(_) if live.session.lock().is_empty() => NO_SESSION,
        Some(_) => request.session_id,
        None if may_be_kept => {
            let privilege = if is_consumer {
                Privilege::Consumer
            } else {
                Privilege::Follower
            };
            let now = services.clock.now();
            services.fetch_sessions.keep(&live, privilege, now)
        }
        None => NO_SESSION,
    };
    // Leadership may have moved while the fetch waited: hints come from the newest view.
    let view = services.metadata.view();
    let is_committed = request.isolation_level != 0;
    respond(ctx, &view, (session_id, throttle_ms), is_committed, looked)
}

/// The session to fetch in, and the request's epoch in one that was there before.
fn open(
    ctx: &RequestContext,
    services: &Services,
    request: &FetchRequest,
    who: Who,
) -> Result<(Arc<Live>, Option<i32>), ErrorCode> {
    let sessions = &services.fetch_sessions;
    if [EPOCH_FINAL, EPOCH_INITIAL].contains(&request.session_epoch) {
        if request.session_id != NO_SESSION {
            sessions.close(request.session_id);
        }
        let mut session = Session::new(topics_by(ctx.version), who);
        change(&mut session, ctx.version, request);
        return Ok((Arc::new(Live::new(session)), None));
    }
    let live = sessions.resume(ctx.version, request, who, services.clock.now())?;
    Ok((live, Some(request.session_epoch)))
}

pub(super) fn change<W>(session: &mut Session<W>, version: i16, request: &FetchRequest) {
    let by = topics_by(version);
    let called = |name: &str, id| match by {
        TopicsBy::Name => CalledTopic::Name(Arc::from(name)),
        TopicsBy::Id => CalledTopic::Id(id),
    };
    for gone in &request.forgotten_topics_data {
        let topic = called(&gone.topic, gone.topic_id);
        for partition in &gone.partitions {
            session.forget(&Called {
                topic: topic.clone(),
                partition: *partition,
            });
        }
    }
    for asked in &request.topics {
        let topic = called(&asked.topic, asked.topic_id);
        for partition in &asked.partitions {
            let called = Called {
                topic: topic.clone(),
                partition: partition.partition,
            };
            session.ask(called, partition.clone());
        }
    }
}

fn topics_by(version: i16) -> TopicsBy {
    if version >= TOPIC_IDS_SINCE {
        TopicsBy::Id
    } else {
        TopicsBy::Name
    }
}

fn refuse_session(ctx: &RequestContext, code: ErrorCode) -> Result<Answer, Close> {
    ctx.answer(&FetchResponse {
        error_code: code.number(),
        ..FetchResponse::default()
    })
}

/// Who claims to be a follower and is none gets nothing, and no session.
fn refuse_reader(
    ctx: &RequestContext,
    view: &ClusterView,
    request: &FetchRequest,
    code: ErrorCode,
) -> Result<Answer, Close> {
    if request.session_epoch > EPOCH_INITIAL {
        return refuse_session(ctx, ErrorCode::FetchSessionIdNotFound);
    }
    let stranger = Who {
        reader: Reader::Consumer {
            isolation: Isolation::ReadUncommitted,
            from: ReadsFrom::Leader,
        },
        rack: String::new(),
    };
    let mut session: Session<()> = Session::new(topics_by(ctx.version), stranger);
    change(&mut session, ctx.version, request);
    let due = session.due();
    let refused = due.iter().filter_map(|place| {
        let called = session.entry(*place)?.called.clone();
        Some(Looked::refused(called, code))
    });
    respond(ctx, view, (NO_SESSION, 0), false, refused.collect())
}

/// Whether it says that it comes from a follower.
pub(crate) fn is_replicas(request: &FetchRequest) -> bool {
    request.replica_id >= 0 || request.replica_state.replica_id >= 0
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
        let from = if version >= FOLLOWERS_ANSWER_SINCE {
            ReadsFrom::AnyReplica
        } else {
            ReadsFrom::Leader
        };
        return Ok(Reader::Consumer { isolation, from });
    }
    let node = NodeId(id);
    let broker_epoch = BrokerEpoch(epoch);
    let registered = view
        .broker(node)
        .filter(|it| it.broker_epoch == broker_epoch && !it.fenced);
    match registered {
        Some(broker) => Ok(Reader::Follower {
            id: FollowerId { node, broker_epoch },
            is_eligible: !broker.shutting_down,
        }),
        // What Kafka answers to a stale follower: it backs off and comes again.
        None => Err(ErrorCode::NotLeaderOrFollower),
    }
}

pub(super) fn respond(
    ctx: &RequestContext,
    view: &ClusterView,
    (session_id, throttle_time_ms): (i32, i32),
    is_committed: bool,
    looked: Vec<Looked>,
) -> Result<Answer, Close> {
    let mut hints = LeaderHints::new(view, ctx.listener());
    let mut responses: Vec<FetchableTopicResponse> = Vec::new();
    let mut by_topic: BTreeMap<CalledTopic, usize> = BTreeMap::new();
    let mut slices: Vec<Vec<_>> = Vec::new();
    for Looked {
        called,
        partition,
        result,
        ..
    } in looked
    {
        let index = *by_topic.entry(called.topic).or_insert_with_key(|topic| {
            responses.push(topic_response(topic));
            slices.push(Vec::new());
            responses.len() - 1
        });
        let (Some(response), Some(slices)) = (responses.get_mut(index), slices.get_mut(index))
        else {
            continue;
        };
        response.partitions.push(match result {
            Ok(fetched) => {
                let data = records(called.partition, &fetched, is_committed);
                slices.extend(fetched.records);
                data
            }
            Err(code) => refused(called.partition, code, partition, &mut hints),
        });
    }
    let endpoints = hints.into_endpoints().map(NodeEndpoint::from);
    let response = FetchResponse {
        throttle_time_ms,
        session_id,
        responses,
        node_endpoints: endpoints
            .filter(|_| ctx.version >= NODE_ENDPOINTS_SINCE)
            .collect(),
        ..FetchResponse::default()
    };
    ctx.answer_with(
        ctx.version,
        &response,
        slices.into_iter().flatten().collect(),
    )
}

fn topic_response(topic: &CalledTopic) -> FetchableTopicResponse {
    match topic {
        CalledTopic::Name(name) => FetchableTopicResponse {
            topic: name.to_string(),
            ..FetchableTopicResponse::default()
        },
        CalledTopic::Id(id) => FetchableTopicResponse {
            topic_id: *id,
            ..FetchableTopicResponse::default()
        },
    }
}

/// Counts what the consumer is sent; its connection is not read from again before its quota allows it.
fn throttle(
    ctx: &RequestContext,
    services: &Services,
    view: &ClusterView,
    looked: &[Looked],
) -> i32 {
    let fetched = looked.iter().filter_map(|it| it.result.as_ref().ok());
    let used = (Usage::Fetch, fetched.map(Fetched::n_bytes).sum());
    let now = services.clock.now();
    let client_id = ctx.client_id.as_deref();
    ctx.mute(services.quotas.used(view, client_id, used, now), now)
}

/// What consumers got; replication is counted elsewhere.
fn count(metrics: &Metrics, view: &ClusterView, looked: &[Looked]) {
    for it in looked {
        let topic = it.partition.and_then(|it| view.topic_by_id(it.topic_id));
        let Some(topic) = topic else {
            continue;
        };
        let topic = [topic.name.as_str()];
        match &it.result {
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
        preferred_read_replica: fetched.preferred_read_replica.map_or(-1, |it| it.0),
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
