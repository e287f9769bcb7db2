use proptest::prelude::*;

use super::*;

fn epochs(entries: &[(i32, i64)]) -> LeaderEpochs {
    let entries = entries.iter().map(|&(epoch, start)| EpochStart {
        epoch: LeaderEpoch(epoch),
        start_offset: Offset(start),
    });
    LeaderEpochs::from_entries(entries.collect()).unwrap()
}

fn end(epochs: &LeaderEpochs, requested: i32, log_end: i64) -> Option<(i32, i64)> {
    let found = epochs.end_offset_for(LeaderEpoch(requested), Offset(log_end));
    found.map(|(epoch, offset)| (epoch.0, offset.0))
}

#[test]
fn latest_epoch_ends_at_the_log_end() {
    assert_eq!(end(&epochs(&[(2, 0), (4, 10)]), 4, 25), Some((4, 25)));
}

#[test]
fn older_epoch_ends_where_the_next_starts() {
    let known = epochs(&[(2, 0), (4, 10), (7, 20)]);
    assert_eq!(end(&known, 2, 25), Some((2, 10)));
    assert_eq!(end(&known, 4, 25), Some((4, 20)));
}

#[test]
fn epoch_in_a_gap_answers_with_the_one_below() {
    assert_eq!(
        end(&epochs(&[(2, 0), (4, 10), (7, 20)]), 5, 25),
        Some((4, 20))
    );
}

#[test]
fn epoch_below_all_known_ends_where_they_start() {
    assert_eq!(end(&epochs(&[(3, 5), (4, 10)]), 1, 25), Some((1, 5)));
}

#[test]
fn epoch_above_all_known_or_none_has_no_end() {
    let known = epochs(&[(2, 0)]);
    assert_eq!(end(&known, 3, 25), None);
    assert_eq!(end(&known, -1, 25), None);
    assert_eq!(end(&LeaderEpochs::default(), 0, 25), None);
}

#[test]
fn epoch_that_wrote_nothing_is_replaced() {
    let mut known = epochs(&[(1, 0), (2, 10)]);
    assert!(known.assign(LeaderEpoch(3), Offset(10)));
    assert_eq!(known, epochs(&[(1, 0), (3, 10)]));
    assert!(!known.assign(LeaderEpoch(3), Offset(12)));
}

#[test]
#[should_panic(expected = "leader epoch falls from 5 to 4")]
fn falling_epoch_is_a_broken_invariant() {
    epochs(&[(5, 0)]).assign(LeaderEpoch(4), Offset(3));
}

#[test]
fn truncation_forgets_epochs_outside_the_log() {
    let mut known = epochs(&[(1, 0), (2, 10), (3, 20)]);
    assert!(known.truncate_from_end(Offset(20)));
    assert_eq!(known, epochs(&[(1, 0), (2, 10)]));
    assert!(!known.truncate_from_end(Offset(11)));
    assert!(known.truncate_from_start(Offset(12)));
    assert_eq!(known, epochs(&[(2, 10)]));
    assert!(!known.truncate_from_start(Offset(12)));
    assert!(!known.truncate_from_start(Offset(5)));
}

#[test]
fn who_wrote_the_last_record_that_was_deleted_is_known() {
    let mut known = epochs(&[(1, 0), (2, 10), (3, 20)]);
    assert!(known.truncate_from_start(Offset(20)));
    assert_eq!(known, epochs(&[(2, 10), (3, 20)]));
    assert_eq!(end(&known, 2, 25), Some((2, 20)), "a follower that had it");
    assert_eq!(
        end(&known, 1, 25),
        Some((1, 10)),
        "and one that had another"
    );
}

#[test]
fn a_file_is_believed_from_the_log_start_on() {
    for (start, left) in [
        (0, vec![(1, 0), (2, 10), (3, 20)]),
        (12, vec![(2, 12), (3, 20)]),
        (20, vec![(3, 20)]),
        (30, vec![(3, 30)]),
    ] {
        let mut known = epochs(&[(1, 0), (2, 10), (3, 20)]);
        known.begin_at(Offset(start));
        assert_eq!(known, epochs(&left), "{start}");
    }
}

#[test]
fn unordered_entries_are_refused() {
    let entry = |epoch, start| EpochStart {
        epoch: LeaderEpoch(epoch),
        start_offset: Offset(start),
    };
    for bad in [(1, 5), (2, 4), (0, 6), (2, 5)] {
        let entries = vec![entry(1, 5), entry(bad.0, bad.1)];
        assert_eq!(
            LeaderEpochs::from_entries(entries),
            Err(entry(bad.0, bad.1))
        );
    }
}

/// A log as the epoch of each of its records, from which the epochs follow.
#[derive(Clone, Debug)]
struct History(Vec<i32>);

impl History {
    fn log_end(&self) -> Offset {
        Offset(i64::try_from(self.0.len()).unwrap())
    }

    fn epochs(&self) -> LeaderEpochs {
        let mut known = LeaderEpochs::default();
        for (offset, &epoch) in (0..).zip(&self.0) {
            known.assign(LeaderEpoch(epoch), Offset(offset));
        }
        known
    }

    /// What a leader knows: it started an epoch of its own, above all others, at its log end.
    fn epochs_as_leader(&self) -> LeaderEpochs {
        let mut known = self.epochs();
        known.assign(LeaderEpoch(1_000), self.log_end());
        known
    }

    /// What a follower does with its log until the leader finds no divergence; says how many
    /// rounds that took.
    fn converge_on(&mut self, leader: &Self) -> usize {
        for round in 0.. {
            let (ours, fetch_offset) = (self.epochs(), self.log_end());
            let Some(last_fetched) = ours.latest_epoch() else {
                return round;
            };
            let theirs = leader
                .epochs_as_leader()
                .end_offset_for(last_fetched, leader.log_end());
            let (epoch, leader_end) = theirs.expect("a leader's own epoch is above all others");
            if epoch == last_fetched && leader_end >= fetch_offset {
                return round;
            }
            let our_end = ours
                .end_offset_for(epoch, fetch_offset)
                .map_or(Offset::ZERO, |it| it.1);
            let to = usize::try_from(our_end.min(leader_end).0).unwrap();
            assert!(to < self.0.len(), "each round must cut something");
            self.0.truncate(to);
        }
        unreachable!("the log gets shorter each round")
    }
}

/// KIP-101, scenario 2: a leader and follower both lost their tails and diverge at the same offset.
#[test]
fn same_offset_written_by_two_leaders_is_cut() {
    let leader = History(vec![0, 0, 2]);
    let mut follower = History(vec![0, 0, 1]);
    assert_eq!(follower.converge_on(&leader), 1);
    assert_eq!(follower.0, [0, 0]);
}

/// KIP-101, scenario 1: a follower that restarts must not cut what the leader still has.
#[test]
fn records_the_leader_has_are_kept() {
    let leader = History(vec![0, 0, 0]);
    let mut follower = History(vec![0, 0]);
    assert_eq!(follower.converge_on(&leader), 0);
    assert_eq!(follower.0, [0, 0]);
}

/// KIP-279: after fast failovers the follower's last epoch is unknown to the leader.
#[test]
fn fast_failovers_are_resolved_epoch_by_epoch() {
    let leader = History(vec![0, 0, 2, 2, 4]);
    let mut follower = History(vec![0, 0, 1, 3, 3]);
    let rounds = follower.converge_on(&leader);
    assert!(rounds >= 1);
    assert_eq!(follower.0, [0, 0]);
}

proptest! {
    /// Histories that share a prefix and then belong to different leaders (odd and even epochs)
    /// always converge on a common prefix, and never lose what they share.
    #[test]
    fn histories_converge_on_what_they_share(
        shared in proptest::collection::vec(0..3_i32, 0..6),
        leader in proptest::collection::vec(2..6_i32, 1..6),
        follower in proptest::collection::vec(2..6_i32, 0..6),
    ) {
        let sorted = |mut epochs: Vec<i32>| { epochs.sort_unstable(); epochs };
        let shared = sorted(shared);
        let (leader, follower) = (sorted(leader), sorted(follower));
        let leader = History(shared.iter().copied().chain(leader.iter().map(|it| it * 2)).collect());
        let mut follower =
            History(shared.iter().copied().chain(follower.iter().map(|it| it * 2 + 1)).collect());
        follower.converge_on(&leader);
        prop_assert_eq!(&follower.0, &leader.0[..follower.0.len()]);
        prop_assert!(follower.0.len() >= shared.len());
    }
}
