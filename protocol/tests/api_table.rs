//! The table of APIs as clients see it, printed: a change here is a change of what we promise.

#![allow(
    clippy::disallowed_methods,
    reason = "golden files are read and written by the test alone"
)]

use std::fmt::Write;

use drave_protocol::api::{APIS, ApiKey, lookup};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/apis.txt");

#[test]
fn table_of_apis_is_the_printed_one() {
    let mut printed =
        "key name                 advertised decoded  flexible frame_bytes_max before_auth\n"
            .to_owned();
    for api in APIS {
        let range = |(first, last): (i16, i16)| format!("{first}-{last}");
        writeln!(
            printed,
            "{:>3} {:<20} {:<10} {:<8} {:<8} {:>15} {}",
            api.key.number(),
            api.name,
            range(api.versions),
            range(api.decode_versions),
            format!("{}+", api.flexible_from),
            api.frame_bytes_max,
            if api.before_auth { "yes" } else { "no" },
        )
        .unwrap();
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(GOLDEN, &printed).unwrap();
    }
    let golden = std::fs::read_to_string(GOLDEN).unwrap_or_default();
    assert_eq!(printed, golden, "if meant, run again with UPDATE_GOLDEN=1");
}

#[test]
fn table_of_apis_keeps_its_own_rules() {
    assert!(APIS.is_sorted_by_key(|api| api.key.number()));
    for api in APIS {
        let ((first, last), (first_decoded, last_decoded)) = (api.versions, api.decode_versions);
        assert!(
            first <= first_decoded && last == last_decoded,
            "{}",
            api.name
        );
        assert!(api.advertises(first) && api.advertises(last) && !api.advertises(last + 1));
        assert!(api.decodes(last_decoded) && !api.decodes(first_decoded - 1));
        assert_eq!(
            lookup(api.key.number()).map(|found| found.key),
            Some(api.key)
        );
    }
    assert_eq!(ApiKey::from_number(4), None);
    assert!(lookup(-1).is_none());
}

#[test]
fn only_what_cannot_wait_is_served_before_authentication() {
    let early: Vec<_> = APIS
        .iter()
        .filter(|api| api.before_auth)
        .map(|api| api.key)
        .collect();
    assert_eq!(early, [ApiKey::ApiVersions]);
}
