//! Members read different topics: shares as equal as that allows.
//!
//! First everybody keeps what it has. What is free goes to the reader with the least. Then whoever has two
//! more than another gives it a partition, until nobody can: also by way of a third, when the two have no
//! topic in common.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use drave_protocol::ids::TopicId;

use super::{Assignment, Partitions, Subscriptions};

type Partition = (TopicId, i32);

struct Dealing<'a> {
    members: Vec<&'a str>,
    readers_by_topic: BTreeMap<TopicId, Vec<usize>>,
    shares: Vec<BTreeSet<Partition>>,
    owners: BTreeMap<Partition, usize>,
}

pub(super) fn assign(group: &Subscriptions) -> Assignment {
    let mut dealing = Dealing::of(group);
    dealing.keep(group);
    dealing.deal_free(group);
    dealing.balance();
    dealing.into_assignment()
}

impl<'a> Dealing<'a> {
    fn of(group: &'a Subscriptions) -> Self {
        let members = group.in_order();
        let mut readers_by_topic: BTreeMap<TopicId, Vec<usize>> = BTreeMap::new();
        for (place, id) in members.iter().enumerate() {
            let topics = group.members.get(*id).map(|it| &it.topics);
            for topic in topics.into_iter().flat_map(|it| it.iter()) {
                readers_by_topic.entry(*topic).or_default().push(place);
            }
        }
        Self {
            shares: vec![BTreeSet::new(); members.len()],
            members,
            readers_by_topic,
            owners: BTreeMap::new(),
        }
    }

    fn keep(&mut self, group: &Subscriptions) {
        for place in 0..self.members.len() {
            let member = self.members.get(place);
            let member = member.and_then(|id| group.members.get(*id));
            let kept = member.map(|it| group.kept(it)).unwrap_or_default();
            let kept = kept.into_iter();
            let kept = kept.flat_map(|(topic, all)| all.into_iter().map(move |it| (topic, it)));
            // Two who claim the same: the first keeps it.
            let free: Vec<_> = kept.filter(|it| !self.owners.contains_key(it)).collect();
            for partition in free {
                self.give(partition, place);
            }
        }
    }

    /// Topics with few readers first: later on there would be less to choose from.
    fn deal_free(&mut self, group: &Subscriptions) {
        let mut topics: Vec<_> = self.readers_by_topic.iter().collect();
        topics.sort_by_key(|(topic, readers)| (readers.len(), **topic));
        let topics: Vec<_> = topics
            .into_iter()
            .map(|(id, it)| (*id, it.clone()))
            .collect();
        for (topic, readers) in topics {
            for partition in 0..group.n_partitions.get(&topic).copied().unwrap_or_default() {
                if self.owners.contains_key(&(topic, partition)) {
                    continue;
                }
                let least = readers.iter().min_by_key(|it| (self.load(**it), **it));
                if let Some(place) = least {
                    self.give((topic, partition), *place);
                }
            }
        }
    }

    /// Each round takes one from a member and gives one to another that had at least two less, so that the
    /// sum of the squares falls and the rounds end.
    fn balance(&mut self) {
        let mut by_load: BTreeSet<(usize, usize)> = BTreeSet::new();
        by_load.extend((0..self.members.len()).map(|it| (self.load(it), it)));
        let mut settled = BTreeSet::new();
        while let Some(&(load, giver)) = by_load.iter().rev().find(|it| !settled.contains(&it.1)) {
            let Some((taker, path)) = self.path_from(giver, load) else {
                settled.insert(giver);
                continue;
            };
            for place in [giver, taker] {
                by_load.remove(&(self.load(place), place));
            }
            for (partition, to) in path {
                self.give(partition, to);
            }
            for place in [giver, taker] {
                by_load.insert((self.load(place), place));
            }
            // What moved may have opened a way for others.
            settled.clear();
        }
    }

    /// The shortest chain of gifts from `giver` to somebody with at least two partitions less.
    fn path_from(&self, giver: usize, load: usize) -> Option<(usize, Vec<(Partition, usize)>)> {
        let mut came_by: BTreeMap<usize, (usize, Partition)> = BTreeMap::new();
        let mut waiting = VecDeque::from([giver]);
        while let Some(from) = waiting.pop_front() {
            for (partition, to) in self.gifts_of(from) {
                if to == giver || came_by.contains_key(&to) {
                    continue;
                }
                came_by.insert(to, (from, partition));
                if self.load(to) + 2 <= load {
                    return Some((to, chain(&came_by, giver, to)));
                }
                waiting.push_back(to);
            }
        }
        None
    }

    /// One partition of each topic somebody has, and who else reads it, the least first.
    fn gifts_of(&self, from: usize) -> Vec<(Partition, usize)> {
        let mut by_topic: BTreeMap<TopicId, Partition> = BTreeMap::new();
        for partition in self.shares.get(from).into_iter().flatten() {
            by_topic.entry(partition.0).or_insert(*partition);
        }
        let gifts = by_topic.into_iter().flat_map(|(topic, partition)| {
            let readers = self.readers_by_topic.get(&topic).into_iter().flatten();
            readers.map(move |to| (partition, *to))
        });
        let mut gifts: Vec<_> = gifts.collect();
        gifts.sort_by_key(|(_, to)| (self.load(*to), *to));
        gifts
    }

    fn load(&self, place: usize) -> usize {
        self.shares.get(place).map_or(0, BTreeSet::len)
    }

    fn give(&mut self, partition: Partition, to: usize) {
        if let Some(from) = self.owners.insert(partition, to)
            && let Some(share) = self.shares.get_mut(from)
        {
            share.remove(&partition);
        }
        if let Some(share) = self.shares.get_mut(to) {
            share.insert(partition);
        }
    }

    fn into_assignment(self) -> Assignment {
        let shares = self.members.iter().zip(&self.shares).map(|(id, share)| {
            let mut partitions = Partitions::new();
            for (topic, partition) in share {
                partitions.entry(*topic).or_default().insert(*partition);
            }
            ((*id).to_owned(), partitions)
        });
        shares.collect()
    }
}

/// The gifts on the way, the last first: each is given before its giver gets another in its place.
fn chain(
    came_by: &BTreeMap<usize, (usize, Partition)>,
    giver: usize,
    taker: usize,
) -> Vec<(Partition, usize)> {
    let mut path = Vec::new();
    let mut to = taker;
    while to != giver {
        let Some((from, partition)) = came_by.get(&to) else {
            break;
        };
        path.push((*partition, to));
        to = *from;
    }
    path
}
