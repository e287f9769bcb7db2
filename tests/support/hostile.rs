//! Requests that promise 2^31-1 elements and hold none.

use drave_protocol::api::{APIS, Api, ApiKey};
use drave_protocol::frame::FrameDecoder;
use drave_protocol::wire::Writer;

use crate::support::wire::header;

const HUGE: u32 = 0x7fff_ffff;

/// A whole frame, and what it is.
#[derive(Debug)]
pub(crate) struct Lie {
    pub(crate) name: String,
    pub(crate) frame: Vec<u8>,
}

/// One lie for each advertised API in the first and the last version it is read in.
pub(crate) fn huge_arrays() -> Vec<Lie> {
    let mut lies = Vec::new();
    for api in APIS {
        let (first, last) = api.decode_versions;
        // The first ones of these have no field to lie in.
        let is_bare = matches!(api.key, ApiKey::ApiVersions | ApiKey::ListGroups);
        let is_empty = |version| is_bare && version < api.flexible_from;
        let versions = [first, last].into_iter().filter(|it| !is_empty(*it));
        lies.extend(versions.map(|version| lie(api, version)));
    }
    lies
}

fn lie(api: &Api, version: i16) -> Lie {
    let is_compact = api.is_flexible(version);
    let mut body = Writer::new();
    header(api.key, version, 7)
        .encode(&mut body)
        .expect("a header of ours");
    before_first_length(api.key, version, &mut body);
    if is_compact {
        // Compact lengths are one more than what they say.
        body.unsigned_varint(HUGE + 1);
    } else if is_string_first(api.key) {
        body.raw(&i16::MAX.to_be_bytes());
    } else {
        body.raw(&HUGE.to_be_bytes());
    }
    Lie {
        name: format!("{} v{version}", api.name),
        frame: framed(&body.into_bytes()),
    }
}

/// What stands before the first array of a request; before its first string, or its tagged fields, where
/// it has no array.
fn before_first_length(key: ApiKey, version: i16, body: &mut Writer) {
    match key {
        ApiKey::Produce => {
            if version >= 9 {
                body.unsigned_varint(0);
            } else {
                body.i16(-1);
            }
            body.i16(1);
            body.i32(1000);
        }
        ApiKey::Fetch => {
            if version <= 14 {
                body.i32(-1);
            }
            body.i32(0);
            body.i32(0);
            body.i32(1024);
            body.i8(0);
            if version >= 7 {
                body.i32(0);
                body.i32(-1);
            }
        }
        ApiKey::ListOffsets => {
            body.i32(-1);
            if version >= 2 {
                body.i8(0);
            }
        }
        ApiKey::OffsetForLeaderEpoch => {
            if version >= 3 {
                body.i32(-1);
            }
        }
        ApiKey::FindCoordinator if version >= 4 => body.i8(0),
        ApiKey::ElectLeaders if version >= 1 => body.i8(0),
        ApiKey::AlterPartitionReassignments => {
            body.i32(1000);
            if version >= 1 {
                body.bool(true);
            }
        }
        ApiKey::ListPartitionReassignments | ApiKey::UpdateFeatures => body.i32(1000),
        ApiKey::DescribeCluster => {
            body.bool(false);
            if version >= 1 {
                body.i8(1);
            }
            if version >= 2 {
                body.bool(false);
            }
        }
        ApiKey::UnregisterBroker => body.i32(1),
        ApiKey::AddRaftVoter => {
            body.unsigned_varint(0);
            // Timeout, voter, and its directory in four parts.
            for _ in 0..6 {
                body.i32(1);
            }
        }
        ApiKey::DrainBroker => {
            body.i32(1);
            body.bool(false);
            body.i32(1000);
        }
        ApiKey::Metadata
        | ApiKey::DescribeQuorum
        | ApiKey::RemoveRaftVoter
        | ApiKey::FindCoordinator
        | ApiKey::ApiVersions
        | ApiKey::CreateTopics
        | ApiKey::DeleteTopics
        | ApiKey::DeleteRecords
        | ApiKey::DescribeConfigs
        | ApiKey::InitProducerId
        | ApiKey::CreatePartitions
        | ApiKey::AlterConfigs
        | ApiKey::DescribeLogDirs
        | ApiKey::IncrementalAlterConfigs
        | ApiKey::DescribeClientQuotas
        | ApiKey::AlterClientQuotas
        | ApiKey::DescribeProducers
        | ApiKey::ListConfigResources
        | ApiKey::DescribeTopicPartitions
        | ApiKey::OffsetCommit
        | ApiKey::OffsetFetch
        | ApiKey::OffsetDelete
        | ApiKey::JoinGroup
        | ApiKey::Heartbeat
        | ApiKey::LeaveGroup
        | ApiKey::SyncGroup
        | ApiKey::DescribeGroups
        | ApiKey::ListGroups
        | ApiKey::DeleteGroups
        | ApiKey::ConsumerGroupHeartbeat
        | ApiKey::ConsumerGroupDescribe
        | ApiKey::ElectLeaders => {}
    }
}

/// In their oldest versions these begin with a string, whose length has two bytes.
fn is_string_first(key: ApiKey) -> bool {
    matches!(
        key,
        ApiKey::FindCoordinator
            | ApiKey::InitProducerId
            | ApiKey::OffsetCommit
            | ApiKey::OffsetFetch
            | ApiKey::JoinGroup
            | ApiKey::Heartbeat
            | ApiKey::LeaveGroup
            | ApiKey::SyncGroup
            | ApiKey::OffsetDelete
    )
}

pub(crate) fn framed(body: &[u8]) -> Vec<u8> {
    let length = i32::try_from(body.len()).expect("a small frame");
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend_from_slice(body);
    let mut decoder = FrameDecoder::for_requests(usize::MAX);
    decoder.feed(&frame);
    assert!(decoder.next_frame().is_ok_and(|it| it.is_some()), "a frame");
    frame
}

/// Bytes without meaning, the same ones for the same seed.
pub(crate) fn noise(n_bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..n_bytes).map(|_| step()).collect()
}
