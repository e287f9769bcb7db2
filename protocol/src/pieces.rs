//! A frame on its way out, with the large fields of its message where the caller has them.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// Never empty pieces, so whoever has none left has sent all.
#[derive(Clone, Debug, Default)]
pub struct Pieces {
    pieces: VecDeque<Bytes>,
}

impl Pieces {
    pub(crate) fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.pieces.push_back(piece);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// All that is left, if it is in one piece: a plain write costs less than a vectored one.
    pub fn only(&self) -> Option<&[u8]> {
        match self.pieces.len() {
            1 => self.pieces.front().map(Bytes::as_ref),
            _ => None,
        }
    }

    /// The next of them, for a vectored write.
    pub fn next_slices(&self) -> [IoSlice<'_>; 4] {
        let mut slices = [IoSlice::new(&[]); 4];
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            *slice = IoSlice::new(piece);
        }
        slices
    }

    /// `n` bytes are out.
    pub fn advance(&mut self, mut n: usize) {
        while let Some(first) = self.pieces.front_mut() {
            if n < first.len() {
                first.advance(n);
                return;
            }
            n -= first.len();
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_is_forgotten_piece_by_piece() {
        let mut pieces = Pieces::default();
        for text in ["abc", "", "defg", "h", "i", "j"] {
            pieces.push(Bytes::from_static(text.as_bytes()));
        }
        let (mut out, mut alone) = (Vec::new(), Vec::new());
        for n in [2, 3, 2, 1, 1, 1] {
            let there: Vec<u8> = pieces
                .next_slices()
                .iter()
                .flat_map(|it| it.to_vec())
                .collect();
            out.extend_from_slice(&there[..n]);
            alone.extend(pieces.only().map(<[u8]>::to_vec));
            pieces.advance(n);
        }
        assert_eq!(out, b"abcdefghij");
        assert_eq!(alone, [b"j"]);
        assert!(pieces.is_empty());
    }
}
