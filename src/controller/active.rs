//! The controller's loop: it waits for leadership, activates, runs one reign, and starts over.
//!
//! Activation commits a record of this term: when it is applied, whatever earlier terms left in the
//! log is agreed or gone, and so is what an earlier reign of this very term proposed without learning
//! the outcome. Only then is the image one to decide on.
//!
//! Invariants: no decision before activation; every proposal names the term; one task owns the reign; no
//! answer, not even to a heartbeat, while another may lead.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use drave_protocol::ids::{MetadataOffset, NodeId};
use drave_raft::image::MetadataImage;
use drave_raft::record::{ControllerActivatedV1, MetadataRecord};
use drave_raft::{Leadership, MetadataRaft, ProposeError};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, info, warn};

use crate::clock::Clock;
use crate::cluster::operations::QuorumRequest;
use crate::cluster::rpc::{PeerReply, PeerRequest, Refusal};
use crate::config::BrokerConfig;
use crate::controller::decision::Policy;
use crate::controller::mailbox::{Ask, Inbox};
use crate::controller::quorum;
use crate::controller::reign::{Effect, Event, Reign, Suspect, Ticket, refusal};
use crate::random::Random;
use crate::tasks::Tasks;

/// How often sessions are looked at.
const TICK: Duration = Duration::from_millis(50);

/// Between tries to activate, doubling.
const ACTIVATION_PAUSE_MIN: Duration = Duration::from_millis(10);
const ACTIVATION_PAUSE_MAX: Duration = Duration::from_millis(200);

/// Dials that may be under way; each belongs to one broker, so this is never reached in practice.
const DIALS_MAX: usize = 256;

type Proposal = Pin<Box<dyn Future<Output = Result<MetadataOffset, ProposeError>> + Send>>;

/// Runs on every node; active where the quorum's leader is.
#[derive(Debug)]
pub struct Controller {
    node: NodeId,
    raft: MetadataRaft,
    inbox: Inbox,
    policy: Policy,
    clock: Clock,
    random: Random,
    tasks: Tasks,
}

/// The doors a controller is given.
#[derive(Clone, Debug)]
pub struct Doors {
    pub clock: Clock,
    pub random: Random,
    pub tasks: Tasks,
}

impl Controller {
    pub fn new(raft: MetadataRaft, inbox: Inbox, config: Arc<BrokerConfig>, doors: Doors) -> Self {
        Self {
            node: config.node_id,
            raft,
            inbox,
            policy: Policy::new(config),
            clock: doors.clock,
            random: doors.random,
            tasks: doors.tasks,
        }
    }

    /// Until the node stops.
    pub async fn run(mut self) {
        let tasks = self.tasks.clone();
        let mut leadership = self.raft.leadership();
        tokio::select! {
            () = tasks.stopping() => {}
            () = self.rule_whenever_leading(&mut leadership) => {}
        }
    }

    async fn rule_whenever_leading(&mut self, leadership: &mut watch::Receiver<Leadership>) {
        let mut former = None;
        loop {
            let now = leadership.borrow_and_update().clone();
            if let Some(leader) = now.leader.as_ref().filter(|_| !now.is_self) {
                former = Some(leader.id.node);
            }
            if now.is_self {
                self.rule(now.term, former.take(), leadership).await;
                // Whatever ended the reign may end the next one too: not in a tight loop.
                let clock = self.clock.clone();
                let wake_at = clock.now() + ACTIVATION_PAUSE_MIN;
                if self.refusing(clock.sleep_until(wake_at)).await.is_none() {
                    return;
                }
                continue;
            }
            tokio::select! {
                changed = leadership.changed() => if changed.is_err() { return },
                ask = self.inbox.asks.recv() => match ask {
                    Some(ask) => refuse(&self.raft, ask),
                    None => return,
                },
                Some(_) = self.inbox.closed.recv() => {}
            }
        }
    }

    async fn rule(
        &mut self,
        term: u64,
        former: Option<NodeId>,
        leadership: &mut watch::Receiver<Leadership>,
    ) {
        let Some(image) = self.activate(term, leadership).await else {
            return;
        };
        info!(term, offset = %image.offset, "controller active");
        let (policy, random) = (self.policy.clone(), self.random.clone());
        let reign = Reign::new((term, former), image, policy, random, self.clock.now());
        let (dialled_sender, dialled) = mpsc::channel(DIALS_MAX);
        let mut active = Active {
            controller: self,
            term,
            reign,
            proposal: None,
            waiting: BTreeMap::new(),
            next_ticket: 0,
            dialled_sender,
            given_up: false,
        };
        active.run(leadership, dialled).await;
        active.end();
        info!(term, "controller resigned");
    }

    /// The image to decide on, or `None` when the term is over.
    async fn activate(
        &mut self,
        term: u64,
        leadership: &mut watch::Receiver<Leadership>,
    ) -> Option<Arc<MetadataImage>> {
        let mut pause = ACTIVATION_PAUSE_MIN;
        loop {
            let proposal = propose(&self.raft, term, self.activation());
            match self.refusing(proposal).await? {
                Ok(_) => return Some(self.raft.image()),
                Err(ProposeError::NotLeader { .. }) => {
                    self.await_other_leadership(term, leadership).await;
                    return None;
                }
                Err(error) => debug!(term, %error, "not active yet"),
            }
            let clock = self.clock.clone();
            let wake_at = clock.now() + pause;
            self.refusing(clock.sleep_until(wake_at)).await?;
            pause = (pause * 2).min(ACTIVATION_PAUSE_MAX);
            let current = leadership.borrow();
            if !current.is_self || current.term != term {
                return None;
            }
        }
    }

    /// The quorum knows before its watchers do: without this wait we would spin until they learn.
    async fn await_other_leadership(
        &mut self,
        term: u64,
        leadership: &mut watch::Receiver<Leadership>,
    ) {
        let mut leadership = leadership.clone();
        let deadline = self.clock.now() + ACTIVATION_PAUSE_MAX;
        let clock = self.clock.clone();
        let other = async {
            tokio::select! {
                _ = leadership.wait_for(|it| !it.is_self || it.term != term) => {}
                () = clock.sleep_until(deadline) => {}
            }
        };
        self.refusing(other).await;
    }

    fn activation(&self) -> Vec<MetadataRecord> {
        vec![MetadataRecord::ControllerActivated(ControllerActivatedV1 {
            controller: self.node,
        })]
    }

    /// Waits for `work`, telling everybody who asks meanwhile to ask again.
    async fn refusing<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                ask = self.inbox.asks.recv() => refuse(&self.raft, ask?),
                Some(_) = self.inbox.closed.recv() => {}
            }
        }
    }
}

/// A reign and the machinery that carries out its effects.
struct Active<'a> {
    controller: &'a mut Controller,
    term: u64,
    reign: Reign,
    proposal: Option<Proposal>,
    waiting: BTreeMap<Ticket, oneshot::Sender<PeerReply>>,
    next_ticket: u64,
    dialled_sender: mpsc::Sender<Event>,
    given_up: bool,
}

impl Active<'_> {
    /// Until the term is over or a proposal failed.
    async fn run(
        &mut self,
        leadership: &mut watch::Receiver<Leadership>,
        mut dialled: mpsc::Receiver<Event>,
    ) {
        let mut effects = Vec::new();
        self.reign.begin(&mut effects);
        self.carry_out(effects);
        let clock = self.controller.clock.clone();
        let mut tick_at = clock.now() + TICK;
        while !self.given_up {
            // Biased: what brokers said is heard before anybody is found silent.
            tokio::select! {
                biased;
                changed = leadership.changed() => {
                    if changed.is_err() || !self.still_leads(leadership) { return }
                }
                outcome = agreed(&mut self.proposal) => {
                    if !self.on_outcome(outcome) { return }
                }
                Some(connection) = self.controller.inbox.closed.recv() => {
                    self.step(Event::Closed(connection));
                }
                Some(event) = dialled.recv() => self.step(event),
                ask = self.controller.inbox.asks.recv(), if !self.reign.is_full() => match ask {
                    Some(ask) => self.on_ask(ask),
                    None => return,
                },
                () = clock.sleep_until(tick_at) => {}
            }
            // A tick is due even when requests never leave the loop time to wait for it.
            if clock.now() >= tick_at {
                tick_at = clock.now() + TICK;
                self.step(Event::Tick);
            }
        }
    }

    fn still_leads(&self, leadership: &mut watch::Receiver<Leadership>) -> bool {
        let now = leadership.borrow_and_update();
        now.is_self && now.term == self.term
    }

    fn on_outcome(&mut self, outcome: Result<MetadataOffset, ProposeError>) -> bool {
        self.proposal = None;
        match outcome {
            Ok(_) => {
                let image = self.controller.raft.image();
                self.step(Event::Agreed(image));
                true
            }
            Err(error) => {
                warn!(term = self.term, %error, "proposal failed; the controller starts over");
                false
            }
        }
    }

    fn on_ask(&mut self, ask: Ask) {
        // Cut off from the others, another may lead by now and have fenced whom we would grant a lease.
        if !self.controller.raft.leads_for_sure() {
            return refuse(&self.controller.raft, ask);
        }
        if let PeerRequest::Quorum(request) = ask.request {
            return self.ask_quorum(request, ask.answer);
        }
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.waiting.insert(ticket, ask.answer);
        self.step(Event::Asked {
            ticket,
            connection: ask.connection,
            request: ask.request,
        });
    }

    fn ask_quorum(&self, request: QuorumRequest, answer: oneshot::Sender<PeerReply>) {
        let (raft, clock) = (self.controller.raft.clone(), self.controller.clock.clone());
        let tasks = self.controller.tasks.clone();
        self.controller.tasks.spawn("quorum change", async move {
            tokio::select! {
                () = tasks.stopping() => {}
                reply = quorum::carry_out(&raft, &clock, request) => {
                    // Who asked may have gone.
                    let _ = answer.send(reply);
                }
            }
        });
    }

    fn step(&mut self, event: Event) {
        let mut effects = Vec::new();
        let now = self.controller.clock.now();
        self.reign.step(event, now, &mut effects);
        self.carry_out(effects);
    }

    fn end(&mut self) {
        let mut effects = Vec::new();
        self.reign.end(&mut effects);
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Propose(records) => {
                    self.proposal = Some(propose(&self.controller.raft, self.term, records));
                }
                Effect::Answer { ticket, reply } => {
                    if let Some(answer) = self.waiting.remove(&ticket) {
                        // Who asked may have gone.
                        let _ = answer.send(reply);
                    }
                }
                Effect::Dial(suspect) => self.dial(suspect),
                Effect::GiveUp => self.given_up = true,
            }
        }
    }

    fn dial(&self, suspect: Suspect) {
        let (raft, clock) = (self.controller.raft.clone(), self.controller.clock.clone());
        let patience = self.controller.policy.config.broker_session_timeout / 4;
        let tasks = self.controller.tasks.clone();
        let dialled = self.dialled_sender.clone();
        self.controller.tasks.spawn("dial", async move {
            let work = async {
                clock
                    .sleep_until(clock.now() + suspect.suspicion.pause())
                    .await;
                let probe = raft.probe(&suspect.address, patience).await;
                // The reign that asked may be over.
                let _ = dialled.send(Event::Dialled { suspect, probe }).await;
            };
            tokio::select! {
                () = tasks.stopping() => {}
                () = work => {}
            }
        });
    }
}

fn propose(raft: &MetadataRaft, term: u64, records: Vec<MetadataRecord>) -> Proposal {
    let raft = raft.clone();
    Box::pin(async move { raft.propose(term, records).await })
}

/// The outcome of what is in flight; waits for ever when nothing is.
///
/// Cancellation: safe, the proposal stays in its place and is polled again.
async fn agreed(proposal: &mut Option<Proposal>) -> Result<MetadataOffset, ProposeError> {
    match proposal {
        Some(proposal) => proposal.await,
        None => std::future::pending().await,
    }
}

fn refuse(raft: &MetadataRaft, ask: Ask) {
    let reply = refusal(&raft.image(), Refusal::NotController);
    // Who asked may have gone.
    let _ = ask.answer.send(reply);
}

#[cfg(test)]
#[path = "active_test.rs"]
mod tests;
