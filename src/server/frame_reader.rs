//! Reads request frames from a socket, straight into the buffer their records are later written from.
//!
//! Invariants: a length below a request header, above `socket.request.max.bytes` or above what its API
//! may need is refused before memory is taken for it; the buffer grows as bytes arrive, at most
//! doubling, never to the declared length at once; a frame is alone in its memory, so that the log can
//! stamp its batches in place. An idle connection holds next to nothing.

use std::io;

use bytes::{Buf, BufMut, BytesMut};
use drave_protocol::api;
use drave_protocol::limits;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes of the length prefix.
const PREFIX: usize = 4;
/// API key, version and correlation id: what every request starts with.
const REQUEST_BYTES_MIN: usize = 8;
/// One read brings the length and, mostly, the whole of a small request. It may also bring the start
/// of the next one, which is then copied: hence not more.
const FIRST_READ: usize = 8 * 1024;
/// A producer's requests are mostly of one size: a read brings one like the last.
const FIRST_READ_MAX: usize = 32 * 1024;
/// Most connections say little, now and then. Who fills this is read from in greater pieces.
const FIRST_READ_MIN: usize = 256;
const STEP: usize = 64 * 1024;
/// A buffer larger than this is not kept for the next frame.
const SPARE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Why no further frame can be read.
#[derive(Debug, Error)]
pub(crate) enum FrameError {
    #[error("frame of {declared} bytes where {least} to {most} are allowed")]
    Refused {
        declared: i32,
        least: usize,
        most: usize,
    },
    #[error("closed after {got} of {declared} bytes of a frame")]
    Truncated { got: usize, declared: usize },
    #[error(transparent)]
    Io(#[from] io::Error),
}

#[derive(Debug)]
pub(crate) struct FrameReader<R> {
    stream: R,
    request_bytes_max: usize,
    /// What has arrived, from the start of a frame.
    buffer: BytesMut,
    /// Memory of an earlier frame, for the next one.
    spare: BytesMut,
    last_frame_bytes: usize,
    first_read: usize,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(crate) fn new(stream: R, request_bytes_max: usize) -> Self {
        Self {
            stream,
            request_bytes_max,
            buffer: BytesMut::new(),
            spare: BytesMut::new(),
            last_frame_bytes: 0,
            first_read: FIRST_READ_MIN,
        }
    }

    /// The next frame without its length; `None` when the peer closed between two frames.
    ///
    /// Cancellation: safe, what has arrived stays in `buffer`.
    pub(crate) async fn next(&mut self) -> Result<Option<BytesMut>, FrameError> {
        loop {
            let declared = declared_length(&self.buffer, self.request_bytes_max)?;
            let wanted = declared.map(|it| PREFIX + it);
            if let Some(wanted) = wanted
                && self.buffer.len() >= wanted
            {
                return Ok(Some(self.take(wanted)));
            }
            let missing = wanted.map_or(self.first_read, |it| it - self.buffer.len());
            if self.read(missing).await? == 0 {
                return match self.buffer.len() {
                    0 => Ok(None),
                    got => Err(FrameError::Truncated {
                        got: got.saturating_sub(PREFIX),
                        declared: declared.unwrap_or_default(),
                    }),
                };
            }
        }
    }

    /// Whether no byte of a further frame has arrived.
    pub(crate) fn is_between_frames(&self) -> bool {
        self.buffer.is_empty()
    }

    pub(crate) fn into_stream(self) -> R {
        self.stream
    }

    /// Gives back the memory of the last frame, or any part of it, for the next one.
    pub(crate) fn recycle(&mut self, memory: BytesMut) {
        if self.last_frame_bytes <= SPARE_BYTES_MAX {
            self.spare = memory;
        }
    }

    /// Lets go of what the next frame does not need yet; for a connection that fell silent.
    pub(crate) fn release(&mut self) {
        self.spare = BytesMut::new();
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
            self.first_read = FIRST_READ_MIN;
        }
    }

    /// Reads once, at most `missing` bytes.
    async fn read(&mut self, missing: usize) -> io::Result<usize> {
        let step = missing.min(STEP.max(self.buffer.len()));
        self.reserve(step);
        self.stream
            .read_buf(&mut (&mut self.buffer).limit(step))
            .await
    }

    fn reserve(&mut self, step: usize) {
        if self.buffer.capacity() - self.buffer.len() >= step {
            return;
        }
        let mut spare = std::mem::take(&mut self.spare);
        spare.clear();
        // Takes the whole of its memory back if nobody else holds a part of it any more.
        if spare.try_reclaim(self.buffer.len() + step) {
            spare.extend_from_slice(&self.buffer);
            self.buffer = spare;
        } else {
            self.buffer.reserve(step);
        }
    }

    /// Cuts the frame that ends at `end` off the buffer; the start of the next one is copied out.
    fn take(&mut self, end: usize) -> BytesMut {
        if self.buffer.len() >= FIRST_READ_MIN {
            self.first_read = end.clamp(FIRST_READ, FIRST_READ_MAX);
        }
        self.last_frame_bytes = end;
        let mut frame = std::mem::take(&mut self.buffer);
        if let Some(next) = frame.get(end..).filter(|it| !it.is_empty()) {
            self.buffer.extend_from_slice(next);
        }
        frame.truncate(end);
        frame.advance(PREFIX);
        frame
    }
}

/// The length of the frame `buffer` starts with, once its prefix has arrived; checked against the limit
/// of its API once that has arrived too.
fn declared_length(buffer: &[u8], request_bytes_max: usize) -> Result<Option<usize>, FrameError> {
    let Some((prefix, body)) = buffer.split_first_chunk::<PREFIX>() else {
        return Ok(None);
    };
    let declared = i32::from_be_bytes(*prefix);
    let most = match body.first_chunk() {
        Some(key) => request_bytes_max.min(bytes_max_of(i16::from_be_bytes(*key))),
        None => request_bytes_max,
    };
    usize::try_from(declared)
        .ok()
        .filter(|it| (REQUEST_BYTES_MIN..=most).contains(it))
        .map(Some)
        .ok_or(FrameError::Refused {
            declared,
            least: REQUEST_BYTES_MIN,
            most,
        })
}

fn bytes_max_of(api_key: i16) -> usize {
    api::lookup(api_key).map_or(limits::SMALL_REQUEST_BYTES_MAX, |api| api.frame_bytes_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 100 * 1024 * 1024;

    fn frame(key: i16, body_bytes: usize) -> Vec<u8> {
        let length = i32::try_from(REQUEST_BYTES_MIN + body_bytes).unwrap();
        let mut frame = length.to_be_bytes().to_vec();
        frame.extend(key.to_be_bytes());
        frame.extend([0, 0, 0, 0, 0, 7]);
        frame.resize(frame.len() + body_bytes, 0xab);
        frame
    }

    async fn first_error(input: &[u8]) -> FrameError {
        let mut reader = FrameReader::new(input, LIMIT);
        loop {
            match reader.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("{input:?} was read to its end"),
                Err(error) => return error,
            }
        }
    }

    #[tokio::test]
    async fn pipelined_frames_come_out_one_by_one_whatever_their_sizes() {
        let sizes = [0, 100, 20_000, 3, 300_000, 1];
        let input: Vec<u8> = sizes.iter().flat_map(|it| frame(0, *it)).collect();
        let mut reader = FrameReader::new(&input[..], LIMIT);
        for size in sizes {
            let got = reader.next().await.unwrap().unwrap();
            assert_eq!(got, frame(0, size)[PREFIX..]);
            reader.recycle(got);
        }
        assert!(reader.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_declared_length_takes_no_memory_by_itself() {
        let mut input = frame(0, 0);
        input[..4].copy_from_slice(&99_000_000_i32.to_be_bytes());
        let mut reader = FrameReader::new(&input[..], LIMIT);
        assert!(matches!(
            reader.next().await,
            Err(FrameError::Truncated {
                got: 8,
                declared: 99_000_000
            })
        ));
        assert!(reader.buffer.capacity() <= 2 * STEP);
    }

    #[tokio::test]
    async fn hostile_lengths_are_refused() {
        for declared in [i32::MAX, -1, 0, 7, 104_857_601] {
            let mut input = frame(0, 0);
            input[..4].copy_from_slice(&declared.to_be_bytes());
            let error = first_error(&input).await;
            assert!(
                matches!(error, FrameError::Refused { .. }),
                "{declared}: {error}"
            );
        }
    }

    #[tokio::test]
    async fn only_requests_with_records_may_be_large() {
        let mut input = frame(3, 0);
        input[..4].copy_from_slice(&50_000_000_i32.to_be_bytes());
        assert!(matches!(
            first_error(&input).await,
            FrameError::Refused { .. }
        ));
        let mut unknown = frame(9999, 0);
        unknown[..4].copy_from_slice(&2_000_000_i32.to_be_bytes());
        assert!(matches!(
            first_error(&unknown).await,
            FrameError::Refused { .. }
        ));
    }

    #[tokio::test]
    async fn memory_given_back_is_used_again_and_let_go_when_idle() {
        let input: Vec<u8> = [frame(0, 200_000), frame(0, 200_000)].concat();
        let mut reader = FrameReader::new(&input[..], LIMIT);
        let first = reader.next().await.unwrap().unwrap();
        let memory = first.as_ptr();
        reader.recycle(first);
        let second = reader.next().await.unwrap().unwrap();
        assert!(second.as_ptr().addr().abs_diff(memory.addr()) <= PREFIX);
        reader.recycle(second);
        reader.release();
        assert_eq!(reader.buffer.capacity() + reader.spare.capacity(), 0);
    }
}
