//! What must hold of a batch wherever it comes from: a leader, a disk.

use drave_protocol::ids::LeaderEpoch;
use drave_protocol::record::batch::{self, BatchHeader};

use crate::error::Fault;

/// Whether a batch is whole and right, and may stand after a batch of `previous` epoch.
pub(crate) fn check_batch(
    header: &BatchHeader,
    bytes: &[u8],
    previous: Option<LeaderEpoch>,
) -> Result<(), Fault> {
    check_header(header, previous)?;
    if batch::verify_crc(bytes) {
        Ok(())
    } else {
        Err(Fault::Checksum)
    }
}

/// As far as its header tells.
pub(crate) fn check_header(
    header: &BatchHeader,
    previous: Option<LeaderEpoch>,
) -> Result<(), Fault> {
    if header.last_offset_delta < 0 {
        return Err(Fault::BadOffsetDelta(header.last_offset_delta));
    }
    let epoch = header.partition_leader_epoch;
    if let Some(previous) = previous
        && epoch < previous
    {
        return Err(Fault::EpochFell {
            previous: previous.0,
            got: epoch.0,
        });
    }
    Ok(())
}
