//! The checksum of a batch too large to be held: fed piece by piece, the same number as
//! [`crc32c`](crate::record::batch::crc32c) of the whole.

use std::fmt;

use crc_fast::{CrcAlgorithm, Digest};

#[derive(Clone, Copy)]
pub struct RunningChecksum(Digest);

impl Default for RunningChecksum {
    fn default() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc32Iscsi))
    }
}

impl RunningChecksum {
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn value(&self) -> u32 {
        let [_, _, _, _, a, b, c, d] = self.0.finalize().to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }
}

impl fmt::Debug for RunningChecksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunningChecksum({:08x})", self.value())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::batch::crc32c;

    #[test]
    fn pieces_give_the_number_of_the_whole() {
        let bytes: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        for piece in [1, 7, 4096] {
            let mut running = RunningChecksum::default();
            for bytes in bytes.chunks(piece) {
                running.add(bytes);
            }
            assert_eq!(running.value(), crc32c(&bytes), "pieces of {piece}");
        }
    }
}
