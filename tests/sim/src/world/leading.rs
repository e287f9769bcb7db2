//! The leader's end of fetches and produces: long polls are parked, tickets are polled.

use bytes::Bytes;
use drave::replica::{self, AppendError, FetchError, Fetched};
use drave_protocol::ErrorCode;
use drave_protocol::ids::{LeaderEpoch, Offset};
use drave_protocol::record::batch::{self, BatchHeader};

use crate::history::{Acks, Batch, Fact};

use super::World;
use super::clients::is_of_sequence;
use super::event::{Event, Fetching, Produce, ToBroker, ToClient};
use super::network::{CLIENTS, place};
use super::{node_id, partition_id};

use drave::replica::solo::Asked;

/// What a client is owed, once the oracle has seen what it rests on.
pub(crate) struct Answered {
    to: Produce,
    outcome: Result<Offset, ErrorCode>,
}

impl World {
    pub(crate) fn brokers_life(&self, broker: usize) -> u64 {
        self.brokers[broker].known_life()
    }

    // ---- fetches -----------------------------------------------------------------------------

    pub(crate) fn fetched(&mut self, broker: usize, it: Fetching) {
        if self.answer_fetch(broker, &it) {
            return;
        }
        let Some(life) = self.life(broker) else {
            return;
        };
        if let Some(process) = self.process(broker) {
            process.parked.push(it);
        }
        let connection = it.connection;
        let what = ToBroker::ParkedLongEnough { connection };
        let delay = it.deadline.saturating_sub(self.now);
        self.after(delay, Event::Broker { broker, life, what });
    }

    /// Reads, and answers if there is enough to answer with.
    fn answer_fetch(&mut self, broker: usize, it: &Fetching) -> bool {
        let now = self.instant(broker + 1);
        let applied = self.process(broker).map_or(0, |it| it.applied);
        let image = std::sync::Arc::clone(self.quorum.image(applied));
        let Some(process) = self.process(broker) else {
            return true;
        };
        let read = process
            .solo
            .read_as_follower(&it.fetch, it.follower, &image, now);
        let answer = match read {
            Ok(fetched) => {
                let has_enough = fetched.has_news || fetched.n_bytes() > 0;
                if !has_enough && self.now < it.deadline {
                    return false;
                }
                with_bytes(fetched)
            }
            Err(error) => Err(ErrorCode::from(&error)),
        };
        let what = ToBroker::FetchAnswer {
            leader: broker,
            connection: it.connection,
            answer,
        };
        let event = Event::Broker {
            broker: it.from,
            life: it.from_life,
            what,
        };
        self.send((place(broker), place(it.from)), it.connection, event);
        true
    }

    /// Those who wait look again when something moved.
    pub(crate) fn wake_parked(&mut self, broker: usize) {
        let Some(process) = self.process(broker) else {
            return;
        };
        if !process.has_moved || process.parked.is_empty() {
            return;
        }
        process.has_moved = false;
        let parked = std::mem::take(&mut process.parked);
        for it in parked {
            if !self.answer_fetch(broker, &it)
                && let Some(process) = self.process(broker)
            {
                process.parked.push(it);
            }
        }
        self.watch(broker);
    }

    pub(crate) fn answer_parked(&mut self, broker: usize, connection: u64) {
        let Some(process) = self.process(broker) else {
            return;
        };
        let found = process
            .parked
            .iter()
            .position(|it| it.connection == connection);
        if let Some(at) = found {
            let it = process.parked.remove(at);
            self.answer_fetch(broker, &it);
        }
    }

    pub(crate) fn forget_parked(&mut self, broker: usize, connection: u64) {
        if let Some(process) = self.process(broker) {
            process.parked.retain(|it| it.connection != connection);
        }
    }

    pub(crate) fn tell_bounds(
        &mut self,
        broker: usize,
        (from, from_life): (usize, u64),
        connection: u64,
        leader_epoch: LeaderEpoch,
        asked: Asked,
    ) {
        let bounds = self
            .process(broker)
            .and_then(|it| it.solo.bounds(leader_epoch));
        let what = ToBroker::Bounds {
            leader: broker,
            connection,
            asked,
            bounds,
        };
        let event = Event::Broker {
            broker: from,
            life: from_life,
            what,
        };
        self.send((place(broker), place(from)), connection, event);
    }

    pub(crate) fn look_for_laggards(&mut self, broker: usize) {
        let now = self.instant(broker + 1);
        let Some(life) = self.life(broker) else {
            return;
        };
        if let Some(process) = self.process(broker) {
            process.solo.tick(now);
        }
        let what = ToBroker::LookForLaggards;
        let delay = self.swarm.lag_ms * 500;
        self.after(delay, Event::Broker { broker, life, what });
    }

    // ---- clients -----------------------------------------------------------------------------

    pub(crate) fn produced(&mut self, broker: usize, it: Produce) {
        let now = (self.instant(broker + 1), self.wall_ms(broker + 1));
        let acks = match it.acks {
            Acks::None => replica::Acks::None,
            Acks::Leader => replica::Acks::Leader,
            Acks::All => replica::Acks::All,
        };
        let Some(process) = self.process(broker) else {
            return;
        };
        let outcome = process.solo.append(it.records.clone(), acks, now);
        match outcome {
            Ok(appended) => {
                match appended.ticket {
                    Some(ticket) => process.tickets.push((ticket, it, appended.base_offset)),
                    None => process.answers.push(Answered {
                        to: it,
                        outcome: Ok(appended.base_offset),
                    }),
                }
                let fenced_at = self.fenced_at(broker);
                let node = node_id(broker);
                self.tell(&Fact::Accepted { node, fenced_at });
            }
            Err(error) => {
                self.judge_refusal(broker, &it, &error);
                let outcome = Err(ErrorCode::from(&error));
                if let Some(process) = self.process(broker) {
                    process.answers.push(Answered { to: it, outcome });
                }
            }
        }
    }

    /// Since when this very process is fenced.
    fn fenced_at(&self, broker: usize) -> Option<u64> {
        let at = self.quorum.fenced_at[broker]?;
        let registered = self.quorum.latest().brokers.get(&node_id(broker))?;
        let process = self.brokers[broker].process.as_ref()?;
        let own = process.registration.standing().broker_epoch?;
        // A lease is exact only as far as two clocks are.
        let grace = self.swarm.session_ms * 1000 / 100;
        (own == registered.broker_epoch && self.now > at + grace).then_some(at)
    }

    /// A sequence number refused by the one who leads is one that should have been known.
    fn judge_refusal(&mut self, broker: usize, it: &Produce, error: &AppendError) {
        if !is_of_sequence(ErrorCode::from(error))
            || !self.is_oldest_unanswered(it)
            || self.may_be_forgotten(it.producer)
            || self.may_not_know(broker, it)
        {
            return;
        }
        let view = self.process(broker).and_then(|it| it.solo.view());
        let (Some(agreed), Some(view)) = (self.quorum.partition(), view) else {
            return;
        };
        if agreed.leader == Some(node_id(broker)) && agreed.leader_epoch == view.leader_epoch {
            let fact = Fact::RetryRefused {
                producer: it.producer as i64,
                sequence: it.sequence,
                why: error.to_string(),
            };
            self.tell(&fact);
        }
    }

    /// Whether this replica began after records were deleted, and some of those it would know the producer by.
    fn may_not_know(&self, broker: usize, it: &Produce) -> bool {
        let known = self.oracle.known();
        let origin = known.replica(node_id(broker)).map(|it| it.origin);
        let producer = BatchHeader::parse(&it.records).map(|it| it.producer_id.0);
        let (Some(origin), Ok(producer)) = (origin, producer) else {
            return false;
        };
        known.may_not_know(producer, origin)
    }

    pub(crate) fn answer_clients(&mut self, broker: usize) {
        let Some(process) = self.process(broker) else {
            return;
        };
        if process.tickets.is_empty() && process.answers.is_empty() {
            return;
        }
        let mut answers = std::mem::take(&mut process.answers);
        let tickets = std::mem::take(&mut process.tickets);
        for (mut ticket, to, base) in tickets {
            match ticket.poll() {
                None => process.tickets.push((ticket, to, base)),
                Some(outcome) => answers.push(Answered {
                    to,
                    outcome: outcome.map(|()| base).map_err(|it| ErrorCode::from(&it)),
                }),
            }
        }
        for it in answers {
            self.answer_client(broker, it);
        }
    }

    fn answer_client(&mut self, broker: usize, Answered { to, outcome }: Answered) {
        if let Ok(base) = outcome {
            let fact = Fact::Acked {
                content: to.content,
                base,
                acks: to.acks,
                sent_at: to.sent_at,
            };
            self.tell(&fact);
        }
        let is_lost = !self.is_healing && self.chance.permille(self.swarm.lost_permille);
        if is_lost || to.acks == Acks::None {
            return;
        }
        let what = ToClient::Answer {
            producer: to.producer,
            generation: to.generation,
            sequence: to.sequence,
            outcome,
        };
        self.send((place(broker), CLIENTS), 0, Event::Client(what));
    }

    pub(crate) fn read(&mut self, broker: usize, reader: usize, offset: Offset) {
        let fetch = drave::replica::FetchPartition {
            partition: partition_id(),
            current_leader_epoch: None,
            fetch_offset: offset,
            last_fetched_epoch: None,
            log_start_offset: None,
            max_bytes: 1 << 20,
        };
        let Some(process) = self.process(broker) else {
            return;
        };
        let read = process.solo.read_as_consumer(&fetch);
        let latest = process.solo.latest();
        if let (Ok(Some(latest)), Some(leader_epoch)) = (
            &latest,
            latest
                .as_ref()
                .ok()
                .and_then(|it| it.as_ref()?.leader_epoch),
        ) {
            let offset = latest.offset;
            self.tell(&Fact::Latest {
                offset,
                leader_epoch,
            });
        }
        if let Err(FetchError::OffsetOutOfRange {
            requested,
            log_start_offset,
            ..
        }) = &read
            && requested < log_start_offset
        {
            self.readers[reader].position = *log_start_offset;
        }
        let Ok(Ok(answer)) = read.map(with_bytes) else {
            return;
        };
        let epoch = self.process(broker).and_then(|it| it.solo.view());
        let leader_epoch = epoch.map_or(LeaderEpoch::UNKNOWN, |it| it.leader_epoch);
        for batch in batches_of(&answer.1) {
            self.readers[reader].position = batch.last + 1;
            self.tell(&Fact::Read {
                batch,
                leader_epoch,
            });
        }
    }
}

fn with_bytes(fetched: Fetched) -> Result<Box<(Fetched, Bytes)>, ErrorCode> {
    let records = match &fetched.records {
        Some(slice) => slice.read().map_err(|_| ErrorCode::KafkaStorageError)?,
        None => Bytes::new(),
    };
    Ok(Box::new((fetched, records)))
}

pub(crate) fn batches_of(bytes: &Bytes) -> Vec<Batch> {
    batch::iter(bytes)
        .flatten()
        .map(|(_, header, _)| Batch {
            base: header.base_offset,
            last: header.last_offset(),
            leader_epoch: header.partition_leader_epoch,
            content: u64::from(header.crc) | (u64::from(header.base_sequence as u32) << 32),
            sequence: (header.producer_id.0 >= 0)
                .then_some((header.producer_id.0, header.base_sequence)),
        })
        .collect()
}
