//! A broker: its machine, which outlives its processes, and the process that runs on it.

use std::path::Path;
use std::sync::Arc;

use drave::cluster::BrokerLease;
use drave::cluster::registration::{Event as Step, Registration, Wish};
use drave::cluster::rpc::RegisterBroker;
use drave::random::Random;
use drave::replica::CommitTicket;
use drave::replica::solo::{Solo, View};
use drave_log::fs::FileSystem;
use drave_log::fs::faulty::{CrashLoss, FaultyFs};
use drave_protocol::ids::DirectoryId;
use drave_raft::ConnectionId;
use drave_raft::record::ListenerV1;

use crate::history::{Batch, Fact};

use super::deletion::Deletion;
use super::event::{Event, Fetching, Produce, ToBroker, ToController, ToFault};
use super::following::FetchLoop;
use super::leading::Answered;
use super::links::Link;
use super::network::{CONTROLLER, place};
use super::{World, node_id};

pub(crate) const DIR: &str = "/data";

pub(crate) struct Broker {
    pub(crate) fs: FaultyFs,
    /// Which disk that is.
    pub(crate) directory: DirectoryId,
    pub(crate) process: Option<Process>,
    /// The machine answers those who dial it, be there a process or not.
    pub(crate) is_powered: bool,
    /// How far the image of its last process was, on disk.
    applied: usize,
    life: u64,
    /// What comes while it stands still.
    pub(crate) stalled: Option<Vec<Event>>,
    pub(crate) metadata_lag_us: u64,
    pub(crate) sync_us: u64,
    /// What the last process was seen to hold.
    pub(crate) seen: Vec<Batch>,
    pub(crate) is_known: bool,
    pub(crate) is_leaving: bool,
}

impl Broker {
    /// A disk with no image on it.
    pub(crate) fn forget_image(&mut self) {
        self.applied = 0;
    }

    /// Of the process that runs, or of the last one.
    pub(crate) fn known_life(&self) -> u64 {
        self.life
    }
}

#[allow(clippy::struct_excessive_bools, reason = "each is of another loop")]
pub(crate) struct Process {
    pub(crate) solo: Solo,
    pub(crate) registration: Registration,
    pub(crate) lease: BrokerLease,
    pub(crate) applied: usize,
    pub(crate) controller: Option<usize>,
    pub(crate) line: u64,
    pub(crate) line_reign: usize,
    pub(crate) call: u64,
    pub(crate) sent_at: Option<std::time::Instant>,
    pub(crate) wake_at: u64,
    pub(crate) link: Option<Link>,
    pub(crate) loops: Vec<FetchLoop>,
    pub(crate) parked: Vec<Fetching>,
    pub(crate) tickets: Vec<(CommitTicket, Produce, drave_protocol::ids::Offset)>,
    pub(crate) answers: Vec<Answered>,
    pub(crate) deletions: Vec<Deletion>,
    pub(crate) is_flushing: bool,
    pub(crate) view: Option<View>,
    /// Something parked fetches wait for happened.
    pub(crate) has_moved: bool,
    /// Whether its doors are open; who comes before waits outside.
    pub(crate) is_serving: bool,
    pub(crate) backlog: Vec<ToBroker>,
    pub(crate) n_opened_seen: u64,
    pub(crate) n_begun_anew_seen: u64,
    pub(crate) n_given_up_seen: u64,
}

impl World {
    pub(crate) fn add_broker(&mut self, broker: usize) {
        debug_assert_eq!(broker, self.brokers.len());
        self.brokers.push(Broker {
            fs: FaultyFs::new(),
            directory: DirectoryId(broker as u64 + 1),
            process: None,
            is_powered: true,
            applied: 0,
            life: 0,
            stalled: None,
            metadata_lag_us: self.swarm.metadata_lag_us,
            sync_us: self.swarm.sync_us,
            seen: Vec::new(),
            is_known: false,
            is_leaving: false,
        });
    }

    pub(crate) fn life(&self, broker: usize) -> Option<u64> {
        let it = &self.brokers[broker];
        it.process.as_ref().map(|_| it.life)
    }

    pub(crate) fn process(&mut self, broker: usize) -> Option<&mut Process> {
        self.brokers[broker].process.as_mut()
    }

    /// A process starts, and registers.
    pub(crate) fn start(&mut self, broker: usize) {
        if self.brokers[broker].process.is_some() {
            return;
        }
        let lease = BrokerLease::default();
        let it = &mut self.brokers[broker];
        it.is_powered = true;
        it.life += 1;
        let fs: Arc<dyn FileSystem> = Arc::new(it.fs.clone());
        let name = (node_id(broker), it.directory);
        let (settings, lease_of) = (self.settings.clone(), lease.clone());
        let started = Solo::start(name, &fs, Path::new(DIR), settings, lease_of);
        let started = started.and_then(|solo| Ok((solo.take_clean_shutdown()?, solo)));
        let (previous, solo) = match started {
            Ok(started) => started,
            Err(error) => {
                // The disk is in trouble: the process ends, and is tried again.
                self.trace(
                    || format!("    broker {} does not start: {error}", broker + 1),
                    2,
                );
                self.stopped(broker, CrashLoss::Nothing);
                return;
            }
        };
        let registration = self.introduced(broker, previous);
        let life = self.brokers[broker].life;
        let applied = self.brokers[broker].applied;
        let n = self.brokers.len().max(self.swarm.n_brokers);
        self.brokers[broker].process = Some(Process {
            solo,
            registration,
            lease,
            applied,
            controller: None,
            line: 0,
            line_reign: 0,
            call: 0,
            sent_at: None,
            wake_at: 0,
            link: None,
            loops: (0..n).map(|_| FetchLoop::default()).collect(),
            parked: Vec::new(),
            tickets: Vec::new(),
            answers: Vec::new(),
            deletions: Vec::new(),
            is_flushing: false,
            view: None,
            has_moved: false,
            is_serving: false,
            backlog: Vec::new(),
            n_opened_seen: 0,
            n_begun_anew_seen: 0,
            n_given_up_seen: 0,
        });
        self.learn(broker, applied);
        self.catch_up(broker);
        let lag = self.swarm.lag_ms * 500;
        for (delay, what) in [
            (lag, ToBroker::LookForLaggards),
            (
                self.chance.between(300_000, 5_000_000),
                ToBroker::Checkpoint,
            ),
            (5_000_000, ToBroker::OpenAgain),
        ] {
            self.after(delay, Event::Broker { broker, life, what });
        }
        self.afterwards(broker);
    }

    fn introduced(
        &mut self,
        broker: usize,
        previous: Option<drave_protocol::ids::BrokerEpoch>,
    ) -> Registration {
        let address = format!("b{broker}:1");
        let request = RegisterBroker {
            broker: node_id(broker),
            incarnation: Random::seeded(self.chance.u64()).uuid(),
            directory: self.brokers[broker].directory,
            cluster_id: Some("simulated".to_owned()),
            listeners: vec![ListenerV1 {
                name: "PLAINTEXT".to_owned(),
                host: "b".to_owned(),
                port: 9092,
            }],
            controller_address: address,
            http_address: None,
            rack: None,
            previous_broker_epoch: previous,
            flushes_on_commit: !self.swarm.is_async,
        };
        let (session, interval) = (
            self.config.broker_session_timeout,
            self.config.broker_heartbeat_interval,
        );
        Registration::new(request, session, interval, self.instant(broker + 1))
    }

    /// An event for one process. Who stands still hears it later, who is gone never.
    pub(crate) fn at_broker(&mut self, broker: usize, life: u64, what: ToBroker) {
        let it = &mut self.brokers[broker];
        if it.process.is_none() || it.life != life {
            self.nobody_there(broker, &what);
            return;
        }
        if let Some(stalled) = &mut it.stalled {
            stalled.push(Event::Broker { broker, life, what });
            return;
        }
        if let Some(process) = &mut it.process
            && !process.is_serving
            && what.is_for_the_door()
        {
            process.backlog.push(what);
            return;
        }
        if self.is_in_vain(broker, &what) {
            return;
        }
        self.hear(broker, what);
        if self.brokers[broker].fs.is_off() {
            let loss = self.any_loss();
            self.cut_power(broker, loss);
            return;
        }
        self.afterwards(broker);
    }

    /// Most deadlines pass when what they were for is long done, and most news is old.
    fn is_in_vain(&self, broker: usize, what: &ToBroker) -> bool {
        let Some(it) = &self.brokers[broker].process else {
            return true;
        };
        match what {
            ToBroker::Learn { upto } => {
                *upto < it.applied || (*upto == it.applied && it.view.is_some())
            }
            ToBroker::HearOfController { reign } => it.controller >= Some(*reign),
            ToBroker::Wake => it.wake_at == 0 || it.wake_at > self.now,
            ToBroker::CallTimeout { line, call } => {
                it.line != *line || it.call != *call || it.sent_at.is_none()
            }
            ToBroker::LinkTimeout { call } => it.link.as_ref().is_none_or(|it| !it.is_of(*call)),
            ToBroker::ParkedLongEnough { connection } | ToBroker::FetchClosed { connection } => {
                it.parked.iter().all(|it| it.connection != *connection)
            }
            ToBroker::FetchTimeout { leader, connection } => {
                !it.loops[*leader].waits_for(*connection)
            }
            _ => false,
        }
    }

    fn hear(&mut self, broker: usize, what: ToBroker) {
        match what {
            ToBroker::Learn { upto } => self.learn(broker, upto),
            ToBroker::HearOfController { reign } => self.hear_of_controller(broker, reign),
            ToBroker::Wake => self.wake(broker),
            ToBroker::Connected { line } => self.line_event(broker, line, Step::Connected),
            ToBroker::Disconnected { line } => self.line_event(broker, line, Step::Disconnected),
            ToBroker::LineAnswer {
                line,
                call,
                response,
            } => self.line_answer(broker, line, call, response),
            ToBroker::CallTimeout { line, call } => self.call_timeout(broker, line, call),
            ToBroker::LinkAnswer { call, reply } => self.link_answer(broker, call, reply),
            ToBroker::LinkTimeout { call } => self.link_timeout(broker, call),
            ToBroker::LinkRetry => self.link_retry(broker),
            ToBroker::LookForLaggards => self.look_for_laggards(broker),
            ToBroker::Checkpoint => self.checkpoint(broker),
            ToBroker::OpenAgain => self.open_again(broker),
            ToBroker::Leave => self.wish(broker, Wish::Leave),
            ToBroker::Sync { request } => self.run_sync(broker, request),
            ToBroker::Synced { outcome } => self.ran_sync(broker, outcome),
            ToBroker::Fetch(it) => self.fetched(broker, it),
            ToBroker::ParkedLongEnough { connection } => self.answer_parked(broker, connection),
            ToBroker::FetchClosed { connection } => self.forget_parked(broker, connection),
            ToBroker::FetchAnswer {
                leader,
                connection,
                answer,
            } => self.take_answer(broker, leader, connection, answer),
            ToBroker::FetchTimeout { leader, connection } => {
                self.fetch_timeout(broker, leader, connection);
            }
            ToBroker::AskBounds {
                from,
                from_life,
                connection,
                leader_epoch,
                asked,
            } => self.tell_bounds(broker, (from, from_life), connection, leader_epoch, asked),
            ToBroker::Bounds {
                leader,
                connection,
                asked,
                bounds,
            } => self.take_bounds(broker, leader, connection, asked, bounds),
            ToBroker::Rested { leader, connection } => self.rested(broker, leader, connection),
            ToBroker::Produce(it) => self.produced(broker, it),
            ToBroker::Read { reader, offset } => self.read(broker, reader, offset),
            ToBroker::Delete { before } => self.delete(broker, before),
            ToBroker::NoteLogStart => self.note_log_start(broker),
        }
    }

    /// What loops of their own would do next, because something was left for them.
    pub(crate) fn afterwards(&mut self, broker: usize) {
        self.watch(broker);
        if self.settle(broker) {
            return;
        }
        self.answer_clients(broker);
        self.answer_deletions(broker);
        self.wake_parked(broker);
        self.flush(broker);
        self.call_controller(broker);
        self.kick(broker);
    }

    /// Whether the process ended itself.
    fn settle(&mut self, broker: usize) -> bool {
        let Some(process) = self.process(broker) else {
            return true;
        };
        let Some(reason) = process.solo.settle() else {
            return false;
        };
        self.trace(|| format!("    broker {} ends: {reason}", broker + 1), 3);
        self.stopped(broker, CrashLoss::Nothing);
        true
    }

    /// The end of a polite stop.
    pub(crate) fn finish_leaving(&mut self, broker: usize) {
        self.watch(broker);
        let Some(process) = self.process(broker) else {
            return;
        };
        let Some(epoch) = process.registration.standing().broker_epoch else {
            // Nobody registered it: it leaves no marker, and its next start counts as unclean.
            self.stopped(broker, CrashLoss::Nothing);
            return;
        };
        process.solo.close(epoch);
        self.watch(broker);
        self.end_process(broker, CrashLoss::Nothing, false);
    }

    /// The process dies; the page cache stays, or does not. It is started again some time.
    pub(crate) fn stopped(&mut self, broker: usize, loss: CrashLoss) {
        // Of any crash in `async` mode the controller believes the worst.
        let may_lose = loss != CrashLoss::Nothing || self.swarm.is_async;
        self.end_process(broker, loss, may_lose);
    }

    fn end_process(&mut self, broker: usize, loss: CrashLoss, may_lose: bool) {
        self.look_for_beginning(broker);
        let it = &mut self.brokers[broker];
        it.fs.crash(loss);
        it.stalled = None;
        let process = it.process.take();
        if let Some(process) = process {
            // What was applied is on disk, but for the newest.
            let back_max = if self.swarm.reassigns() { 12 } else { 3 };
            let back = self.chance.between(0, back_max) as usize;
            self.brokers[broker].applied = process.applied.saturating_sub(back);
            self.hang_up(broker, process.line, process.line_reign);
        }
        self.brokers[broker].is_leaving = false;
        self.brokers[broker].is_powered = loss == CrashLoss::Nothing;
        let node = node_id(broker);
        if self.brokers[broker].is_known {
            self.tell(&Fact::Stopped { node, may_lose });
        }
        self.brokers[broker].is_known = false;
        let high = if self.is_healing { 100_000 } else { 3_000_000 };
        let delay = self.chance.between(20_000, high);
        self.after(delay, Event::Fault(ToFault::Start { broker }));
    }

    pub(crate) fn cut_power(&mut self, broker: usize, loss: CrashLoss) {
        self.stopped(broker, loss);
    }

    pub(crate) fn any_loss(&mut self) -> CrashLoss {
        match self.chance.below(3) {
            0 => CrashLoss::EverythingUnsynced,
            _ => CrashLoss::ByChance {
                seed: self.chance.u64(),
            },
        }
    }

    /// A connection to the controller closes.
    pub(crate) fn hang_up(&mut self, broker: usize, line: u64, reign: usize) {
        if line == 0 {
            return;
        }
        let what = ToController::Closed(ConnectionId(line));
        let event = Event::Controller { reign, what };
        self.send((place(broker), CONTROLLER), line, event);
    }

    /// Who spoke to a process that is gone learns it from the machine, if that is on.
    fn nobody_there(&mut self, broker: usize, what: &ToBroker) {
        let ToBroker::Fetch(fetch) = what else {
            return;
        };
        if self.brokers[broker].is_powered {
            let (from, life, connection) = (fetch.from, fetch.from_life, fetch.connection);
            let what = ToBroker::FetchTimeout {
                leader: broker,
                connection,
            };
            let event = Event::Broker {
                broker: from,
                life,
                what,
            };
            self.send((place(broker), place(from)), 0, event);
        }
    }
}
