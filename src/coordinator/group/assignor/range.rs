//! Of each topic an equal share, in which a member's numbers are the same in all topics of the same size, as
//! far as nobody had others before: what joins topics partition by partition needs it.

use std::collections::BTreeSet;

use drave_protocol::ids::TopicId;

use super::{Assignment, Subscriber, Subscriptions};

pub(super) fn assign(group: &Subscriptions) -> Assignment {
    let order = group.in_order();
    let mut assignment: Assignment = order
        .iter()
        .map(|it| ((*it).to_owned(), super::Partitions::new()))
        .collect();
    for (topic, n_partitions) in &group.n_partitions {
        let readers = order.iter().filter_map(|id| {
            let member = group.members.get(*id)?;
            member.topics.contains(topic).then_some((*id, member))
        });
        let readers: Vec<_> = readers.collect();
        for (member, share) in shares(group, *topic, *n_partitions, &readers) {
            if !share.is_empty() {
                let of_member = assignment.entry(member.to_owned()).or_default();
                of_member.insert(*topic, share);
            }
        }
    }
    assignment
}

/// One topic's partitions among those who read it.
fn shares<'a>(
    group: &Subscriptions,
    topic: TopicId,
    n_partitions: i32,
    readers: &[(&'a str, &Subscriber)],
) -> Vec<(&'a str, BTreeSet<i32>)> {
    let n_all = usize::try_from(n_partitions).unwrap_or_default();
    let n_readers = readers.len().max(1);
    let (share, mut n_larger) = (n_all / n_readers, n_all % n_readers);
    let mut taken = BTreeSet::new();
    let mut shares = Vec::with_capacity(readers.len());
    for (id, member) in readers {
        let kept = group.kept(member).remove(&topic).unwrap_or_default();
        let kept: Vec<i32> = kept.into_iter().filter(|it| !taken.contains(it)).collect();
        let is_larger = kept.len() > share && n_larger > 0;
        let quota = share + usize::from(is_larger);
        n_larger -= usize::from(is_larger);
        // The lowest numbers, in each topic alike.
        let kept: BTreeSet<i32> = kept.into_iter().take(quota).collect();
        taken.extend(kept.iter().copied());
        shares.push((*id, kept, is_larger));
    }
    let mut free = (0..n_partitions).filter(|it| !taken.contains(it));
    let filled = shares.into_iter().map(|(id, mut of_member, is_larger)| {
        let mut quota = share + usize::from(is_larger);
        if !is_larger && n_larger > 0 {
            n_larger -= 1;
            quota += 1;
        }
        let n_missing = quota - of_member.len();
        of_member.extend(free.by_ref().take(n_missing));
        (id, of_member)
    });
    filled.collect()
}
