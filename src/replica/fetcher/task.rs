//! The loop that fetches from one broker. It decides nothing: `follower.rs` does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use drave_client::error::ClientError;
use drave_client::network::connection::Connection;
use drave_protocol::ErrorCode;
use drave_protocol::ids::{NodeId, TopicIdPartition};
use drave_protocol::schema::fetch::{FetchRequest, FetchResponse};
use thiserror::Error;
use tracing::{debug, warn};

use crate::replica::follower::{self, Action, LeaderBounds, Placement, Position};
use crate::replica::following::Taken;
use crate::replica::partition::{FollowerId, Partition};
use crate::replica::replicas::Replicas;
use crate::replica::{checkpoints, flusher};

use super::Assignment;
use super::request::{self, Limits};
use super::resting::Resting;
use super::session::{Changes, FetchSession};

const RECONNECT_AFTER: Duration = Duration::from_millis(50);
const RECONNECT_AFTER_MAX: Duration = Duration::from_secs(1);
/// Beyond the long poll itself; a leader that stalls longer is dialled anew.
const ANSWER_MARGIN: Duration = Duration::from_secs(5);

#[derive(Debug, Error)]
enum FetchingError {
    #[error("the leader is not registered or names no listener")]
    NoEndpoint,
    #[error("this broker is not registered yet")]
    NotRegistered,
    #[error("the leader refuses all of it: {0}")]
    Refused(ErrorCode),
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// What became of one fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fetched {
    Answered,
    /// What there is to fetch is no longer what was asked for.
    InVain,
}

struct Fetching {
    replicas: Replicas,
    leader: NodeId,
    assignment: Arc<Assignment>,
    session: FetchSession,
    /// Whose position may not be the one last sent.
    changed: BTreeSet<TopicIdPartition>,
    resting: Resting,
    /// The last one that got records: in a full request those after it are asked for first, for one that has
    /// much to give takes all there is room for in an answer. In a session the leader sees to that.
    last_served: Option<TopicIdPartition>,
    /// Whose last fetch was not taken; said once.
    refused: BTreeSet<TopicIdPartition>,
}

pub(super) async fn run(replicas: Replicas, leader: NodeId, assignment: Arc<Assignment>) {
    let tasks = replicas.tasks().clone();
    let now = replicas.clock().now();
    let mut fetching = Fetching {
        replicas,
        leader,
        assignment,
        session: FetchSession::new(),
        changed: BTreeSet::new(),
        resting: Resting::new(now),
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

    /// Fetches over one connection until it fails.
    ///
    /// Cancellation: between append and sync nothing is claimed; the next fetch says what we hold.
    async fn connected(&mut self) -> Result<(), FetchingError> {
        self.session.begin_anew();
        let mut changes = self.next_request().await;
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
            let request = request::encode(&changes, self.last_served, follower, self.limits());
            match self.fetch((&connection, follower), request).await? {
                Fetched::Answered => {}
                // The long poll knows nothing of the new partitions: leave it, ask anew.
                Fetched::InVain => return Ok(()),
            }
            changes = self.next_request().await;
            if self.replicas.broker_epoch() != Some(broker_epoch) {
                return Ok(());
            }
        }
    }

    /// What the next request tells, once there is something to fetch.
    async fn next_request(&mut self) -> Changes {
        loop {
            let moved = self.changed_positions();
            let changes = self.session.request(moved);
            if !self.session.is_empty() {
                return changes;
            }
            // What the leader may still hold for us is closed with the next request.
            self.session.begin_anew();
            self.wait_for_work().await;
        }
    }

    /// One long poll, cut short by news of what there is to fetch.
    async fn fetch(
        &mut self,
        (connection, follower): (&Connection, FollowerId),
        request: FetchRequest,
    ) -> Result<Fetched, FetchingError> {
        let within = self.answer_within();
        let mut response = std::pin::pin!(connection.fetch(request, within));
        let ahead = loop {
            tokio::select! {
                response = &mut response => {
                    let nothing = Changes::default();
                    self.take((connection, follower), response?, &nothing).await?;
                    return Ok(Fetched::Answered);
                }
                () = self.assignment.changed() => self.rest_no_more(),
            }
            if !self.session.is_incremental() {
                return Ok(Fetched::InVain);
            }
            let moved = self.changed_positions();
            let ahead = self.session.request_ahead(moved);
            if !ahead.is_nothing() {
                break ahead;
            }
        };
        // The leader answers the one that waits when the next of its session comes.
        let limits = self.limits().for_news_only();
        let next = request::encode(&ahead, None, follower, limits);
        let next = connection.fetch(next, within);
        let (response, next) = tokio::try_join!(response, next)?;
        self.take((connection, follower), response, &ahead).await?;
        if self.session.is_incremental() {
            let nothing = Changes::default();
            self.take((connection, follower), next, &nothing).await?;
        }
        Ok(Fetched::Answered)
    }

    fn limits(&self) -> Limits {
        let config = self.replicas.config();
        let clamp = |bytes: usize| i32::try_from(bytes).unwrap_or(i32::MAX);
        // A long poll must not outlast the rest of those it leaves out.
        let now = self.replicas.clock().now();
        let next = self.resting.next();
        let rested = next.map(|it| it.saturating_duration_since(now));
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

    /// Where those that changed are to be fetched from now.
    fn changed_positions(&mut self) -> BTreeMap<TopicIdPartition, Option<Position>> {
        let now = self.replicas.clock().now();
        self.changed.extend(self.assignment.take_changed());
        self.changed.extend(self.resting.judge(now));
        let changed = std::mem::take(&mut self.changed);
        let position = |id: &TopicIdPartition| {
            let rests = self.resting.rests(*id);
            let partition = self.assignment.partition(*id).filter(|_| !rests)?;
            partition.position(self.leader)
        };
        changed.iter().map(|id| (*id, position(id))).collect()
    }

    async fn wait_for_work(&mut self) {
        match self.resting.next() {
            Some(until) => {
                tokio::select! {
                    () = self.replicas.clock().sleep_until(until) => {}
                    () = self.assignment.changed() => self.rest_no_more(),
                }
            }
            None => self.assignment.changed().await,
        }
    }

    /// Appends what came, and puts it on disk before the next fetch claims to hold it. What was asked for
    /// anew meanwhile, in `ahead`, is left to that answer.
    async fn take(
        &mut self,
        (connection, follower): (&Connection, FollowerId),
        response: FetchResponse,
        ahead: &Changes,
    ) -> Result<(), FetchingError> {
        let error = ErrorCode::from_number(response.error_code);
        let was_incremental = self.session.is_incremental();
        self.session.answered(response.session_id, error);
        if error.is_error() {
            debug!(leader = %self.leader, %error, "the fetch session ends");
            return if was_incremental {
                Ok(())
            } else {
                Err(FetchingError::Refused(error))
            };
        }
        let (mut appended, mut let_go) = (Vec::new(), Vec::new());
        for (id, answer) in request::decode(response) {
            let position = self.session.sent(id).copied();
            let (Some(position), Some(partition)) = (position, self.assignment.partition(id))
            else {
                continue;
            };
            if ahead.tells_of(id) {
                continue;
            }
            self.changed.insert(id);
            let (partition, position) = (&partition, &position);
            match follower::decide(answer) {
                Action::Append { records, leader } => {
                    if !records.is_empty() {
                        self.last_served = Some(id);
                    }
                    let taken = self.append(partition, position, &records, leader);
                    appended.extend(taken.has_more_to_sync.then(|| Arc::clone(partition)));
                    let_go.extend(taken.has_more_to_note.then(|| Arc::clone(partition)));
                }
                Action::Truncate {
                    diverging,
                    leader_start,
                } => {
                    let cut = partition.truncate_diverging(position, diverging, leader_start);
                    if cut.is_err() {
                        self.rest_partition(id);
                    }
                }
                Action::AskBounds => {
                    self.find_place((connection, follower), partition, position)
                        .await?;
                }
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
                self.resting.remove(partition.id());
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
            self.resting.pace(partition.id(), until);
        }
    }

    fn rest_partition(&mut self, id: TopicIdPartition) {
        self.resting.back_off(id, self.replicas.clock().now());
    }

    /// A new epoch or leader is what the resting ones waited for.
    fn rest_no_more(&mut self) {
        self.changed.extend(self.resting.end_all());
    }

    async fn find_place(
        &mut self,
        (connection, follower): (&Connection, FollowerId),
        partition: &Arc<Partition>,
        position: &Position,
    ) -> Result<(), FetchingError> {
        let probe = request::probe(partition.id(), position.leader_epoch, follower);
        let response = connection.fetch(probe, ANSWER_MARGIN).await?;
        let mut answers = request::decode(response).into_iter();
        let answer = answers.find(|(id, _)| *id == partition.id());
        let bounds =
            answer.and_then(|(_, answer)| follower::bounds(&answer, position.leader_epoch));
        let moved = match bounds.map(|it| follower::place_in_bounds(position.fetch_offset, it)) {
            Some(Placement::TruncateTo(end)) => partition.truncate_to_leader_end(position, end),
            Some(Placement::RestartAt(start)) => partition.restart_at(position, start),
            // It does not lead in this epoch any more, or moved meanwhile: ask again, but not at once.
            Some(Placement::Stay) | None => {
                self.rest_partition(partition.id());
                Ok(())
            }
        };
        if moved.is_err() {
            self.rest_partition(partition.id());
        }
        Ok(())
    }
}
