//! `UpdateFeatures` (57): the level at which the cluster uses a feature.

use crate::schema::define::schema;

schema! {
    UpdateFeatures [0..=2] flexible 0;

    request UpdateFeaturesRequest {
        timeout_ms: i32 [0..] = 60_000;
        feature_updates: Vec<FeatureUpdateKey> [0..];
        validate_only: bool [1..];
    }

    response UpdateFeaturesResponse {
        throttle_time_ms: i32 [0..];
        error_code: i16 [0..];
        error_message: Option<String> [0..] = None;
        results: Vec<UpdatableFeatureResult> [0..=1], ignorable;
    }

    struct FeatureUpdateKey {
        feature: String [0..];
        max_version_level: i16 [0..];
        allow_downgrade: bool [0..=0];
        /// 1: up; 2: down where nothing is lost; 3: down.
        upgrade_type: i8 [1..] = 1;
    }

    struct UpdatableFeatureResult {
        feature: String [0..];
        error_code: i16 [0..];
        error_message: Option<String> [0..] = None;
    }
}
