//! What goes wrong: one fault after another, of the kinds the seed drew; each ends some time.

use std::path::Path;

use drave_log::fs::FileSystem;
use drave_log::fs::faulty::{CrashLoss, FaultyFs, Trouble};
use drave_protocol::ids::DirectoryId;

use crate::history::Fact;
use crate::swarm::FaultKind;

use super::event::{Event, ToBroker, ToController, ToFault};
use super::network::{CONTROLLER, place};
use super::process::DIR;
use super::{TOPIC, World, node_id};

impl World {
    pub(crate) fn fault(&mut self, what: ToFault) {
        match what {
            ToFault::Begin => {
                if self.is_healing {
                    return;
                }
                let kind = *self.chance.pick(&self.swarm.faults.clone());
                self.befall(kind);
                let gap = self.swarm.fault_gap_us;
                let delay = self.chance.between(gap / 4, gap * 2);
                self.after(delay, Event::Fault(ToFault::Begin));
            }
            ToFault::Start { broker } => self.start(broker),
            ToFault::Resume { broker } => self.resume(broker),
            ToFault::Unblock { way } => self.unblock(way.0, way.1),
            ToFault::Hasten { broker } => self.hasten(broker),
            ToFault::Readmit { broker } => self.readmit(broker),
        }
    }

    fn befall(&mut self, kind: FaultKind) {
        self.tally.faults += 1;
        let broker = self.chance.below(self.brokers.len());
        self.trace(
            || format!("  ! {kind:?} (broker {})", broker + 1),
            kind as u64,
        );
        match kind {
            FaultKind::Kill => self.crash(broker, CrashLoss::Nothing),
            FaultKind::PowerCut => {
                let loss = self.any_loss();
                self.crash(broker, loss);
            }
            FaultKind::PowerCutEverywhere => {
                for broker in 0..self.brokers.len() {
                    let loss = self.any_loss();
                    self.crash(broker, loss);
                }
            }
            FaultKind::PowerCutMidway => {
                if self.may_crash(broker) {
                    let n = self.chance.between(0, 12);
                    self.brokers[broker].fs.stop_after(n);
                }
            }
            FaultKind::Restart => self.leave(broker),
            FaultKind::Pause => self.pause(broker),
            FaultKind::Partition => self.partition(),
            FaultKind::Isolate => self.isolate(broker),
            FaultKind::ControllerChange => self.change_controller(),
            FaultKind::DiskError => {
                if self.may_crash(broker) {
                    let n = self.chance.between(0, 12);
                    self.brokers[broker].fs.trouble_after(n, Trouble::IoError);
                }
            }
            FaultKind::SyncError => {
                if self.may_crash(broker) {
                    self.brokers[broker].fs.fail_syncs(1);
                }
            }
            FaultKind::Reassign => self.reassign(),
            FaultKind::DeleteRecords => self.ask_to_delete(broker),
            FaultKind::LostLog => self.lose_log(broker),
            FaultKind::WipedDisk => self.wipe(broker),
            FaultKind::MetadataLag => {
                self.brokers[broker].metadata_lag_us = self.chance.between(200_000, 3_000_000);
                self.end_later(ToFault::Hasten { broker });
            }
            FaultKind::SlowDisk => {
                self.brokers[broker].sync_us = self.chance.between(100_000, 3_000_000);
                self.end_later(ToFault::Hasten { broker });
            }
        }
    }

    fn end_later(&mut self, what: ToFault) {
        let delay = self.chance.between(50_000, 4_000_000);
        self.after(delay, Event::Fault(what));
    }

    /// In `async` mode acked records survive as long as fewer than `min_isr` replicas may have lost
    /// what they held, those that are not back in sync counted.
    fn may_crash(&self, broker: usize) -> bool {
        if !self.swarm.is_async || self.swarm.is_reckless {
            return true;
        }
        let replicas = &self.oracle.known().replicas;
        let others = replicas
            .iter()
            .filter(|(node, it)| it.is_suspect && node.0 as usize != broker + 1)
            .count();
        others + 1 < self.swarm.min_isr
    }

    fn crash(&mut self, broker: usize, loss: CrashLoss) {
        if self.brokers[broker].process.is_some() && self.may_crash(broker) {
            self.stopped(broker, loss);
        }
    }

    fn leave(&mut self, broker: usize) {
        let is_serving = self.process(broker).is_some_and(|it| it.is_serving);
        if let Some(life) = self.life(broker)
            && (is_serving || self.may_crash(broker))
        {
            self.brokers[broker].is_leaving = true;
            let what = ToBroker::Leave;
            self.after(1, Event::Broker { broker, life, what });
        }
    }

    fn pause(&mut self, broker: usize) {
        let it = &mut self.brokers[broker];
        if it.process.is_some() && it.stalled.is_none() {
            it.stalled = Some(Vec::new());
            self.end_later(ToFault::Resume { broker });
        }
    }

    fn resume(&mut self, broker: usize) {
        let stalled = self.brokers[broker].stalled.take();
        for event in stalled.into_iter().flatten() {
            self.after(1, event);
        }
    }

    fn cut(&mut self, way: (usize, usize)) {
        self.block(way.0, way.1);
    }

    fn partition(&mut self) {
        let n = self.brokers.len() + 1;
        let one = self.chance.below(n);
        let other = (one + 1 + self.chance.below(n - 1)) % n;
        if one == other {
            return;
        }
        self.cut((one, other));
        self.end_later(ToFault::Unblock { way: (one, other) });
        if self.chance.permille(500) {
            self.cut((other, one));
            self.end_later(ToFault::Unblock { way: (other, one) });
        }
    }

    fn isolate(&mut self, broker: usize) {
        let delay = self.chance.between(100_000, 5_000_000);
        let here = place(broker);
        for there in CONTROLLER..=self.brokers.len() {
            if there != here {
                for way in [(here, there), (there, here)] {
                    self.cut(way);
                    self.after(delay, Event::Fault(ToFault::Unblock { way }));
                }
            }
        }
    }

    fn change_controller(&mut self) {
        self.quorum.term += 1;
        let term = self.quorum.term;
        let old = self.reigns.len().checked_sub(1);
        if let Some(reign) = old.filter(|it| self.is_reigning(*it)) {
            if self.chance.permille(500) {
                // It goes on answering for a moment; what it proposes is agreed no more.
                let delay = self.chance.between(10_000, self.swarm.session_ms * 250);
                let what = ToController::Resign;
                self.after(delay, Event::Controller { reign, what });
            } else {
                self.end_reign(reign);
            }
        }
        let delay = self.chance.between(250_000, 1_200_000);
        self.after(delay, Event::Activate { term });
    }

    fn hasten(&mut self, broker: usize) {
        self.brokers[broker].metadata_lag_us = self.swarm.metadata_lag_us;
        self.brokers[broker].sync_us = self.swarm.sync_us;
    }

    /// Once in a run: the settings protect from one.
    fn lose_log(&mut self, broker: usize) {
        if self.has_lost_log || self.brokers[broker].process.is_none() {
            return;
        }
        self.has_lost_log = true;
        self.stopped(broker, CrashLoss::Nothing);
        let fs = &self.brokers[broker].fs;
        let folder = Path::new(DIR).join(format!("{TOPIC}-0"));
        if fs.rename(&folder, Path::new("/lost")).is_ok() {
            fs.sync_dir(Path::new(DIR)).expect("its disk is well");
            self.lost_log = Some(broker);
        }
    }

    /// Once in a run, and not beside a lost log.
    fn wipe(&mut self, broker: usize) {
        if self.has_lost_log || self.brokers[broker].process.is_none() {
            return;
        }
        self.has_lost_log = true;
        self.stopped(broker, CrashLoss::Nothing);
        let it = &mut self.brokers[broker];
        it.fs = FaultyFs::new();
        it.directory = DirectoryId(it.directory.0 + 100);
        // Its image was on that disk too.
        it.forget_image();
        let node = node_id(broker);
        self.tell(&Fact::BegunAnew { node });
        let may_lose = true;
        self.tell(&Fact::Stopped { node, may_lose });
        let delay = self.chance.between(200_000, 2_000_000);
        self.after(delay, Event::Fault(ToFault::Readmit { broker }));
    }

    /// Everything that was wrong is right again.
    pub(crate) fn end_all_faults(&mut self) {
        self.unblock_all();
        self.start_whoever_is_down();
    }

    pub(crate) fn start_whoever_is_down(&mut self) {
        for broker in 0..self.brokers.len() {
            self.hasten(broker);
            self.resume(broker);
            self.brokers[broker].fs.fail_syncs(0);
            self.brokers[broker].fs.never_stop();
            self.start(broker);
        }
    }
}
