//! Which version of which API both ends speak.

use std::collections::BTreeMap;

/// What the broker said it serves, by API key.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServedVersions {
    by_key: BTreeMap<i16, (i16, i16)>,
}

impl ServedVersions {
    pub(crate) fn new(served: impl IntoIterator<Item = (i16, (i16, i16))>) -> Self {
        Self {
            by_key: served.into_iter().collect(),
        }
    }

    pub(crate) fn served(&self, key: i16) -> Option<(i16, i16)> {
        self.by_key.get(&key).copied()
    }

    /// The highest version in both ranges.
    pub(crate) fn newest_common(&self, key: i16, ours: (i16, i16)) -> Option<i16> {
        let (their_min, their_max) = self.served(key)?;
        let newest = ours.1.min(their_max);
        (newest >= ours.0.max(their_min)).then_some(newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_common_version_is_chosen_if_there_is_one() {
        let served = ServedVersions::new([(3, (0, 13)), (1, (4, 11))]);
        assert_eq!(served.newest_common(3, (0, 12)), Some(12));
        assert_eq!(served.newest_common(1, (4, 17)), Some(11));
        assert_eq!(served.newest_common(1, (12, 17)), None);
        assert_eq!(served.newest_common(99, (0, 1)), None);
    }
}
