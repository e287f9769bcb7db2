//! All members read the same topics: shares that differ by one partition at most.

use std::collections::BTreeSet;

use drave_protocol::ids::TopicId;

use super::{Assignment, Partitions, Subscriptions};

pub(super) fn assign(group: &Subscriptions) -> Assignment {
    let order = group.in_order();
    let quotas = quotas(group, &order);
    let mut taken: BTreeSet<(TopicId, i32)> = BTreeSet::new();
    let mut assignment = Assignment::new();
    for (member, quota) in order.iter().zip(&quotas) {
        let Some(subscriber) = group.members.get(*member) else {
            continue;
        };
        let mut share = Partitions::new();
        let kept = group.kept(subscriber);
        let kept = kept.iter();
        let kept = kept.flat_map(|(topic, partitions)| partitions.iter().map(|it| (*topic, *it)));
        // Two who claim the same: the first keeps it.
        let kept = kept.filter(|it| !taken.contains(it)).take(*quota);
        let kept: Vec<_> = kept.collect();
        for (topic, partition) in kept {
            taken.insert((topic, partition));
            share.entry(topic).or_default().insert(partition);
        }
        assignment.insert((*member).to_owned(), share);
    }
    let mut free = all_partitions(group).filter(|it| !taken.contains(it));
    for (member, quota) in order.iter().zip(&quotas) {
        let share = assignment.entry((*member).to_owned()).or_default();
        let n_missing = quota - n_partitions(share);
        for (topic, partition) in free.by_ref().take(n_missing) {
            share.entry(topic).or_default().insert(partition);
        }
    }
    debug_assert!(free.next().is_none(), "the shares are less than the whole");
    assignment
}

/// What each may have. The remainder goes to those who have the most, so that they give the least away.
fn quotas(group: &Subscriptions, order: &[&str]) -> Vec<usize> {
    let n_all = all_partitions(group).count();
    let n_members = order.len().max(1);
    let (share, mut n_larger) = (n_all / n_members, n_all % n_members);
    let mut quotas = vec![share; order.len()];
    let holds_more = |member: &str| {
        let subscriber = group.members.get(member);
        subscriber.is_some_and(|it| n_partitions(&group.kept(it)) > share)
    };
    for wants_more in [true, false] {
        for (member, quota) in order.iter().zip(&mut quotas) {
            if n_larger > 0 && *quota == share && holds_more(member) == wants_more {
                *quota += 1;
                n_larger -= 1;
            }
        }
    }
    quotas
}

fn all_partitions(group: &Subscriptions) -> impl Iterator<Item = (TopicId, i32)> + '_ {
    let topics = group.n_partitions.iter();
    topics.flat_map(|(topic, n_partitions)| (0..*n_partitions).map(|it| (*topic, it)))
}

pub(super) fn n_partitions(share: &Partitions) -> usize {
    share.values().map(BTreeSet::len).sum()
}
