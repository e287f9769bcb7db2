//! `ApiVersions`: what is served, in which versions; every connection's first question.

use drave_protocol::api::{APIS, Api, ApiKey};
use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::api_versions::{
    ApiVersion, ApiVersionsRequest, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};

use crate::cluster::ClusterView;
use crate::server::context::RequestContext;

/// First version in which a client says what it is.
const SOFTWARE_NAME_SINCE: i16 = 3;
/// First version whose clients accept a feature that starts at level 0.
const LEVEL_ZERO_SINCE: i16 = 4;

/// Kafka's features as far as clients look at them. Finalizing `metadata.version` tells consoles which
/// generation of APIs to use; `transaction.version` must not be finalized while its protocol is absent,
/// or producers would write outside their transactions.
const METADATA_VERSION: &str = "metadata.version";
const METADATA_VERSION_LEVELS: (i16, i16) = (7, 30);
const SUPPORTED: [(&str, (i16, i16)); 2] = [
    (METADATA_VERSION, METADATA_VERSION_LEVELS),
    ("kraft.version", (0, 1)),
];

pub(crate) fn handle(
    ctx: &RequestContext,
    view: &ClusterView,
    request: &ApiVersionsRequest,
) -> ApiVersionsResponse {
    let says_what_it_is = is_software_name(&request.client_software_name)
        && is_software_name(&request.client_software_version);
    if ctx.version >= SOFTWARE_NAME_SINCE && !says_what_it_is {
        return ApiVersionsResponse {
            error_code: ErrorCode::InvalidRequest.number(),
            ..ApiVersionsResponse::default()
        };
    }
    let supported = SUPPORTED.iter();
    let supported = supported.filter(|(_, (min, _))| *min > 0 || ctx.version >= LEVEL_ZERO_SINCE);
    // The epoch must rise with each change, as the metadata does; a node without a cluster has none.
    let is_member = view.cluster_id().is_some();
    let epoch = i64::try_from(view.image().offset.0).unwrap_or(i64::MAX);
    let (_, level) = METADATA_VERSION_LEVELS;
    let finalized = FinalizedFeatureKey {
        name: METADATA_VERSION.to_owned(),
        max_version_level: level,
        min_version_level: level,
    };
    ApiVersionsResponse {
        api_keys: APIS.iter().map(advertised).collect(),
        supported_features: supported.map(feature).collect(),
        finalized_features_epoch: if is_member { epoch } else { -1 },
        finalized_features: is_member.then_some(finalized).into_iter().collect(),
        ..ApiVersionsResponse::default()
    }
}

/// The level at which the cluster uses a feature, if it does.
pub(super) fn level_in_use(feature: &str) -> Option<i16> {
    (feature == METADATA_VERSION).then_some(METADATA_VERSION_LEVELS.1)
}

/// The answer, in version 0, to a version we do not know: one entry, from which clients choose anew.
pub(crate) fn refuse_version() -> ApiVersionsResponse {
    ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.number(),
        api_keys: vec![advertised(ApiKey::ApiVersions.api())],
        ..ApiVersionsResponse::default()
    }
}

fn advertised(api: &Api) -> ApiVersion {
    ApiVersion {
        api_key: api.key.number(),
        min_version: api.versions.0,
        max_version: api.versions.1,
    }
}

fn feature((name, (min, max)): &(&str, (i16, i16))) -> SupportedFeatureKey {
    SupportedFeatureKey {
        name: (*name).to_owned(),
        min_version: *min,
        max_version: *max,
    }
}

/// Kafka's rule: letters and digits, with dots and dashes between them.
fn is_software_name(name: &str) -> bool {
    let is_inner = |it: char| it.is_ascii_alphanumeric() || it == '-' || it == '.';
    let is_edge = |it: Option<char>| it.is_some_and(|it| it.is_ascii_alphanumeric());
    name.chars().all(is_inner) && is_edge(name.chars().next()) && is_edge(name.chars().next_back())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_names_follow_kafkas_rule() {
        for name in ["a", "librdkafka", "apache-kafka-java", "2.16.1", "drave"] {
            assert!(is_software_name(name), "{name}");
        }
        for name in ["", "-a", "a-", ".", "a b", "ä", "a/b"] {
            assert!(!is_software_name(name), "{name}");
        }
    }

    #[test]
    fn an_unknown_version_is_told_the_known_ones() {
        let refusal = refuse_version();
        assert_eq!(refusal.error_code, 35);
        let [entry] = &refusal.api_keys[..] else {
            panic!("one entry, not {:?}", refusal.api_keys);
        };
        assert_eq!((entry.api_key, entry.min_version), (18, 0));
    }
}
