//! A log in numbers, from its headers alone.

use std::collections::{BTreeMap, BTreeSet};

use drave_protocol::ids::{LeaderEpoch, Offset, ProducerId};
use drave_protocol::record::attributes::{CODEC_MASK, Compression, DELETE_HORIZON_BIT};

use crate::error::LogError;
use crate::fs::{FileSystem, to_u64};
use crate::inspect::batches::{Batches, FoundBatch};
use crate::inspect::check::{Flaw, Flaws};
use crate::inspect::place::{FileKind, PartitionFolder};

/// Producers are counted up to here, so that a hostile log does not fill memory.
pub const PRODUCERS_MAX: usize = 1 << 17;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    pub n_segments: u64,
    pub n_batches: u64,
    pub n_records: u64,
    pub n_control_batches: u64,
    /// Bytes of the `.log` files, of the indexes beside them, and of everything else.
    pub log_bytes: u64,
    pub index_bytes: u64,
    pub other_bytes: u64,
    pub first_offset: Option<Offset>,
    /// The offset after the last record.
    pub end_offset: Option<Offset>,
    pub holes: Holes,
    pub min_timestamp_ms: Option<i64>,
    pub max_timestamp_ms: Option<i64>,
    pub first_leader_epoch: Option<LeaderEpoch>,
    pub last_leader_epoch: Option<LeaderEpoch>,
    pub by_codec: BTreeMap<u16, PerCodec>,
    pub producers: BTreeSet<ProducerId>,
    pub largest_batch: Option<Largest>,
    /// Why counting stopped before the end of a segment.
    pub unreadable: Option<Flaw>,
}

/// Offsets nobody holds, between the first and the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holes {
    pub n_holes: u64,
    pub n_offsets: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerCodec {
    pub n_batches: u64,
    pub bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Largest {
    pub bytes: u64,
    pub base_offset: Offset,
}

/// The codec a batch names: its number, for [`Stat::by_codec`].
pub fn codec_name(number: u16) -> &'static str {
    let attributes = i16::try_from(number).unwrap_or(i16::MAX);
    match Compression::from_attributes(attributes) {
        Some(Compression::None) => "none",
        Some(Compression::Gzip) => "gzip",
        Some(Compression::Snappy) => "snappy",
        Some(Compression::Lz4) => "lz4",
        Some(Compression::Zstd) => "zstd",
        None => "unknown",
    }
}

pub fn partition(fs: &dyn FileSystem, folder: &PartitionFolder) -> Result<Stat, LogError> {
    let mut stat = Stat::default();
    for file in &folder.files {
        match file.kind {
            FileKind::Batches(base_offset) => {
                stat.n_segments += 1;
                stat.log_bytes += file.size;
                if stat.n_segments == 1 {
                    stat.end_offset = Some(base_offset);
                }
                let batches = Batches::headers(fs, &folder.path_of(file))?;
                stat.count(batches)?;
            }
            FileKind::OffsetIndex(_) | FileKind::TimeIndex(_) | FileKind::TransactionIndex(_) => {
                stat.index_bytes += file.size;
            }
            FileKind::ProducerSnapshot(_)
            | FileKind::LeaderEpochs
            | FileKind::Checkpoint
            | FileKind::Properties
            | FileKind::Other => stat.other_bytes += file.size,
        }
    }
    Ok(stat)
}

impl Stat {
    fn count(&mut self, batches: Batches) -> Result<(), LogError> {
        for found in batches {
            match found {
                Ok(found) => self.add(&found),
                Err(error) => {
                    let mut flaws = Flaws::default();
                    flaws.take(error)?;
                    self.unreadable = self.unreadable.take().or(flaws.found.pop());
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, found: &FoundBatch) {
        let header = &found.header;
        let bytes = to_u64(header.total_size());
        self.n_batches += 1;
        self.n_records += u64::try_from(header.records_count).unwrap_or(0);
        self.n_control_batches += u64::from(header.is_control());
        self.add_offsets(found);
        let codec = u16::try_from(header.attributes & CODEC_MASK).unwrap_or_default();
        let per_codec = self.by_codec.entry(codec).or_default();
        per_codec.n_batches += 1;
        per_codec.bytes += bytes;
        if header.producer_id.0 >= 0 && self.producers.len() < PRODUCERS_MAX {
            self.producers.insert(header.producer_id);
        }
        let largest = Largest {
            bytes,
            base_offset: header.base_offset,
        };
        if self.largest_batch.is_none_or(|it| it.bytes < bytes) {
            self.largest_batch = Some(largest);
        }
        self.add_times(found);
    }

    /// Times that are none do not count, and where a deletion is due that is no record's time.
    fn add_times(&mut self, found: &FoundBatch) {
        let header = &found.header;
        let (base, max) = (header.base_timestamp, header.max_timestamp);
        let is_a_records = header.attributes & DELETE_HORIZON_BIT == 0;
        let earliest = if is_a_records && base >= 0 {
            base.min(max)
        } else {
            max
        };
        if max >= 0 {
            let known = self.min_timestamp_ms.unwrap_or(earliest);
            self.min_timestamp_ms = Some(known.min(earliest));
            self.max_timestamp_ms = self.max_timestamp_ms.max(Some(max));
        }
    }

    fn add_offsets(&mut self, found: &FoundBatch) {
        let header = &found.header;
        if self.first_offset.is_none() {
            self.first_offset = Some(header.base_offset);
            self.first_leader_epoch = Some(header.partition_leader_epoch);
        } else if let Some(end) = self.end_offset
            && header.base_offset > end
        {
            self.holes.n_holes += 1;
            self.holes.n_offsets += u64::try_from(header.base_offset - end).unwrap_or(0);
        }
        self.end_offset = Some(header.next_offset());
        self.last_leader_epoch = Some(header.partition_leader_epoch);
    }
}
