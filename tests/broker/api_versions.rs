//! ApiVersions: the first question of every connection.

use drave_protocol::api::{APIS, ApiKey};
use drave_protocol::error_code::ErrorCode;
use drave_protocol::header::ResponseHeader;
use drave_protocol::message::Message;
use drave_protocol::schema::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use drave_protocol::wire::Reader;

use crate::broker::{node_with, versions};
use crate::support::client::{code, metadata};
use crate::support::hostile::framed;
use crate::support::wait::seconds;

fn request() -> ApiVersionsRequest {
    ApiVersionsRequest {
        client_software_name: "drave-tests".to_owned(),
        client_software_version: "0.1".to_owned(),
    }
}

#[test]
fn every_version_lists_exactly_what_is_served() {
    let (_cluster, mut wire) = node_with(&[]);
    for version in versions(ApiKey::ApiVersions) {
        let answer = wire.call(version, &request()).unwrap();
        assert_eq!(code(answer.error_code), ErrorCode::None, "v{version}");
        let listed = answer.api_keys.iter();
        let listed: Vec<_> = listed
            .map(|it| (it.api_key, it.min_version, it.max_version))
            .collect();
        let served = APIS
            .iter()
            .map(|it| (it.key.number(), it.versions.0, it.versions.1));
        assert_eq!(listed, served.collect::<Vec<_>>(), "v{version}");
        let has_features = !answer.supported_features.is_empty();
        assert_eq!(has_features, version >= 3, "v{version}");
    }
}

#[test]
fn an_unknown_version_is_answered_in_version_0_and_the_connection_lives() {
    let (_cluster, mut wire) = node_with(&[]);
    for version in [5_i16, 99, i16::MAX] {
        // Header version 2, as newer clients send it, and a body nobody here can read.
        let mut frame = vec![0, 18];
        frame.extend(version.to_be_bytes());
        frame.extend(77_i32.to_be_bytes());
        frame.extend([0, 2, b'm', b'e', 0, 9, 9, 9]);
        wire.send_bytes(&framed(&frame)).unwrap();
        let mut reader = Reader::new(wire.read_frame().unwrap());
        let header = ResponseHeader::decode(&mut reader, ApiKey::ApiVersions, 0).unwrap();
        assert_eq!(header.correlation_id, 77);
        let answer = ApiVersionsResponse::decode(&mut reader, 0).unwrap();
        assert_eq!(reader.remaining(), 0);
        assert_eq!(code(answer.error_code), ErrorCode::UnsupportedVersion);
        let entries: Vec<_> = answer
            .api_keys
            .iter()
            .map(|it| (it.api_key, it.max_version))
            .collect();
        assert_eq!(entries, [(18, 4)], "one entry to choose from");
    }
    let answer = wire.call(4, &request()).unwrap();
    assert_eq!(code(answer.error_code), ErrorCode::None);
}

#[test]
fn a_client_that_does_not_say_what_it_is_is_refused_from_version_3_on() {
    let (_cluster, mut wire) = node_with(&[]);
    let nameless = ApiVersionsRequest {
        client_software_name: "no spaces, please".to_owned(),
        ..request()
    };
    assert_eq!(wire.call(2, &nameless).unwrap().error_code, 0);
    let answer = wire.call(3, &nameless).unwrap();
    assert_eq!(code(answer.error_code), ErrorCode::InvalidRequest);
    assert_eq!(wire.call(3, &request()).unwrap().error_code, 0);
}

#[test]
fn what_was_not_advertised_ends_the_connection() {
    let (cluster, _) = node_with(&[]);
    // (key, version): an API we lack, one nobody has, versions above and below ours.
    for (key, version) in [(22_i16, 0_i16), (999, 0), (3, 14), (1, 3), (0, 2)] {
        let mut wire = cluster.wire(1);
        let mut frame = key.to_be_bytes().to_vec();
        frame.extend(version.to_be_bytes());
        frame.extend([0, 0, 0, 1, 0xff, 0xff]);
        wire.send_bytes(&framed(&frame)).unwrap();
        let said = wire.read_to_hang_up(seconds(5)).unwrap();
        assert!(said.is_empty(), "{key} v{version}: {said:?}");
    }
    assert!(
        metadata(&mut cluster.wire(1), &[]).is_ok(),
        "the next client is served"
    );
}
