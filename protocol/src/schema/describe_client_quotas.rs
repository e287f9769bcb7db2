//! `DescribeClientQuotas` (48): what clients may use.
#![allow(
    clippy::float_cmp,
    reason = "a field is compared with its default, exactly"
)]

use crate::schema::define::schema;

schema! {
    DescribeClientQuotas [0..=1] flexible 1;

    request DescribeClientQuotasRequest {
        components: Vec<ComponentData> [0..];
        /// Whether an entity with more components than these is left out.
        strict: bool [0..];
    }

    response DescribeClientQuotasResponse {
        throttle_time_ms: i32 [0..];
        error_code: i16 [0..];
        error_message: Option<String> [0..] = None;
        /// Null when it was refused.
        entries: Option<Vec<DescribedQuota>> [0..] = Some(Vec::new());
    }

    struct ComponentData {
        entity_type: String [0..];
        /// 0: this name; 1: the default; 2: any that is named.
        match_type: i8 [0..];
        match_name: Option<String> [0..] = Some(String::new());
    }

    struct DescribedQuota {
        entity: Vec<DescribedEntity> [0..];
        values: Vec<QuotaValue> [0..];
    }

    struct DescribedEntity {
        entity_type: String [0..];
        /// Null: the default of its type.
        entity_name: Option<String> [0..] = Some(String::new());
    }

    struct QuotaValue {
        key: String [0..];
        value: f64 [0..];
    }
}
