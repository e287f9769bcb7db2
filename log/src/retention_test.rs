use std::convert::Infallible;

use super::*;
use crate::config::CleanupPolicy;

const NOW: i64 = 1_000_000;
const HOUR: i64 = 3_600;

/// A segment by where it ends, its bytes and its largest timestamp.
type Row = (i64, u64, i64);

/// Three sealed segments of ten records and 100 bytes, then the active one.
const LOG: [Row; 4] = [
    (10, 100, NOW - 4 * HOUR),
    (20, 100, NOW - 3 * HOUR),
    (30, 100, NOW - 2 * HOUR),
    (40, 100, NOW - HOUR),
];

fn config(retention_ms: Option<i64>, retention_bytes: Option<u64>) -> LogConfig {
    LogConfig {
        retention_ms,
        retention_bytes,
        ..LogConfig::default()
    }
}

/// What goes of `log`; its last row is the active segment.
fn gone(config: &LogConfig, log: &[Row], start: i64, upper: i64) -> Vec<Expiry> {
    let size = log.iter().map(|row| row.1).sum();
    let mut retention = Retention::new(config, size, Offset(start), NOW, Offset(upper));
    let mut gone = Vec::new();
    for (at, (next_offset, size, timestamp)) in log.iter().enumerate() {
        let candidate = Candidate {
            next_offset: Offset(*next_offset),
            size: *size,
            is_active: at + 1 == log.len(),
        };
        let Ok(expiry) = retention.expiry(candidate, || Ok::<_, Infallible>(*timestamp));
        match expiry {
            Some(expiry) => gone.push(expiry),
            None => break,
        }
    }
    gone
}

#[test]
fn a_segment_goes_when_its_youngest_record_is_too_old() {
    for (hours, n_gone) in [(5, 0), (4, 0), (3, 1), (2, 2), (1, 3)] {
        let config = config(Some(hours * HOUR), None);
        assert_eq!(
            gone(&config, &LOG, 0, 40),
            vec![Expiry::Age; n_gone],
            "{hours} hours"
        );
    }
}

#[test]
fn the_active_segment_goes_when_it_is_old_and_holds_something() {
    let config = config(Some(HOUR - 1), None);
    assert_eq!(gone(&config, &LOG, 0, 40), [Expiry::Age; 4]);
    let emptied = [LOG[0], (10, 0, i64::MIN)];
    assert_eq!(gone(&config, &emptied, 0, 40), [Expiry::Age]);
}

#[test]
fn a_young_segment_keeps_the_old_ones_behind_it() {
    let log = [LOG[0], (20, 100, NOW), LOG[2], LOG[3]];
    assert_eq!(gone(&config(Some(1), None), &log, 0, 40), [Expiry::Age]);
}

#[test]
fn a_time_ahead_of_the_clock_is_young() {
    let log = [(10, 100, i64::MAX), LOG[3]];
    assert_eq!(gone(&config(Some(1), None), &log, 0, 40), []);
    assert_eq!(gone(&config(Some(0), None), &log, 0, 40), []);
}

#[test]
fn a_clock_at_either_end_of_time_breaks_nothing() {
    let config = config(Some(i64::MAX), None);
    let log = [(10, 100, i64::MIN), LOG[3]];
    assert_eq!(gone(&config, &log, 0, 40), []);
}

#[test]
fn the_oldest_go_while_the_log_without_them_is_large_enough() {
    for (bytes, n_gone) in [
        (500, 0),
        (400, 0),
        (301, 0),
        (300, 1),
        (250, 1),
        (100, 3),
        (1, 3),
    ] {
        let config = config(None, Some(bytes));
        assert_eq!(
            gone(&config, &LOG, 0, 40),
            vec![Expiry::Size; n_gone],
            "{bytes} bytes"
        );
    }
    // Of a log that may hold nothing, the active segment goes too.
    assert_eq!(gone(&config(None, Some(0)), &LOG, 0, 40).len(), 4);
}

#[test]
fn age_goes_on_where_size_ends() {
    let config = config(Some(2 * HOUR), Some(300));
    assert_eq!(gone(&config, &LOG, 0, 40), [Expiry::Size, Expiry::Age]);
}

#[test]
fn nothing_beyond_the_high_watermark_goes() {
    let config = config(Some(1), Some(0));
    for (upper, n_gone) in [(0, 0), (9, 0), (10, 1), (25, 2), (39, 3), (40, 4)] {
        assert_eq!(gone(&config, &LOG, 0, upper).len(), n_gone, "upper {upper}");
    }
}

#[test]
fn what_lies_below_the_log_start_goes_whatever_the_policy() {
    let mut config = config(Some(1), Some(0));
    config.cleanup = CleanupPolicy {
        delete: false,
        compact: true,
    };
    assert_eq!(gone(&config, &LOG, 0, 40), []);
    assert_eq!(gone(&config, &LOG, 19, 40), [Expiry::BelowLogStart]);
    assert_eq!(gone(&config, &LOG, 20, 40), [Expiry::BelowLogStart; 2]);
    // The active segment is where the log ends: it stays, though all of it was deleted.
    assert_eq!(gone(&config, &LOG, 40, 40), [Expiry::BelowLogStart; 3]);
}

#[test]
fn without_limits_all_stays_and_no_timestamp_is_asked_for() {
    let mut retention = Retention::new(&config(None, None), 100, Offset(0), NOW, Offset(40));
    let candidate = Candidate {
        next_offset: Offset(10),
        size: 100,
        is_active: false,
    };
    let asked = retention.expiry(candidate, || Err("asked"));
    assert_eq!(asked, Ok(None));
}
