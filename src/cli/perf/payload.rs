//! What is written: batches of equal records, made once where that is enough.

use bytes::{BufMut, Bytes, BytesMut};
use drave_protocol::ids::ProducerId;
use drave_protocol::record::batch;
use drave_protocol::record::builder::BatchBuilder;
use drave_protocol::record::compression::Packing;
use drave_protocol::record::record::RecordView;

/// At the start of a value: nanoseconds since the run began.
pub(super) const TIME_BYTES: u32 = 8;

/// An idempotent producer, and its next sequence in one partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sender {
    pub(super) id: ProducerId,
    pub(super) epoch: i16,
    pub(super) sequence: i32,
}

impl Sender {
    /// Sequences wrap to zero, as Kafka's do.
    fn advance(&mut self, n: u32) {
        let next = (i64::from(self.sequence) + i64::from(n)) % (i64::from(i32::MAX) + 1);
        self.sequence = i32::try_from(next).unwrap_or(0);
    }
}

#[derive(Clone, Debug)]
pub(super) struct Payload {
    value: Bytes,
    packing: Packing,
    n_records: u32,
    /// One batch, of nobody in particular.
    ready: Bytes,
}

impl Payload {
    pub(super) fn new(record_bytes: u32, n_records: u32, packing: Packing, wall_ms: i64) -> Self {
        let mut payload = Self {
            value: noise(record_bytes),
            packing,
            n_records,
            ready: Bytes::new(),
        };
        payload.ready = payload
            .build((0..n_records).map(|_| None), wall_ms)
            .freeze();
        payload
    }

    pub(super) fn n_records(&self) -> u32 {
        self.n_records
    }

    /// The next batch. `times` are written into the records where somebody will look for them.
    pub(super) fn batch(
        &self,
        sender: Option<&mut Sender>,
        times: Option<&[u64]>,
        wall_ms: i64,
    ) -> Bytes {
        if sender.is_none() && times.is_none() {
            return self.ready.clone();
        }
        let mut bytes = match times {
            Some(times) => self.build(times.iter().copied().map(Some), wall_ms),
            None => BytesMut::from(self.ready.as_ref()),
        };
        if let Some(sender) = sender {
            batch::set_producer(&mut bytes, sender.id, sender.epoch, sender.sequence);
            sender.advance(self.n_records);
        }
        bytes.freeze()
    }

    fn build(&self, times: impl Iterator<Item = Option<u64>>, wall_ms: i64) -> BytesMut {
        let builder = BatchBuilder::new().packed(self.packing);
        let with = |builder: BatchBuilder, time: Option<u64>| {
            let value = time.map_or_else(|| self.value.clone(), |it| self.value_at(it));
            builder.value(wall_ms, value)
        };
        times.fold(builder, with).build()
    }

    fn value_at(&self, nanos: u64) -> Bytes {
        let mut value = BytesMut::from(self.value.as_ref());
        if let Some(start) = value.first_chunk_mut() {
            *start = nanos.to_be_bytes();
        }
        value.freeze()
    }
}

/// The time in a record, as [`Payload::batch`] wrote it.
pub(super) fn time_in(record: &RecordView<'_>) -> Option<u64> {
    let start = record.value?.first_chunk()?;
    Some(u64::from_be_bytes(*start))
}

/// Bytes that compress about as badly as real ones that are compressed already.
fn noise(n: u32) -> Bytes {
    let n = usize::try_from(n).unwrap_or(usize::MAX);
    let mut bytes = BytesMut::with_capacity(n + 8);
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    while bytes.len() < n {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.put_u64(state);
    }
    bytes.truncate(n);
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use drave_protocol::record::attributes::Compression;
    use drave_protocol::record::batch::BatchHeader;
    use drave_protocol::record::compression::Packing;
    use drave_protocol::record::record;

    use super::*;

    fn payload() -> Payload {
        Payload::new(100, 3, Packing::of(Compression::None), 7)
    }

    #[test]
    fn times_are_read_back() {
        let batch = payload().batch(None, Some(&[5, 6, u64::MAX]), 7);
        assert!(batch::verify_crc(&batch));
        let times: Vec<_> = record::iter(&batch)
            .unwrap()
            .map(|it| time_in(&it.unwrap()))
            .collect();
        assert_eq!(times, [Some(5), Some(6), Some(u64::MAX)]);
    }

    #[test]
    fn sequences_follow_each_other_and_wrap() {
        let mut sender = Sender {
            id: ProducerId(9),
            epoch: 2,
            sequence: i32::MAX - 1,
        };
        let sequences = [0, 1].map(|_| {
            let batch = payload().batch(Some(&mut sender), None, 7);
            assert!(batch::verify_crc(&batch));
            let header = BatchHeader::parse(&batch).unwrap();
            assert_eq!((header.producer_id.0, header.producer_epoch), (9, 2));
            header.base_sequence
        });
        assert_eq!(sequences, [i32::MAX - 1, 1]);
    }
}
