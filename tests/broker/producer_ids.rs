//! InitProducerId, and the coordinator a transactional producer looks for first.

use std::collections::BTreeSet;

use drave_protocol::api::ApiKey;
use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::find_coordinator::FindCoordinatorRequest;
use drave_protocol::schema::init_producer_id::InitProducerIdRequest;

use super::{node_with, versions};

#[test]
fn every_version_gives_each_producer_an_id_of_its_own_at_epoch_zero() {
    let (_cluster, mut wire) = node_with(&[]);
    let mut ids = BTreeSet::new();
    for version in versions(ApiKey::InitProducerId) {
        let mut request = InitProducerIdRequest {
            transaction_timeout_ms: i32::MAX,
            ..InitProducerIdRequest::default()
        };
        for _ in 0..2 {
            let answer = wire.call(version, &request).unwrap();
            assert_eq!(answer.error_code, 0, "v{version}");
            assert_eq!(answer.producer_epoch, 0, "v{version}");
            assert!(ids.insert(answer.producer_id), "v{version}: {answer:?}");
            if version >= 3 {
                // Without a transactional id, what the producer had does not matter.
                request.producer_id = answer.producer_id;
                request.producer_epoch = 7;
            }
        }
    }
    assert!(ids.iter().all(|it| *it >= 0));
}

#[test]
fn half_an_id_and_an_empty_transactional_id_are_refused() {
    let (_cluster, mut wire) = node_with(&[]);
    let half = InitProducerIdRequest {
        producer_id: 5,
        ..InitProducerIdRequest::default()
    };
    let empty = InitProducerIdRequest {
        transactional_id: Some(String::new()),
        ..InitProducerIdRequest::default()
    };
    for request in [half, empty] {
        let answer = wire.call_newest(&request).unwrap();
        let code = ErrorCode::from_number(answer.error_code);
        assert_eq!(code, ErrorCode::InvalidRequest, "{request:?}");
        assert_eq!((answer.producer_id, answer.producer_epoch), (-1, -1));
    }
}

#[test]
fn a_transactional_producer_hears_at_once_and_for_good_that_there_is_no_coordinator() {
    let (_cluster, mut wire) = node_with(&[]);
    for version in versions(ApiKey::InitProducerId) {
        let request = InitProducerIdRequest {
            transactional_id: Some("orders".to_owned()),
            ..InitProducerIdRequest::default()
        };
        let answer = wire.call(version, &request).unwrap();
        let code = ErrorCode::from_number(answer.error_code);
        assert_eq!(code, ErrorCode::NotCoordinator, "v{version}");
    }
    for version in versions(ApiKey::FindCoordinator).filter(|it| *it >= 1) {
        let is_batched = version >= 4;
        let mut request = FindCoordinatorRequest {
            key_type: 1,
            ..FindCoordinatorRequest::default()
        };
        if is_batched {
            request.coordinator_keys.push("orders".to_owned());
        } else {
            "orders".clone_into(&mut request.key);
        }
        let answer = wire.call(version, &request).unwrap();
        let (code, message) = match answer.coordinators.into_iter().next() {
            Some(one) => (one.error_code, one.error_message),
            None => (answer.error_code, answer.error_message),
        };
        let code = ErrorCode::from_number(code);
        assert!(!code.is_retriable(), "v{version}: {code}");
        assert!(message.is_some_and(|it| it.contains("transactions")));
    }
}
