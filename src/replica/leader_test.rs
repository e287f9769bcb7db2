use std::time::{Duration, Instant};

use drave_protocol::ids::{BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionEpoch};
use drave_raft::record::LeaderRecovery;

use super::leader::{Effect, Event, FollowerFetch, Leader, Proposal, Reign};

const LAG_MAX: Duration = Duration::from_secs(10);

struct Story {
    leader: Leader,
    now: Instant,
    effects: Vec<Effect>,
}

fn reign_of(isr: &[i32], min_isr: usize, log_end: i64, high_watermark: i64) -> Story {
    reign_after(
        LeaderRecovery::Recovered,
        isr,
        min_isr,
        (log_end, high_watermark),
    )
}

#[allow(
    clippy::disallowed_methods,
    reason = "any starting point will do; it is moved by hand"
)]
fn reign_after(
    recovery: LeaderRecovery,
    isr: &[i32],
    min_isr: usize,
    (log_end, high_watermark): (i64, i64),
) -> Story {
    let now = Instant::now();
    let reign = Reign {
        node: NodeId(1),
        leader_epoch: LeaderEpoch(5),
        partition_epoch: PartitionEpoch(7),
        replicas: [1, 2, 3].map(NodeId).to_vec(),
        replication_factor: 3,
        isr: isr.iter().copied().map(NodeId).collect(),
        recovery,
        min_isr,
        log_end_offset: Offset(log_end),
        counted_end: Offset(log_end),
        high_watermark: Offset(high_watermark),
        lag_max: LAG_MAX,
    };
    Story {
        leader: Leader::new(reign, now),
        now,
        effects: Vec::new(),
    }
}

fn fetch(follower: i32, from: i64, log_start: i64) -> FollowerFetch {
    FollowerFetch {
        follower: NodeId(follower),
        broker_epoch: BrokerEpoch(40 + i64::from(follower)),
        fetch_offset: Offset(from),
        log_start_offset: Some(Offset(log_start)),
    }
}

impl Story {
    fn tell(&mut self, event: Event) -> &mut Self {
        self.effects.clear();
        self.leader.step(event, self.now, &mut self.effects);
        self
    }

    fn appends(&mut self, to: i64) -> &mut Self {
        self.tell(Event::Appended {
            log_end_offset: Offset(to),
        });
        self.tell(Event::Durable { upto: Offset(to) })
    }

    fn fetches(&mut self, follower: i32, from: i64) -> &mut Self {
        let fetch = fetch(follower, from, 0);
        self.tell(Event::FollowerFetched {
            fetch,
            eligible: true,
        })
    }

    fn commits_isr(&mut self, partition_epoch: i32, isr: &[i32]) -> &mut Self {
        self.tell(Event::IsrCommitted {
            partition_epoch: PartitionEpoch(partition_epoch),
            isr: isr.iter().copied().map(NodeId).collect(),
            replicas: [1, 2, 3].map(NodeId).to_vec(),
            replication_factor: 3,
        })
    }

    fn passes(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self
    }

    fn high_watermark(&self) -> i64 {
        self.leader.high_watermark().0
    }

    fn proposed(&self) -> Option<Vec<i32>> {
        self.effects.iter().find_map(|it| match it {
            Effect::ProposeIsr(Proposal { isr, .. }) => {
                Some(isr.iter().map(|(node, _)| node.0).collect())
            }
            Effect::AdvanceHighWatermark { .. }
            | Effect::FollowerLetGo
            | Effect::LeftIsr
            | Effect::FellBelowMinIsr { .. } => None,
        })
    }
}

#[test]
fn high_watermark_waits_for_the_slowest_in_sync_follower() {
    let mut story = reign_of(&[1, 2, 3], 2, 0, 0);
    story.appends(10).fetches(2, 10).fetches(3, 4);
    assert_eq!(story.high_watermark(), 4);
    story.fetches(3, 10);
    assert_eq!(story.high_watermark(), 10);
    assert_eq!(
        story.effects,
        [Effect::AdvanceHighWatermark { to: Offset(10) }]
    );
}

#[test]
fn high_watermark_waits_for_the_leaders_own_disk() {
    let mut story = reign_of(&[1, 2], 2, 0, 0);
    story
        .tell(Event::Appended {
            log_end_offset: Offset(10),
        })
        .fetches(2, 10);
    assert_eq!(story.high_watermark(), 0);
    story.tell(Event::Durable { upto: Offset(6) });
    assert_eq!(story.high_watermark(), 6);
}

#[test]
fn high_watermark_does_not_rise_below_min_isr() {
    let mut story = reign_of(&[1], 2, 0, 0);
    story.appends(10);
    assert_eq!(story.high_watermark(), 0);
    story.fetches(2, 10).commits_isr(8, &[1, 2]);
    assert_eq!(story.high_watermark(), 10);
}

#[test]
fn a_proposed_member_holds_the_high_watermark_before_it_is_committed() {
    let mut story = reign_of(&[1, 2], 2, 10, 10);
    story.fetches(2, 10).fetches(3, 10);
    assert_eq!(story.proposed(), Some(vec![1, 2, 3]));
    story.appends(20).fetches(2, 20);
    assert_eq!(
        story.high_watermark(),
        10,
        "the maximal ISR includes the proposed member"
    );
    story.tell(Event::ProposalRefused {
        partition_epoch: PartitionEpoch(7),
    });
    assert_eq!(story.high_watermark(), 20);
}

#[test]
fn a_removed_member_holds_the_high_watermark_until_its_removal_is_committed() {
    let mut story = reign_of(&[1, 2, 3], 2, 0, 0);
    story
        .appends(10)
        .fetches(2, 10)
        .passes(LAG_MAX * 2)
        .fetches(2, 10)
        .tell(Event::Tick);
    assert_eq!(story.proposed(), Some(vec![1, 2]));
    assert_eq!(story.high_watermark(), 0);
    story.commits_isr(8, &[1, 2]);
    assert_eq!(story.high_watermark(), 10);
}

#[test]
fn a_follower_joins_only_at_the_leader_epoch_start() {
    let mut story = reign_of(&[1], 1, 50, 20);
    story.fetches(2, 49);
    assert_eq!(
        story.proposed(),
        None,
        "above the high watermark, below the epoch's start"
    );
    story.fetches(2, 50);
    assert_eq!(story.proposed(), Some(vec![1, 2]));
}

#[test]
fn an_ineligible_follower_is_not_proposed() {
    let mut story = reign_of(&[1], 1, 5, 5);
    story.tell(Event::FollowerFetched {
        fetch: fetch(2, 5, 0),
        eligible: false,
    });
    assert_eq!(story.proposed(), None);
}

#[test]
fn only_one_proposal_is_in_flight() {
    let mut story = reign_of(&[1], 1, 5, 5);
    story.fetches(2, 5);
    assert!(story.proposed().is_some());
    story.fetches(3, 5);
    assert_eq!(story.proposed(), None);
    story.commits_isr(8, &[1, 2]).fetches(3, 5);
    assert_eq!(story.proposed(), Some(vec![1, 2, 3]));
}

#[test]
fn an_overtaken_answer_changes_nothing() {
    let mut story = reign_of(&[1, 2], 2, 0, 0);
    story.commits_isr(9, &[1, 2, 3]).commits_isr(8, &[1]);
    assert_eq!(story.leader.isr(), [NodeId(1), NodeId(2), NodeId(3)]);
}

#[test]
fn a_follower_that_keeps_up_with_the_fetch_before_is_not_lagging() {
    let mut story = reign_of(&[1, 2, 3], 2, 0, 0);
    for round in 1..=10 {
        // Always one append behind, never at the very end.
        story.passes(LAG_MAX / 3).appends(round * 10);
        story
            .fetches(2, (round - 1) * 10)
            .fetches(3, (round - 1) * 10)
            .tell(Event::Tick);
        assert_eq!(story.proposed(), None, "round {round}");
    }
}

#[test]
fn falling_below_min_isr_is_told_once() {
    let mut story = reign_of(&[1, 2], 2, 5, 5);
    story.commits_isr(8, &[1]);
    assert_eq!(
        story.effects,
        [
            Effect::LeftIsr,
            Effect::FellBelowMinIsr {
                in_sync: 1,
                required: 2
            }
        ]
    );
    story.commits_isr(9, &[1]);
    assert_eq!(story.effects, []);
}

#[test]
fn a_follower_is_told_once_that_the_log_starts_later() {
    let mut story = reign_of(&[1, 2], 1, 50, 50);
    story.fetches(2, 50);
    assert!(!story.leader.is_news(NodeId(2), Offset(0)));
    assert!(story.leader.is_news(NodeId(2), Offset(30)));
    assert!(
        !story.leader.is_news(NodeId(2), Offset(30)),
        "told once is enough"
    );
    assert!(story.leader.is_news(NodeId(2), Offset(40)));
    assert!(!story.leader.is_news(NodeId(9), Offset(40)), "no replica");
}

#[test]
fn who_waits_for_a_deletion_hears_of_each_follower_that_let_go() {
    let mut story = reign_of(&[1, 2], 1, 50, 50);
    story.fetches(2, 50);
    for (log_start, rose) in [(0, false), (30, true), (30, false), (31, true)] {
        let fetch = fetch(2, 50, log_start);
        story.tell(Event::FollowerFetched {
            fetch,
            eligible: true,
        });
        assert_eq!(story.effects.contains(&Effect::FollowerLetGo), rose);
        let known = story.leader.followers()[&NodeId(2)].log_start_offset;
        assert_eq!(known, Some(Offset(log_start)));
    }
}

#[test]
fn a_follower_that_asks_in_vain_is_noticed_and_one_that_waits_is_not() {
    let mut story = reign_of(&[1, 2, 3], 2, 10, 10);
    let in_vain = |story: &Story| story.leader.is_sent_in_vain(NodeId(2));
    for _ in 0..5 {
        story.fetches(2, 10);
        assert!(!in_vain(&story), "it waits at the end");
    }
    story.appends(20);
    let noticed: Vec<bool> = (0..9).map(|_| in_vain(story.fetches(2, 10))).collect();
    let expected = [false, false, true, false, true, false, false, false, true];
    assert_eq!(noticed, expected, "ever more seldom");
    story.fetches(2, 20);
    assert!(!in_vain(&story), "it went on");
}

#[test]
fn one_elected_uncleanly_says_that_it_took_over_before_anybody_joins() {
    let mut story = reign_after(LeaderRecovery::Recovering, &[1], 1, (10, 4));
    story.leader.begin(&mut story.effects);
    assert_eq!(story.proposed(), Some(vec![1]));
    story.fetches(2, 10);
    assert_eq!(story.proposed(), None, "one proposal at a time");
    story.commits_isr(8, &[1]).fetches(2, 10);
    assert_eq!(story.proposed(), Some(vec![1, 2]));
    let mut story = reign_of(&[1], 1, 10, 4);
    story.leader.begin(&mut story.effects);
    assert_eq!(
        story.proposed(),
        None,
        "a clean election needs no such word"
    );
}

#[test]
fn a_follower_that_had_all_there_was_lags_only_from_the_next_record_on() {
    let mut story = reign_of(&[1, 2], 1, 10, 10);
    // In a fetch session it is silent about a partition in which nothing happens.
    story.fetches(2, 10).passes(LAG_MAX * 5);
    story.tell(Event::Tick);
    assert_eq!(story.proposed(), None);
    story.appends(20).passes(LAG_MAX).tell(Event::Tick);
    assert_eq!(story.proposed(), None, "the record is that old, no more");
    story
        .appends(30)
        .passes(Duration::from_millis(1))
        .tell(Event::Tick);
    assert_eq!(story.proposed(), Some(vec![1]));
}
