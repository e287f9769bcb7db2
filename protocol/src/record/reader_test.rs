use bytes::{Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::records as theirs;
use proptest::prelude::*;

use super::*;
use crate::record::attributes::Compression;
use crate::record::batch::verify_crc;
use crate::record::builder::BatchBuilder;
use crate::record::compression::Packing;
use crate::record::record::Record;

const PACKED: [Compression; 4] = [
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

fn built(values: &[Vec<u8>], packing: Packing) -> BytesMut {
    let batch = BatchBuilder::new().packed(packing);
    let with = |batch: BatchBuilder, value: &Vec<u8>| batch.value(7, Bytes::from(value.clone()));
    values.iter().fold(batch, with).build()
}

fn read(batch: &[u8], limit: usize) -> Result<Vec<Vec<u8>>, RecordError> {
    let mut reader = RecordReader::open(batch, UnpackedLimit(limit))?;
    let mut values = Vec::new();
    while let Some(record) = reader.next_record() {
        values.push(record?.value.unwrap().to_vec());
    }
    Ok(values)
}

fn values() -> Vec<Vec<u8>> {
    let sizes = [0, 1, 127, 128, 16_000, 70_000, 3, 20_000];
    let fill = |n: usize| (0..n).map(move |at| (at * n % 251).to_le_bytes()[0]);
    sizes.map(|n| fill(n).collect()).to_vec()
}

#[test]
fn records_of_every_codec_come_back_one_at_a_time() {
    for codec in PACKED {
        let bytes = built(&values(), Packing::of(codec));
        assert!(verify_crc(&bytes));
        assert_eq!(read(&bytes, 1 << 20), Ok(values()), "{codec}");
    }
}

#[test]
fn another_implementation_reads_what_we_pack() {
    for codec in PACKED {
        let bytes = built(&values(), Packing::of(codec));
        let read = theirs::RecordBatchDecoder::decode(&mut bytes.freeze()).unwrap();
        let read = read.records.into_iter();
        let read: Vec<Vec<u8>> = read.map(|it| it.value.unwrap().to_vec()).collect();
        assert_eq!(read, values(), "{codec}");
    }
}

#[test]
fn we_read_what_another_implementation_packs() {
    for (codec, compression) in [
        (Compression::Gzip, theirs::Compression::Gzip),
        (Compression::Snappy, theirs::Compression::Snappy),
        (Compression::Lz4, theirs::Compression::Lz4),
        (Compression::Zstd, theirs::Compression::Zstd),
    ] {
        let records: Vec<_> = (0..).zip(values()).map(their_record).collect();
        let options = theirs::RecordEncodeOptions {
            version: 2,
            compression,
        };
        let mut bytes = BytesMut::new();
        theirs::RecordBatchEncoder::encode(&mut bytes, &records, &options).unwrap();
        assert_eq!(
            BatchHeader::parse(&bytes).unwrap().compression(),
            Some(codec)
        );
        assert_eq!(read(&bytes, 1 << 20), Ok(values()), "{codec}");
    }
}

fn their_record((offset, value): (i32, Vec<u8>)) -> theirs::Record {
    theirs::Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 0,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: theirs::TimestampType::Creation,
        offset: offset.into(),
        sequence: offset - 1,
        timestamp: 7,
        key: None,
        value: Some(value.into()),
        headers: IndexMap::new(),
    }
}

#[test]
fn a_count_that_disagrees_with_the_records_is_refused_in_every_codec() {
    for codec in [PACKED.as_slice(), &[Compression::None]].concat() {
        let good = built(&values(), Packing::of(codec));
        let with_count = |count: u8| {
            let mut bytes = good.clone();
            bytes[60] = count;
            bytes
        };
        assert!(read(&with_count(9), 1 << 20).is_err(), "{codec}");
        let trailing = read(&with_count(7), 1 << 20);
        assert!(
            matches!(trailing, Err(RecordError::TrailingBytes(_))),
            "{codec} {trailing:?}"
        );
    }
}

#[test]
fn a_batch_unpacks_to_its_limit_and_no_further() {
    let total: usize = values().iter().map(|it| it.len() + 9).sum();
    for codec in PACKED {
        let bytes = built(&values(), Packing::of(codec));
        assert!(read(&bytes, total + 100).is_ok(), "{codec}");
        let refused = read(&bytes, 40_000);
        let too_large = RecordError::Unpack(UnpackError::TooLarge(40_000));
        assert_eq!(refused, Err(too_large), "{codec}");
    }
}

#[test]
fn a_record_that_promises_more_than_there_is_costs_what_there_is() {
    // A record of 90 MB by its length, of 3 bytes in truth.
    let mut bytes = built(&[b"abc".to_vec()], Packing::of(Compression::None));
    let mut records = BytesMut::new();
    varint::write_i32(&mut records, 90_000_000);
    records.extend_from_slice(b"abc");
    let header = BatchHeader::parse(&bytes).unwrap();
    let mut lying = header;
    lying.attributes |= Compression::Zstd.bits();
    bytes = lying.with_records(|out| {
        crate::record::compression::pack(&records, Packing::of(Compression::Zstd), out);
    });
    let mut reader = RecordReader::open(&bytes, UnpackedLimit::default()).unwrap();
    let refused = reader.next_record().unwrap();
    assert_eq!(refused, Err(RecordError::BadLength(90_000_000)));
    assert!(reader.next_record().is_none());
    let Source::Packed(buffered) = &reader.source else {
        panic!("it is packed")
    };
    assert_eq!(buffered.bytes.len(), BUFFER_BYTES);
}

#[test]
fn a_codec_nobody_knows_is_named() {
    let mut bytes = built(&values(), Packing::of(Compression::None));
    bytes[22] |= 7;
    let refused = RecordReader::open(&bytes, UnpackedLimit::default()).map(|_| ());
    assert_eq!(refused, Err(RecordError::UnknownCompression(7)));
}

fn any_records() -> impl Strategy<Value = Vec<Record>> {
    let bytes = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300));
    let headers = proptest::collection::vec(("[a-z]{0,5}", bytes()), 0..3);
    let record = (any::<i64>(), bytes(), bytes(), headers).prop_map(
        |(timestamp_ms, key, value, headers)| {
            let owned = |(key, value): (String, Option<Vec<u8>>)| (key, value.map(Bytes::from));
            Record {
                timestamp_ms,
                key: key.map(Bytes::from),
                value: value.map(Bytes::from),
                headers: headers.into_iter().map(owned).collect(),
            }
        },
    );
    proptest::collection::vec(record, 1..40)
}

proptest! {
    #[test]
    fn every_record_survives_every_codec_and_level(
        records in any_records(),
        codec in proptest::sample::select(PACKED.as_slice()),
        level in prop_oneof![-5..25_i32, Just(-1), Just(i32::MIN), Just(i32::MAX)],
    ) {
        let batch = BatchBuilder::new().packed(Packing { codec, level });
        let bytes = records.iter().cloned().fold(batch, BatchBuilder::record).build();
        let mut reader = RecordReader::open(&bytes, UnpackedLimit::default()).unwrap();
        let header = *reader.header();
        for expected in &records {
            let record = reader.next_record().unwrap().unwrap();
            let own = |(key, value): (&[u8], Option<&[u8]>)| {
                (String::from_utf8(key.to_vec()).unwrap(), value.map(Bytes::copy_from_slice))
            };
            let got = Record {
                timestamp_ms: record.timestamp_ms(&header),
                key: record.key.map(Bytes::copy_from_slice),
                value: record.value.map(Bytes::copy_from_slice),
                headers: record.headers().map(own).collect(),
            };
            prop_assert_eq!(&got, expected);
        }
        prop_assert!(reader.next_record().is_none());
    }
}
