//! What all members did, judged as it happens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Who has a partition of a consumer group, as far as its members say.
#[derive(Debug)]
struct Owner {
    member: String,
    /// Until when it cannot have been given up; `None`: nobody knows.
    alive_until: Option<Instant>,
}

#[derive(Default)]
pub(super) struct Oracle {
    owners: BTreeMap<(i32, i32), String>,
    /// By partition, whoever has it now.
    holders: BTreeMap<i32, Owner>,
    /// By partition and generation: the least and the most committed.
    commits: BTreeMap<(i32, i32), (i64, i64)>,
    /// By partition: the most committed by those who do not say their generation.
    commits_of_somebody: BTreeMap<i32, i64>,
    pub(super) consumed: BTreeMap<i32, BTreeSet<i64>>,
    rebalances: Vec<Duration>,
    n_crashes: usize,
    /// Partitions that went to another from one who did not know it was given up.
    n_taken: usize,
    pub(super) violations: Vec<String>,
}

impl Oracle {
    /// In one generation, or epoch, a partition has one owner.
    pub(super) fn assigned(&mut self, generation: i32, member: &str, partitions: &[i32]) {
        for partition in partitions {
            let owner = self.owners.entry((generation, *partition));
            let owner = owner.or_insert_with(|| member.to_owned());
            if owner != member {
                self.violations.push(format!(
                    "partition {partition} of generation {generation}: {owner} and {member}"
                ));
            }
        }
    }

    /// It has the partition from now on. Whoever had it must have said that it let go, or be silent for longer
    /// than its session.
    pub(super) fn holds(&mut self, member: &str, partition: i32, alive_until: Option<Instant>) {
        let owner = Owner {
            member: member.to_owned(),
            alive_until,
        };
        let Some(before) = self.holders.insert(partition, owner) else {
            return;
        };
        if before.member == member {
            return;
        }
        self.n_taken += 1;
        let now = Instant::now();
        if before.alive_until.is_some_and(|until| now < until) {
            self.violations.push(format!(
                "partition {partition}: {member} has it, and {} was heard in its session",
                before.member
            ));
        }
    }

    /// A heartbeat sent so that the session cannot end before `until` was answered.
    pub(super) fn heard(&mut self, member: &str, until: Instant) {
        let holders = self.holders.values_mut();
        for owner in holders.filter(|it| it.member == member) {
            owner.alive_until = Some(until);
        }
    }

    pub(super) fn lets_go(&mut self, member: &str, partition: i32) {
        let has_it = |it: &Owner| it.member == member;
        if self.holders.get(&partition).is_some_and(has_it) {
            self.holders.remove(&partition);
        }
    }

    pub(super) fn lets_all_go(&mut self, member: &str) {
        self.holders.retain(|_, owner| owner.member != member);
    }

    pub(super) fn rebalanced(&mut self, took: Duration) {
        self.rebalances.push(took);
    }

    pub(super) fn crashed(&mut self) {
        self.n_crashes += 1;
    }

    pub(super) fn most_committed(&self, partition: i32) -> i64 {
        let all = self.commits.range((partition, 0)..=(partition, i32::MAX));
        let of_somebody = self.commits_of_somebody.get(&partition);
        let all = all.map(|(_, (_, most))| most).chain(of_somebody);
        all.max().copied().unwrap_or(-1)
    }

    pub(super) fn committed_by_somebody(&mut self, partition: i32, offset: i64) {
        let most = self.commits_of_somebody.entry(partition).or_insert(offset);
        *most = offset.max(*most);
    }

    /// The coordinator took it from a member of this generation.
    pub(super) fn committed(&mut self, partition: i32, generation: i32, offset: i64) {
        let before = self.commits.range((partition, 0)..(partition, generation));
        let before = before.map(|(_, (_, most))| *most).max().unwrap_or(-1);
        if offset < before {
            self.violations.push(format!(
                "partition {partition}: {offset} committed in generation {generation}, {before} before it"
            ));
        }
        let span = self
            .commits
            .entry((partition, generation))
            .or_insert((offset, offset));
        *span = (span.0.min(offset), span.1.max(offset));
    }

    /// A member begins where the group is, and nothing acked before is forgotten.
    pub(super) fn begins(&mut self, partition: i32, generation: i32, offset: i64, acked: i64) {
        if offset < acked {
            self.violations.push(format!(
                "partition {partition}: {offset} fetched in generation {generation}, {acked} was acked"
            ));
        }
    }

    pub(super) fn tell(&self, protocol: &str, n_kills: usize) {
        let mut rebalances = self.rebalances.clone();
        rebalances.sort_unstable();
        let at = |share: usize| rebalances.get(rebalances.len().saturating_sub(1) * share / 100);
        let generations: BTreeSet<i32> = self.owners.keys().map(|(it, _)| *it).collect();
        let n_records: usize = self.consumed.values().map(BTreeSet::len).sum();
        eprintln!(
            "churn ({protocol}): {} generations, {n_kills} kills, {} crashes, {n_records} records, {} partitions taken \
             from the silent; {} times from join to assignment p50 {:?}, p99 {:?}, max {:?}",
            generations.len(),
            self.n_crashes,
            self.n_taken,
            rebalances.len(),
            at(50).unwrap(),
            at(99).unwrap(),
            at(100).unwrap(),
        );
    }
}
