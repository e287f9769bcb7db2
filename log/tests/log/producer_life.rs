//! What producers may do to a log, as data, and a model that knows every batch there ever was.

use std::sync::Arc;

use drave_log::fs::faulty::FaultyFs;
use drave_log::producer_state::ProducerBatch;
use drave_log::{AbortedTransaction, AppendError, LogError, PartitionLog, ProducerStates};
use drave_protocol::ids::{LeaderEpoch, Offset, ProducerId};
use drave_protocol::record::batch::{self, BatchHeader};
use drave_protocol::record::builder::BatchBuilder;
use proptest::prelude::*;

use crate::support::{NOW, dir, small};

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Append {
        id: i64,
        n: i32,
        is_transactional: bool,
    },
    Follow {
        id: i64,
        n: i32,
    },
    /// One of the last batches once more.
    Resend {
        back: usize,
    },
    End {
        id: i64,
        is_aborted: bool,
    },
    Sync,
    /// A snapshot where no segment starts.
    Close,
    Truncate {
        percent: i64,
    },
    AdvanceStart {
        percent: i64,
    },
    Reset,
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let id = || 0..3_i64;
    prop_oneof![
        12 => (id(), 1..4_i32, any::<bool>())
            .prop_map(|(id, n, is_transactional)| Op::Append { id, n, is_transactional }),
        4 => (id(), 1..4_i32).prop_map(|(id, n)| Op::Follow { id, n }),
        3 => (0..12_usize).prop_map(|back| Op::Resend { back }),
        5 => (id(), any::<bool>()).prop_map(|(id, is_aborted)| Op::End { id, is_aborted }),
        4 => Just(Op::Sync),
        1 => Just(Op::Close),
        2 => (40..110_i64).prop_map(|percent| Op::Truncate { percent }),
        1 => (0..80_i64).prop_map(|percent| Op::AdvanceStart { percent }),
        1 => Just(Op::Reset),
    ]
}

/// All batches since the log was last started over, those removed as old among them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) batches: Vec<(BatchHeader, Vec<u8>)>,
    pub(crate) start: i64,
    pub(crate) end: i64,
}

impl Model {
    fn of(&self, id: i64) -> impl Iterator<Item = &BatchHeader> {
        let of_id = move |it: &&BatchHeader| it.producer_id == ProducerId(id);
        self.batches
            .iter()
            .map(|(header, _)| header)
            .rev()
            .filter(of_id)
    }

    fn has_open_transaction(&self, id: i64) -> bool {
        self.of(id)
            .next()
            .is_some_and(|it| !it.is_control() && it.is_transactional())
    }

    fn next_sequence(&self, id: i64) -> i32 {
        let last = self.of(id).find(|it| !it.is_control());
        last.map_or(0, |it| it.base_sequence + it.records_count)
    }

    fn records(&self, id: i64, n: i32, is_transactional: bool) -> Vec<u8> {
        let mut builder = BatchBuilder::new()
            .base_offset(Offset(self.end))
            .leader_epoch(LeaderEpoch(0))
            .producer(ProducerId(id), 0, self.next_sequence(id));
        if is_transactional || self.has_open_transaction(id) {
            builder = builder.transactional();
        }
        for i in 0..n {
            builder = builder.value(NOW + self.end + i64::from(i), "a record of some bytes");
        }
        builder.build().to_vec()
    }

    /// The batch an operation adds.
    pub(crate) fn added(&self, op: &Op) -> Option<Vec<u8>> {
        match op {
            Op::Append {
                id,
                n,
                is_transactional,
            } => Some(self.records(*id, *n, *is_transactional)),
            Op::Follow { id, n } => Some(self.records(*id, *n, false)),
            Op::End { id, is_aborted } => {
                let kind = u8::from(!is_aborted);
                let marker = BatchBuilder::new()
                    .base_offset(Offset(self.end))
                    .leader_epoch(LeaderEpoch(0))
                    .producer(ProducerId(*id), 0, -1)
                    .transactional()
                    .control()
                    .key_value(NOW + self.end, vec![0, 0, 0, kind], vec![0, 0, 0, 0, 0, 1]);
                Some(marker.build().to_vec())
            }
            Op::Resend { .. }
            | Op::Sync
            | Op::Close
            | Op::Truncate { .. }
            | Op::AdvanceStart { .. }
            | Op::Reset => None,
        }
    }

    fn at(&self, percent: i64) -> i64 {
        self.start + (self.end - self.start) * percent / 100
    }

    pub(crate) fn after(&self, op: &Op) -> Self {
        let mut next = self.clone();
        if let Some(bytes) = self.added(op) {
            let header = BatchHeader::parse(&bytes).unwrap();
            next.end = header.next_offset().0;
            next.batches.push((header, bytes));
        }
        match op {
            Op::Truncate { percent } => next = self.cut_at(self.at(*percent)),
            Op::AdvanceStart { percent } => next.start = self.at(*percent),
            Op::Reset => {
                let end = self.end + 5;
                (next.batches, next.start, next.end) = (Vec::new(), end, end);
            }
            Op::Append { .. }
            | Op::Follow { .. }
            | Op::Resend { .. }
            | Op::End { .. }
            | Op::Sync
            | Op::Close => {}
        }
        next
    }

    /// The batch that holds the offset goes too.
    pub(crate) fn cut_at(&self, end: i64) -> Self {
        let mut cut = self.clone();
        cut.batches
            .retain(|(header, _)| header.next_offset().0 <= end);
        let begin = self
            .batches
            .first()
            .map_or(self.end, |(it, _)| it.base_offset.0);
        cut.end = cut
            .batches
            .last()
            .map_or(begin, |(it, _)| it.next_offset().0);
        cut.start = cut.start.min(cut.end);
        cut
    }

    /// What must be known of the producers, and which transactions were aborted.
    pub(crate) fn producers(&self) -> (ProducerStates, Vec<AbortedTransaction>) {
        let mut states = ProducerStates::default();
        let mut aborted = Vec::new();
        for (header, bytes) in &self.batches {
            let batch = ProducerBatch::of(header, bytes).unwrap();
            aborted.extend(states.aborts(&batch));
            states.apply(&batch, 0);
        }
        (states, aborted)
    }

    /// Whether the log knows what it must.
    pub(crate) fn check(&self, log: &PartitionLog) -> Result<(), String> {
        let (states, aborted) = self.producers();
        if log.producer_states().to_snapshot() != states.to_snapshot() {
            return Err(format!(
                "producers are {:?}, not {states:?}",
                log.producer_states()
            ));
        }
        let (start, end) = (log.log_start_offset(), log.log_end_offset());
        let found = log
            .aborted_transactions(start, end)
            .map_err(|error| error.to_string())?;
        let expected: Vec<_> = aborted
            .into_iter()
            .filter(|it| it.last_offset >= start)
            .collect();
        if found != expected {
            return Err(format!("aborted are {found:?}, not {expected:?}"));
        }
        for high_watermark in [start, Offset(start.0.midpoint(end.0)), end] {
            let unstable = states.first_unstable_offset(high_watermark);
            let open = states.first_unstable_offset(Offset(i64::MAX));
            let stable = log.last_stable_offset(high_watermark);
            // After a restart only what was replayed is known to have ended lately.
            let bounds = unstable.unwrap_or(high_watermark)..=open.unwrap_or(high_watermark);
            if !bounds.contains(&stable) && stable != high_watermark {
                return Err(format!(
                    "{stable} is stable below {high_watermark}, not {bounds:?}"
                ));
            }
        }
        Ok(())
    }
}

pub(crate) fn open(fs: &FaultyFs, recovery_point: Offset) -> Result<PartitionLog, LogError> {
    let fs = Arc::new(fs.clone());
    let opened = PartitionLog::open(fs, &dir(), small(), recovery_point, Offset::ZERO);
    Ok(opened?.0)
}

/// Does to the log what [`Model::after`] does to the model.
pub(crate) fn apply(log: &mut PartitionLog, op: &Op, model: &Model) -> Result<(), AppendError> {
    let bytes = model.added(op).unwrap_or_default();
    let epoch = LeaderEpoch(0);
    match op {
        Op::Append { .. } => {
            let appended = log.append_as_leader(bytes.as_slice().into(), epoch, NOW)?;
            assert!(!appended.is_duplicate);
        }
        Op::Follow { .. } => {
            log.append_as_follower(&bytes, NOW)?;
        }
        Op::End { .. } => {
            log.append_own(bytes.as_slice().into(), epoch, NOW)?;
        }
        Op::Resend { back } => resend(log, *back, model),
        Op::Sync => log.flush()?,
        Op::Close => log.close()?,
        Op::Truncate { percent } => log.truncate_to(Offset(model.at(*percent)))?,
        Op::AdvanceStart { percent } => log.advance_log_start_offset(Offset(model.at(*percent)))?,
        Op::Reset => log.reset_to(Offset(model.end + 5))?,
    }
    Ok(())
}

fn resend(log: &mut PartitionLog, back: usize, model: &Model) {
    let Some((header, bytes)) = model.batches.iter().rev().nth(back) else {
        return;
    };
    if header.is_control() {
        return;
    }
    let younger = model.of(header.producer_id.0).filter(|it| !it.is_control());
    let n_younger = younger
        .take_while(|it| it.base_offset > header.base_offset)
        .count();
    let mut again = bytes.clone();
    batch::patch(&mut again, Offset::ZERO, LeaderEpoch(-1));
    let end = log.log_end_offset();
    let answer = log.append_as_leader(again.as_slice().into(), LeaderEpoch(0), NOW);
    if log.is_failed() || matches!(answer, Err(AppendError::Storage(_))) {
        return;
    }
    assert_eq!(log.log_end_offset(), end, "{header:?} was appended twice");
    if n_younger < 5 {
        let original = answer.unwrap();
        assert!(original.is_duplicate);
        assert_eq!(original.base_offset, header.base_offset);
        assert_eq!(original.last_offset, header.last_offset());
    } else {
        assert!(
            matches!(answer, Err(AppendError::Producer(_))),
            "{answer:?}"
        );
    }
}
