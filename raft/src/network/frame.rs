//! Frames: `[length u32][request id u64][body]`, big-endian; the length counts id and body.
//!
//! Invariants: a length is checked before memory is taken for it, and memory grows only as bytes
//! arrive.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// No frame is larger; snapshots are cut into chunks well below.
pub(crate) const FRAME_BYTES_MAX: usize = 64 << 20;
const ID_BYTES: usize = 8;
/// How far memory may run ahead of what arrived.
const STEP_BYTES: usize = 256 << 10;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) id: u64,
    pub(crate) body: Bytes,
}

pub(crate) fn encode(id: u64, body: &[u8]) -> Option<Bytes> {
    let length = body.len() + ID_BYTES;
    if length > FRAME_BYTES_MAX {
        return None;
    }
    let mut out = BytesMut::with_capacity(4 + length);
    out.put_u32(u32::try_from(length).ok()?);
    out.put_u64(id);
    out.put_slice(body);
    Some(out.freeze())
}

/// `None` at a clean end between frames. Cancellation: not safe, the rest of a frame would be taken
/// for a length; the callers own the stream and give it up with the future.
pub(crate) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    bytes_max: usize,
) -> io::Result<Option<Frame>> {
    let length = match stream.read_u32().await {
        Ok(length) => usize::try_from(length).map_err(io::Error::other)?,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    if !(ID_BYTES..=bytes_max).contains(&length) {
        let what = format!("a frame of {length} bytes, at most {bytes_max} are allowed");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    let mut body = BytesMut::new();
    while body.len() < length {
        let missing = length - body.len();
        body.reserve(missing.min(STEP_BYTES));
        if stream.read_buf(&mut (&mut body).limit(missing)).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let id = body.get_u64();
    Ok(Some(Frame {
        id,
        body: body.freeze(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read_bytes(bytes: &[u8], max: usize) -> io::Result<Option<Frame>> {
        read(&mut &*bytes, max).await
    }

    #[tokio::test]
    async fn frames_come_back_as_they_went() {
        let encoded = encode(7, b"hello").unwrap();
        let frame = read_bytes(&encoded, 100).await.unwrap().unwrap();
        assert_eq!((frame.id, frame.body), (7, Bytes::from_static(b"hello")));
        assert_eq!(read_bytes(b"", 100).await.unwrap(), None);
    }

    #[tokio::test]
    async fn lengths_out_of_bounds_are_refused_before_memory_is_taken() {
        for length in [0_u32, 7, 101, u32::MAX] {
            let error = read_bytes(&length.to_be_bytes(), 100).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{length}");
        }
        assert_eq!(encode(1, &vec![0; FRAME_BYTES_MAX]), None);
    }

    #[tokio::test]
    async fn a_frame_cut_short_is_an_error() {
        let encoded = encode(7, b"hello").unwrap();
        for end in 4..encoded.len() {
            let error = read_bytes(&encoded[..end], 100).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{end}");
        }
    }
}
