//! Batches as a stranger may send them, and the records in them.

use bytes::BytesMut;
use drave_log::LogConfig;
use drave_log::config::{CleanupPolicy, TargetCompression};
use drave_protocol::record::attributes::{Compression, TimestampType};
use drave_protocol::record::batch::{self, BatchHeader};
use drave_protocol::record::compression::{Packing, UnpackedLimit, Unpacker, pack};
use drave_protocol::record::reader::RecordReader;

use super::sample::{CODECS, NOW};

/// Small, so that reaching it is cheap.
const UNPACKED_MAX: usize = 256 * 1024;

/// The first byte chooses the log's configuration, the second whether length and checksum are made
/// right (a hostile client can), the rest is the batch.
pub(crate) fn validate(data: &[u8]) {
    let [choice, repair, batch @ ..] = data else {
        return;
    };
    let config = config(*choice);
    let mut sent = BytesMut::from(batch);
    if repair % 2 == 1 {
        forge(&mut sent);
    }
    let Ok(validated) = drave_log::validate::validate(sent.clone(), &config, NOW) else {
        return;
    };
    let stored = validated.bytes();
    let (before, after) = (header(&sent), header(stored));
    assert!(batch::verify_crc(stored));
    assert!(stored.len() <= config.message_bytes_max);
    assert_eq!(after.total_size(), stored.len());
    assert_eq!(after.records_count, before.records_count);
    assert_eq!(after.last_offset_delta, before.records_count - 1);
    assert_eq!(after.producer_id, before.producer_id);
    assert_eq!(after.base_sequence, before.base_sequence);
    assert!(!after.is_control());
    if let TargetCompression::Codec { compression, .. } = config.compression {
        assert_eq!(after.compression(), Some(compression));
    }
    let again = drave_log::validate::validate(stored.into(), &config, NOW);
    let again = again.expect("what was accepted is accepted again");
    assert_eq!(again.bytes(), stored, "and stays as it is");
}

fn config(choice: u8) -> LogConfig {
    let codec = CODECS.get(usize::from(choice % 8));
    let compression = codec.map_or(TargetCompression::Producer, |&compression| {
        let level = Packing::of(compression).level;
        TargetCompression::Codec { compression, level }
    });
    LogConfig {
        compression,
        cleanup: CleanupPolicy {
            delete: true,
            compact: choice & 8 != 0,
        },
        timestamp_type: if choice & 16 == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        },
        timestamp_before_max_ms: if choice & 32 == 0 { i64::MAX } else { 1_000 },
        message_bytes_max: if choice & 64 == 0 { 1 << 20 } else { 200 },
        ..LogConfig::default()
    }
}

fn header(batch: &[u8]) -> BatchHeader {
    BatchHeader::parse(batch).expect("it was validated")
}

/// Makes length, format and checksum right, as far as there are bytes for them.
fn forge(batch: &mut BytesMut) {
    if batch.len() < batch::HEADER_BYTES {
        return;
    }
    let length = i32::try_from(batch.len() - batch::LENGTH_OVERHEAD).expect("inputs are small");
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    batch[16] = 2;
    let crc = batch::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// One batch, length made right, walked record by record.
pub(crate) fn records(data: &[u8]) {
    let mut batch = BytesMut::from(data);
    forge(&mut batch);
    let Ok(mut reader) = RecordReader::open(&batch, UnpackedLimit(UNPACKED_MAX)) else {
        return;
    };
    let mut n_bytes = 0;
    let mut encoded = Vec::new();
    while let Some(record) = reader.next_record() {
        let Ok(record) = record else {
            assert!(reader.next_record().is_none(), "an error is the end");
            return;
        };
        assert_eq!(record.headers().count(), record.headers_count);
        n_bytes += record.encoded().len();
        assert!(n_bytes <= UNPACKED_MAX || !reader_is_packed(&batch));
        encoded.extend_from_slice(record.encoded());
    }
    if !reader_is_packed(&batch) {
        assert_eq!(
            encoded,
            batch[batch::HEADER_BYTES..],
            "not a byte is skipped"
        );
    }
}

fn reader_is_packed(batch: &[u8]) -> bool {
    header(batch).is_compressed()
}

pub(crate) fn unpack_gzip(data: &[u8]) {
    unpack(Compression::Gzip, data);
}

pub(crate) fn unpack_snappy(data: &[u8]) {
    unpack(Compression::Snappy, data);
}

pub(crate) fn unpack_lz4(data: &[u8]) {
    unpack(Compression::Lz4, data);
}

pub(crate) fn unpack_zstd(data: &[u8]) {
    unpack(Compression::Zstd, data);
}

/// What unpacks, unpacks again after it was packed here.
fn unpack(codec: Compression, data: &[u8]) {
    if let Some(unpacked) = unpacked(codec, data) {
        let mut packed = BytesMut::new();
        pack(&unpacked, Packing::of(codec), &mut packed);
        assert_eq!(self::unpacked(codec, &packed), Some(unpacked));
    }
}

fn unpacked(codec: Compression, data: &[u8]) -> Option<Vec<u8>> {
    let mut unpacker = Unpacker::new(codec, data, UnpackedLimit(UNPACKED_MAX)).ok()?;
    let mut all = Vec::new();
    let mut step = [0; 4096];
    loop {
        match unpacker.read(&mut step).ok()? {
            0 => return Some(all),
            n => all.extend_from_slice(&step[..n]),
        }
        assert!(all.len() <= UNPACKED_MAX);
    }
}
