//! The heal phase: faults end, and within a bound the partition is whole again.

use std::hash::{DefaultHasher, Hash, Hasher};

use drave_protocol::ids::{NodeId, Offset};
use drave_raft::record::LeaderRecovery;

use crate::history::Fact;

use super::{World, node_id};

const WITHIN_US: u64 = 60_000_000;
const LOOK_EVERY_US: u64 = 50_000;

impl World {
    pub(crate) fn heal(&mut self) {
        self.is_healing = true;
        self.trace(|| "-- faults end --".to_owned(), 4);
        self.end_all_faults();
        let deadline = self.now + WITHIN_US;
        loop {
            self.run_until(self.now + LOOK_EVERY_US);
            if self.oracle.violation().is_some() {
                return;
            }
            let ill = self.what_is_ill();
            let Some(what) = ill else { break };
            if self.now >= deadline {
                // Where records may be lost, a partition may wait for them for ever.
                if !self.swarm.is_reckless {
                    self.tell(&Fact::NotHealed { what });
                }
                return;
            }
            self.start_whoever_is_down();
            self.elect_if_nobody_can();
        }
        let digests: Vec<(NodeId, u64)> = (0..self.brokers.len())
            .filter_map(|it| Some((node_id(it), self.digest_of(it)?)))
            .collect();
        self.tell(&Fact::Healed { digests });
        let leader = self
            .quorum
            .partition()
            .and_then(|it| Some((it.leader?, it.leader_epoch)));
        if let Some((node, leader_epoch)) = leader {
            self.tell(&Fact::TookLead { node, leader_epoch });
        }
    }

    fn what_is_ill(&mut self) -> Option<String> {
        let n = self.brokers.len();
        let Some(agreed) = self.quorum.partition() else {
            return Some("there is no partition".to_owned());
        };
        if agreed.isr.len() < n {
            let agreed = agreed.clone();
            let troubles: Vec<_> = (0..n)
                .map(|it| self.process(it).map(|it| it.solo.trouble()))
                .collect();
            return Some(format!("{agreed:?}, offline: {troubles:?}"));
        }
        if agreed.recovery != LeaderRecovery::Recovered {
            return Some(format!("{agreed:?}"));
        }
        if !self.are_producers_done() {
            return Some("a produce waits for its ack".to_owned());
        }
        let mut ends: Vec<Option<(Offset, Offset)>> = Vec::new();
        for broker in 0..n {
            let view = self.process(broker).and_then(|it| it.solo.view());
            ends.push(view.map(|it| (it.log_end_offset, it.high_watermark)));
        }
        let is_even = ends.iter().all(|it| *it == ends[0]);
        let is_committed = ends[0].is_some_and(|(end, mark)| end == mark);
        (!is_even || !is_committed).then(|| format!("ends and high watermarks: {ends:?}"))
    }

    fn digest_of(&mut self, broker: usize) -> Option<u64> {
        let process = self.process(broker)?;
        let mut hasher = DefaultHasher::new();
        process.solo.records_from(Offset::ZERO).hash(&mut hasher);
        Some(hasher.finish())
    }
}
