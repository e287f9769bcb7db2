//! Histories that part, and where they come together again. A history is the leader epoch of each record.

use drave_log::leader_epochs::EpochStart;

use super::*;

fn end(history: &[i32]) -> Offset {
    Offset(i64::try_from(history.len()).unwrap())
}

fn epochs_of(history: &[i32]) -> LeaderEpochs {
    let mut starts: Vec<EpochStart> = Vec::new();
    for (start_offset, epoch) in (0..).map(Offset).zip(history) {
        let epoch = LeaderEpoch(*epoch);
        if starts.last().is_none_or(|it| it.epoch != epoch) {
            starts.push(EpochStart {
                epoch,
                start_offset,
            });
        }
    }
    LeaderEpochs::from_entries(starts).unwrap()
}

/// What the follower is left with, and how often it cut, when the leader leads in `leader_epoch`.
fn settle(leader: &[i32], follower: &[i32], leader_epoch: i32) -> (Vec<i32>, usize) {
    // A leader begins its epoch where its log ends.
    let mut known = epochs_of(leader).entries().to_vec();
    if known.last().is_none_or(|it| it.epoch.0 < leader_epoch) {
        known.push(EpochStart {
            epoch: LeaderEpoch(leader_epoch),
            start_offset: end(leader),
        });
    }
    let known = LeaderEpochs::from_entries(known).unwrap();
    let mut follower = follower.to_vec();
    for n_cuts in 0..=leader.len() + follower.len() {
        let Some(last) = follower.last() else {
            return (follower, n_cuts);
        };
        let asked = (end(&follower), LeaderEpoch(*last));
        match divergence(&known, end(leader), asked) {
            Divergence::None => return (follower, n_cuts),
            Divergence::Unknown => panic!("{leader:?} cannot place {follower:?}"),
            Divergence::At(epoch, at) => {
                let own = epochs_of(&follower);
                let to = truncation_offset(&own, end(&follower), (epoch, at));
                assert!(
                    to < end(&follower),
                    "{follower:?} is told {epoch} ends at {at}"
                );
                follower.truncate(usize::try_from(to.0).unwrap());
            }
        }
    }
    panic!("{leader:?} and {follower:?} never come together");
}

#[test]
fn a_the_same_history_is_left_alone() {
    assert_eq!(settle(&[1, 1, 2], &[1, 1, 2], 3), (vec![1, 1, 2], 0));
}

#[test]
fn b_a_follower_that_is_only_behind_is_left_alone() {
    assert_eq!(settle(&[1, 1, 2, 2], &[1, 1], 2), (vec![1, 1], 0));
    assert_eq!(settle(&[1, 1, 2, 2], &[1], 2), (vec![1], 0));
}

#[test]
fn c_a_longer_tail_of_the_leaders_last_epoch_is_cut() {
    assert_eq!(settle(&[1, 1], &[1, 1, 1, 1], 2), (vec![1, 1], 1));
}

#[test]
fn d_an_epoch_the_leader_never_saw_is_cut() {
    assert_eq!(settle(&[1, 1], &[1, 1, 2, 2], 3), (vec![1, 1], 1));
    assert_eq!(settle(&[1, 1, 3], &[1, 1, 2, 2], 3), (vec![1, 1], 1));
}

#[test]
fn e_a_tail_of_an_epoch_that_ended_earlier_is_cut_though_the_leader_is_longer() {
    // KIP-101: cut to the high watermark, the follower would keep what the leader wrote over.
    assert_eq!(settle(&[1, 2, 2, 2], &[1, 1, 1], 2), (vec![1], 1));
}

#[test]
fn f_epochs_that_interleave_are_cut_one_after_the_other() {
    // KIP-279: two quick elections, each with a record of its own.
    assert_eq!(settle(&[1, 1, 3, 5], &[1, 1, 2, 4, 4], 5), (vec![1, 1], 2));
    assert_eq!(settle(&[1, 3, 3, 3], &[1, 1, 2, 2], 4), (vec![1], 1));
    assert_eq!(settle(&[1, 2, 2, 5], &[1, 2, 3, 4], 5), (vec![1, 2], 1));
}

#[test]
fn g_nothing_in_common_leaves_nothing() {
    assert_eq!(settle(&[3, 3], &[1, 2], 3), (Vec::new(), 1));
    assert_eq!(settle(&[], &[1, 2], 3), (Vec::new(), 1));
}

/// One leader wrote each epoch, onto one log: wherever the epoch is, it starts there, after the same records.
fn can_be(one: &[i32], other: &[i32]) -> bool {
    let before = |of: &[i32], epoch| {
        let start = of.iter().position(|it| *it == epoch)?;
        Some(of[..start].to_vec())
    };
    one.iter().all(|epoch| {
        let there = before(other, *epoch);
        there.is_none() || there == before(one, *epoch)
    })
}

fn histories() -> Vec<Vec<i32>> {
    let mut all = vec![Vec::new()];
    let mut longest = all.clone();
    for _ in 0..5 {
        let longer = longest.iter().flat_map(|history| {
            let least = history.last().copied().unwrap_or(1);
            (least..=4).map(move |epoch| [history.as_slice(), &[epoch]].concat())
        });
        longest = longer.collect();
        all.extend(longest.clone());
    }
    all
}

#[test]
fn whatever_the_histories_what_is_left_is_what_both_have() {
    let all = histories();
    let mut n_pairs = 0;
    for leader in &all {
        for follower in all.iter().filter(|it| can_be(leader, it)) {
            let n_common = leader
                .iter()
                .zip(follower)
                .take_while(|(a, b)| a == b)
                .count();
            let (left, _) = settle(leader, follower, 5);
            assert_eq!(left, &follower[..n_common], "{leader:?} leads {follower:?}");
            n_pairs += 1;
        }
    }
    assert!(n_pairs > 1000, "{n_pairs} pairs");
}
