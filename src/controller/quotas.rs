//! What a quota may say.

use crate::cluster::administration::AlterConfigsError;
use crate::config::dynamic::Entries;
use crate::config::quotas::check;

pub(super) fn validate(set: &Entries) -> Result<(), AlterConfigsError> {
    let checked = set.iter().try_for_each(|(key, value)| check(key, value));
    checked.map_err(|error| AlterConfigsError::NotDynamic(error.to_string()))
}
