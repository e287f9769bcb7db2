//! Quotas are set, described and taken back; who takes more than his waits, and loses nothing.

use std::time::{Duration, Instant};

use drave_protocol::api::ApiKey;
use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::alter_client_quotas::{
    AlterClientQuotasRequest, AlteredEntity, AlteredQuota, QuotaOperation,
};
use drave_protocol::schema::create_topics::{CreatableTopic, CreateTopicsRequest};
use drave_protocol::schema::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use drave_protocol::schema::describe_client_quotas::{ComponentData, DescribeClientQuotasRequest};

use crate::broker::{node_with, versions};
use crate::support::client::{
    self, ACKS_ALL, FETCH_BY_NAME, PRODUCE_BY_NAME, batch_of, code, fetch_request, produce_request,
};
use crate::support::wait::{seconds, wait_until};
use crate::support::wire::Wire;

/// What the connections of these tests call themselves.
const OURS: &str = "drave-tests";

type Entity<'a> = &'a [(&'a str, Option<&'a str>)];

fn altered(entity: Entity<'_>, key: &str, value: Option<f64>) -> AlterClientQuotasRequest {
    let part = |(kind, name): &(&str, Option<&str>)| AlteredEntity {
        entity_type: (*kind).to_owned(),
        entity_name: name.map(str::to_owned),
    };
    AlterClientQuotasRequest {
        entries: vec![AlteredQuota {
            entity: entity.iter().map(part).collect(),
            ops: vec![QuotaOperation {
                key: key.to_owned(),
                value: value.unwrap_or_default(),
                remove: value.is_none(),
            }],
        }],
        validate_only: false,
    }
}

#[track_caller]
fn alter(wire: &mut Wire, request: &AlterClientQuotasRequest) -> ErrorCode {
    let answer = wire.call_newest(request).unwrap();
    code(answer.entries[0].error_code)
}

/// The entities that match, as text, each with its values.
fn described(wire: &mut Wire, components: &[(&str, i8, &str)], strict: bool) -> Vec<String> {
    let component = |(kind, match_type, name): &(&str, i8, &str)| ComponentData {
        entity_type: (*kind).to_owned(),
        match_type: *match_type,
        match_name: (*match_type == 0).then(|| (*name).to_owned()),
    };
    let request = DescribeClientQuotasRequest {
        components: components.iter().map(component).collect(),
        strict,
    };
    let answer = wire.call_newest(&request).unwrap();
    assert_eq!(answer.error_code, 0, "{answer:?}");
    let entries = answer.entries.unwrap().into_iter().map(|it| {
        let entity = it.entity.into_iter().map(|it| {
            let name = it.entity_name.unwrap_or_else(|| "*".to_owned());
            format!("{}={name}", it.entity_type)
        });
        let values = it
            .values
            .iter()
            .map(|it| format!("{}:{}", it.key, it.value));
        let parts: Vec<String> = entity.chain(values).collect();
        parts.join(" ")
    });
    entries.collect()
}

#[test]
fn quotas_are_found_by_whose_they_are() {
    let (_cluster, mut wire) = node_with(&[]);
    let (produce, fetch) = ("producer_byte_rate", "consumer_byte_rate");
    for (entity, key, value) in [
        (&[("client-id", Some("a"))][..], produce, 1000.0),
        (&[("client-id", Some("a"))][..], fetch, 500.0),
        (&[("client-id", None)][..], fetch, 2000.0),
        (
            &[("user", Some("u")), ("client-id", Some("a"))][..],
            fetch,
            7.0,
        ),
    ] {
        let request = altered(entity, key, Some(value));
        assert_eq!(alter(&mut wire, &request), ErrorCode::None, "{entity:?}");
    }
    let both = "client-id=a consumer_byte_rate:500 producer_byte_rate:1000";
    let default = "client-id=* consumer_byte_rate:2000";
    let of_user = "user=u client-id=a consumer_byte_rate:7";
    wait_until("all to be described", seconds(10), || {
        described(&mut wire, &[], false).len() == 3
    });
    let exact = [("client-id", 0, "a")];
    assert_eq!(described(&mut wire, &exact, true), [both]);
    assert_eq!(described(&mut wire, &exact, false), [both, of_user]);
    assert_eq!(
        described(&mut wire, &[("client-id", 1, "")], true),
        [default]
    );
    let any = [("client-id", 2, "")];
    assert_eq!(described(&mut wire, &any, true), [default, both]);
    assert!(described(&mut wire, &[("ip", 2, "")], false).is_empty());

    let gone = altered(&[("client-id", None)], fetch, None);
    assert_eq!(alter(&mut wire, &gone), ErrorCode::None);
    wait_until("it to be taken back", seconds(10), || {
        described(&mut wire, &any, true) == [both]
    });
}

#[test]
fn what_is_not_counted_is_refused_in_every_version() {
    let (_cluster, mut wire) = node_with(&[]);
    let client: Entity<'_> = &[("client-id", Some("a"))];
    for version in versions(ApiKey::AlterClientQuotas) {
        for (entity, key, value) in [
            (client, "request_percentage", 0.0),
            (client, "controller_mutation_rate", -1.0),
            (client, "producer_byte_rate", 0.5),
            (client, "nothing", 1.0),
            (
                &[("ip", Some("127.0.0.1"))][..],
                "connection_creation_rate",
                1.0,
            ),
            (&[("client-id", Some(""))][..], "producer_byte_rate", 1.0),
            (&[][..], "producer_byte_rate", 1.0),
        ] {
            let request = altered(entity, key, Some(value));
            let answer = wire.call(version, &request).unwrap();
            let entry = &answer.entries[0];
            assert_eq!(
                code(entry.error_code),
                ErrorCode::InvalidRequest,
                "{entry:?}"
            );
            assert!(entry.error_message.is_some());
        }
        let only_asked = AlterClientQuotasRequest {
            validate_only: true,
            ..altered(client, "producer_byte_rate", Some(1.0))
        };
        let answer = wire.call(version, &only_asked).unwrap();
        assert_eq!(answer.entries[0].error_code, 0);
    }
    for version in versions(ApiKey::DescribeClientQuotas) {
        let request = DescribeClientQuotasRequest {
            components: vec![ComponentData {
                entity_type: "planet".to_owned(),
                ..ComponentData::default()
            }],
            strict: false,
        };
        let answer = wire.call(version, &request).unwrap();
        assert_eq!(code(answer.error_code), ErrorCode::UnsupportedVersion);
        assert_eq!(answer.entries, None);
    }
    assert!(described(&mut wire, &[], false).is_empty());
}

/// Sets a limit of bytes a second for these tests' connections, and waits until it is known.
#[track_caller]
fn limit(wire: &mut Wire, key: &str) {
    let request = altered(&[("client-id", Some(OURS))], key, Some(1000.0));
    assert_eq!(alter(wire, &request), ErrorCode::None);
    wait_until("the quota to be known", seconds(10), || {
        !described(wire, &[], false).is_empty()
    });
}

/// The next request is answered only when the wait is over.
#[track_caller]
fn assert_waits(wire: &mut Wire, throttle_ms: i32, told_at: Instant) {
    let wait = Duration::from_millis(u64::try_from(throttle_ms).unwrap());
    assert!((seconds(1)..seconds(4)).contains(&wait), "{wait:?}");
    client::metadata(wire, &["t"]).unwrap();
    let waited = told_at.elapsed();
    // It began when the answer was made, a little before it came.
    let slack = Duration::from_millis(500);
    assert!(waited + slack >= wait, "{waited:?} of {wait:?}");
}

#[test]
fn a_producer_over_its_quota_is_told_so_and_not_read_from_until_then() {
    let (_cluster, mut wire) = node_with(&["t"]);
    limit(&mut wire, "producer_byte_rate");
    let request = produce_request("t", 0, ACKS_ALL, batch_of([vec![7; 12_000]]));
    let answer = wire.call(PRODUCE_BY_NAME, &request).unwrap();
    let told_at = Instant::now();
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    // 12 kB in what counts as ten seconds is 1.2 kB a second, so two seconds are too much.
    assert_waits(&mut wire, answer.throttle_time_ms, told_at);
    // What was over the limit is stored all the same.
    assert_eq!(client::read_all(&mut wire, "t", 0).len(), 1);
}

#[test]
fn a_consumer_over_its_quota_has_its_records_and_waits_for_the_next() {
    let (_cluster, mut wire) = node_with(&["t"]);
    client::produce(&mut wire, "t", 0, [vec![7; 12_000]]).unwrap();
    limit(&mut wire, "consumer_byte_rate");
    let request = fetch_request("t", 0, 0);
    let answer = wire.call(FETCH_BY_NAME, &request).unwrap();
    let told_at = Instant::now();
    let throttle_ms = answer.throttle_time_ms;
    let records = client::fetched(answer).records.unwrap_or_default();
    assert!(records.len() > 12_000);
    assert_waits(&mut wire, throttle_ms, told_at);
}

#[test]
fn a_client_that_makes_threads_work_too_much_waits_and_is_told_so() {
    let (_cluster, mut wire) = node_with(&["t"]);
    // Next to nothing: whatever is asked is too much. As in Kafka no wait is longer than a second.
    let request = altered(
        &[("client-id", Some(OURS))],
        "request_percentage",
        Some(1e-6),
    );
    assert_eq!(alter(&mut wire, &request), ErrorCode::None);
    wait_until("the quota to be known", seconds(10), || {
        !described(&mut wire, &[], false).is_empty()
    });
    let told = client::metadata(&mut wire, &["t"]).unwrap();
    let told_at = Instant::now();
    assert_eq!(told.topics[0].error_code, 0);
    assert!((1..=1000).contains(&told.throttle_time_ms), "{told:?}");
    let wait = Duration::from_millis(u64::try_from(told.throttle_time_ms).unwrap());
    let produced = client::produce(&mut wire, "t", 0, ["a"]).unwrap();
    assert_eq!(produced.error_code, 0);
    let waited = told_at.elapsed();
    assert!(
        waited + Duration::from_millis(100) >= wait,
        "{waited:?} of {wait:?}"
    );
}

fn creation(name: &str, n_partitions: i32) -> CreateTopicsRequest {
    CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: name.to_owned(),
            num_partitions: n_partitions,
            replication_factor: 1,
            ..CreatableTopic::default()
        }],
        timeout_ms: 10_000,
        validate_only: false,
    }
}

#[test]
fn a_client_that_changes_too_much_is_refused_or_waits_as_its_version_knows() {
    let (_cluster, mut wire) = node_with(&[]);
    let key = "controller_mutation_rate";
    let request = altered(&[("client-id", Some(OURS))], key, Some(1.0));
    assert_eq!(alter(&mut wire, &request), ErrorCode::None);
    wait_until("the quota to be known", seconds(10), || {
        !described(&mut wire, &[], false).is_empty()
    });
    let (knowing, older) = (7, 5);
    // The last token allows more than one: eleven seconds' worth, and two.
    let created = wire.call(knowing, &creation("many", 13)).unwrap();
    assert_eq!(created.topics[0].error_code, 0);
    let refused = wire.call(knowing, &creation("more", 1)).unwrap();
    let exceeded = ErrorCode::ThrottlingQuotaExceeded;
    assert_eq!(code(refused.topics[0].error_code), exceeded);
    assert!(
        (1..=2000).contains(&refused.throttle_time_ms),
        "{refused:?}"
    );
    // Read only after the wait, and then there is something to take.
    let created = wire.call(knowing, &creation("more", 3)).unwrap();
    assert_eq!(created.topics[0].error_code, 0, "{created:?}");
    let created = wire.call(older, &creation("yet-more", 1)).unwrap();
    assert_eq!(created.topics[0].error_code, 0, "{created:?}");
    assert!(created.throttle_time_ms > 0, "{created:?}");
    let deletion = |name: &str| DeleteTopicsRequest {
        topics: vec![DeleteTopicState {
            name: Some(name.to_owned()),
            ..DeleteTopicState::default()
        }],
        timeout_ms: 10_000,
        ..DeleteTopicsRequest::default()
    };
    let deleted = wire.call_newest(&deletion("many")).unwrap();
    assert_eq!(deleted.responses[0].error_code, 0, "{deleted:?}");
    let refused = wire.call_newest(&deletion("more")).unwrap();
    assert_eq!(code(refused.responses[0].error_code), exceeded);
}
