//! What holds of every assignment, of groups nobody thought of.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use drave_protocol::ids::{TopicId, Uuid};
use proptest::prelude::*;

use super::uniform::n_partitions;
use super::{Assignment, Assignor, Partitions, Subscriber, Subscriptions};

fn topic(number: u8) -> TopicId {
    Uuid([number; 16])
}

/// A group of so many members that each read some of the topics.
fn group(n_partitions: &[i32], readers: &[Vec<bool>]) -> Subscriptions {
    let mut group = Subscriptions::default();
    for (place, reads) in readers.iter().enumerate() {
        let topics = (1_u8..).zip(n_partitions).zip(reads);
        let topics = topics.filter(|((_, n), reads)| **reads && **n > 0);
        let topics: BTreeSet<TopicId> = topics.map(|((number, _), _)| topic(number)).collect();
        let member = Subscriber {
            instance_id: (place % 3 == 0).then(|| format!("i-{place}")),
            topics: Arc::new(topics),
            current: Arc::default(),
        };
        group.members.insert(format!("m-{place:03}"), member);
    }
    forget_unread(&mut group, n_partitions);
    group
}

fn forget_unread(group: &mut Subscriptions, n_partitions: &[i32]) {
    let read: BTreeSet<TopicId> = group
        .members
        .values()
        .flat_map(|it| it.topics.iter().copied())
        .collect();
    let all = (1_u8..)
        .zip(n_partitions)
        .map(|(number, n)| (topic(number), *n));
    group.n_partitions = all.filter(|(id, _)| read.contains(id)).collect();
}

fn adopt(group: &mut Subscriptions, assignment: &Assignment) {
    for (id, member) in &mut group.members {
        member.current = Arc::new(assignment.get(id).cloned().unwrap_or_default());
    }
}

fn check_whole(group: &Subscriptions, assignment: &Assignment) {
    let mut owners: BTreeMap<(TopicId, i32), &str> = BTreeMap::new();
    for (id, share) in assignment {
        let member = &group.members[id];
        for (topic, partitions) in share {
            assert!(member.topics.contains(topic), "{id} does not read {topic}");
            assert!(
                !partitions.is_empty(),
                "{id} has a topic without a partition"
            );
            for partition in partitions {
                let other = owners.insert((*topic, *partition), id);
                assert_eq!(other, None, "{id} has {topic}-{partition} too");
            }
        }
    }
    let n_all: i32 = group.n_partitions.values().sum();
    assert_eq!(owners.len(), usize::try_from(n_all).unwrap());
    assert_eq!(assignment.len(), group.members.len());
}

fn n_moved(before: &Assignment, after: &Assignment) -> usize {
    let nothing = Partitions::new();
    let moved = before.iter().map(|(id, share)| {
        let now = after.get(id).unwrap_or(&nothing);
        let kept = share
            .iter()
            .map(|(topic, all)| now.get(topic).map_or(0, |it| it.intersection(all).count()));
        n_partitions(share) - kept.sum::<usize>()
    });
    moved.sum()
}

fn loads(assignment: &Assignment) -> Vec<usize> {
    assignment.values().map(n_partitions).collect()
}

fn spread(loads: &[usize]) -> usize {
    loads.iter().max().unwrap_or(&0) - loads.iter().min().unwrap_or(&0)
}

fn topics() -> impl Strategy<Value = Vec<i32>> {
    prop::collection::vec(0_i32..12, 1..5)
}

fn readers() -> impl Strategy<Value = Vec<Vec<bool>>> {
    prop::collection::vec(prop::collection::vec(any::<bool>(), 5), 1..10)
}

proptest! {
    #[test]
    fn every_partition_has_one_reader_and_a_second_look_changes_nothing(
        topics in topics(), readers in readers(), later in readers(),
    ) {
        for assignor in Assignor::ALL {
            let mut group = group(&topics, &readers);
            let first = assignor.assign(&group);
            check_whole(&group, &first);
            adopt(&mut group, &first);
            prop_assert_eq!(&assignor.assign(&group), &first, "{:?}", assignor);

            let mut changed = self::group(&topics, &later);
            adopt(&mut changed, &first);
            check_whole(&changed, &assignor.assign(&changed));
        }
    }

    #[test]
    fn members_alike_have_shares_alike_and_only_what_must_moves(
        topics in topics(), n_before in 1_usize..10, n_after in 1_usize..10,
    ) {
        let all = |n| vec![vec![true; 5]; n];
        let before = Assignor::Uniform.assign(&group(&topics, &all(n_before)));
        prop_assert!(spread(&loads(&before)) <= 1, "{:?}", loads(&before));
        let mut group = group(&topics, &all(n_after));
        adopt(&mut group, &before);
        let after = Assignor::Uniform.assign(&group);
        check_whole(&group, &after);
        prop_assert!(spread(&loads(&after)) <= 1, "{:?}", loads(&after));

        // Nobody gives away more than is above the largest share it may have, or goes with those who left.
        let n_all: usize = loads(&before).iter().sum();
        let (share, n_larger) = (n_all / n_after, n_all % n_after);
        let mut stay: Vec<usize> =
            before.iter().filter(|(id, _)| group.members.contains_key(*id)).map(|(_, it)| n_partitions(it)).collect();
        stay.sort_unstable_by(|a, b| b.cmp(a));
        let kept: usize =
            stay.iter().enumerate().map(|(place, n)| (*n).min(share + usize::from(place < n_larger))).sum();
        prop_assert_eq!(n_moved(&before, &after), n_all - kept);
    }

    #[test]
    fn nobody_could_take_over_a_partition_from_one_with_two_more(
        topics in topics(), readers in readers(), later in readers(),
    ) {
        let first = Assignor::Uniform.assign(&group(&topics, &readers));
        let mut group = group(&topics, &later);
        adopt(&mut group, &first);
        let assignment = Assignor::Uniform.assign(&group);
        for (giver, share) in &assignment {
            for (taker, member) in &group.members {
                let common = share.keys().any(|it| member.topics.contains(it));
                let (more, less) = (n_partitions(share), n_partitions(&assignment[taker]));
                prop_assert!(!common || more < less + 2, "{giver} has {more}, {taker} {less}");
            }
        }
    }

    #[test]
    fn of_each_topic_readers_have_shares_alike(topics in topics(), readers in readers()) {
        let group = group(&topics, &readers);
        let assignment = Assignor::Range.assign(&group);
        for topic in group.n_partitions.keys() {
            let shares = group.members.iter().filter(|(_, it)| it.topics.contains(topic));
            let shares: Vec<usize> =
                shares.map(|(id, _)| assignment[id].get(topic).map_or(0, BTreeSet::len)).collect();
            prop_assert!(spread(&shares) <= 1, "{shares:?}");
        }
    }
}

#[test]
fn range_gives_the_same_numbers_of_each_topic() {
    let group = group(&[6, 6, 6], &vec![vec![true; 3]; 3]);
    for share in Assignor::Range.assign(&group).values() {
        let numbers: BTreeSet<_> = share.values().collect();
        assert_eq!(numbers.len(), 1, "{share:?}");
    }
}

#[test]
fn members_without_a_common_topic_are_balanced_by_a_third() {
    // The first has all of topic 1, the second reads 1 and 2 and has all of 2, the third reads 2 only.
    let mut group = group(
        &[4, 2],
        &[vec![true, false], vec![true, true], vec![false, true]],
    );
    let has =
        |topic_number, n| Arc::new(Partitions::from([(topic(topic_number), (0..n).collect())]));
    group.members.get_mut("m-000").unwrap().current = has(1, 4);
    group.members.get_mut("m-001").unwrap().current = has(2, 2);
    let assignment = Assignor::Uniform.assign(&group);
    check_whole(&group, &assignment);
    assert_eq!(loads(&assignment), [2, 2, 2]);
}
