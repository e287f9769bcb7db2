//! Reading the segments back after any kind of stop.
#![allow(
    clippy::indexing_slicing,
    reason = "ranges come from `frame_at`, which checked them; tested with every torn tail"
)]

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::backend::{EncodedEntry, Location, Recovered};
use crate::disk::{Disk, DiskFile, read_whole};
use crate::wal::WalError;
use crate::wal::segment::{
    FrameAt, HEADER_BYTES, Header, Operation, decode_operations, frame_after, frame_at,
};

/// Where writing goes on.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    /// Number and last entry index of every segment but the one written to, oldest first.
    pub(crate) sealed: VecDeque<SealedSegment>,
    pub(crate) current: Option<CurrentSegment>,
    pub(crate) next_sequence: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct SealedSegment {
    pub(crate) number: u64,
    pub(crate) last_index: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct CurrentSegment {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) header: Header,
    pub(crate) position: usize,
    pub(crate) size: usize,
    pub(crate) last_index: Option<u64>,
}

pub(crate) fn segment_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:020}.wal"))
}

pub(crate) fn recover(disk: &dyn Disk, folder: &Path) -> Result<(Recovered, Tail), WalError> {
    let io = |cause| WalError::Io {
        path: folder.to_path_buf(),
        cause,
    };
    disk.create_dir_all(folder).map_err(io)?;
    let mut numbers = Vec::new();
    for name in disk.list(folder).map_err(io)? {
        if let Some(Ok(number)) = name.strip_suffix(".wal").map(str::parse) {
            numbers.push(number);
        } else if name.strip_suffix(".tmp").is_some() {
            // A segment that was never named: nothing in it was ever answered.
            disk.remove(&folder.join(name)).map_err(io)?;
        }
    }
    numbers.sort_unstable();
    let mut replay = Replay {
        disk,
        folder,
        recovered: Recovered::default(),
        tail: Tail::default(),
        purged_at_least: None,
    };
    let last = numbers.last().copied();
    for number in numbers {
        replay.segment(number, Some(number) == last)?;
    }
    let purged = replay.recovered.purged.map(|it| it.index);
    if replay.purged_at_least > purged {
        return Err(WalError::Corrupt {
            path: folder.to_path_buf(),
            position: 0,
            what: format!(
                "entries up to {:?} are missing, purged were {purged:?}",
                replay.purged_at_least
            ),
        });
    }
    // A process that was killed may have left its last frames in the page cache only.
    if let Some(current) = &replay.tail.current {
        current.file.sync_data().map_err(io)?;
        disk.sync_dir(folder).map_err(io)?;
    }
    Ok((replay.recovered, replay.tail))
}

struct Replay<'a> {
    disk: &'a dyn Disk,
    folder: &'a Path,
    recovered: Recovered,
    tail: Tail,
    /// Up to here entries are missing, so they must turn out to be purged.
    purged_at_least: Option<u64>,
}

impl Replay<'_> {
    fn segment(&mut self, number: u64, is_last: bool) -> Result<(), WalError> {
        let path = segment_path(self.folder, number);
        let io = |cause: io::Error| WalError::Io {
            path: path.clone(),
            cause,
        };
        let bytes = read_whole(self.disk, &path).map_err(io)?;
        let mut current = self.begin(&path, number, &bytes)?;
        loop {
            let position = current.position;
            let corrupt = |what: String| WalError::Corrupt {
                path: path.clone(),
                position,
                what,
            };
            match frame_at(&bytes, position, current.header.salt) {
                FrameAt::Frame {
                    sequence,
                    start,
                    end,
                    next,
                } => {
                    if sequence != self.tail.next_sequence {
                        let due = self.tail.next_sequence;
                        return Err(corrupt(format!("frame {sequence} comes before {due}")));
                    }
                    self.frame(&bytes[start..end], start, &mut current)
                        .map_err(corrupt)?;
                    self.tail.next_sequence += 1;
                    current.position = next;
                }
                FrameAt::End => break,
                FrameAt::Broken if !is_last => {
                    let what = "a frame of a sealed segment is broken";
                    return Err(corrupt(what.to_owned()));
                }
                FrameAt::Broken => {
                    let salt = current.header.salt;
                    if let Some(whole) = frame_after(&bytes, position, salt) {
                        return Err(corrupt(format!("a whole frame follows at byte {whole}")));
                    }
                    cut(&current, &bytes).map_err(io)?;
                    break;
                }
            }
        }
        self.tail.current = Some(current);
        Ok(())
    }

    /// Reads the header, and seals the segment before.
    fn begin(
        &mut self,
        path: &Path,
        number: u64,
        bytes: &[u8],
    ) -> Result<CurrentSegment, WalError> {
        let corrupt = |what: String| WalError::Corrupt {
            path: path.to_path_buf(),
            position: 0,
            what,
        };
        let header = Header::decode(bytes).filter(|header| header.number == number);
        let header = header.ok_or_else(|| corrupt("its header is not whole".to_owned()))?;
        if let Some(before) = self.tail.current.take() {
            self.tail.sealed.push_back(SealedSegment {
                number: before.header.number,
                last_index: before.last_index,
            });
            let (due, first) = (self.tail.next_sequence, header.first_sequence);
            if first != due {
                let what = format!("frames {due} to {first} before it are missing");
                return Err(corrupt(what));
            }
        }
        self.tail.next_sequence = header.first_sequence;
        let file = self.disk.open(path).map_err(|cause| WalError::Io {
            path: path.to_path_buf(),
            cause,
        })?;
        Ok(CurrentSegment {
            file,
            header,
            position: HEADER_BYTES,
            size: bytes.len(),
            last_index: None,
        })
    }

    fn frame(
        &mut self,
        operations: &[u8],
        start: usize,
        current: &mut CurrentSegment,
    ) -> Result<(), String> {
        for operation in decode_operations(operations).map_err(|error| error.to_string())? {
            match operation {
                Operation::Entry {
                    entry,
                    offset,
                    checksum,
                } => {
                    let location = Location::File {
                        file: current.file.clone(),
                        offset: u64::try_from(start + offset).map_err(|it| it.to_string())?,
                        length: u32::try_from(entry.bytes.len()).map_err(|it| it.to_string())?,
                        checksum,
                    };
                    current.last_index = current.last_index.max(Some(entry.id.index));
                    self.entry(entry, location)?;
                }
                Operation::Vote(vote) => self.recovered.vote = Some(vote),
                Operation::Truncate(after) => self.recovered.truncate(after),
                Operation::Purge(upto) => self.recovered.purge(upto),
                Operation::Committed(committed) => self.recovered.committed = Some(committed),
            }
        }
        Ok(())
    }
}

impl Replay<'_> {
    /// Deleted segments leave a gap in front of what the oldest one left continues; the purge that
    /// allowed deleting them stands further on, and `recover` checks that it does.
    fn entry(&mut self, entry: EncodedEntry, location: Location) -> Result<(), String> {
        let index = entry.id.index;
        if self.recovered.next_index().is_some_and(|next| next < index) {
            self.recovered.entries.clear();
            self.purged_at_least = self.purged_at_least.max(index.checked_sub(1));
            self.recovered.entries.push((entry, location));
            return Ok(());
        }
        let appended = self.recovered.append(entry, location);
        appended.map_err(|error| error.to_string())
    }
}

/// Zeros the torn tail and makes that durable: the next frame may be shorter than what it replaces,
/// and leftovers behind it would look like damage at the next start.
fn cut(current: &CurrentSegment, bytes: &[u8]) -> io::Result<()> {
    let (segment, position) = (current.header.number, current.position);
    tracing::warn!(
        segment,
        position,
        "cutting a torn frame off the metadata log"
    );
    let zeros = vec![0; bytes.len() - current.position];
    let offset = u64::try_from(current.position).map_err(io::Error::other)?;
    current.file.write_at(&zeros, offset)?;
    current.file.sync_data()
}
