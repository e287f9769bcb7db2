//! Which batches and markers of transactions compaction may drop, as it walks the log in order. Pure.
//!
//! Rules, as in Kafka: a batch of an aborted transaction goes; a marker goes only after all batches
//! of its transaction went, so that nobody who reads them misses how it ended.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use drave_protocol::ids::{Offset, ProducerId};
use drave_protocol::record::batch::BatchHeader;

use crate::producer_state::AbortedTransaction;

/// How a transaction ended, as its marker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Committed,
    Aborted,
    /// The marker's record went before, or is of a kind that ends nothing.
    Unsaid,
}

#[derive(Debug, Default)]
pub(crate) struct CleanedTransactions {
    /// By first offset, those to come.
    aborted: VecDeque<AbortedTransaction>,
    /// Aborted ones that began and whose marker is to come, and whether a batch of them is there.
    aborting: BTreeMap<ProducerId, (AbortedTransaction, bool)>,
    /// Producers with batches there of a transaction whose marker is to come.
    committing: BTreeSet<ProducerId>,
    /// Aborted ones that leave something: the transaction index must go on naming them.
    kept: Vec<AbortedTransaction>,
}

impl CleanedTransactions {
    /// `aborted`: all that touch what is walked.
    pub(crate) fn new(mut aborted: Vec<AbortedTransaction>) -> Self {
        aborted.sort_unstable_by_key(|it| it.first_offset);
        Self {
            aborted: aborted.into(),
            ..Self::default()
        }
    }

    /// Whether a batch of records is of an aborted transaction.
    pub(crate) fn is_aborted(&mut self, batch: &BatchHeader) -> bool {
        self.begin_upto(batch.last_offset());
        if !batch.is_transactional() {
            return false;
        }
        if let Some((_, has_batches)) = self.aborting.get_mut(&batch.producer_id) {
            *has_batches = true;
            return true;
        }
        self.committing.insert(batch.producer_id);
        false
    }

    /// Whether all batches of the transaction this marker ends are gone.
    pub(crate) fn is_spent(&mut self, marker: &BatchHeader, ended: Ended) -> bool {
        self.begin_upto(marker.last_offset());
        match ended {
            Ended::Committed => !self.committing.remove(&marker.producer_id),
            Ended::Aborted => match self.aborting.remove(&marker.producer_id) {
                Some((aborted, true)) => {
                    self.kept.push(aborted);
                    false
                }
                Some((_, false)) | None => true,
            },
            Ended::Unsaid => marker.records_count == 0,
        }
    }

    /// Aborted transactions of which something was there, since this was asked last.
    pub(crate) fn take_kept(&mut self) -> Vec<AbortedTransaction> {
        std::mem::take(&mut self.kept)
    }

    fn begin_upto(&mut self, offset: Offset) {
        while let Some(next) = self.aborted.front().filter(|it| it.first_offset <= offset) {
            self.aborting
                .entry(next.producer_id)
                .or_insert((*next, false));
            self.aborted.pop_front();
        }
    }
}
