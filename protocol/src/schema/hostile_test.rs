//! Bytes no honest client sends: refused, without a panic and without taking memory for them.

use bytes::Bytes;

use crate::header::RequestHeader;
use crate::limits;
use crate::message::Message;
use crate::schema::every_message;
use crate::schema::fetch::FetchRequest;
use crate::schema::metadata::{MetadataRequest, MetadataRequestTopic};
use crate::schema::produce::{ProduceRequest, TopicProduceData};
use crate::schema::sample::{Nulls, Sample, Source, decoded, encoded, for_each_sample};
use crate::wire::{DecodeError, Reader};

/// Largest structure in memory, and how deep arrays nest: what one wire byte can cost at most.
const MEMORY_PER_WIRE_BYTE: usize = 256 * 4;

macro_rules! each_survives {
    ($($module:ident $request:ident $response:ident,)*) => {$(
        mod $module {
            use crate::schema::$module::{$request, $response};

            #[test]
            fn every_prefix_is_refused() {
                super::every_prefix_is_refused::<$request>();
                super::every_prefix_is_refused::<$response>();
            }
            #[test]
            fn huge_length_at_any_place_takes_no_memory() {
                super::huge_lengths_take_no_memory::<$request>();
                super::huge_lengths_take_no_memory::<$response>();
            }
            #[test]
            fn random_mutations_never_panic() {
                super::mutations_never_panic::<$request>();
                super::mutations_never_panic::<$response>();
            }
        }
    )*};
}

every_message!(each_survives);
each_survives! { drain_broker DrainBrokerRequest DrainBrokerResponse, }

pub(super) fn every_prefix_is_refused<M: Message + Sample>() {
    for_each_sample::<M>(2, |message, version, seed| {
        let bytes = encoded(&message, version);
        for length in 0..bytes.len() {
            let prefix = bytes.slice(..length);
            let read = bounded::<M>(prefix, version);
            assert!(
                read.is_err(),
                "version {version}, seed {seed}, {length} bytes: {read:?}"
            );
        }
    });
}

pub(super) fn huge_lengths_take_no_memory<M: Message + Sample>() {
    const LENGTHS: [&[u8]; 4] = [
        &[0x7f, 0xff, 0xff, 0xff],
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0xff, 0xff, 0xff, 0xff, 0x07],
        &[0x80, 0, 0, 0],
    ];
    for_each_sample::<M>(1, |message, version, _| {
        let bytes = encoded(&message, version);
        for place in 0..=bytes.len() {
            for length in LENGTHS {
                let (before, after) = bytes.split_at(place);
                let inserted = [before, length, after].concat();
                let _ = bounded::<M>(inserted.into(), version);
                let overwritten = [before, length, after.get(length.len()..).unwrap_or(&[])];
                let _ = bounded::<M>(overwritten.concat().into(), version);
            }
        }
    });
}

fn mutations_never_panic<M: Message + Sample>() {
    for_each_sample::<M>(8, |message, version, seed| {
        let bytes = encoded(&message, version);
        let mut source = Source::new(seed, Nulls::Never);
        for _ in 0..100 {
            let mut mutated = bytes.to_vec();
            for _ in 0..=source.below(4) {
                mutate(&mut mutated, &mut source);
            }
            let _ = bounded::<M>(mutated.into(), version);
        }
    });
}

fn mutate(bytes: &mut Vec<u8>, source: &mut Source) {
    let place = source.below(bytes.len() + 1);
    let byte = source.u64().to_le_bytes()[0];
    match source.below(4) {
        0 => bytes.insert(place, byte),
        1 => bytes.truncate(place),
        _ if place == bytes.len() => bytes.push(byte),
        2 => bytes[place] = byte,
        _ => bytes[place] ^= 1 << source.below(8),
    }
}

/// Decodes, and checks what decoding was charged for: all the memory it may take for elements.
fn bounded<M: Message>(bytes: Bytes, version: i16) -> Result<M, DecodeError> {
    let bound = bytes.len() * MEMORY_PER_WIRE_BYTE;
    let mut reader = Reader::new(bytes);
    let read = M::decode(&mut reader, version);
    let charged = limits::DECODED_BYTES_MAX - reader.budget_bytes();
    assert!(
        charged <= bound,
        "{} version {version}: {charged} over {bound}",
        M::NAME
    );
    read
}

#[test]
fn array_of_two_billion_is_refused_by_its_length() {
    let fixed = Bytes::from_static(&[0x7f, 0xff, 0xff, 0xff, 1, 2, 3]);
    let length = usize::try_from(i32::MAX).unwrap();
    assert_eq!(
        decoded::<MetadataRequest>(fixed, 4),
        Err(DecodeError::ArrayTooLong {
            length,
            remaining: 3
        })
    );
    let compact = Bytes::from_static(&[0x80, 0x80, 0x80, 0x80, 0x08, 1, 2, 3]);
    assert_eq!(
        decoded::<MetadataRequest>(compact, 9),
        Err(DecodeError::ArrayTooLong {
            length,
            remaining: 3
        })
    );
}

#[test]
fn frame_of_tiny_elements_is_refused_before_it_grows_in_memory() {
    // Three zero bytes are a topic: 10 MiB on the wire, far more than that in memory.
    let n_topics = 3 * 1024 * 1024_u32;
    let mut bytes = vec![0, 0xff, 0xff, 0, 0, 0, 0];
    bytes.extend(varint(n_topics + 1));
    bytes.resize(bytes.len() + 3 * 3 * 1024 * 1024, 1);
    let needed = usize::try_from(n_topics).unwrap() * size_of::<TopicProduceData>();
    let left = limits::DECODED_BYTES_MAX;
    assert!(needed > left);
    assert_eq!(
        decoded::<ProduceRequest>(bytes.into(), 9),
        Err(DecodeError::TooManyElements { needed, left })
    );
}

#[test]
fn request_for_many_topics_is_within_the_budget() {
    let topic = MetadataRequestTopic {
        name: Some("t".into()),
        ..Default::default()
    };
    let topics = Some(vec![topic; 200_000]);
    let request = MetadataRequest {
        topics,
        ..Default::default()
    };
    assert_eq!(decoded(encoded(&request, 13), 13), Ok(request));
}

#[test]
fn count_of_tagged_fields_is_not_believed() {
    let mut bytes = encoded(&FetchRequest::default(), 12).to_vec();
    assert_eq!(bytes.pop(), Some(0));
    bytes.extend([0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0]);
    let read = decoded::<FetchRequest>(bytes.into(), 12);
    assert_eq!(
        read,
        Err(DecodeError::Truncated {
            needed: 1,
            remaining: 0
        })
    );
}

#[test]
fn header_of_random_bytes_never_panics() {
    let mut source = Source::new(1, Nulls::Never);
    for _ in 0..20_000 {
        let mut bytes = Bytes::sample(&mut source, 0).to_vec();
        bytes.truncate(source.below(24));
        // Small keys and versions: those we serve.
        for byte in bytes.iter_mut().take(4).step_by(2) {
            *byte = 0;
        }
        let _ = RequestHeader::decode(&mut Reader::new(bytes.into()));
    }
}

fn varint(value: u32) -> Bytes {
    let mut writer = crate::wire::Writer::new();
    writer.unsigned_varint(value);
    writer.into_bytes()
}
