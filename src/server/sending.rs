//! Answers on their way out: bytes from memory, records straight from their files.
//!
//! Invariants: however slow its reader, a connection holds at most `STAGE_BYTES_MAX` of records in memory,
//! the rest only as open files; no worker waits for the disk: what is not in the page cache is brought
//! there by the blocking pool first. Records that were cut off while they waited end the connection, for
//! the length of the frame is out already.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use drave_log::{LogError, LogSlice};
use thiserror::Error;
use tokio::io::AsyncWriteExt;

use crate::server::transport::Outlet;
use crate::tasks::Tasks;

/// Records of this size and more are sent by the kernel; copying fewer is cheaper.
const STRAIGHT_BYTES_MIN: usize = 64 * 1024;
/// What the kernel sends in one go, before other connections of this worker get their turn.
const STRAIGHT_STEP: usize = 512 * 1024;
/// Small parts are gathered up to this size and leave together.
const STAGE_BYTES_MAX: usize = 256 * 1024;

/// A piece of a frame.
#[derive(Debug)]
pub(crate) enum Part {
    Bytes(BytesMut),
    Records(LogSlice),
}

impl Part {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Records(slice) => slice.len(),
        }
    }
}

/// A frame with `left_out` put in at `places`.
///
/// # Panics
/// When there are not as many places as there is to put in.
pub(crate) fn interleave(
    mut frame: BytesMut,
    places: &[usize],
    left_out: Vec<LogSlice>,
) -> Vec<Part> {
    let (n_places, n_left_out) = (places.len(), left_out.len());
    assert!(
        n_places == n_left_out,
        "{n_left_out} slices for {n_places} places"
    );
    let mut parts = Vec::with_capacity(2 * n_places + 1);
    let mut start = 0;
    for (place, slice) in places.iter().zip(left_out) {
        parts.push(Part::Bytes(frame.split_to(place - start)));
        parts.push(Part::Records(slice));
        start = *place;
    }
    parts.push(Part::Bytes(frame));
    parts
}

/// Why an answer did not get out whole.
#[derive(Debug, Error)]
pub(crate) enum SendError {
    #[error("the peer read nothing for {0:?}")]
    Stalled(Duration),
    #[error("cannot write: {0}")]
    Write(io::Error),
    #[error("cannot send records: {0}")]
    Records(#[from] LogError),
    #[error("the node stops")]
    Stopping,
}

/// The way out of one connection.
#[derive(Debug)]
pub(crate) struct Sender<W> {
    outlet: W,
    /// A client that takes no byte for so long is gone.
    stall_max: Duration,
    tasks: Tasks,
    /// Memory for what is gathered, of which `n_staged` bytes wait to be written.
    stage: Vec<u8>,
    n_staged: usize,
}

/// What comes after the bytes of one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    More,
    Nothing,
}

impl<W: Outlet> Sender<W> {
    pub(crate) fn new(outlet: W, stall_max: Duration, tasks: Tasks) -> Self {
        Self {
            outlet,
            stall_max,
            tasks,
            stage: Vec::new(),
            n_staged: 0,
        }
    }

    pub(crate) fn into_outlet(self) -> W {
        self.outlet
    }

    /// Sends all of `parts`, in their order.
    ///
    /// Cancellation: an answer half out cannot be taken up again; the connection is to be closed.
    pub(crate) async fn send(&mut self, mut parts: VecDeque<Part>) -> Result<(), SendError> {
        while let Some(part) = parts.pop_front() {
            match part {
                Part::Records(slice) if self.goes_straight(&slice) => {
                    self.send_straight(slice).await?;
                }
                Part::Bytes(bytes) if parts.is_empty() => {
                    self.write_all(&bytes, Then::Nothing).await?;
                }
                Part::Bytes(_) | Part::Records(_) => {
                    parts.push_front(part);
                    self.gather(&mut parts).await?;
                    let then = if parts.is_empty() {
                        Then::Nothing
                    } else {
                        Then::More
                    };
                    self.write_stage(then).await?;
                }
            }
        }
        Ok(())
    }

    /// Gives up the memory of the stage; for a connection that fell silent.
    pub(crate) fn release(&mut self) {
        self.stage = Vec::new();
    }

    fn goes_straight(&self, slice: &LogSlice) -> bool {
        slice.len() >= STRAIGHT_BYTES_MIN && self.outlet.takes_files() && slice.as_fd().is_some()
    }

    async fn send_straight(&mut self, mut slice: LogSlice) -> Result<(), SendError> {
        while !slice.is_empty() {
            let step = slice.len().min(STRAIGHT_STEP);
            if !slice.is_cached(step)? {
                bring_in(&self.tasks, &slice, step).await?;
            }
            // Looked at when it was decided that it goes this way.
            let Some(file) = slice.as_fd() else {
                return Err(SendError::Write(io::ErrorKind::Unsupported.into()));
            };
            let sent = self.outlet.send_file(file, slice.position(), step);
            match patiently(self.stall_max, sent).await? {
                0 => return Err(slice.cut_short().into()),
                n => slice.advance(n),
            }
        }
        Ok(())
    }

    /// Copies parts to the stage as long as they fit, up to one that goes straight. What is not in the
    /// page cache comes first in a stage: what could be copied does not wait for it.
    async fn gather(&mut self, parts: &mut VecDeque<Part>) -> Result<(), SendError> {
        self.make_room(parts);
        while let Some(part) = parts.front_mut() {
            let copied = match part {
                Part::Bytes(bytes) => self.stage_bytes(bytes),
                Part::Records(slice) if self.goes_straight(slice) => return Ok(()),
                Part::Records(slice) => self.stage_records(slice).await?,
            };
            match copied {
                Copied::All => drop(parts.pop_front()),
                Copied::Some => return Ok(()),
            }
        }
        Ok(())
    }

    fn make_room(&mut self, parts: &VecDeque<Part>) {
        let is_copied =
            |part: &&Part| !matches!(part, Part::Records(slice) if self.goes_straight(slice));
        let copied = parts.iter().take_while(is_copied).map(Part::len);
        let wanted = copied.fold(0_usize, usize::saturating_add);
        let wanted = wanted.min(STAGE_BYTES_MAX).next_power_of_two();
        if self.stage.len() < wanted {
            self.stage.resize(wanted, 0);
        }
    }

    fn stage_bytes(&mut self, bytes: &mut BytesMut) -> Copied {
        let room = self.stage.get_mut(self.n_staged..).unwrap_or_default();
        let n = bytes.len().min(room.len());
        bytes.copy_to_slice(room.get_mut(..n).unwrap_or_default());
        self.n_staged += n;
        Copied::all_if(bytes.is_empty())
    }

    async fn stage_records(&mut self, slice: &mut LogSlice) -> Result<Copied, SendError> {
        let room = self.stage.get_mut(self.n_staged..).unwrap_or_default();
        let n = slice.len().min(room.len());
        let room = room.get_mut(..n).unwrap_or_default();
        if !slice.read_exact_cached(room)? {
            if self.n_staged > 0 {
                return Ok(Copied::Some);
            }
            bring_in(&self.tasks, slice, n).await?;
            slice.read_exact(room)?;
        }
        slice.advance(n);
        self.n_staged += n;
        Ok(Copied::all_if(slice.is_empty()))
    }

    async fn write_stage(&mut self, then: Then) -> Result<(), SendError> {
        let stage = std::mem::take(&mut self.stage);
        let staged = stage.get(..self.n_staged).unwrap_or_default();
        let written = self.write_all(staged, then).await;
        self.stage = stage;
        self.n_staged = 0;
        written
    }

    async fn write_all(&mut self, mut rest: &[u8], then: Then) -> Result<(), SendError> {
        while !rest.is_empty() {
            let written = match then {
                Then::Nothing => patiently(self.stall_max, self.outlet.write(rest)).await?,
                Then::More => patiently(self.stall_max, self.outlet.write_more(rest)).await?,
            };
            if written == 0 {
                return Err(SendError::Write(io::ErrorKind::WriteZero.into()));
            }
            rest = rest.get(written..).unwrap_or_default();
        }
        Ok(())
    }
}

/// How much of a part found room on the stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copied {
    All,
    Some,
}

impl Copied {
    fn all_if(is_all: bool) -> Self {
        if is_all { Self::All } else { Self::Some }
    }
}

/// Has the first `n` bytes of a slice read into the page cache where waiting for the disk harms nobody.
async fn bring_in(tasks: &Tasks, slice: &LogSlice, n: usize) -> Result<(), SendError> {
    let slice = slice.clone();
    let read = tasks.run_blocking(move || slice.bring_in(n)).await;
    Ok(read.ok_or(SendError::Stopping)??)
}

async fn patiently(
    stall_max: Duration,
    write: impl Future<Output = io::Result<usize>>,
) -> Result<usize, SendError> {
    match tokio::time::timeout(stall_max, write).await {
        Ok(written) => written.map_err(SendError::Write),
        Err(_) => Err(SendError::Stalled(stall_max)),
    }
}
