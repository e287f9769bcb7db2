//! What is written is what is read, in every version of every message.

use bytes::Bytes;

use crate::message::Message;
use crate::schema::api_versions::ApiVersionsRequest;
use crate::schema::every_message;
use crate::schema::fetch::{FetchRequest, FetchResponse, PartitionData};
use crate::schema::find_coordinator::FindCoordinatorRequest;
use crate::schema::metadata::MetadataRequest;
use crate::schema::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use crate::schema::sample::{Sample, decoded, encoded, for_each_sample};
use crate::wire::{DecodeError, EncodeError, Reader, Records, Writer};

macro_rules! each_comes_back {
    ($($module:ident $request:ident $response:ident,)*) => {$(
        mod $module {
            #[test]
            fn request_comes_back_from_its_bytes_in_every_version() {
                super::comes_back::<crate::schema::$module::$request>();
            }
            #[test]
            fn response_comes_back_from_its_bytes_in_every_version() {
                super::comes_back::<crate::schema::$module::$response>();
            }
        }
    )*};
}

every_message!(each_comes_back);
// Ours alone: no other codec knows it.
each_comes_back! { drain_broker DrainBrokerRequest DrainBrokerResponse, }

pub(super) fn comes_back<M: Message + Sample>() {
    for_each_sample::<M>(8, |message, version, seed| {
        let bytes = encoded(&message, version);
        let mut reader = Reader::new(bytes);
        let back = M::decode(&mut reader, version).unwrap();
        assert_eq!(back, message, "version {version}, seed {seed}");
        assert_eq!(reader.remaining(), 0, "version {version}, seed {seed}");
    });
    let (first, last) = M::VERSIONS;
    for version in [first - 1, last + 1] {
        let error = M::default()
            .encode(&mut Writer::new(), version)
            .unwrap_err();
        assert_eq!(
            error,
            EncodeError::UnsupportedVersion {
                message: M::NAME,
                version
            }
        );
        let error = decoded::<M>(Bytes::from_static(&[0; 64]), version).unwrap_err();
        assert_eq!(
            error,
            DecodeError::UnsupportedVersion {
                message: M::NAME,
                version
            }
        );
    }
}

#[test]
fn field_the_version_lacks_is_dropped_when_ignorable_and_refused_otherwise() {
    let ignorable = ApiVersionsRequest {
        client_software_name: "x".into(),
        ..Default::default()
    };
    assert!(encoded(&ignorable, 2).is_empty());

    let needed = FindCoordinatorRequest {
        key_type: 1,
        ..Default::default()
    };
    assert_eq!(
        needed.encode(&mut Writer::new(), 0),
        Err(EncodeError::FieldNotInVersion {
            message: "FindCoordinatorRequest",
            field: "key_type",
            version: 0
        })
    );
}

#[test]
fn null_is_refused_where_the_version_has_none() {
    let all_topics = MetadataRequest {
        topics: None,
        ..Default::default()
    };
    let refused = EncodeError::NullField {
        field: "topics",
        version: 0,
    };
    assert_eq!(all_topics.encode(&mut Writer::new(), 0), Err(refused));
    assert_eq!(
        decoded::<MetadataRequest>(Bytes::from_static(&[0xff; 4]), 0),
        Err(DecodeError::NullField {
            field: "topics",
            version: 0
        })
    );
    assert_eq!(
        decoded::<MetadataRequest>(Bytes::from_static(&[0xff; 4]), 1),
        Ok(all_topics)
    );
}

#[test]
fn trailing_bytes_are_left_alone() {
    // librdkafka 2.16 leaves three bytes behind a flexible "all topics" request.
    let asked = MetadataRequest {
        topics: None,
        ..Default::default()
    };
    let mut bytes = encoded(&asked, 13).to_vec();
    bytes.extend([0, 0, 0]);
    let mut reader = Reader::new(bytes.into());
    assert_eq!(MetadataRequest::decode(&mut reader, 13), Ok(asked));
    assert_eq!(reader.into_rest().len(), 3);
}

#[test]
fn unknown_tagged_fields_are_skipped() {
    let asked = FetchRequest {
        cluster_id: Some("c".into()),
        ..Default::default()
    };
    let bytes = encoded(&asked, 17);
    // The section of tagged fields is last: one field, tag 0, three bytes.
    let (body, section) = bytes.split_at(bytes.len() - 5);
    assert_eq!(section, [1, 0, 2, 2, b'c']);
    let with_unknown = [body, &[3, 99, 4, 1, 2, 3, 4, 0, 2, 2, b'c', 0x80, 0x01, 0]].concat();
    assert_eq!(decoded(with_unknown.into(), 17), Ok(asked));
}

#[test]
fn records_are_slices_of_the_frame() {
    let records = Bytes::from(vec![7; 4096]);
    let partition = PartitionProduceData {
        index: 0,
        records: Some(records),
    };
    let topic = TopicProduceData {
        partition_data: vec![partition],
        ..Default::default()
    };
    let request = ProduceRequest {
        topic_data: vec![topic],
        ..Default::default()
    };
    let frame = encoded(&request, 13);
    let back: ProduceRequest = decoded(frame.clone(), 13).unwrap();
    let slice = back.topic_data[0].partition_data[0]
        .records
        .clone()
        .unwrap();
    assert!(frame.as_ptr_range().contains(&slice.as_ptr()));
}

#[test]
fn partition_without_records_is_empty_rather_than_null() {
    let partition = PartitionData::default();
    assert_eq!(partition.records, Some(Records::default()));
    assert_eq!(FetchResponse::default().session_id, 0);
}
