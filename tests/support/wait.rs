//! Waiting for a condition, with a limit and a reason.

use std::time::{Duration, Instant};

/// How often a condition is looked at. Short, because figures are measured with it too.
const POLL: Duration = Duration::from_millis(5);

/// Calls `attempt` until it yields a value.
///
/// # Panics
/// When it has not by the end of `limit`; the message holds the last reason.
#[track_caller]
pub(crate) fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut attempt: impl FnMut() -> Result<T, String>,
) -> T {
    let started = Instant::now();
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(reason) if started.elapsed() > limit => {
                panic!("waited {limit:?} for {what}; last seen: {reason}")
            }
            Err(_) => pause(),
        }
    }
}

/// Waits until `is_so` is true.
#[track_caller]
pub(crate) fn wait_until(what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) {
    wait_for(what, limit, || {
        if is_so() {
            Ok(())
        } else {
            Err("not yet".to_owned())
        }
    });
}

/// Lets others run before the next attempt.
pub(crate) fn pause() {
    std::thread::park_timeout(POLL);
}

pub(crate) const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}
