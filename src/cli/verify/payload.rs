//! What is in a record: who wrote it, the how-manieth it is, and a checksum over the rest.

use bytes::{BufMut, Bytes, BytesMut};
use drave_protocol::record::batch::{self, BatchHeader, crc32c};
use drave_protocol::record::record::{self, RecordView};

use crate::oracle::event::Item;

/// Producer, number and checksum.
const BYTES_MIN: usize = 4 + 8 + 4;

/// The value of a record, filled up to `size` with bytes that differ from record to record.
pub(super) fn value(producer: u32, number: u64, size: usize) -> Bytes {
    let mut value = BytesMut::with_capacity(size.max(BYTES_MIN));
    value.put_u32(producer);
    value.put_u64(number);
    let mut filler = number ^ (u64::from(producer) << 40);
    while value.len() + 4 < size {
        filler = filler.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
        let [byte, ..] = filler.to_be_bytes();
        value.put_u8(byte);
    }
    let crc = crc32c(&value);
    value.put_u32(crc);
    value.freeze()
}

/// Keys repeat, as keys do.
pub(super) fn key(producer: u32, number: u64) -> Bytes {
    Bytes::from(format!("{producer}-{}", number % 64))
}

fn read(view: &RecordView<'_>) -> Item {
    let value = view.value.unwrap_or_default();
    let stranger = Item::Stranger {
        crc: crc32c(view.encoded()),
    };
    let Some((said, crc)) = value.split_last_chunk::<4>() else {
        return stranger;
    };
    let (Some((producer, rest)), true) = (
        said.split_first_chunk::<4>(),
        crc32c(said) == u32::from_be_bytes(*crc),
    ) else {
        return stranger;
    };
    let Some((number, _)) = rest.split_first_chunk::<8>() else {
        return stranger;
    };
    Item::Record(u32::from_be_bytes(*producer), u64::from_be_bytes(*number))
}

/// Offsets that follow each other, and what lies there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) base: i64,
    pub(super) epoch: i32,
    pub(super) items: Vec<Item>,
}

/// All whole batches of an answer, from `position` on; a fetch may begin before what was asked for.
pub(super) fn runs(records: &[u8], position: i64) -> Vec<Run> {
    let mut runs = Vec::new();
    for item in batch::iter(records) {
        // An answer may end in a batch cut short; it comes whole with the next.
        let Ok((_, header, bytes)) = item else { break };
        let mut run = Run {
            base: header.base_offset.0,
            epoch: header.partition_leader_epoch.0,
            items: Vec::new(),
        };
        for (offset, item) in items(&header, bytes) {
            if offset < position {
                continue;
            }
            if run.items.is_empty() {
                run.base = offset;
            } else if offset != run.base + length(&run.items) {
                let next = Run {
                    base: offset,
                    epoch: run.epoch,
                    items: Vec::new(),
                };
                runs.push(std::mem::replace(&mut run, next));
            }
            run.items.push(item);
        }
        if !run.items.is_empty() {
            runs.push(run);
        }
    }
    runs
}

/// A batch that is damaged is a stranger at each of its offsets.
fn items(header: &BatchHeader, batch: &[u8]) -> Vec<(i64, Item)> {
    let crc = Item::Stranger { crc: header.crc };
    let damaged = || (header.base_offset.0..header.next_offset().0).map(|it| (it, crc));
    let (true, Ok(records)) = (batch::verify_crc(batch), record::iter(batch)) else {
        return damaged().collect();
    };
    let mut items = Vec::new();
    for view in records {
        let Ok(view) = view else {
            return damaged().collect();
        };
        let item = if header.is_control() {
            Item::Marker(())
        } else {
            read(&view)
        };
        items.push((view.offset(header).0, item));
    }
    items
}

fn length(items: &[Item]) -> i64 {
    i64::try_from(items.len()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use drave_protocol::ids::Offset;
    use drave_protocol::record::builder::BatchBuilder;

    use super::*;

    fn batch(base: i64, numbers: &[u64]) -> BytesMut {
        let builder = BatchBuilder::new().base_offset(Offset(base));
        let with = |builder: BatchBuilder, it: &u64| builder.value(0, value(3, *it, 100));
        numbers.iter().fold(builder, with).build()
    }

    #[test]
    fn records_read_back_from_where_the_reader_is() {
        let mut records = batch(10, &[1, 2, 3]);
        records.extend_from_slice(&batch(13, &[4]));
        let found = runs(&records, 11);
        let bases: Vec<i64> = found.iter().map(|it| it.base).collect();
        assert_eq!(bases, [11, 13]);
        assert_eq!(found[0].items, [Item::Record(3, 2), Item::Record(3, 3)]);
    }

    #[test]
    fn a_flipped_bit_makes_a_stranger_of_every_record_of_its_batch() {
        let mut records = batch(0, &[1, 2]);
        let last = records.len() - 1;
        records[last] ^= 1;
        let found = runs(&records, 0);
        assert!(matches!(
            found[0].items[..],
            [Item::Stranger { .. }, Item::Stranger { .. }]
        ));
    }

    #[test]
    fn a_value_of_somebody_else_is_a_strangers() {
        let records = BatchBuilder::new().value(0, "hello").build();
        assert!(matches!(
            runs(&records, 0)[0].items[..],
            [Item::Stranger { .. }]
        ));
    }
}
