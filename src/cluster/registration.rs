//! This broker's half of liveness, as a pure state machine: register, heartbeat, keep the lease.
//!
//! One request at a time over one long-lived connection to the active controller. That the connection
//! stands is itself a sign of life, so it is opened anew at once when it closes or the controller moves.
//!
//! Invariants: a heartbeat is sent only with the epoch of this process's own registration; the lease
//! counts from when the answered heartbeat was *sent*; an answer that says "fenced" ends it.
//! Runs in `liveness`.

use std::time::{Duration, Instant};

use drave_protocol::ids::{BrokerEpoch, MetadataOffset};
use tracing::{info, warn};

use crate::cluster::lease::{LeaseState, lease_of};
use crate::cluster::rpc::{
    Heartbeat, HeartbeatAnswer, HeartbeatError, PeerRequest, PeerResponse, Refusal, RegisterBroker,
    RegisterError,
};

/// Between tries that failed, doubling.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// Until a running predecessor of ours is found gone.
const PAUSE_DUPLICATE: Duration = Duration::from_millis(50);

/// After a refusal that only a person can end.
const PAUSE_REFUSED: Duration = Duration::from_secs(1);

/// A leaving broker asks more often whether it may go.
const INTERVAL_LEAVING: Duration = Duration::from_millis(50);

/// What this broker wants of the controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wish {
    /// It has not opened its logs or its listeners yet: stay hidden.
    StayFenced,
    Serve,
    Leave,
}

/// Where the active controller is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Controller {
    /// In this process.
    Here,
    At(String),
}

#[derive(Clone, Debug)]
pub enum Event {
    /// The quorum has another leader; `None` while it has none.
    Controller(Option<Controller>),
    Connected,
    /// The connection did not come about, or is gone, or a request on it stayed unanswered.
    Disconnected,
    Answered {
        sent_at: Instant,
        response: PeerResponse,
    },
    /// This node's image reached an offset.
    Applied {
        offset: MetadataOffset,
        cluster_id: Option<String>,
    },
    Wished(Wish),
    Tick,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Replaces whatever connection there is.
    Connect(Controller),
    Disconnect,
    Send(PeerRequest),
}

/// How this broker stands, for health checks and for who waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerStanding {
    pub broker_epoch: Option<BrokerEpoch>,
    /// As the controller said last.
    pub unfenced: bool,
    /// A leaving broker has nothing left that depends on it.
    pub may_stop: bool,
    /// Why the controller does not let this broker in.
    pub refusal: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Down {
        retry_at: Instant,
    },
    Connecting,
    /// The next request goes out at `Registration::send_at`.
    Idle,
    Waiting,
}

#[derive(Debug)]
pub struct Registration {
    request: RegisterBroker,
    session_timeout: Duration,
    heartbeat_interval: Duration,
    controller: Option<Controller>,
    link: Link,
    wish: Wish,
    applied: MetadataOffset,
    send_at: Instant,
    /// Something the next heartbeat says that the last one did not.
    has_news: bool,
    pause: Duration,
    lease_until: Option<Instant>,
    standing: BrokerStanding,
}

impl Registration {
    pub fn new(
        request: RegisterBroker,
        session_timeout: Duration,
        heartbeat_interval: Duration,
        now: Instant,
    ) -> Self {
        Self {
            request,
            session_timeout,
            heartbeat_interval,
            controller: None,
            link: Link::Down { retry_at: now },
            wish: Wish::StayFenced,
            applied: MetadataOffset(0),
            send_at: now,
            has_news: false,
            pause: PAUSE_MIN,
            lease_until: None,
            standing: BrokerStanding::default(),
        }
    }

    pub fn standing(&self) -> &BrokerStanding {
        &self.standing
    }

    pub fn lease(&self) -> LeaseState {
        LeaseState {
            broker_epoch: self.standing.broker_epoch,
            until: self.lease_until,
        }
    }

    /// When to call `step` with a `Tick`, if nothing happens before.
    pub fn wake_at(&self) -> Option<Instant> {
        match self.link {
            Link::Down { retry_at } => self.controller.as_ref().map(|_| retry_at),
            Link::Idle => Some(self.send_at),
            Link::Connecting | Link::Waiting => None,
        }
    }

    pub fn step(&mut self, event: Event, now: Instant, effects: &mut Vec<Effect>) {
        match event {
            Event::Controller(controller) => self.on_controller(controller, now, effects),
            Event::Connected => self.link = Link::Idle,
            Event::Disconnected => self.on_disconnected(now, effects),
            Event::Answered { sent_at, response } => self.on_answer(sent_at, response, now),
            Event::Applied { offset, cluster_id } => self.on_applied(offset, cluster_id, now),
            Event::Wished(wish) => self.on_wish(wish, now),
            Event::Tick => {}
        }
        self.proceed(now, effects);
    }

    fn on_controller(
        &mut self,
        controller: Option<Controller>,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        // While there is none, the old connection is as good as any: the old leader may be re-elected.
        if controller.is_none() || controller == self.controller {
            return;
        }
        self.controller = controller;
        self.pause = PAUSE_MIN;
        self.send_at = now;
        if !matches!(self.link, Link::Down { .. }) {
            effects.push(Effect::Disconnect);
        }
        self.link = Link::Down { retry_at: now };
    }

    fn on_disconnected(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if !matches!(self.link, Link::Down { .. }) {
            effects.push(Effect::Disconnect);
        }
        let retry_at = now + self.next_pause();
        self.link = Link::Down { retry_at };
        self.send_at = now;
    }

    fn next_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSE_MAX);
        pause
    }

    fn on_answer(&mut self, sent_at: Instant, response: PeerResponse, now: Instant) {
        self.link = Link::Idle;
        match response {
            PeerResponse::RegisterBroker(Ok(broker_epoch)) => {
                info!(%broker_epoch, "registered with the controller");
                self.pause = PAUSE_MIN;
                self.standing.broker_epoch = Some(broker_epoch);
                self.standing.refusal = None;
                self.send_at = now;
            }
            PeerResponse::RegisterBroker(Err(error)) => self.on_refused(&error, now),
            PeerResponse::Heartbeat(Ok(answer)) => self.on_heartbeat_answer(sent_at, answer, now),
            PeerResponse::Heartbeat(Err(error)) => self.on_heartbeat_refused(error, now),
            PeerResponse::Refused(Refusal::NotController) => {
                self.send_at = now + self.next_pause();
            }
            PeerResponse::Refused(refusal) => {
                warn!(%refusal, "the controller does not understand this broker");
                self.send_at = now + PAUSE_REFUSED;
            }
            PeerResponse::AlterPartition(_)
            | PeerResponse::CreateTopics(_)
            | PeerResponse::DeleteTopics(_)
            | PeerResponse::DescribeReplicas(_)
            | PeerResponse::DescribeGroups(_)
            | PeerResponse::ReportOffline(_)
            | PeerResponse::AllocateProducerIds(_)
            | PeerResponse::Administered(_)
            | PeerResponse::Quorum(_)
            | PeerResponse::Operated(_) => self.send_at = now + PAUSE_REFUSED,
        }
    }

    fn on_refused(&mut self, error: &RegisterError, now: Instant) {
        let refusal = error.to_string();
        if self.standing.refusal.as_ref() != Some(&refusal) {
            warn!(%error, "the controller refuses this broker");
            self.standing.refusal = Some(refusal);
        }
        self.send_at = match error {
            RegisterError::Duplicate { .. } => now + PAUSE_DUPLICATE,
            RegisterError::DirectoryMismatch { .. }
            | RegisterError::ClusterMismatch { .. }
            | RegisterError::NoListeners { .. } => now + PAUSE_REFUSED,
        };
    }

    fn on_heartbeat_answer(&mut self, sent_at: Instant, answer: HeartbeatAnswer, now: Instant) {
        if self.standing.unfenced == answer.fenced {
            info!(
                fenced = answer.fenced,
                "the controller changed this broker's standing"
            );
        }
        self.pause = PAUSE_MIN;
        self.standing.unfenced = !answer.fenced;
        self.standing.may_stop = answer.should_shut_down;
        self.lease_until = (!answer.fenced).then(|| sent_at + lease_of(self.session_timeout));
        let interval = match self.wish {
            Wish::StayFenced | Wish::Serve => self.heartbeat_interval,
            Wish::Leave => self.heartbeat_interval.min(INTERVAL_LEAVING),
        };
        self.send_at = if self.has_news {
            now
        } else {
            sent_at + interval
        };
    }

    fn on_heartbeat_refused(&mut self, error: HeartbeatError, now: Instant) {
        warn!(%error, "this registration is over; registering anew");
        self.standing.broker_epoch = None;
        self.standing.unfenced = false;
        self.lease_until = None;
        self.send_at = now;
    }

    fn on_applied(&mut self, offset: MetadataOffset, cluster_id: Option<String>, now: Instant) {
        let registered_at = self
            .standing
            .broker_epoch
            .and_then(|it| u64::try_from(it.0).ok());
        let sees_itself = |offset: MetadataOffset| registered_at.is_some_and(|at| offset.0 >= at);
        if !sees_itself(self.applied) && sees_itself(offset) {
            // Now it can be unfenced: no reason to wait for the next heartbeat.
            self.tell(now);
        }
        self.applied = offset;
        self.request.cluster_id = cluster_id;
    }

    fn on_wish(&mut self, wish: Wish, now: Instant) {
        // Who leaves does not come back; who serves does not start again.
        if wish > self.wish {
            self.wish = wish;
            self.tell(now);
        }
        if self.wish == Wish::Leave && self.standing.broker_epoch.is_none() {
            self.standing.may_stop = true;
        }
    }

    /// The next heartbeat goes out as soon as nothing else is under way.
    fn tell(&mut self, now: Instant) {
        self.has_news = true;
        self.send_at = now;
    }

    fn proceed(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        match (self.link, &self.controller) {
            (Link::Down { retry_at }, Some(controller)) if now >= retry_at => {
                self.link = Link::Connecting;
                effects.push(Effect::Connect(controller.clone()));
            }
            (Link::Idle, _) if now >= self.send_at => {
                self.link = Link::Waiting;
                self.has_news = false;
                effects.push(Effect::Send(self.next_request()));
            }
            (Link::Down { .. } | Link::Connecting | Link::Idle | Link::Waiting, _) => {}
        }
    }

    fn next_request(&self) -> PeerRequest {
        match self.standing.broker_epoch {
            None => PeerRequest::RegisterBroker(self.request.clone()),
            Some(broker_epoch) => PeerRequest::Heartbeat(Heartbeat {
                broker: self.request.broker,
                broker_epoch,
                applied: self.applied,
                want_fence: self.wish == Wish::StayFenced,
                want_shutdown: self.wish == Wish::Leave,
            }),
        }
    }
}

#[cfg(test)]
#[path = "registration_test.rs"]
mod tests;
