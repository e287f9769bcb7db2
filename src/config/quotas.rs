//! What quotas count, by Kafka's keys, and what their limits may be.

use thiserror::Error;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Usage {
    /// Bytes produced a second.
    Produce,
    /// Bytes fetched a second.
    Fetch,
    /// Time that threads work for a client, in per cent of one thread.
    Work,
    /// Partitions created and deleted a second.
    Mutation,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum QuotaError {
    #[error("{key} is not counted here, only {} are", counted())]
    Unknown { key: String },
    #[error("{key}={value}: must be {allowed}")]
    Limit {
        key: &'static str,
        value: String,
        allowed: &'static str,
    },
}

impl Usage {
    pub const ALL: [Self; 4] = [Self::Produce, Self::Fetch, Self::Work, Self::Mutation];

    /// The key its limit has.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Produce => "producer_byte_rate",
            Self::Fetch => "consumer_byte_rate",
            Self::Work => "request_percentage",
            Self::Mutation => "controller_mutation_rate",
        }
    }

    /// Reads a limit.
    pub fn limit(self, text: &str) -> Result<f64, QuotaError> {
        let refused = |allowed| QuotaError::Limit {
            key: self.key(),
            value: text.to_owned(),
            allowed,
        };
        let limit = text.parse::<f64>().ok().filter(|it| it.is_finite());
        match self {
            // As Kafka: a whole number of bytes, and some.
            Self::Produce | Self::Fetch => limit
                .filter(|it| *it >= 1.0 && it.fract() == 0.0)
                .ok_or_else(|| refused("a whole number of bytes, 1 or more")),
            Self::Work | Self::Mutation => limit
                .filter(|it| *it > 0.0)
                .ok_or_else(|| refused("a number above 0")),
        }
    }
}

/// Checks one entry of a quota.
pub fn check(key: &str, value: &str) -> Result<(), QuotaError> {
    let usage = Usage::ALL.into_iter().find(|it| it.key() == key);
    let usage = usage.ok_or_else(|| QuotaError::Unknown {
        key: key.to_owned(),
    })?;
    usage.limit(value).map(drop)
}

fn counted() -> String {
    Usage::ALL.map(Usage::key).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_counted_can_be_limited() {
        let is_taken = |key: &str, value: &str| check(key, value).is_ok();
        assert!(is_taken("producer_byte_rate", "1000000"));
        assert!(is_taken("consumer_byte_rate", "1"));
        assert!(is_taken("request_percentage", "0.5"));
        assert!(is_taken("controller_mutation_rate", "2.5"));
        for value in ["0", "-1", "1.5", "NaN", "inf", "much"] {
            assert!(!is_taken("producer_byte_rate", value), "{value}");
        }
        for value in ["0", "-1", "NaN", "inf", "much"] {
            assert!(!is_taken("request_percentage", value), "{value}");
        }
        let refused = check("connection_creation_rate", "5").unwrap_err();
        assert!(refused.to_string().contains("controller_mutation_rate"));
    }
}
