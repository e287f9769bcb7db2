//! `UpdateFeatures`: this build uses each feature at one level, so asking for another is refused.

use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::update_features::{
    UpdatableFeatureResult, UpdateFeaturesRequest, UpdateFeaturesResponse,
};

use crate::server::context::RequestContext;
use crate::server::handlers::discovery::api_versions;

/// Up to this version each feature has a result of its own.
const RESULTS_UNTIL: i16 = 1;

pub(crate) fn handle(
    ctx: &RequestContext,
    request: UpdateFeaturesRequest,
) -> UpdateFeaturesResponse {
    let results = request.feature_updates.into_iter().map(|update| {
        let refusal = refusal(&update.feature, update.max_version_level);
        UpdatableFeatureResult {
            feature: update.feature,
            error_code: refusal.as_ref().map_or(0, |(code, _)| code.number()),
            error_message: refusal.map(|(_, message)| message),
        }
    });
    let results: Vec<UpdatableFeatureResult> = results.collect();
    let first = results.iter().find(|it| it.error_code != 0);
    // Newer clients are told of the request as a whole; so are those that asked for nothing.
    let whole = match first {
        _ if results.is_empty() => (
            ErrorCode::InvalidRequest.number(),
            Some("no feature is named".to_owned()),
        ),
        Some(it) if ctx.version > RESULTS_UNTIL => (it.error_code, it.error_message.clone()),
        Some(_) | None => (0, None),
    };
    UpdateFeaturesResponse {
        error_code: whole.0,
        error_message: whole.1,
        results,
        ..UpdateFeaturesResponse::default()
    }
}

/// Why the cluster does not use the feature at this level, unless it does.
fn refusal(feature: &str, level: i16) -> Option<(ErrorCode, String)> {
    let Some(in_use) = api_versions::level_in_use(feature) else {
        let message = format!("there is no feature '{feature}' here that could be changed");
        return Some((ErrorCode::InvalidUpdateVersion, message));
    };
    (level != in_use).then(|| {
        let message = format!("{feature} is used at level {in_use}, and this build has no other");
        (ErrorCode::InvalidUpdateVersion, message)
    })
}
