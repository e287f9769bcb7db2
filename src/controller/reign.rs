//! One term of one active controller, as a pure state machine: events in, effects out.
//!
//! Decisions are made on the *speculative* image: what is agreed, and what was decided since as if it
//! were. One batch is proposed at a time; what is decided meanwhile gathers behind it and goes out
//! together when it is agreed. So a batch is never built on one that failed, which several in flight
//! could not promise, and load makes batches larger instead of queues longer.
//!
//! Invariants: nothing is answered before what it rests on is agreed and applied here; speculative =
//! committed + in flight + gathered; when a proposal fails, for whatever reason, the reign ends, all
//! that was not agreed is forgotten, and who waited is told to ask again.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use drave_protocol::ids::{BrokerEpoch, MetadataOffset, NodeId, Uuid};
use drave_raft::image::{ApplyError, MetadataImage};
use drave_raft::record::MetadataRecord;
use drave_raft::{ConnectionId, Probe};
use tracing::{error, info, warn};

use crate::cluster::rpc::{
    Heartbeat, HeartbeatAnswer, PeerReply, PeerRequest, PeerResponse, Refusal, RegisterBroker,
};
use crate::controller::administration;
use crate::controller::balance::{MOVES_PER_ROUND, rebalance, relieve_drained};
use crate::controller::batch::{Batch, append};
use crate::controller::brokers;
use crate::controller::configs::agree_on_min_isr;
use crate::controller::decision::{Decision, Policy};
use crate::controller::election::{Standing, settle};
use crate::controller::fencing::{Sessions, Suspicion, Verdict};
use crate::controller::isr;
use crate::controller::offline;
use crate::controller::operations;
use crate::controller::producer_ids;
use crate::controller::topics;
use crate::random::Random;

/// How often leaderships are taken from brokers that are drained, where others caught up.
const RELIEF_INTERVAL: Duration = Duration::from_secs(1);

/// Full batches that may gather before no more requests are taken in.
const BATCHES_GATHERED_MAX: usize = 8;

/// Names one who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

#[derive(Clone, Debug)]
pub enum Event {
    Asked {
        ticket: Ticket,
        connection: ConnectionId,
        request: PeerRequest,
    },
    /// A peer's connection is gone.
    Closed(ConnectionId),
    /// A suspect was dialled.
    Dialled {
        suspect: Suspect,
        probe: Probe,
    },
    /// The batch in flight is agreed; the image shows it.
    Agreed(Arc<MetadataImage>),
    Tick,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// At most one is out at a time.
    Propose(Vec<MetadataRecord>),
    Answer {
        ticket: Ticket,
        reply: PeerReply,
    },
    Dial(Suspect),
    /// What was decided does not fit what was agreed: start over from the agreed image.
    GiveUp,
}

/// A broker whose connection closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    pub broker: NodeId,
    pub broker_epoch: BrokerEpoch,
    pub address: String,
    pub suspicion: Suspicion,
}

/// What is owed for a batch: the answer, or how to find it once the batch is agreed.
#[derive(Clone, Debug)]
pub(crate) enum Promise {
    Response(PeerResponse),
    /// The broker epoch exists only when the registration is agreed.
    Registration {
        broker: NodeId,
        incarnation: Uuid,
        connection: ConnectionId,
    },
    Heartbeat(Heartbeat),
}

#[derive(Debug)]
pub struct Reign {
    term: u64,
    policy: Policy,
    random: Random,
    committed: Arc<MetadataImage>,
    speculative: MetadataImage,
    in_flight: Option<Batch>,
    gathered: VecDeque<Batch>,
    sessions: Sessions,
    balance_at: Instant,
    relieved_at: Instant,
}

impl Reign {
    /// Begins with the image that shows this term's activation. `former` was the controller before, if
    /// that is known.
    pub fn new(
        (term, former): (u64, Option<NodeId>),
        image: Arc<MetadataImage>,
        policy: Policy,
        random: Random,
        now: Instant,
    ) -> Self {
        let session_timeout = policy.config.broker_session_timeout;
        let balance_at = now + balance_interval(&policy);
        Self {
            term,
            policy,
            random,
            speculative: image.as_ref().clone(),
            sessions: Sessions::new(&image, session_timeout, former, now),
            committed: image,
            in_flight: None,
            gathered: VecDeque::new(),
            balance_at,
            relieved_at: now,
        }
    }

    /// Finishes what an earlier controller may have left half done, and looks who is there: a broker
    /// that died together with the last controller closed no connection of ours.
    pub fn begin(&mut self, effects: &mut Vec<Effect>) {
        for (broker, broker_epoch) in self.sessions.unheard() {
            self.suspect(broker, broker_epoch, effects);
        }
        let agreement = agree_on_min_isr(&self.speculative, &self.policy);
        self.gather(agreement.into_iter().collect(), None, effects);
        let records = settle(&self.speculative, &self.policy, Standing::AsAgreed);
        self.gather(records, None, effects);
        self.propose_next(effects);
    }

    /// Whether no more requests should be taken in until what gathered is agreed.
    pub fn is_full(&self) -> bool {
        self.gathered.len() >= BATCHES_GATHERED_MAX
    }

    pub fn step(&mut self, event: Event, now: Instant, effects: &mut Vec<Effect>) {
        match event {
            Event::Asked {
                ticket,
                connection,
                request,
            } => self.on_asked(ticket, connection, request, now, effects),
            Event::Closed(connection) => self.on_closed(connection, effects),
            Event::Dialled { suspect, probe } => self.on_dialled(suspect, probe, effects),
            Event::Agreed(image) => self.on_agreed(image, now, effects),
            Event::Tick => self.on_tick(now, effects),
        }
        self.propose_next(effects);
        debug_assert!(self.in_flight.is_some() || self.gathered.is_empty());
    }

    /// Ends the reign: who waits is told to ask again.
    pub fn end(&mut self, effects: &mut Vec<Effect>) {
        let batches = self
            .in_flight
            .take()
            .into_iter()
            .chain(mem::take(&mut self.gathered));
        for (ticket, _) in batches.flat_map(|it| it.promises) {
            let reply = refusal(&self.committed, Refusal::NotController);
            effects.push(Effect::Answer { ticket, reply });
        }
    }

    fn on_asked(
        &mut self,
        ticket: Ticket,
        connection: ConnectionId,
        request: PeerRequest,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let image = &self.speculative;
        let Decision { records, response } = match request {
            PeerRequest::Heartbeat(it) => {
                return self.on_heartbeat(ticket, connection, it, now, effects);
            }
            PeerRequest::RegisterBroker(it) => {
                return self.on_register(ticket, connection, &it, now, effects);
            }
            PeerRequest::AlterPartition(it) => {
                isr::alter_partition(image, &self.policy, &it).map(PeerResponse::AlterPartition)
            }
            PeerRequest::ReportOffline(it) => {
                offline::report(image, &self.policy, &it).map(PeerResponse::ReportOffline)
            }
            PeerRequest::CreateTopics(it) => topics::create(image, &self.policy, &self.random, &it)
                .map(PeerResponse::CreateTopics),
            PeerRequest::DeleteTopics(it) => {
                topics::delete(image, &self.policy, &it).map(PeerResponse::DeleteTopics)
            }
            PeerRequest::AllocateProducerIds(it) => {
                producer_ids::allocate(image, &it).map(PeerResponse::AllocateProducerIds)
            }
            PeerRequest::Administer(it) => {
                administration::decide(image, &self.policy, &self.random, &it)
                    .map(PeerResponse::Administered)
            }
            PeerRequest::Operate(it) => {
                operations::decide(image, &self.policy, &it).map(PeerResponse::Operated)
            }
            PeerRequest::DescribeReplicas
            | PeerRequest::DescribeGroups(_)
            | PeerRequest::Quorum(_) => Decision::answer(PeerResponse::Refused(Refusal::NotServed)),
        };
        self.gather(
            records,
            Some((ticket, Promise::Response(response))),
            effects,
        );
    }

    fn on_register(
        &mut self,
        ticket: Ticket,
        connection: ConnectionId,
        request: &RegisterBroker,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let predecessor = self.sessions.predecessor(request.broker, now);
        let decision = brokers::register(&self.speculative, &self.policy, predecessor, request);
        let promise = match decision.response {
            Ok(()) => Promise::Registration {
                broker: request.broker,
                incarnation: request.incarnation,
                connection,
            },
            Err(error) => {
                warn!(broker = %request.broker, %error, "registration refused");
                Promise::Response(PeerResponse::RegisterBroker(Err(error)))
            }
        };
        self.gather(decision.records, Some((ticket, promise)), effects);
    }

    fn on_heartbeat(
        &mut self,
        ticket: Ticket,
        connection: ConnectionId,
        request: Heartbeat,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        // What was wished before is no longer: a broker that began to serve would be fenced.
        let is_overtaken =
            self.sessions
                .is_overtaken(request.broker, request.broker_epoch, connection);
        let decision = if is_overtaken {
            Decision::answer(Ok(()))
        } else {
            brokers::heartbeat(&self.speculative, &self.policy, &request)
        };
        if let Err(error) = decision.response {
            let response = PeerResponse::Heartbeat(Err(error));
            effects.push(self.answer(ticket, response));
            return;
        }
        let Heartbeat {
            broker,
            broker_epoch,
            applied,
            ..
        } = request;
        if !is_overtaken {
            self.sessions
                .heard(broker, broker_epoch, connection, applied, now);
        }
        if decision.records.is_empty() {
            // It rests on nothing that is not agreed: proof of life must not wait for a batch.
            let response = self.heartbeat_response(&request);
            effects.push(self.answer(ticket, response));
            return;
        }
        info!(
            %broker,
            %broker_epoch,
            want_fence = request.want_fence,
            want_shutdown = request.want_shutdown,
            n_records = decision.records.len(),
            "broker changes its standing"
        );
        self.gather(
            decision.records,
            Some((ticket, Promise::Heartbeat(request))),
            effects,
        );
    }

    fn heartbeat_response(&mut self, request: &Heartbeat) -> PeerResponse {
        let broker = request.broker;
        let in_image = |image: &MetadataImage| {
            image
                .brokers
                .get(&broker)
                .map_or((true, false), |it| (it.fenced, it.shutting_down))
        };
        let (fenced, shutting_down) = in_image(&self.committed);
        if shutting_down {
            // A new controller finds it agreed, but does not know since when.
            self.sessions.began_shutdown(broker, self.committed.offset);
        }
        let handed_over = shutting_down
            && !leads_anything(&self.committed, broker)
            && self.sessions.all_saw_shutdown(broker);
        PeerResponse::Heartbeat(Ok(HeartbeatAnswer {
            // Being fenced or about to be: an answer must not renew the lease of either.
            fenced: fenced || in_image(&self.speculative).0,
            should_shut_down: request.want_shutdown && (fenced || handed_over),
        }))
    }

    fn on_closed(&mut self, connection: ConnectionId, effects: &mut Vec<Effect>) {
        if let Some((broker, broker_epoch)) = self.sessions.closed(connection) {
            info!(%broker, %broker_epoch, "heartbeat connection closed");
            self.suspect(broker, broker_epoch, effects);
        }
    }

    fn suspect(&self, broker: NodeId, broker_epoch: BrokerEpoch, effects: &mut Vec<Effect>) {
        match self.speculative.brokers.get(&broker) {
            Some(known) if !known.fenced => effects.push(Effect::Dial(Suspect {
                broker,
                broker_epoch,
                address: known.controller_address.clone(),
                suspicion: Suspicion::default(),
            })),
            Some(_) | None => {}
        }
    }

    fn on_dialled(&mut self, mut suspect: Suspect, probe: Probe, effects: &mut Vec<Effect>) {
        if !self
            .sessions
            .is_suspect(suspect.broker, suspect.broker_epoch)
        {
            return;
        }
        match suspect.suspicion.met(probe) {
            Verdict::Dead => {
                self.fence(
                    suspect.broker,
                    suspect.broker_epoch,
                    "its process is gone",
                    effects,
                );
            }
            Verdict::DialAgain => effects.push(Effect::Dial(suspect)),
            Verdict::Unproven => {}
        }
    }

    fn on_tick(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        for (broker, broker_epoch) in self.sessions.expired(now) {
            self.fence(broker, broker_epoch, "its session expired", effects);
        }
        let idle = self.in_flight.is_none() && self.gathered.is_empty();
        if now >= self.relieved_at + RELIEF_INTERVAL && idle {
            self.relieved_at = now;
            let records = relieve_drained(&self.speculative, &self.policy);
            self.gather(records, None, effects);
        }
        let idle = self.in_flight.is_none() && self.gathered.is_empty();
        if now >= self.balance_at && idle && self.policy.config.auto_leader_rebalance_enable {
            self.balance_at = now + balance_interval(&self.policy);
            let records = rebalance(&self.speculative, &self.policy, MOVES_PER_ROUND);
            if !records.is_empty() {
                info!(
                    n_partitions = records.len(),
                    "leaderships return to preferred replicas"
                );
            }
            self.gather(records, None, effects);
        }
    }

    fn fence(
        &mut self,
        broker: NodeId,
        broker_epoch: BrokerEpoch,
        reason: &'static str,
        effects: &mut Vec<Effect>,
    ) {
        self.sessions.forget(broker);
        let known = brokers::check_epoch(&self.speculative, broker, broker_epoch);
        if !known.is_ok_and(|it| !it.fenced) {
            return;
        }
        let records = brokers::fence(&self.speculative, &self.policy, broker, broker_epoch);
        let n_partitions = records.len() - 1;
        warn!(%broker, %broker_epoch, n_partitions, reason, "broker fenced");
        self.gather(records, None, effects);
    }

    /// Takes a decision as made: its records go out with the next batch, its promise is kept when
    /// they are agreed. A promise without records rests on whatever was decided before it.
    fn gather(
        &mut self,
        records: Vec<MetadataRecord>,
        promise: Option<(Ticket, Promise)>,
        effects: &mut Vec<Effect>,
    ) {
        if !records.is_empty() {
            match speculate(&self.speculative, self.term, &records) {
                Ok(image) => self.speculative = image,
                Err(error) => {
                    error!(%error, "a decision does not fit the image it was made on");
                    effects.push(Effect::GiveUp);
                }
            }
            append(&mut self.gathered, records);
        }
        let Some((ticket, promise)) = promise else {
            return;
        };
        match self.gathered.back_mut().or(self.in_flight.as_mut()) {
            Some(batch) => batch.promises.push((ticket, promise)),
            None => self.keep(ticket, promise, None, effects),
        }
    }

    fn propose_next(&mut self, effects: &mut Vec<Effect>) {
        if self.in_flight.is_some() {
            return;
        }
        if let Some(batch) = self.gathered.pop_front() {
            effects.push(Effect::Propose(batch.records.clone()));
            self.in_flight = Some(batch);
        }
    }

    fn on_agreed(&mut self, image: Arc<MetadataImage>, now: Instant, effects: &mut Vec<Effect>) {
        self.committed = image;
        let agreed = self.in_flight.take();
        if let Err(error) = self.speculate_anew() {
            error!(%error, "what was decided does not fit what was agreed");
            effects.push(Effect::GiveUp);
        }
        for (ticket, promise) in agreed.into_iter().flat_map(|it| it.promises) {
            self.keep(ticket, promise, Some(now), effects);
        }
    }

    fn speculate_anew(&mut self) -> Result<(), ApplyError> {
        let mut image = self.committed.as_ref().clone();
        for batch in &self.gathered {
            image = speculate(&image, self.term, &batch.records)?;
        }
        self.speculative = image;
        Ok(())
    }

    fn keep(
        &mut self,
        ticket: Ticket,
        promise: Promise,
        agreed_at: Option<Instant>,
        effects: &mut Vec<Effect>,
    ) {
        let response = match promise {
            Promise::Response(response) => response,
            Promise::Heartbeat(request) => self.heartbeat_response(&request),
            Promise::Registration {
                broker,
                incarnation,
                connection,
            } => match self.committed.brokers.get(&broker) {
                Some(known) if known.incarnation == incarnation => {
                    let broker_epoch = known.broker_epoch;
                    if let Some(now) = agreed_at {
                        let applied = MetadataOffset(0);
                        self.sessions
                            .heard(broker, broker_epoch, connection, applied, now);
                        info!(%broker, %broker_epoch, "broker registered");
                    }
                    PeerResponse::RegisterBroker(Ok(broker_epoch))
                }
                // Another process of that broker overtook it in the same batch.
                Some(_) | None => PeerResponse::Refused(Refusal::NotController),
            },
        };
        effects.push(self.answer(ticket, response));
    }

    fn answer(&self, ticket: Ticket, response: PeerResponse) -> Effect {
        let applied = self.committed.offset;
        let reply = PeerReply { applied, response };
        Effect::Answer { ticket, reply }
    }
}

/// The image as if `records` were agreed next. Their real offset may turn out higher: it only matters
/// as the epoch of a broker registered by them, which nobody is told before it is agreed.
fn speculate(
    image: &MetadataImage,
    term: u64,
    records: &[MetadataRecord],
) -> Result<MetadataImage, ApplyError> {
    let at = MetadataOffset(image.offset.0 + 1);
    Ok(image.apply(at, term, records)?.0)
}

/// The reply of one who did not look at the request.
pub fn refusal(image: &MetadataImage, refusal: Refusal) -> PeerReply {
    PeerReply {
        applied: image.offset,
        response: PeerResponse::Refused(refusal),
    }
}

/// How often leaderships are brought home.
fn balance_interval(policy: &Policy) -> Duration {
    Duration::from_secs(policy.config.leader_imbalance_check_interval_seconds)
}

fn leads_anything(image: &MetadataImage, broker: NodeId) -> bool {
    let mut partitions = image.topics.values().flat_map(|it| &it.partitions);
    partitions.any(|it| it.leader == Some(broker))
}

#[cfg(test)]
#[path = "reign_test.rs"]
mod tests;
