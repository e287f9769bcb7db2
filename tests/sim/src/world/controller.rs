//! Controllers: each reign is the real state machine; here are only its mail and its clock.

use std::collections::BTreeMap;
use std::sync::Arc;

use drave::cluster::rpc::{PeerReply, Refusal};
use drave::controller::reign::{Effect, Event as Step, Reign, Suspect, Ticket, refusal};
use drave::random::Random;
use drave_raft::Probe;

use super::World;
use super::event::{Event, Over, ToBroker, ToController};
use super::network::{CONTROLLER, place};

const TICK_US: u64 = 50_000;

pub(crate) struct Reigning {
    pub(crate) term: u64,
    reign: Option<Reign>,
    waiting: BTreeMap<Ticket, Waiting>,
    next_ticket: u64,
}

struct Waiting {
    from: usize,
    life: u64,
    over: Over,
}

impl World {
    /// The controller brokers are told of.
    pub(crate) fn active_reign(&self) -> Option<usize> {
        let last = self.reigns.len().checked_sub(1)?;
        let it = &self.reigns[last];
        (it.reign.is_some() && it.term == self.quorum.term).then_some(last)
    }

    pub(crate) fn begin_reign(&mut self, term: u64) {
        let image = Arc::clone(self.quorum.latest());
        let random = Random::seeded(self.chance.u64());
        let now = self.instant(CONTROLLER);
        let mut reign = Reign::new((term, None), image, self.policy.clone(), random, now);
        let mut effects = Vec::new();
        reign.begin(&mut effects);
        self.reigns.push(Reigning {
            term,
            reign: Some(reign),
            waiting: BTreeMap::new(),
            next_ticket: 0,
        });
        let reign = self.reigns.len() - 1;
        self.carry_out(reign, effects);
        let what = ToController::Tick;
        self.after(TICK_US, Event::Controller { reign, what });
    }

    /// It answers nobody from here on; who waits is told to ask again.
    pub(crate) fn end_reign(&mut self, reign: usize) {
        let mut effects = Vec::new();
        if let Some(mut ended) = self.reigns[reign].reign.take() {
            ended.end(&mut effects);
        }
        self.carry_out(reign, effects);
    }

    pub(crate) fn is_reigning(&self, reign: usize) -> bool {
        self.reigns.get(reign).is_some_and(|it| it.reign.is_some())
    }

    pub(crate) fn at_controller(&mut self, reign: usize, what: ToController) {
        if !self.is_reigning(reign) {
            if let ToController::Asked {
                from, life, over, ..
            } = what
            {
                let reply = refusal(self.quorum.latest(), Refusal::NotController);
                self.answer(reign, Waiting { from, life, over }, reply);
            }
            return;
        }
        match what {
            ToController::Asked {
                from,
                life,
                connection,
                over,
                request,
            } => {
                let it = &mut self.reigns[reign];
                let ticket = Ticket(it.next_ticket);
                it.next_ticket += 1;
                it.waiting.insert(ticket, Waiting { from, life, over });
                self.step_reign(
                    reign,
                    Step::Asked {
                        ticket,
                        connection,
                        request,
                    },
                );
            }
            ToController::Closed(connection) => self.step_reign(reign, Step::Closed(connection)),
            ToController::Dial(suspect) => self.dialled(reign, suspect),
            ToController::Agreed => {
                // A deposed one is not told; what it proposed may be agreed all the same.
                if self.reigns[reign].term == self.quorum.term {
                    let image = Arc::clone(self.quorum.latest());
                    self.step_reign(reign, Step::Agreed(image));
                }
            }
            ToController::Tick => {
                self.step_reign(reign, Step::Tick);
                let what = ToController::Tick;
                self.after(TICK_US, Event::Controller { reign, what });
            }
            ToController::Resign => self.end_reign(reign),
        }
    }

    fn dialled(&mut self, reign: usize, suspect: Suspect) {
        let broker = suspect.broker.0 as usize - 1;
        let there = place(broker);
        let cut = self.is_blocked(CONTROLLER, there) || self.is_blocked(there, CONTROLLER);
        let probe = match &self.brokers[broker] {
            _ if cut => Probe::Silent,
            it if it.process.is_some() => Probe::Alive,
            it if it.is_powered => Probe::Refused,
            _ => Probe::Silent,
        };
        self.step_reign(reign, Step::Dialled { suspect, probe });
    }

    fn step_reign(&mut self, reign: usize, event: Step) {
        let now = self.instant(CONTROLLER);
        let mut effects = Vec::new();
        if let Some(it) = &mut self.reigns[reign].reign {
            it.step(event, now, &mut effects);
        }
        self.carry_out(reign, effects);
    }

    fn carry_out(&mut self, reign: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Propose(records) => {
                    let slow = self.chance.permille(30) && !self.is_healing;
                    let high = if slow { 600_000 } else { 8_000 };
                    let delay = 500 + self.chance.between(0, high);
                    self.after(delay, Event::Agree { reign, records });
                }
                Effect::Answer { ticket, reply } => {
                    if let Some(waiting) = self.reigns[reign].waiting.remove(&ticket) {
                        self.answer(reign, waiting, reply);
                    }
                }
                Effect::Dial(suspect) => {
                    let pause = suspect.suspicion.pause().as_micros() as u64;
                    let delay = pause + self.latency();
                    let what = ToController::Dial(suspect);
                    self.after(delay, Event::Controller { reign, what });
                }
                Effect::GiveUp => {
                    let term = self.reigns[reign].term;
                    self.end_reign(reign);
                    if term == self.quorum.term {
                        self.after(10_000, Event::Activate { term });
                    }
                }
            }
        }
    }

    fn answer(&mut self, _reign: usize, to: Waiting, reply: PeerReply) {
        let (what, connection) = match to.over {
            Over::Line { line, call } => {
                let response = reply.response;
                let what = ToBroker::LineAnswer {
                    line,
                    call,
                    response,
                };
                (what, line)
            }
            Over::Link { call } => (ToBroker::LinkAnswer { call, reply }, 0),
        };
        let event = Event::Broker {
            broker: to.from,
            life: to.life,
            what,
        };
        self.send((CONTROLLER, place(to.from)), connection, event);
    }
}
