//! What can go wrong, and when: a schedule drawn from a seed.

use std::time::Duration;

use drave_protocol::ids::NodeId;

use crate::random::Random;

macro_rules! faults {
    ($($(#[doc = $doc:literal])+ $kind:ident = $name:literal, $lasts:expr;)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Kind { $($(#[doc = $doc])+ $kind,)* }

        impl Kind {
            pub(super) const ALL: &'static [Self] = &[$(Self::$kind,)*];

            pub(super) const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            /// At least and at most, in milliseconds.
            const fn lasts(self) -> (u64, u64) {
                match self { $(Self::$kind => $lasts,)* }
            }
        }
    };
}

faults! {
    /// kill -9 of one node.
    Kill = "kill", (200, 4_000);
    /// SIGSTOP: it holds its connections and answers nobody.
    Pause = "pause", (200, 6_000);
    /// A polite stop.
    Stop = "stop", (200, 3_000);
    /// Nothing passes between two nodes.
    Cut = "cut", (300, 6_000);
    /// Nothing passes from one node to another; the way back is whole.
    CutOneWay = "cut-one-way", (300, 6_000);
    /// Nothing passes between one node and all others; clients still reach it.
    Isolate = "isolate", (300, 6_000);
    /// kill -9 of all nodes at once.
    KillAll = "kill-all", (100, 1_000);
    /// Followers are cut off; a leader is killed and comes back, and then who leads next is killed.
    DoubleFailover = "double-failover", (5_000, 5_000);
    /// kill -9, and the records of the node are gone when it comes back.
    Wipe = "wipe", (100, 1_000);
    /// The disk of a node has no room left. Needs root.
    FullDisk = "full-disk", (500, 4_000);
    /// The disk of a node answers nobody. Needs root.
    StalledDisk = "stalled-disk", (300, 4_000);
    /// The power of all nodes is cut at once: what was not synced is gone. Needs root.
    Power = "power", (100, 500);
}

impl Kind {
    pub(super) fn needs_disks(self) -> bool {
        matches!(self, Self::FullDisk | Self::StalledDisk | Self::Power)
    }

    pub(super) fn needs_wires(self) -> bool {
        matches!(
            self,
            Self::Cut | Self::CutOneWay | Self::Isolate | Self::DoubleFailover
        )
    }

    fn hits_all(self) -> bool {
        matches!(self, Self::KillAll | Self::Power | Self::DoubleFailover)
    }

    fn hits_two(self) -> bool {
        matches!(self, Self::Cut | Self::CutOneWay)
    }

    /// Strikes with nothing else going on: of most, because more at once and even a cluster without a fault
    /// may lose; of a stalled disk, because it holds up who fills it, and a process that is to die.
    pub(super) fn is_alone(self) -> bool {
        matches!(
            self,
            Self::Wipe | Self::DoubleFailover | Self::StalledDisk | Self::Power
        )
    }
}

/// One fault of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Strike {
    /// Since the start.
    pub(super) at: Duration,
    pub(super) lasts: Duration,
    pub(super) kind: Kind,
    /// Whom it hits; of a cut from one node to another, those two.
    pub(super) nodes: Vec<NodeId>,
}

impl Strike {
    pub(super) fn told(&self) -> String {
        let nodes: Vec<String> = self.nodes.iter().map(ToString::to_string).collect();
        let nodes = if self.kind.hits_all() {
            String::new()
        } else if self.kind == Kind::CutOneWay {
            nodes.join(">")
        } else {
            nodes.join("-")
        };
        format!("{} {nodes}", self.kind.name())
            .trim_end()
            .to_owned()
    }
}

/// The same seed, kinds, nodes and duration draw the same strikes.
pub(super) fn draw(seed: u64, kinds: &[Kind], nodes: &[NodeId], duration: Duration) -> Vec<Strike> {
    const FIRST_AT: u64 = 1_000;
    let random = Random::seeded(seed);
    let mut strikes: Vec<Strike> = Vec::new();
    let mut at = FIRST_AT;
    let mut alone_until = 0;
    let mut others_until = 0;
    let end = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    loop {
        let Some(kind) = pick(&random, kinds) else {
            return strikes;
        };
        let (least, most) = kind.lasts();
        let lasts = between(&random, least, most);
        let from = if kind.is_alone() {
            at.max(others_until)
        } else {
            at.max(alone_until)
        };
        if from + lasts >= end {
            return strikes;
        }
        strikes.push(Strike {
            at: Duration::from_millis(from),
            lasts: Duration::from_millis(lasts),
            kind,
            nodes: victims(&random, kind, nodes),
        });
        let over = from + lasts;
        others_until = others_until.max(over);
        if kind.is_alone() {
            alone_until = over;
        }
        // One in three begins while this one lasts.
        at = if random.u64().is_multiple_of(3) {
            between(&random, from, over)
        } else {
            over + between(&random, 100, 3_000)
        };
    }
}

fn victims(random: &Random, kind: Kind, nodes: &[NodeId]) -> Vec<NodeId> {
    if kind.hits_all() {
        return nodes.to_vec();
    }
    let first = pick(random, nodes);
    let mut victims: Vec<NodeId> = first.into_iter().collect();
    if kind.hits_two() {
        let others: Vec<NodeId> = nodes
            .iter()
            .copied()
            .filter(|it| Some(*it) != first)
            .collect();
        victims.extend(pick(random, &others));
    }
    victims
}

fn pick<T: Copy>(random: &Random, from: &[T]) -> Option<T> {
    let n = u64::try_from(from.len()).unwrap_or_default();
    let at = random.u64().checked_rem(n)?;
    from.get(usize::try_from(at).ok()?).copied()
}

fn between(random: &Random, least: u64, most: u64) -> u64 {
    least + random.u64() % (most - least + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
    const LONG: Duration = Duration::from_mins(10);

    #[test]
    fn a_seed_repeats_its_schedule() {
        let drawn = |seed| draw(seed, Kind::ALL, &NODES, LONG);
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        assert!(drawn(1).len() > 50, "{}", drawn(1).len());
    }

    #[test]
    fn every_kind_is_drawn_and_ends_in_time() {
        let strikes = draw(3, Kind::ALL, &NODES, LONG);
        for kind in Kind::ALL {
            assert!(strikes.iter().any(|it| it.kind == *kind), "{kind:?}");
        }
        assert!(strikes.iter().all(|it| it.at + it.lasts < LONG));
        let cuts = strikes.iter().filter(|it| it.kind == Kind::Cut);
        assert!(
            cuts.clone()
                .all(|it| it.nodes.len() == 2 && it.nodes[0] != it.nodes[1])
        );
    }

    #[test]
    fn faults_overlap_but_for_those_that_strike_alone() {
        let strikes = draw(4, Kind::ALL, &NODES, LONG);
        let meets = |a: &Strike, b: &Strike| a.at < b.at + b.lasts && b.at < a.at + a.lasts;
        let mut n_overlaps = 0;
        for (place, strike) in strikes.iter().enumerate() {
            for other in &strikes[place + 1..] {
                if meets(strike, other) {
                    n_overlaps += 1;
                    assert!(!strike.kind.is_alone() && !other.kind.is_alone());
                }
            }
        }
        assert!(n_overlaps > 5, "{n_overlaps}");
    }

    #[test]
    fn nothing_is_drawn_from_nothing() {
        assert_eq!(draw(1, &[], &NODES, LONG), []);
    }
}
