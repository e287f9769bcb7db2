//! Decisions gathered into batches the quorum takes: one batch, one log entry, all or nothing.
//!
//! A decision that fits goes whole into one batch, with others where there is room; only one too
//! large for any batch is cut, and then each prefix of it is sound (see `decision`).

use std::collections::VecDeque;

use drave_raft::record::MetadataRecord;
use drave_raft::{PROPOSAL_BYTES_MAX, RECORDS_PER_PROPOSAL_MAX};

use crate::controller::reign::{Promise, Ticket};

/// Room left for what surrounds the records in their log entry.
const ENVELOPE_BYTES: usize = 16 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) records: Vec<MetadataRecord>,
    bytes: usize,
    /// Kept when the batch is agreed.
    pub(crate) promises: Vec<(Ticket, Promise)>,
}

impl Batch {
    fn has_room(&self, n_records: usize, bytes: usize) -> bool {
        self.records.len() + n_records <= RECORDS_PER_PROPOSAL_MAX
            && self.bytes + bytes <= PROPOSAL_BYTES_MAX - ENVELOPE_BYTES
    }
}

/// Adds the records of one decision behind what gathered so far.
pub(crate) fn append(gathered: &mut VecDeque<Batch>, records: Vec<MetadataRecord>) {
    let bytes: usize = records.iter().map(size_of).sum();
    if let Some(last) = gathered.back_mut()
        && last.has_room(records.len(), bytes)
    {
        last.bytes += bytes;
        last.records.extend(records);
        return;
    }
    gathered.push_back(Batch::default());
    for record in records {
        let size = size_of(&record);
        if gathered.back().is_none_or(|it| !it.has_room(1, size)) {
            gathered.push_back(Batch::default());
        }
        if let Some(last) = gathered.back_mut() {
            last.bytes += size;
            last.records.push(record);
        }
    }
}

/// An upper bound of what the log's own codec makes of it: fixed-size numbers, and its frame.
fn size_of(record: &MetadataRecord) -> usize {
    let encoded = bincode::serialized_size(record).unwrap_or(u64::MAX);
    usize::try_from(encoded)
        .unwrap_or(usize::MAX / 2)
        .saturating_add(8)
}

#[cfg(test)]
mod tests {
    use drave_raft::record::ConfigChangedV1;
    use drave_raft::record::ConfigResource;

    use super::*;

    fn records(n: usize, value_bytes: usize) -> Vec<MetadataRecord> {
        let record = ConfigChangedV1 {
            resource: ConfigResource::Cluster,
            key: "k".to_owned(),
            value: Some("v".repeat(value_bytes)),
        };
        vec![MetadataRecord::ConfigChanged(record); n]
    }

    fn lengths(gathered: &VecDeque<Batch>) -> Vec<usize> {
        gathered.iter().map(|it| it.records.len()).collect()
    }

    #[test]
    fn small_decisions_share_a_batch() {
        let mut gathered = VecDeque::new();
        append(&mut gathered, records(3, 1));
        append(&mut gathered, records(2, 1));
        assert_eq!(lengths(&gathered), [5]);
    }

    #[test]
    fn a_decision_that_fits_one_batch_is_never_cut() {
        let mut gathered = VecDeque::new();
        append(&mut gathered, records(12_000, 1));
        append(&mut gathered, records(12_000, 1));
        assert_eq!(lengths(&gathered), [12_000, 12_000]);
    }

    #[test]
    fn a_decision_too_large_is_cut_by_number_and_by_size() {
        let mut gathered = VecDeque::new();
        append(&mut gathered, records(50_000, 1));
        assert_eq!(lengths(&gathered), [20_000, 20_000, 10_000]);
        let mut gathered = VecDeque::new();
        append(&mut gathered, records(5, 800_000));
        assert_eq!(lengths(&gathered), [2, 2, 1]);
        assert!(gathered.iter().all(|it| it.bytes <= PROPOSAL_BYTES_MAX));
    }
}
