//! Our codec against an independent one, `kafka-protocol`, in every version both know.
//!
//! Two things are compared: bytes, and what the bytes mean. The second is by the printed form of the
//! values, which names every field: two fields swapped in our table would give the same bytes.

use std::fmt::Debug;

use bytes::BytesMut;
use kafka_protocol::messages as theirs;
use kafka_protocol::protocol::{self, Decodable, Encodable};

use crate::header::RequestHeader;
use crate::ids::Uuid;
use crate::message::Message;
use crate::schema::every_message;
use crate::schema::sample::{Sample, decoded, encoded, for_each_sample};
use crate::wire::{Reader, Writer};

macro_rules! each_agrees {
    ($($module:ident $request:ident $response:ident,)*) => {$(
        mod $module {
            #[test]
            fn request_agrees_with_kafka_protocol_in_every_version() {
                super::agrees::<crate::schema::$module::$request, super::theirs::$request>();
            }
            #[test]
            fn response_agrees_with_kafka_protocol_in_every_version() {
                super::agrees::<crate::schema::$module::$response, super::theirs::$response>();
            }
        }
    )*};
}

every_message!(each_agrees);

/// A string its version lacks: Kafka's default is empty where ours is null. Samples have neither.
const KAFKAS_EMPTY: &str = "Some(\"\")";
const OUR_EMPTY: &str = "None";

/// Fields of versions we do not speak: Fetch 18, and `InitProducerId` 6.
const LATER: [&str; 3] = [
    ", high_watermark: 9223372036854775807",
    ", enable_2_pc: false, keep_prepared_txn: false",
    ", ongoing_txn_producer_id: -1, ongoing_txn_producer_epoch: -1",
];

/// Where Kafka uses one name for several structures, ours have names of their own.
const THEIR_NAMES: [(&str, &str); 21] = [
    ("DescribeQuorumTopicResult {", "TopicData {"),
    ("DescribeQuorumPartitionResult {", "PartitionData {"),
    ("DescribeQuorumTopic {", "TopicData {"),
    ("DescribeQuorumPartition {", "PartitionData {"),
    ("DescribeQuorumReplica {", "ReplicaState {"),
    ("DescribeQuorumNode {", "Node {"),
    ("DescribeQuorumListener {", "Listener {"),
    ("RaftVoterListener {", "Listener {"),
    ("match_name: ", "_match: "),
    ("AlteredEntity {", "EntityData {"),
    ("QuotaOperation {", "OpData {"),
    ("ListedConfigResource {", "ConfigResource {"),
    ("DescribeProducersTopicResponse {", "TopicResponse {"),
    (
        "DescribeProducersPartitionResponse {",
        "PartitionResponse {",
    ),
    ("DescribeProducersTopic {", "TopicRequest {"),
    ("DescribedQuota {", "EntryData {"),
    ("DescribedEntity {", "EntityData {"),
    ("QuotaValue {", "ValueData {"),
    ("AlteredQuotaResult {", "EntryData {"),
    ("AlteredQuota {", "EntryData {"),
    // Of a version they do not know.
    (", ack_when_committed: true", ""),
];

fn in_their_names(printed: &str) -> String {
    THEIR_NAMES
        .iter()
        .fold(printed.to_owned(), |printed, (ours, theirs)| {
            printed.replace(ours, theirs)
        })
}

fn agrees<O, T>()
where
    O: Message + Sample,
    T: Encodable + Decodable + protocol::Message + Debug,
{
    let known = T::VERSIONS;
    assert!(
        known.min <= O::VERSIONS.0 && known.max + newer(O::NAME) >= O::VERSIONS.1,
        "{known:?}"
    );
    for_each_sample::<O>(8, |ours, version, seed| {
        if version > known.max {
            return;
        }
        let what = format!("{} version {version}, seed {seed}", O::NAME);

        // Ours encodes, theirs decodes: the same meaning.
        let mut bytes = encoded(&ours, version);
        let theirs = T::decode(&mut bytes, version).unwrap();
        assert!(bytes.is_empty(), "{what}");
        assert_eq!(
            in_their_names(&format!("{ours:?}")),
            in_our_words(&format!("{theirs:?}")),
            "{what}"
        );

        // Theirs encodes, ours decodes and encodes again: the same bytes.
        let mut bytes = BytesMut::new();
        theirs.encode(&mut bytes, version).unwrap();
        let back: O = decoded(bytes.clone().freeze(), version).unwrap();
        assert_eq!(back, ours, "{what}");
        assert_eq!(encoded(&back, version), bytes, "{what}");
    });
}

/// Versions of a message that we know and they do not yet.
fn newer(name: &str) -> i16 {
    let newer = name.starts_with("AddRaftVoter")
        || name.starts_with("ListOffsets")
        || ["OffsetCommitRequest", "OffsetFetchRequest"].contains(&name);
    i16::from(newer)
}

#[test]
fn request_header_agrees_with_kafka_protocol() {
    for (api_version, header_version) in [(8, 1), (9, 2)] {
        for client_id in [None, Some("drave-test")] {
            let theirs = theirs::RequestHeader::default()
                .with_request_api_key(3)
                .with_request_api_version(api_version)
                .with_correlation_id(77)
                .with_client_id(client_id.map(Into::into));
            let mut bytes = BytesMut::new();
            theirs.encode(&mut bytes, header_version).unwrap();
            let bytes = bytes.freeze();
            let ours = RequestHeader::decode(&mut Reader::new(bytes.clone())).unwrap();
            let client_id = client_id.map(str::to_owned);
            let expected = RequestHeader {
                api_key: 3,
                api_version,
                correlation_id: 77,
                client_id,
            };
            assert_eq!(ours, expected);
            let mut writer = Writer::new();
            ours.encode(&mut writer).unwrap();
            assert_eq!(writer.into_bytes(), bytes);
        }
    }
}

/// Their printed form, less what differs by design: newtypes around ids and names, the spelling of a
/// UUID, the store of unknown tags.
fn in_our_words(printed: &str) -> String {
    let printed = printed
        .replace(", unknown_tagged_fields: {}", "")
        .replace(KAFKAS_EMPTY, OUR_EMPTY);
    let printed = LATER
        .iter()
        .fold(printed, |printed, later| printed.replace(later, ""));
    let mut said = String::new();
    let mut parentheses = Vec::new();
    let mut rest = printed.as_str();
    while let Some(next) = rest.chars().next() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let length = match next {
            '"' => literal_length(rest),
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        rest = after;
        match token {
            "BrokerId" | "GroupId" | "ProducerId" | "TopicName" | "TransactionalId" => {
                rest = after.strip_prefix('(').unwrap();
                parentheses.push("");
            }
            "(" => {
                parentheses.push(")");
                said.push('(');
            }
            ")" => said.push_str(parentheses.pop().unwrap()),
            token => match uuid(token) {
                Some(id) => said.push_str(&id.to_string()),
                None => said.push_str(token),
            },
        }
    }
    said
}

fn literal_length(text: &str) -> usize {
    let mut is_escaped = false;
    for (place, letter) in text.char_indices().skip(1) {
        match letter {
            '"' if !is_escaped => return place + 1,
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    text.len()
}

fn uuid(token: &str) -> Option<Uuid> {
    if token.len() != 36 || token.matches('-').count() != 4 {
        return None;
    }
    let number = u128::from_str_radix(&token.replace('-', ""), 16).ok()?;
    Some(Uuid(number.to_be_bytes()))
}

#[test]
fn their_words_are_translated() {
    let theirs = "A { n: Some(TopicName(\"x)\\\"(\")), id: 00000000-0000-0000-0000-000000000001, \
                  b: [BrokerId(-1)], unknown_tagged_fields: {} }";
    let ours = "A { n: Some(\"x)\\\"(\"), id: AAAAAAAAAAAAAAAAAAAAAQ, b: [-1] }";
    assert_eq!(in_our_words(theirs), ours);
}
