//! A broker's heartbeats and its image, as the loops around the real registration run them.

use std::sync::Arc;

use drave::cluster::registration::{Controller, Effect, Event as Step, Wish};
use drave::cluster::rpc::PeerResponse;
use drave_raft::ConnectionId;

use super::World;
use super::event::{Event, Over, ToBroker, ToController};
use super::network::{CONTROLLER, place};

impl World {
    /// The image of a broker moves on.
    pub(crate) fn learn(&mut self, broker: usize, upto: usize) {
        let now = self.instant(broker + 1);
        let image = Arc::clone(self.quorum.image(upto));
        let Some(process) = self.process(broker) else {
            return;
        };
        if upto < process.applied || (upto == process.applied && process.view.is_some()) {
            return;
        }
        process.applied = upto;
        process.solo.follow(&image, now);
        let step = Step::Applied {
            offset: image.offset,
            cluster_id: image.cluster_id.clone(),
        };
        self.place_fetcher(broker);
        self.step_registration(broker, step);
        self.link_sees(broker);
    }

    pub(crate) fn hear_of_controller(&mut self, broker: usize, reign: usize) {
        let Some(process) = self.process(broker) else {
            return;
        };
        if process.controller >= Some(reign) {
            return;
        }
        process.controller = Some(reign);
        let controller = Controller::At(reign.to_string());
        self.step_registration(broker, Step::Controller(Some(controller)));
    }

    pub(crate) fn wake(&mut self, broker: usize) {
        let now = self.now;
        if let Some(process) = self.process(broker)
            && process.wake_at > 0
            && process.wake_at <= now
        {
            process.wake_at = 0;
            self.step_registration(broker, Step::Tick);
        }
    }

    pub(crate) fn wish(&mut self, broker: usize, wish: Wish) {
        self.step_registration(broker, Step::Wished(wish));
    }

    pub(crate) fn line_event(&mut self, broker: usize, line: u64, step: Step) {
        if self.process(broker).is_some_and(|it| it.line == line) {
            self.step_registration(broker, step);
        }
    }

    pub(crate) fn line_answer(
        &mut self,
        broker: usize,
        line: u64,
        call: u64,
        response: PeerResponse,
    ) {
        let Some(process) = self.process(broker) else {
            return;
        };
        if process.line != line || process.call != call {
            return;
        }
        if let Some(sent_at) = process.sent_at.take() {
            self.step_registration(broker, Step::Answered { sent_at, response });
        }
    }

    pub(crate) fn call_timeout(&mut self, broker: usize, line: u64, call: u64) {
        let is_open = |it: &mut super::process::Process| {
            it.line == line && it.call == call && it.sent_at.is_some()
        };
        if self.process(broker).is_some_and(is_open) {
            self.step_registration(broker, Step::Disconnected);
        }
    }

    fn step_registration(&mut self, broker: usize, step: Step) {
        let now = self.instant(broker + 1);
        let mut effects = Vec::new();
        let Some(process) = self.process(broker) else {
            return;
        };
        process.registration.step(step, now, &mut effects);
        let lease = process.registration.lease();
        process.lease.set(lease);
        for effect in effects {
            self.carry_out_for(broker, effect);
        }
        self.open_doors(broker);
        self.sleep(broker);
    }

    fn carry_out_for(&mut self, broker: usize, effect: Effect) {
        match effect {
            Effect::Connect(controller) => {
                let Controller::At(address) = controller else {
                    return;
                };
                let reign = address.parse().expect("it is a number");
                self.connect(broker, reign);
            }
            Effect::Disconnect => {
                let Some(process) = self.process(broker) else {
                    return;
                };
                let (line, reign) = (process.line, process.line_reign);
                process.line = 0;
                process.sent_at = None;
                self.hang_up(broker, line, reign);
            }
            Effect::Send(request) => {
                let (call, now) = (self.id(), self.instant(broker + 1));
                let Some(life) = self.life(broker) else {
                    return;
                };
                let Some(process) = self.process(broker) else {
                    return;
                };
                process.call = call;
                process.sent_at = Some(now);
                let (line, reign) = (process.line, process.line_reign);
                let what = ToController::Asked {
                    from: broker,
                    life,
                    connection: ConnectionId(line),
                    over: Over::Line { line, call },
                    request,
                };
                let event = Event::Controller { reign, what };
                self.send((place(broker), CONTROLLER), line, event);
                let patience = self.swarm.session_ms * 500;
                let what = ToBroker::CallTimeout { line, call };
                self.after(patience, Event::Broker { broker, life, what });
            }
        }
    }

    fn connect(&mut self, broker: usize, reign: usize) {
        let line = self.id();
        let Some(life) = self.life(broker) else {
            return;
        };
        if let Some(process) = self.process(broker) {
            process.line = line;
            process.line_reign = reign;
        }
        let there = place(broker);
        let cut = self.is_blocked(there, CONTROLLER) || self.is_blocked(CONTROLLER, there);
        let (delay, what) = if cut {
            let patience = self.swarm.session_ms * 500;
            (patience, ToBroker::Disconnected { line })
        } else if self.is_reigning(reign) {
            (self.latency(), ToBroker::Connected { line })
        } else {
            (self.latency(), ToBroker::Disconnected { line })
        };
        self.after(delay, Event::Broker { broker, life, what });
    }

    /// A broker serves once its image is its own and the controller knows what it cannot use.
    fn open_doors(&mut self, broker: usize) {
        let applied = match self.process(broker) {
            Some(process) => process.applied,
            None => return,
        };
        let image = Arc::clone(self.quorum.image(applied));
        let now = self.instant(broker + 1);
        let Some(process) = self.process(broker) else {
            return;
        };
        let epoch = process.registration.standing().broker_epoch;
        let sees_itself = epoch.is_some_and(|it| image.offset.0 >= it.0 as u64);
        let is_opening =
            !process.is_serving && sees_itself && process.solo.offline_report(&image).is_none();
        if is_opening {
            process.is_serving = true;
            let backlog = std::mem::take(&mut process.backlog);
            let mut effects = Vec::new();
            let wish = Step::Wished(Wish::Serve);
            process.registration.step(wish, now, &mut effects);
            for effect in effects {
                self.carry_out_for(broker, effect);
            }
            let life = self.brokers_life(broker);
            for what in backlog {
                self.after(1, Event::Broker { broker, life, what });
            }
        }
        self.leave_if_allowed(broker);
    }

    /// A polite stop comes to its end.
    fn leave_if_allowed(&mut self, broker: usize) {
        if self.brokers[broker].is_leaving
            && self
                .process(broker)
                .is_some_and(|it| it.registration.standing().may_stop)
        {
            self.finish_leaving(broker);
        }
    }

    fn sleep(&mut self, broker: usize) {
        let Some(process) = self.process(broker) else {
            return;
        };
        let Some(wake_at) = process.registration.wake_at() else {
            return;
        };
        let at = self.moment_of(broker + 1, wake_at).max(self.now + 1);
        let Some(life) = self.life(broker) else {
            return;
        };
        let Some(process) = self.process(broker) else {
            return;
        };
        if process.wake_at == at {
            return;
        }
        process.wake_at = at;
        let what = ToBroker::Wake;
        let delay = at - self.now;
        self.after(delay, Event::Broker { broker, life, what });
    }
}
