//! What a quota may say.

use crate::cluster::administration::AlterConfigsError;
use crate::config::dynamic::Entries;

/// What is counted, in bytes a second.
const COUNTED: [&str; 2] = ["consumer_byte_rate", "producer_byte_rate"];

pub(super) fn validate(set: &Entries) -> Result<(), AlterConfigsError> {
    for (key, value) in set {
        if !COUNTED.contains(&key.as_str()) {
            let counted = COUNTED.join(" and ");
            let message = format!("{key} is not counted here, only {counted} are");
            return Err(AlterConfigsError::NotDynamic(message));
        }
        let rate = value.parse::<f64>();
        // As Kafka: a whole number of bytes, and some.
        let is_rate = rate.is_ok_and(|it| it.is_finite() && it >= 1.0 && it.fract() == 0.0);
        if !is_rate {
            let message = format!("{key}={value}: must be a whole number of bytes, 1 or more");
            return Err(AlterConfigsError::NotDynamic(message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_counted_can_be_limited() {
        let validated = |key: &str, value: &str| {
            let set = Entries::from([(key.to_owned(), value.to_owned())]);
            validate(&set).is_ok()
        };
        assert!(validated("producer_byte_rate", "1000000"));
        assert!(validated("consumer_byte_rate", "1"));
        for value in ["0", "-1", "1.5", "NaN", "inf", "much"] {
            assert!(!validated("producer_byte_rate", value), "{value}");
        }
        assert!(!validated("request_percentage", "50"));
        assert!(!validated("retention.ms", "50"));
    }
}
