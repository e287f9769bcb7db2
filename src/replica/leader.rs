//! The leader's half of replication for one partition, as a pure state machine.
//!
//! Invariants: `high_watermark <= log_end_offset`; `high_watermark` never falls while we lead;
//! it rises only over what every member of the maximal ISR holds, and only while the committed ISR
//! has `min_isr` members (KIP-966's strict rule); at most one ISR proposal is in flight.
//! In commit mode the leader's own end counts only once it is on disk (`Event::Durable`).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use drave_log::planted::{Fault, is_planted};
use drave_protocol::ids::{BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionEpoch};
use drave_raft::record::LeaderRecovery;

/// What a leader is told when it takes over; all of it comes from the metadata image and the log.
#[derive(Clone, Debug)]
pub(super) struct Reign {
    pub node: NodeId,
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
    pub replicas: Vec<NodeId>,
    /// Without those a reassignment is still to bring.
    pub replication_factor: usize,
    pub isr: Vec<NodeId>,
    /// Whether this leader was elected from outside the ISR and is still to say that it took over.
    pub recovery: LeaderRecovery,
    /// As configured.
    pub min_isr: usize,
    /// LEO when the reign began: the leader epoch start offset.
    pub log_end_offset: Offset,
    /// What of the log is on disk, or the LEO where durability is not waited for.
    pub counted_end: Offset,
    pub high_watermark: Offset,
    pub lag_max: Duration,
}

#[derive(Clone, Debug)]
pub(super) enum Event {
    Appended {
        log_end_offset: Offset,
    },
    /// The leader's own log now counts up to here.
    Durable {
        upto: Offset,
    },
    /// A follower asked for `fetch_offset`, in this leader epoch: it holds everything below.
    /// `eligible`: registered with this broker epoch, not fenced, not shutting down.
    FollowerFetched {
        fetch: FollowerFetch,
        eligible: bool,
    },
    Tick,
    /// The metadata image, or the controller's answer, shows this state.
    IsrCommitted {
        partition_epoch: PartitionEpoch,
        isr: Vec<NodeId>,
        replicas: Vec<NodeId>,
        replication_factor: usize,
    },
    /// The controller named a member ineligible: what we proposed can not happen.
    ProposalRefused {
        partition_epoch: PartitionEpoch,
    },
    MinIsrChanged {
        min_isr: usize,
    },
}

/// What a follower says of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct FollowerFetch {
    pub follower: NodeId,
    pub broker_epoch: BrokerEpoch,
    pub fetch_offset: Offset,
    /// Where its log starts, and will start after a crash.
    pub log_start_offset: Option<Offset>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    AdvanceHighWatermark {
        to: Offset,
    },
    /// A follower's log starts later than it did.
    FollowerLetGo,
    /// A follower counts no longer: it joins again by its fetches, if it is looked at.
    LeftIsr,
    ProposeIsr(Proposal),
    /// The committed ISR is now too small for `acks=all`.
    FellBelowMinIsr {
        in_sync: usize,
        required: usize,
    },
}

/// A compare-and-set on the partition epoch, for the controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proposal {
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
    /// Members with the broker epoch they were judged by; -1 for the leader's own say-so.
    pub isr: Vec<(NodeId, BrokerEpoch)>,
}

#[derive(Debug)]
pub(super) struct Leader {
    reign: Reign,
    log_end_offset: Offset,
    counted_end: Offset,
    high_watermark: Offset,
    followers: BTreeMap<NodeId, FollowerProgress>,
    in_flight: Option<Vec<NodeId>>,
}

/// What the leader knows of one follower.
#[derive(Clone, Copy, Debug)]
pub(super) struct FollowerProgress {
    /// `None` until it fetched in this leader epoch.
    pub log_end_offset: Option<Offset>,
    /// As `log_end_offset`.
    pub log_start_offset: Option<Offset>,
    /// The last log start of ours that it was told on its own account.
    told_log_start: Option<Offset>,
    pub last_caught_up: Instant,
    last_fetch: Instant,
    leader_end_at_last_fetch: Offset,
    broker_epoch: BrokerEpoch,
    /// Fetches in a row that asked for records it was sent already.
    n_repeats: u32,
}

impl Leader {
    pub(super) fn new(reign: Reign, now: Instant) -> Self {
        let mut leader = Self {
            log_end_offset: reign.log_end_offset,
            counted_end: reign.counted_end,
            high_watermark: reign.high_watermark.min(reign.log_end_offset),
            followers: BTreeMap::new(),
            in_flight: None,
            reign,
        };
        leader.know_followers(now);
        leader
    }

    /// What the controller must hear before anybody may join: one elected uncleanly takes its own log as
    /// the truth.
    pub(super) fn begin(&mut self, effects: &mut Vec<Effect>) {
        if self.reign.recovery == LeaderRecovery::Recovering {
            self.propose(self.reign.isr.clone(), effects);
        }
    }

    pub(super) fn node(&self) -> NodeId {
        self.reign.node
    }

    pub(super) fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    pub(super) fn leader_epoch(&self) -> LeaderEpoch {
        self.reign.leader_epoch
    }

    pub(super) fn partition_epoch(&self) -> PartitionEpoch {
        self.reign.partition_epoch
    }

    /// LEO when this reign began. Below it the high watermark may be older than the truth.
    pub(super) fn leader_epoch_start(&self) -> Offset {
        self.reign.log_end_offset
    }

    pub(super) fn isr(&self) -> &[NodeId] {
        &self.reign.isr
    }

    /// Who is in sync, or is proposed to be.
    pub(super) fn maximal_isr(&self) -> impl Iterator<Item = &NodeId> {
        let proposed = self.in_flight.iter().flatten();
        let proposed = proposed.filter(|_| !is_planted(Fault::NoMaximalIsr));
        self.reign.isr.iter().chain(proposed)
    }

    /// RF 1 can not wait for two.
    pub(super) fn min_isr(&self) -> usize {
        self.reign.min_isr.min(self.reign.replication_factor).max(1)
    }

    pub(super) fn has_min_isr(&self) -> bool {
        self.reign.isr.len() >= self.min_isr()
    }

    pub(super) fn followers(&self) -> &BTreeMap<NodeId, FollowerProgress> {
        &self.followers
    }

    /// Whether a follower asks for the same records again and again: it may find them damaged. Said ever
    /// more seldom, for it may have other reasons.
    pub(super) fn is_sent_in_vain(&self, follower: NodeId) -> bool {
        let progress = self.followers.get(&follower);
        progress.is_some_and(|it| it.n_repeats >= 2 && it.n_repeats.is_power_of_two())
    }

    pub(super) fn step(&mut self, event: Event, now: Instant, effects: &mut Vec<Effect>) {
        match event {
            Event::Appended { log_end_offset } => self.on_appended(log_end_offset, now),
            Event::Durable { upto } => self.counted_end = self.counted_end.max(upto),
            Event::FollowerFetched { fetch, eligible } => {
                self.on_follower_fetched(&fetch, now, effects);
                if eligible {
                    self.propose_join(fetch.follower, effects);
                }
            }
            Event::Tick => self.propose_shrink(now, effects),
            Event::IsrCommitted {
                partition_epoch,
                isr,
                replicas,
                replication_factor,
            } => {
                let replicas = (replicas, replication_factor);
                self.on_isr_committed(partition_epoch, isr, replicas, now, effects);
            }
            Event::ProposalRefused { partition_epoch } => {
                if partition_epoch == self.reign.partition_epoch {
                    self.in_flight = None;
                }
            }
            Event::MinIsrChanged { min_isr } => self.reign.min_isr = min_isr,
        }
        self.advance_high_watermark(effects);
        assert!(
            self.high_watermark <= self.log_end_offset,
            "high watermark {} above the log end {}",
            self.high_watermark,
            self.log_end_offset
        );
    }

    /// Who had all there was until now was caught up until now, however long ago it last asked: in a fetch
    /// session nobody asks for a partition in which nothing happens.
    fn on_appended(&mut self, log_end_offset: Offset, now: Instant) {
        let before = std::mem::replace(&mut self.log_end_offset, log_end_offset);
        for progress in self.followers.values_mut() {
            if progress.log_end_offset == Some(before) {
                progress.last_caught_up = now;
            }
        }
    }

    /// A fetch at the end seen *now* is caught up now; one at the end seen at the fetch before was
    /// caught up then (Kafka's `Replica.updateFetchState`).
    fn on_follower_fetched(
        &mut self,
        fetch: &FollowerFetch,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let leader_end = self.log_end_offset;
        let Some(progress) = self.followers.get_mut(&fetch.follower) else {
            return;
        };
        let fetch_offset = fetch.fetch_offset;
        let was_sent = progress.leader_end_at_last_fetch > fetch_offset;
        let is_repeated = progress.log_end_offset == Some(fetch_offset) && was_sent;
        progress.n_repeats = if is_repeated {
            progress.n_repeats.saturating_add(1)
        } else {
            0
        };
        if fetch_offset >= leader_end {
            progress.last_caught_up = now;
        } else if fetch_offset >= progress.leader_end_at_last_fetch {
            progress.last_caught_up = progress.last_caught_up.max(progress.last_fetch);
        }
        progress.log_end_offset = Some(fetch_offset);
        progress.last_fetch = now;
        progress.leader_end_at_last_fetch = leader_end;
        progress.broker_epoch = fetch.broker_epoch;
        if fetch.log_start_offset > progress.log_start_offset {
            effects.push(Effect::FollowerLetGo);
        }
        progress.log_start_offset = fetch.log_start_offset;
    }

    /// Whether a follower is to be told at once that our log starts at `log_start_offset`: the first time,
    /// while its own starts before.
    pub(super) fn is_news(&mut self, follower: NodeId, log_start_offset: Offset) -> bool {
        let Some(progress) = self.followers.get_mut(&follower) else {
            return false;
        };
        let known = progress.log_start_offset.max(progress.told_log_start);
        if known >= Some(log_start_offset) {
            return false;
        }
        progress.told_log_start = Some(log_start_offset);
        true
    }

    fn propose_join(&mut self, follower: NodeId, effects: &mut Vec<Effect>) {
        let Some(progress) = self.followers.get(&follower) else {
            return;
        };
        let mut reaches = self.high_watermark.max(self.leader_epoch_start());
        if is_planted(Fault::JoinsBeforeEpochStart) {
            reaches = self.high_watermark;
        }
        let caught_up = progress.log_end_offset.is_some_and(|end| end >= reaches);
        if caught_up && self.in_flight.is_none() && !self.reign.isr.contains(&follower) {
            let mut isr = self.reign.isr.clone();
            isr.push(follower);
            self.propose(isr, effects);
        }
    }

    fn propose_shrink(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.in_flight.is_some() {
            return;
        }
        let in_sync: Vec<NodeId> = self
            .reign
            .isr
            .iter()
            .copied()
            .filter(|it| !self.is_lagging(*it, now))
            .collect();
        if in_sync.len() < self.reign.isr.len() {
            self.propose(in_sync, effects);
        }
    }

    fn is_lagging(&self, member: NodeId, now: Instant) -> bool {
        let Some(progress) = self.followers.get(&member) else {
            return false;
        };
        progress.log_end_offset != Some(self.log_end_offset)
            && now.saturating_duration_since(progress.last_caught_up) > self.reign.lag_max
    }

    fn propose(&mut self, isr: Vec<NodeId>, effects: &mut Vec<Effect>) {
        let members = isr
            .iter()
            .map(|it| (*it, self.known_broker_epoch(*it)))
            .collect();
        effects.push(Effect::ProposeIsr(Proposal {
            leader_epoch: self.reign.leader_epoch,
            partition_epoch: self.reign.partition_epoch,
            isr: members,
        }));
        self.in_flight = Some(isr);
    }

    fn known_broker_epoch(&self, member: NodeId) -> BrokerEpoch {
        let known = self.followers.get(&member);
        known
            .filter(|_| !is_planted(Fault::StaleFetchCounts))
            .map_or(BrokerEpoch::NONE, |it| it.broker_epoch)
    }

    fn on_isr_committed(
        &mut self,
        partition_epoch: PartitionEpoch,
        isr: Vec<NodeId>,
        (replicas, replication_factor): (Vec<NodeId>, usize),
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        if partition_epoch <= self.reign.partition_epoch {
            return; // an answer overtaken by the image, or the image by an answer
        }
        let had_min_isr = self.has_min_isr();
        self.reign.partition_epoch = partition_epoch;
        let before = std::mem::replace(&mut self.reign.isr, isr);
        if before.iter().any(|it| !self.reign.isr.contains(it)) {
            effects.push(Effect::LeftIsr);
        }
        self.reign.replicas = replicas;
        self.reign.replication_factor = replication_factor;
        self.in_flight = None;
        self.know_followers(now);
        if had_min_isr && !self.has_min_isr() {
            effects.push(Effect::FellBelowMinIsr {
                in_sync: self.reign.isr.len(),
                required: self.min_isr(),
            });
        }
    }

    /// A follower nobody has heard of yet is given the benefit of the doubt for one `lag_max`.
    fn know_followers(&mut self, now: Instant) {
        let node = self.reign.node;
        let replicas = self.reign.replicas.clone();
        self.followers.retain(|it, _| replicas.contains(it));
        for follower in replicas.into_iter().filter(|it| *it != node) {
            self.followers.entry(follower).or_insert(FollowerProgress {
                log_end_offset: None,
                log_start_offset: None,
                told_log_start: None,
                last_caught_up: now,
                last_fetch: now,
                leader_end_at_last_fetch: Offset(i64::MAX),
                n_repeats: 0,
                broker_epoch: BrokerEpoch::NONE,
            });
        }
    }

    fn advance_high_watermark(&mut self, effects: &mut Vec<Effect>) {
        if !self.has_min_isr() && !is_planted(Fault::MinIsrIgnored) {
            return;
        }
        let mut held_by_all = self.counted_end.min(self.log_end_offset);
        for member in self.maximal_isr() {
            if let Some(progress) = self.followers.get(member) {
                let Some(end) = progress.log_end_offset else {
                    return;
                };
                held_by_all = held_by_all.min(end);
            }
        }
        if is_planted(Fault::HighWatermarkOffByOne) {
            held_by_all = (held_by_all + 1).min(self.log_end_offset);
        }
        if held_by_all > self.high_watermark {
            self.high_watermark = held_by_all;
            effects.push(Effect::AdvanceHighWatermark { to: held_by_all });
        }
    }
}
