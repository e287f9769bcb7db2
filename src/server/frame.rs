//! The memory of one request: read as a whole, and given out in parts that can be written to.
//!
//! Records are stamped in place and written from where they were received. A slice of the frame becomes
//! a buffer of its own without a copy, because nobody else holds the frame once it is decoded.

use bytes::{Bytes, BytesMut};
use drave_protocol::wire::Reader;

#[derive(Debug)]
pub(crate) struct Frame {
    whole: Bytes,
    /// What is left once parts were detached.
    rest: BytesMut,
}

impl Frame {
    pub(crate) fn new(bytes: BytesMut) -> Self {
        Self {
            whole: bytes.freeze(),
            rest: BytesMut::new(),
        }
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader::new(self.whole.clone())
    }

    /// Makes each of `slices` of this frame a buffer of its own. They come in the order they lie in the
    /// frame; afterwards the frame can no longer be read.
    pub(crate) fn detach(&mut self, slices: Vec<Bytes>) -> Vec<BytesMut> {
        let whole = std::mem::take(&mut self.whole);
        let start = whole.as_ptr().addr();
        let place = |it: &Bytes| (it.as_ptr().addr().wrapping_sub(start), it.len());
        let places: Vec<(usize, usize)> = slices.iter().map(place).collect();
        drop(slices);
        // Copies if anybody still held a slice; nobody should.
        let mut rest = BytesMut::from(whole);
        let mut position = 0;
        let mut detached = Vec::with_capacity(places.len());
        for (at, length) in places {
            if length == 0 {
                detached.push(BytesMut::new());
                continue;
            }
            let before = at.checked_sub(position);
            let before = before.expect("slices of one frame, in their order");
            let _ = rest.split_to(before);
            detached.push(rest.split_to(length));
            position = at + length;
        }
        self.rest = rest;
        detached
    }

    /// What can be used for the next frame, once the detached parts are gone.
    pub(crate) fn into_memory(self) -> BytesMut {
        if self.whole.is_empty() {
            self.rest
        } else {
            self.whole.try_into_mut().unwrap_or_default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detached_parts_lie_where_they_were_received() {
        let bytes = BytesMut::from(&b"head-first-gap-second-tail"[..]);
        let memory = bytes.as_ptr();
        let mut frame = Frame::new(bytes);
        let whole = frame.reader().into_rest();
        let slices = vec![whole.slice(5..10), Bytes::new(), whole.slice(15..21)];
        drop(whole);
        let parts = frame.detach(slices);
        assert_eq!(parts, [&b"first"[..], b"", b"second"]);
        assert_eq!(parts[0].as_ptr().addr(), memory.addr() + 5);
        assert_eq!(parts[2].as_ptr().addr(), memory.addr() + 15);
    }

    #[test]
    fn the_memory_comes_back_when_the_parts_are_gone() {
        let mut frame = Frame::new(BytesMut::from(&[7; 4096][..]));
        let slice = frame.reader().into_rest().slice(100..200);
        drop(frame.detach(vec![slice]));
        let mut memory = frame.into_memory();
        memory.clear();
        assert!(memory.try_reclaim(4096));
    }
}
