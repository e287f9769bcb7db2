//! The loop that fetches from one broker. It decides nothing: `follower.rs` does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use drave_client::error::ClientError;
use drave_client::network::connection::Connection;
use drave_protocol::ids::{LeaderEpoch, NodeId, Offset, TopicIdPartition};
use drave_protocol::schema::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use drave_protocol::schema::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use thiserror::Error;
use tracing::{debug, warn};

use crate::replica::follower::{self, Action, Answer, LeaderBounds, Placement, Position};
use crate::replica::following::Taken;
use crate::replica::partition::{FollowerId, Partition};
use crate::replica::replicas::Replicas;
use crate::replica::{checkpoints, flusher};

use super::Assignment;
use super::request::{self, Asked, Limits};

const RECONNECT_AFTER: Duration = Duration::from_millis(50);
const RECONNECT_AFTER_MAX: Duration = Duration::from_secs(1);
/// A partition in trouble rests, doubling. Short at first: after an election a follower may hear of
/// its leader before the leader does, and produces wait for the follower.
const PARTITION_BACKOFF: Duration = Duration::from_millis(5);
const PARTITION_BACKOFF_MAX: Duration = Duration::from_millis(200);
/// Beyond the long poll itself; a leader that stalls longer is dialled anew.
const ANSWER_MARGIN: Duration = Duration::from_secs(5);

#[derive(Debug, Error)]
enum FetchingError {
    #[error("the leader is not registered or names no listener")]
    NoEndpoint,
    #[error("this broker is not registered yet")]
    NotRegistered,
    #[error(transparent)]
    Client(#[from] ClientError),
}

struct Fetching {
    replicas: Replicas,
    leader: NodeId,
    assignment: Arc<Assignment>,
    resting: BTreeMap<TopicIdPartition, Rest>,
    /// The last one that got records: those after it are asked for first, for one that has much to give
    /// takes all there is room for in an answer.
    last_served: Option<TopicIdPartition>,
    /// Whose last fetch was not taken; said once.
    refused: BTreeSet<TopicIdPartition>,
}

/// A partition that is not asked for before `until`.
#[derive(Clone, Copy, Debug)]
struct Rest {
    until: Instant,
    pause: Duration,
}

pub(super) async fn run(replicas: Replicas, leader: NodeId, assignment: Arc<Assignment>) {
    let tasks = replicas.tasks().clone();
    let mut fetching = Fetching {
        replicas,
        leader,
        assignment,
        resting: BTreeMap::new(),
        last_served: None,
        refused: BTreeSet::new(),
    };
    let mut pause = RECONNECT_AFTER;
    loop {
        let outcome = tokio::select! {
            biased; // a fetched batch not yet appended is fetched again after a restart
            () = tasks.stopping() => return,
            outcome = fetching.connected() => outcome,
        };
        match outcome {
            Ok(()) => pause = RECONNECT_AFTER,
            Err(error) => {
                debug!(leader = %fetching.leader, %error, "fetching from the leader failed");
                fetching.rest(pause).await;
                pause = (pause * 2).min(RECONNECT_AFTER_MAX);
            }
        }
    }
}

impl Fetching {
    /// Waits, but not through a change of what there is to fetch.
    async fn rest(&self, pause: Duration) {
        let until = self.replicas.clock().now() + pause;
        tokio::select! {
            () = self.replicas.clock().sleep_until(until) => {}
            () = self.assignment.changed() => {}
        }
    }

    /// Fetches over one connection until it fails or what there is to fetch changed meanwhile.
    ///
    /// Cancellation: between append and sync nothing is claimed; the next fetch says what we hold.
    async fn connected(&mut self) -> Result<(), FetchingError> {
        let mut asked = self.positions();
        while asked.is_empty() {
            self.wait_for_work().await;
            asked = self.positions();
        }
        let address = self
            .replicas
            .endpoint(self.leader)
            .ok_or(FetchingError::NoEndpoint)?;
        let broker_epoch = self
            .replicas
            .broker_epoch()
            .ok_or(FetchingError::NotRegistered)?;
        let follower = FollowerId {
            node: self.replicas.node(),
            broker_epoch,
        };
        let connection =
            Connection::connect(&address, "drave-replica-fetcher", ANSWER_MARGIN).await?;
        loop {
            if asked.is_empty() {
                self.wait_for_work().await;
            } else {
                let request = request::encode(&asked, self.last_served, follower, self.limits());
                let response = tokio::select! {
                    response = connection.fetch(request, self.answer_within()) => response?,
                    // The long poll knows nothing of the new partitions: leave it, ask anew.
                    () = self.assignment.changed() => {
                        self.resting.clear();
                        return Ok(());
                    }
                };
                self.take(&connection, &asked, request::decode(response))
                    .await?;
            }
            asked = self.positions();
            if self.replicas.broker_epoch() != Some(broker_epoch) {
                return Ok(());
            }
        }
    }

    fn limits(&self) -> Limits {
        let config = self.replicas.config();
        let clamp = |bytes: usize| i32::try_from(bytes).unwrap_or(i32::MAX);
        // A long poll must not outlast the rest of those it leaves out.
        let now = self.replicas.clock().now();
        let rested = self
            .next_rested()
            .map(|it| it.saturating_duration_since(now));
        let max_wait = config
            .replica_fetch_wait_max
            .min(rested.unwrap_or(Duration::MAX));
        Limits {
            max_wait_ms: i32::try_from(max_wait.as_millis()).unwrap_or(i32::MAX),
            max_bytes: clamp(config.replica_fetch_response_max_bytes),
            partition_max_bytes: clamp(config.replica_fetch_max_bytes),
        }
    }

    fn answer_within(&self) -> Duration {
        self.replicas.config().replica_fetch_wait_max + ANSWER_MARGIN
    }

    fn positions(&self) -> Asked {
        let now = self.replicas.clock().now();
        let mut asked = Asked::new();
        for partition in self.assignment.partitions() {
            if self
                .resting
                .get(&partition.id())
                .is_some_and(|it| it.until > now)
            {
                continue;
            }
            if let Some(position) = partition.position(self.leader) {
                asked.insert(partition.id(), (partition, position));
            }
        }
        asked
    }

    /// When the first of those that rest now is asked for again.
    fn next_rested(&self) -> Option<Instant> {
        let now = self.replicas.clock().now();
        self.resting
            .values()
            .map(|it| it.until)
            .filter(|it| *it > now)
            .min()
    }

    async fn wait_for_work(&mut self) {
        match self.next_rested() {
            Some(until) => {
                tokio::select! {
                    () = self.replicas.clock().sleep_until(until) => {}
                    // A new epoch or leader is what the resting ones waited for.
                    () = self.assignment.changed() => self.resting.clear(),
                }
            }
            None => self.assignment.changed().await,
        }
    }

    /// Appends what came, and puts it on disk before the next fetch claims to hold it.
    async fn take(
        &mut self,
        connection: &Connection,
        asked: &Asked,
        answers: Vec<(TopicIdPartition, Answer)>,
    ) -> Result<(), FetchingError> {
        let (mut appended, mut let_go) = (Vec::new(), Vec::new());
        for (id, answer) in answers {
            let Some((partition, position)) = asked.get(&id) else {
                continue;
            };
            match follower::decide(answer) {
                Action::Append { records, leader } => {
                    if !records.is_empty() {
                        self.last_served = Some(id);
                    }
                    let taken = self.append(partition, position, &records, leader);
                    appended.extend(taken.has_more_to_sync.then(|| Arc::clone(partition)));
                    let_go.extend(taken.has_more_to_note.then(|| Arc::clone(partition)));
                }
                Action::Truncate { diverging } => {
                    if partition.truncate_diverging(position, diverging).is_err() {
                        self.rest_partition(id);
                    }
                }
                Action::AskBounds => self.find_place(connection, partition, position).await?,
                Action::AwaitMetadata => self.rest_partition(id),
                Action::BackOff { error } => {
                    debug!(partition = %partition.name(), %error, "the leader is in trouble");
                    self.rest_partition(id);
                }
            }
        }
        flusher::sync(&appended, self.replicas.clock()).await;
        if !let_go.is_empty() {
            checkpoints::note_log_starts(&self.replicas, let_go).await;
        }
        Ok(())
    }

    fn append(
        &mut self,
        partition: &Arc<Partition>,
        position: &Position,
        records: &Bytes,
        leader: LeaderBounds,
    ) -> Taken {
        let wall_ms = self.replicas.clock().wall_ms();
        match partition.append_fetched(position, records, leader, wall_ms) {
            Ok(taken) => {
                self.resting.remove(&partition.id());
                self.refused.remove(&partition.id());
                self.pace(partition, records.len(), leader);
                taken
            }
            Err(error) => {
                if self.refused.insert(partition.id()) {
                    warn!(partition = %partition.name(), %error, "fetched bytes not taken");
                }
                self.rest_partition(partition.id());
                Taken::default()
            }
        }
    }

    /// One that is copied at a bounded pace waits for its turn.
    fn pace(&mut self, partition: &Arc<Partition>, n_bytes: usize, leader: LeaderBounds) {
        let pause = self
            .replicas
            .pause_after(partition, n_bytes, leader.high_watermark);
        if let Some(pause) = pause {
            let until = self.replicas.clock().now() + pause;
            let pause = PARTITION_BACKOFF;
            self.resting.insert(partition.id(), Rest { until, pause });
        }
    }

    fn rest_partition(&mut self, id: TopicIdPartition) {
        let before = self.resting.get(&id).map(|it| it.pause * 2);
        let pause = before
            .unwrap_or(PARTITION_BACKOFF)
            .min(PARTITION_BACKOFF_MAX);
        let until = self.replicas.clock().now() + pause;
        self.resting.insert(id, Rest { until, pause });
    }

    async fn find_place(
        &mut self,
        connection: &Connection,
        partition: &Arc<Partition>,
        position: &Position,
    ) -> Result<(), FetchingError> {
        let Some(bounds) = self
            .bounds(connection, partition, position.leader_epoch)
            .await?
        else {
            self.rest_partition(partition.id());
            return Ok(());
        };
        let moved = match follower::place_in_bounds(position.fetch_offset, bounds) {
            Placement::TruncateTo(end) => partition.truncate_to_leader_end(position, end),
            Placement::RestartAt(start) => partition.restart_at(position, start),
            Placement::Stay => Ok(()),
        };
        if moved.is_err() {
            self.rest_partition(partition.id());
        }
        Ok(())
    }

    /// The leader's log start and LEO; `None` where it does not lead in this epoch.
    async fn bounds(
        &self,
        connection: &Connection,
        partition: &Arc<Partition>,
        leader_epoch: LeaderEpoch,
    ) -> Result<Option<(Offset, Offset)>, FetchingError> {
        let earliest = ListOffsetsPartition {
            partition_index: partition.id().partition,
            current_leader_epoch: leader_epoch.0,
            timestamp: -2,
        };
        let topic = partition.name().topic.clone();
        let request = ListOffsetsRequest {
            replica_id: self.replicas.node().0,
            topics: vec![ListOffsetsTopic {
                name: topic.clone(),
                partitions: vec![earliest],
            }],
            ..ListOffsetsRequest::default()
        };
        let starts = connection.send(&request, ANSWER_MARGIN).await?;
        // The current epoch ends, so far, at the LEO.
        let current = OffsetForLeaderPartition {
            partition: partition.id().partition,
            current_leader_epoch: leader_epoch.0,
            leader_epoch: leader_epoch.0,
        };
        let request = OffsetForLeaderEpochRequest {
            replica_id: self.replicas.node().0,
            topics: vec![OffsetForLeaderTopic {
                topic,
                partitions: vec![current],
            }],
        };
        let ends = connection.send(&request, ANSWER_MARGIN).await?;
        let start = starts.topics.first().and_then(|it| it.partitions.first());
        let end = ends.topics.first().and_then(|it| it.partitions.first());
        Ok(match (start, end) {
            (Some(start), Some(end)) if start.error_code == 0 && end.error_code == 0 => {
                Some((Offset(start.offset), Offset(end.end_offset)))
            }
            (Some(_) | None, Some(_) | None) => None,
        })
    }
}
