//! Producers that retry as Kafka's do, in order and with their sequence numbers; readers that read on.

use std::collections::VecDeque;

use bytes::BytesMut;
use drave_protocol::ErrorCode;
use drave_protocol::ids::{Offset, ProducerId};
use drave_protocol::record::batch::BatchHeader;
use drave_protocol::record::builder::BatchBuilder;

use crate::history::{Acks, Fact};

use super::World;
use super::event::{Event, Produce, ToBroker, ToClient};
use super::network::{CLIENTS, place};

/// More than there are producers.
const IDS_APART: i64 = 100;

#[derive(Debug)]
pub(crate) struct Producer {
    is_idempotent: bool,
    acks: Acks,
    window: usize,
    next_sequence: i32,
    unacked: VecDeque<Pending>,
    /// Rises when everything unanswered is to be sent again.
    generation: u64,
    target: usize,
    n_last: usize,
    has_acks: bool,
    /// How often its id was new, and after how many accepted losses.
    n_ids: i64,
    n_losses: u64,
}

#[derive(Debug)]
struct Pending {
    sequence: i32,
    n_records: u64,
    records: BytesMut,
    content: u64,
    sent_at: u64,
    /// Whether it was taken, as far as this connection told.
    outcome: Option<bool>,
}

#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) position: Offset,
}

impl World {
    pub(crate) fn begin_load(&mut self) {
        for producer in 0..self.swarm.n_producers {
            let is_idempotent = producer == 0 || self.chance.permille(600);
            let acks = if is_idempotent {
                Acks::All
            } else {
                *self
                    .chance
                    .pick(&[Acks::None, Acks::Leader, Acks::All, Acks::All])
            };
            let window = if is_idempotent {
                *self.chance.pick(&[1, 3, 5, 5])
            } else {
                1
            };
            self.producers.push(Producer {
                is_idempotent,
                acks,
                window,
                next_sequence: 0,
                unacked: VecDeque::new(),
                generation: 0,
                target: 0,
                n_last: 0,
                has_acks: false,
                n_ids: 0,
                n_losses: 0,
            });
            let delay = self.chance.between(50_000, 400_000);
            self.after(delay, Event::Client(ToClient::Produce { producer }));
        }
        for reader in 0..2 {
            let position = Offset::ZERO;
            self.readers.push(Reader { position });
            let delay = self.chance.between(100_000, 600_000);
            self.after(delay, Event::Client(ToClient::Read { reader }));
        }
    }

    pub(crate) fn at_client(&mut self, what: ToClient) {
        match what {
            ToClient::Produce { producer } => self.next_batch(producer),
            ToClient::Answer {
                producer,
                generation,
                sequence,
                outcome,
            } => self.answered(producer, generation, sequence, outcome),
            ToClient::Timeout {
                producer,
                generation,
            } => {
                let it = &self.producers[producer];
                if it.generation == generation && !it.unacked.is_empty() {
                    self.give_up_or_resend(producer);
                }
            }
            ToClient::Resend {
                producer,
                generation,
            } => {
                if self.producers[producer].generation == generation {
                    self.resend(producer);
                }
            }
            ToClient::Read { reader } => self.next_read(reader),
        }
    }

    fn next_batch(&mut self, producer: usize) {
        let gap = self.swarm.produce_gap_us;
        let delay = self.chance.between(gap / 4, gap * 2);
        self.after(delay, Event::Client(ToClient::Produce { producer }));
        let it = &self.producers[producer];
        // A producer nobody knows may begin with any number: with the first batch refused and the second
        // taken, the first would be out of order for ever (KAFKA-14359). So it goes alone.
        let window = if it.has_acks { it.window } else { 1 };
        if it.unacked.len() >= window || (self.is_healing && it.n_last > 0) {
            return;
        }
        if self.is_healing {
            self.producers[producer].n_last += 1;
        }
        let pending = self.batch(producer);
        self.tell(&Fact::Sent {
            content: pending.content,
        });
        let is_first = self.producers[producer].unacked.is_empty();
        if is_first {
            self.choose_target(producer);
        }
        self.deliver(producer, &pending);
        let it = &mut self.producers[producer];
        if it.acks == Acks::None {
            return;
        }
        it.unacked.push_back(pending);
        if is_first {
            self.await_answers(producer);
        }
    }

    fn batch(&mut self, producer: usize) -> Pending {
        let n_records = self.chance.between(1, 4);
        let padding = *self.chance.pick(&[0, 0, 20, 150]);
        let now_ms = 1_700_000_000_000 + (self.now / 1000) as i64;
        let it = &mut self.producers[producer];
        let sequence = it.next_sequence;
        it.next_sequence += n_records as i32;
        let mut builder = BatchBuilder::new();
        if it.is_idempotent {
            let id = producer as i64 + it.n_ids * IDS_APART;
            builder = builder.producer(ProducerId(id), 0, sequence);
        }
        for at in 0..n_records {
            let mut value = format!("{producer}/{}", sequence as u64 + at).into_bytes();
            value.resize(value.len() + padding, b'.');
            builder = builder.value(now_ms, value);
        }
        let records = builder.build();
        let header = BatchHeader::parse(&records).expect("it was just built");
        let content = u64::from(header.crc) | (u64::from(header.base_sequence as u32) << 32);
        Pending {
            sequence,
            n_records,
            records,
            content,
            sent_at: self.now,
            outcome: None,
        }
    }

    /// Mostly who leads; metadata may be old.
    fn choose_target(&mut self, producer: usize) {
        let n = self.brokers.len();
        let leader = self.quorum.partition().and_then(|it| it.leader);
        let leader = leader.map(|it| it.0 as usize - 1);
        let target = match leader {
            Some(leader) if self.is_healing || self.chance.permille(750) => leader,
            _ => self.chance.below(n),
        };
        self.producers[producer].target = target;
    }

    fn deliver(&mut self, producer: usize, pending: &Pending) {
        let it = &self.producers[producer];
        let broker = it.target;
        let produce = Produce {
            producer,
            generation: it.generation,
            sequence: pending.sequence,
            records: pending.records.clone(),
            content: pending.content,
            acks: it.acks,
            sent_at: pending.sent_at,
        };
        let connection = (1 << 40) + ((producer as u64) << 20) + it.generation;
        let life = self.brokers_life(broker);
        let what = ToBroker::Produce(produce);
        let event = Event::Broker { broker, life, what };
        self.send((CLIENTS, place(broker)), connection, event);
    }

    fn await_answers(&mut self, producer: usize) {
        let generation = self.producers[producer].generation;
        let patience = self.chance.between(600_000, 2_500_000);
        let what = ToClient::Timeout {
            producer,
            generation,
        };
        self.after(patience, Event::Client(what));
    }

    fn answered(
        &mut self,
        producer: usize,
        generation: u64,
        sequence: i32,
        outcome: Result<Offset, ErrorCode>,
    ) {
        let it = &mut self.producers[producer];
        if it.generation != generation {
            return; // its connection is closed
        }
        let mut unacked = it.unacked.iter_mut();
        if let Some(pending) = unacked.find(|it| it.sequence == sequence) {
            pending.outcome = Some(outcome.is_ok());
        }
        let is_forgotten = self.may_be_forgotten(producer) || self.is_deleted(producer);
        if outcome.is_err_and(is_of_sequence) && is_forgotten {
            self.begin_anew_as(producer);
            return;
        }
        self.take_answers(producer);
    }

    /// Answers come in the order of the requests: one that is lost keeps those behind it from being seen.
    fn take_answers(&mut self, producer: usize) {
        let it = &mut self.producers[producer];
        let mut n_acked = 0;
        while let Some(front) = it.unacked.front() {
            match front.outcome {
                Some(true) => {
                    self.tally.acked_records += front.n_records;
                    n_acked += 1;
                    it.has_acks = true;
                    it.unacked.pop_front();
                }
                Some(false) => {
                    self.give_up_or_resend(producer);
                    return;
                }
                None => break,
            }
        }
        if n_acked > 0 && !self.producers[producer].unacked.is_empty() {
            self.await_answers(producer);
        }
    }

    fn give_up_or_resend(&mut self, producer: usize) {
        let delay = self.chance.between(10_000, 120_000);
        let it = &mut self.producers[producer];
        it.generation += 1;
        if !it.is_idempotent {
            // It does not know; sent again, it might be there twice.
            it.unacked.clear();
            if self.is_healing {
                it.n_last = 0;
            }
            return;
        }
        let generation = it.generation;
        let what = ToClient::Resend {
            producer,
            generation,
        };
        self.after(delay, Event::Client(what));
    }

    fn resend(&mut self, producer: usize) {
        self.choose_target(producer);
        let mut pending = std::mem::take(&mut self.producers[producer].unacked);
        for it in &mut pending {
            it.outcome = None;
            self.deliver(producer, it);
        }
        self.producers[producer].unacked = pending;
        self.await_answers(producer);
    }

    /// Whether records were given up since its id was new: what it sent may be unknown now.
    pub(crate) fn may_be_forgotten(&self, producer: usize) -> bool {
        self.producers[producer].n_losses < self.n_losses
    }

    /// Whether somebody began after its last batches were deleted.
    fn is_deleted(&self, producer: usize) -> bool {
        let known = self.oracle.known();
        let id = producer as i64 + self.producers[producer].n_ids * IDS_APART;
        known.may_not_know(id, known.begun_at)
    }

    /// As a Java producer does whose sequence is lost: a new id, and numbers from zero on.
    fn begin_anew_as(&mut self, producer: usize) {
        let n_losses = self.n_losses;
        let it = &mut self.producers[producer];
        it.generation += 1;
        it.unacked.clear();
        it.has_acks = false;
        it.next_sequence = 0;
        it.n_last = 0;
        it.n_ids += 1;
        it.n_losses = n_losses;
    }

    pub(crate) fn is_oldest_unanswered(&self, it: &Produce) -> bool {
        let producer = &self.producers[it.producer];
        let oldest = producer.unacked.front();
        producer.is_idempotent && oldest.is_some_and(|oldest| oldest.sequence == it.sequence)
    }

    /// Whether every producer has its last batch acked.
    pub(crate) fn are_producers_done(&self) -> bool {
        self.producers
            .iter()
            .all(|it| it.unacked.is_empty() && it.n_last > 0)
    }

    fn next_read(&mut self, reader: usize) {
        let delay = self.chance.between(30_000, 300_000);
        self.after(delay, Event::Client(ToClient::Read { reader }));
        let leader = self.quorum.partition().and_then(|it| it.leader);
        let broker = match leader {
            Some(leader) if self.chance.permille(600) => leader.0 as usize - 1,
            _ => self.chance.below(self.brokers.len()),
        };
        // Now and then somebody reads all of it again.
        if self.chance.permille(100) {
            self.readers[reader].position = Offset::ZERO;
        }
        let offset = self.readers[reader].position;
        let life = self.brokers_life(broker);
        let what = ToBroker::Read { reader, offset };
        let event = Event::Broker { broker, life, what };
        self.send((CLIENTS, place(broker)), 0, event);
    }
}

/// What was sent does not follow on what is known of its producer.
pub(crate) fn is_of_sequence(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::OutOfOrderSequenceNumber
            | ErrorCode::DuplicateSequenceNumber
            | ErrorCode::UnknownProducerId
            | ErrorCode::InvalidProducerEpoch
    )
}
