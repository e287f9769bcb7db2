//! `AlterClientQuotas` (49): sets and takes back what clients may use.
#![allow(
    clippy::float_cmp,
    reason = "a field is compared with its default, exactly"
)]

use crate::schema::define::schema;

schema! {
    AlterClientQuotas [0..=1] flexible 1;

    request AlterClientQuotasRequest {
        entries: Vec<AlteredQuota> [0..];
        validate_only: bool [0..];
    }

    response AlterClientQuotasResponse {
        throttle_time_ms: i32 [0..];
        entries: Vec<AlteredQuotaResult> [0..];
    }

    struct AlteredQuota {
        entity: Vec<AlteredEntity> [0..];
        ops: Vec<QuotaOperation> [0..];
    }

    struct AlteredEntity {
        entity_type: String [0..];
        /// Null: the default of its type.
        entity_name: Option<String> [0..] = Some(String::new());
    }

    struct QuotaOperation {
        key: String [0..];
        value: f64 [0..];
        remove: bool [0..];
    }

    struct AlteredQuotaResult {
        error_code: i16 [0..];
        error_message: Option<String> [0..] = None;
        entity: Vec<AlteredEntity> [0..];
    }
}
