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
            self.reassign_to_all();
        }
        // What one of them let go of is nobody's loss.
        let starts = (0..self.brokers.len()).filter_map(|it| self.bounds_of(it));
        let from = starts.map(|it| it.2).max().unwrap_or(Offset::ZERO);
        let digests: Vec<(NodeId, u64)> = (0..self.brokers.len())
            .filter_map(|it| Some((node_id(it), self.digest_of(it, from)?)))
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
        let leader = agreed.leader.map_or(0, |it| it.0 as usize - 1);
        let bounds: Vec<_> = (0..n).map(|it| self.bounds_of(it)).collect();
        let is_even = bounds[leader].is_some_and(|(end, mark, start)| {
            // One that led before may have let go of more, and been deposed before anybody heard of it.
            let is_like =
                |it: &(Offset, Offset, Offset)| it.0 == end && it.1 == end && it.2 >= start;
            end == mark && bounds.iter().all(|it| it.as_ref().is_some_and(is_like))
        });
        (!is_even).then(|| format!("ends, high watermarks and starts: {bounds:?}"))
    }

    /// Where its log ends, how far it knows that to be committed, and where it starts.
    fn bounds_of(&mut self, broker: usize) -> Option<(Offset, Offset, Offset)> {
        let view = self.process(broker)?.solo.view()?;
        Some((
            view.log_end_offset,
            view.high_watermark,
            view.log_start_offset,
        ))
    }

    fn digest_of(&mut self, broker: usize, from: Offset) -> Option<u64> {
        let process = self.process(broker)?;
        let mut hasher = DefaultHasher::new();
        process.solo.records_from(from).hash(&mut hasher);
        Some(hasher.finish())
    }
}
