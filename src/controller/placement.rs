//! Where the replicas of a new topic go: spread over racks first, brokers second; leaders evenly.
//!
//! Invariants: a partition never has two replicas on one broker, nor two in one rack while another
//! rack has none; brokers lead as many of the new partitions as any other, give or take one, and so do
//! they hold replicas where racks allow it. The same seed gives the same placement.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use drave_protocol::ids::NodeId;
use thiserror::Error;

/// A broker replicas may go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub broker: NodeId,
    pub rack: Option<String>,
    /// Partitions it is the preferred leader of already; breaks ties, so that many small topics
    /// spread as one large one does.
    pub n_leaders: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("replication factor {requested} is larger than the {live} live brokers")]
pub struct NotEnoughBrokers {
    pub requested: usize,
    pub live: usize,
}

/// The replicas of each partition, preferred leader first.
pub fn place(
    candidates: &[Candidate],
    n_partitions: usize,
    replication_factor: usize,
    seed: u64,
) -> Result<Vec<Vec<NodeId>>, NotEnoughBrokers> {
    if candidates.len() < replication_factor || candidates.is_empty() {
        return Err(NotEnoughBrokers {
            requested: replication_factor,
            live: candidates.len(),
        });
    }
    let mut spread = Spread::new(candidates, seed);
    Ok((0..n_partitions)
        .map(|partition| spread.place_one(partition, replication_factor))
        .collect())
}

/// What the new topic has put on each broker so far.
struct Spread<'a> {
    candidates: &'a [Candidate],
    start: usize,
    n_leaders: BTreeMap<NodeId, usize>,
    n_replicas: BTreeMap<NodeId, usize>,
}

impl<'a> Spread<'a> {
    fn new(candidates: &'a [Candidate], seed: u64) -> Self {
        let n = u64::try_from(candidates.len()).unwrap_or(1).max(1);
        Self {
            candidates,
            start: usize::try_from(seed % n).unwrap_or(0),
            n_leaders: BTreeMap::new(),
            n_replicas: BTreeMap::new(),
        }
    }

    fn place_one(&mut self, partition: usize, replication_factor: usize) -> Vec<NodeId> {
        let mut replicas: Vec<&Candidate> = Vec::with_capacity(replication_factor);
        while replicas.len() < replication_factor {
            let next = if replicas.is_empty() {
                self.leader()
            } else {
                self.follower(partition, &replicas)
            };
            let Some(next) = next else { break };
            *self.n_replicas.entry(next.broker).or_default() += 1;
            replicas.push(next);
        }
        let ids: Vec<NodeId> = replicas.iter().map(|it| it.broker).collect();
        if let Some(leader) = ids.first() {
            *self.n_leaders.entry(*leader).or_default() += 1;
        }
        ids
    }

    fn leader(&self) -> Option<&'a Candidate> {
        self.rotated(0).min_by_key(|it| {
            let here = count(&self.n_leaders, it.broker);
            (here, it.n_leaders, count(&self.n_replicas, it.broker))
        })
    }

    fn follower(&self, partition: usize, chosen: &[&Candidate]) -> Option<&'a Candidate> {
        let used_racks: BTreeSet<&str> =
            chosen.iter().filter_map(|it| it.rack.as_deref()).collect();
        // Rotated by partition: else the followers of one leader would always be the same brokers.
        self.rotated(partition)
            .filter(|it| chosen.iter().all(|other| other.broker != it.broker))
            .min_by_key(|it| {
                let rack_taken = it
                    .rack
                    .as_deref()
                    .is_some_and(|rack| used_racks.contains(rack));
                (rack_taken, count(&self.n_replicas, it.broker))
            })
    }

    fn rotated(&self, shift: usize) -> impl Iterator<Item = &'a Candidate> {
        let n = self.candidates.len();
        self.candidates
            .iter()
            .cycle()
            .skip((self.start + shift) % n)
            .take(n)
    }
}

fn count(counts: &BTreeMap<NodeId, usize>, broker: NodeId) -> usize {
    counts.get(&broker).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brokers(racks: &[Option<&str>]) -> Vec<Candidate> {
        (1..)
            .zip(racks)
            .map(|(id, rack)| Candidate {
                broker: NodeId(id),
                rack: rack.map(str::to_owned),
                n_leaders: 0,
            })
            .collect()
    }

    fn counts(nodes: impl Iterator<Item = NodeId>) -> BTreeMap<NodeId, usize> {
        let mut counts = BTreeMap::new();
        nodes.for_each(|it| *counts.entry(it).or_default() += 1);
        counts
    }

    #[test]
    fn leaders_and_replicas_are_spread_evenly_over_brokers() {
        for seed in 0..20 {
            let placed = place(&brokers(&[None; 5]), 50, 3, seed).unwrap();
            let leaders = counts(placed.iter().map(|it| it[0]));
            let replicas = counts(placed.iter().flatten().copied());
            assert!(
                leaders.values().all(|n| *n == 10),
                "seed {seed}: {leaders:?}"
            );
            assert!(
                replicas.values().all(|n| (29..=31).contains(n)),
                "seed {seed}: {replicas:?}"
            );
        }
    }

    #[test]
    fn a_partition_never_has_two_replicas_on_one_broker() {
        for replicas in place(&brokers(&[None; 4]), 40, 4, 3).unwrap() {
            assert_eq!(counts(replicas.iter().copied()).len(), 4, "{replicas:?}");
        }
    }

    #[test]
    fn replicas_use_every_rack_before_using_one_twice() {
        let racks = [
            Some("a"),
            Some("a"),
            Some("a"),
            Some("b"),
            Some("c"),
            Some("c"),
        ];
        let rack_of = |it: &NodeId| racks[usize::try_from(it.0).unwrap() - 1];
        for seed in 0..6 {
            for replicas in place(&brokers(&racks), 30, 3, seed).unwrap() {
                let used: BTreeSet<_> = replicas.iter().map(rack_of).collect();
                assert_eq!(used.len(), 3, "seed {seed}: {replicas:?}");
            }
        }
    }

    #[test]
    fn many_topics_of_one_partition_get_different_leaders() {
        let mut candidates = brokers(&[None; 3]);
        for _ in 0..9 {
            let leader = place(&candidates, 1, 3, 0).unwrap()[0][0];
            candidates
                .iter_mut()
                .filter(|it| it.broker == leader)
                .for_each(|it| it.n_leaders += 1);
        }
        assert!(
            candidates.iter().all(|it| it.n_leaders == 3),
            "{candidates:?}"
        );
    }

    #[test]
    fn too_few_brokers_are_refused_with_both_numbers() {
        let error = place(&brokers(&[None, None]), 1, 3, 0).unwrap_err();
        assert_eq!(
            error,
            NotEnoughBrokers {
                requested: 3,
                live: 2
            }
        );
    }

    #[test]
    fn a_seed_repeats_its_placement() {
        let candidates = brokers(&[None; 5]);
        assert_eq!(place(&candidates, 9, 3, 4), place(&candidates, 9, 3, 4));
        assert_ne!(place(&candidates, 9, 3, 4), place(&candidates, 9, 3, 5));
    }
}
