//! A follower's fetch loops, one per leading broker; what they do with an answer is real.

use bytes::Bytes;
use drave::replica::solo::{Asked, Then};
use drave::replica::{Fetched, FollowerId};
use drave_protocol::ErrorCode;
use drave_protocol::ids::Offset;

use super::World;
use super::event::{Event, Fetching, ToBroker};
use super::network::place;
use super::node_id;

const WAIT_MAX_US: u64 = 500_000;
const REST_MIN_US: u64 = 5_000;
const REST_MAX_US: u64 = 200_000;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FetchLoop {
    state: State,
    /// Also names the wait: what comes for another one is too late.
    connection: u64,
    pause_us: u64,
    asked: Option<Asked>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Idle,
    Waiting,
    /// The answer is being worked off.
    Taking,
    Resting,
}

impl FetchLoop {
    pub(crate) fn waits_for(&self, connection: u64) -> bool {
        self.connection == connection && self.state == State::Waiting
    }
}

impl World {
    /// The image said who leads: that loop leaves its long poll and rest, and looks again.
    pub(crate) fn place_fetcher(&mut self, broker: usize) {
        let Some(leader) = self.agreed_leader_seen_by(broker) else {
            return;
        };
        if leader == broker {
            return;
        }
        let Some(process) = self.process(broker) else {
            return;
        };
        let it = &mut process.loops[leader];
        match it.state {
            State::Waiting => {
                let connection = it.connection;
                it.state = State::Idle;
                it.connection = 0;
                self.close_fetch(broker, leader, connection);
            }
            State::Resting => {
                it.state = State::Idle;
                it.connection = 0;
            }
            State::Idle | State::Taking => {}
        }
    }

    fn agreed_leader_seen_by(&self, broker: usize) -> Option<usize> {
        let process = self.brokers[broker].process.as_ref()?;
        let image = self.quorum.image(process.applied);
        let leader = image.partition(super::partition_id())?.leader?;
        Some(leader.0 as usize - 1)
    }

    fn close_fetch(&mut self, broker: usize, leader: usize, connection: u64) {
        if let Some(life) = self.life(leader) {
            let what = ToBroker::FetchClosed { connection };
            let event = Event::Broker {
                broker: leader,
                life,
                what,
            };
            self.send((place(broker), place(leader)), connection, event);
        }
    }

    /// Fetches where there is something to fetch and nothing under way.
    pub(crate) fn kick(&mut self, broker: usize) {
        for leader in 0..self.brokers.len() {
            if leader != broker {
                self.kick_loop(broker, leader);
            }
        }
    }

    fn kick_loop(&mut self, broker: usize, leader: usize) {
        let Some(process) = self.process(broker) else {
            return;
        };
        if process.loops[leader].state != State::Idle {
            return;
        }
        let Some(broker_epoch) = process.lease.broker_epoch() else {
            return;
        };
        let Some((asked, mut fetch)) = process.solo.ask(node_id(leader)) else {
            return;
        };
        let connection = self.id();
        fetch.max_bytes = self.swarm.fetch_bytes;
        let Some(from_life) = self.life(broker) else {
            return;
        };
        let fetching = Fetching {
            from: broker,
            from_life,
            connection,
            fetch,
            follower: FollowerId {
                node: node_id(broker),
                broker_epoch,
            },
            deadline: self.now + WAIT_MAX_US,
        };
        if let Some(process) = self.process(broker) {
            let it = &mut process.loops[leader];
            it.state = State::Waiting;
            it.connection = connection;
            it.asked = Some(asked);
        }
        // To whoever listens there when it arrives; a connection to a process that died is refused.
        let life = self.brokers_life(leader);
        let what = ToBroker::Fetch(fetching);
        let event = Event::Broker {
            broker: leader,
            life,
            what,
        };
        self.send((place(broker), place(leader)), connection, event);
        let patience = if self.is_healing {
            1_000_000
        } else {
            self.chance.between(700_000, 5_500_000)
        };
        let what = ToBroker::FetchTimeout { leader, connection };
        self.after(
            patience,
            Event::Broker {
                broker,
                life: from_life,
                what,
            },
        );
    }

    fn waits(&mut self, broker: usize, leader: usize, connection: u64, state: State) -> bool {
        let Some(process) = self.process(broker) else {
            return false;
        };
        let it = &process.loops[leader];
        it.connection == connection && it.state == state
    }

    pub(crate) fn take_answer(
        &mut self,
        broker: usize,
        leader: usize,
        connection: u64,
        answer: Result<Box<(Fetched, Bytes)>, ErrorCode>,
    ) {
        if !self.waits(broker, leader, connection, State::Waiting) {
            return;
        }
        let now = (self.instant(broker + 1), self.wall_ms(broker + 1));
        let Some(process) = self.process(broker) else {
            return;
        };
        let Some(asked) = process.loops[leader].asked else {
            return;
        };
        let then = match &answer {
            Ok(answer) => {
                let (fetched, records) = answer.as_ref();
                process
                    .solo
                    .take(&asked, Ok((fetched, records.clone())), now)
            }
            Err(error) => process.solo.take(&asked, Err(*error), now),
        };
        process.loops[leader].state = State::Taking;
        self.then(broker, leader, (connection, asked), then);
    }

    fn then(
        &mut self,
        broker: usize,
        leader: usize,
        (connection, asked): (u64, Asked),
        then: Then,
    ) {
        match then {
            Then::Fetch => self.fetch_again(broker, leader, connection),
            Then::NoteLogStart => {
                if let Some(process) = self.process(broker) {
                    process.solo.note_log_start();
                }
                self.fetch_again(broker, leader, connection);
            }
            Then::AskBounds => self.ask_bounds(broker, leader, connection, asked),
            Then::Rest => self.rest(broker, leader, connection),
        }
    }

    pub(crate) fn fetch_again(&mut self, broker: usize, leader: usize, connection: u64) {
        if self.waits(broker, leader, connection, State::Taking)
            && let Some(process) = self.process(broker)
        {
            process.loops[leader] = FetchLoop::default();
        }
    }

    fn rest(&mut self, broker: usize, leader: usize, connection: u64) {
        let Some(life) = self.life(broker) else {
            return;
        };
        let Some(process) = self.process(broker) else {
            return;
        };
        let it = &mut process.loops[leader];
        it.state = State::Resting;
        it.pause_us = (it.pause_us * 2).clamp(REST_MIN_US, REST_MAX_US);
        let pause = it.pause_us;
        let what = ToBroker::Rested { leader, connection };
        self.after(pause, Event::Broker { broker, life, what });
    }

    pub(crate) fn rested(&mut self, broker: usize, leader: usize, connection: u64) {
        if self.waits(broker, leader, connection, State::Resting)
            && let Some(process) = self.process(broker)
        {
            process.loops[leader].state = State::Idle;
        }
    }

    pub(crate) fn fetch_timeout(&mut self, broker: usize, leader: usize, connection: u64) {
        if !self.waits(broker, leader, connection, State::Waiting) {
            return;
        }
        self.close_fetch(broker, leader, connection);
        self.rest(broker, leader, connection);
    }

    fn ask_bounds(&mut self, broker: usize, leader: usize, connection: u64, asked: Asked) {
        let Some(life) = self.life(broker) else {
            return;
        };
        let view = self.process(broker).and_then(|it| it.solo.view());
        let (Some(there), Some(view)) = (self.life(leader), view) else {
            self.rest(broker, leader, connection);
            return;
        };
        let what = ToBroker::AskBounds {
            from: broker,
            from_life: life,
            connection,
            leader_epoch: view.leader_epoch,
            asked,
        };
        let event = Event::Broker {
            broker: leader,
            life: there,
            what,
        };
        self.send((place(broker), place(leader)), connection, event);
        if let Some(process) = self.process(broker) {
            process.loops[leader].state = State::Waiting;
        }
    }

    pub(crate) fn take_bounds(
        &mut self,
        broker: usize,
        leader: usize,
        connection: u64,
        asked: Asked,
        bounds: Option<(Offset, Offset)>,
    ) {
        if !self.waits(broker, leader, connection, State::Waiting) {
            return;
        }
        let Some(process) = self.process(broker) else {
            return;
        };
        let then = process.solo.place(&asked, bounds);
        process.loops[leader].state = State::Taking;
        self.then(broker, leader, (connection, asked), then);
    }
}
