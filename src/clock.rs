//! The one door to time. Deadlines are monotonic `Instant`s; wall time only stamps records and history.

use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A cheap handle; clones read the same time.
#[derive(Clone)]
pub struct Clock {
    source: Arc<dyn TimeSource>,
}

/// What a simulator replaces.
pub trait TimeSource: Send + Sync {
    fn now(&self) -> Instant;
    /// Milliseconds since the Unix epoch.
    fn wall_ms(&self) -> i64;
}

impl Clock {
    pub fn system() -> Self {
        Self::new(Arc::new(SystemTimeSource))
    }

    pub fn new(source: Arc<dyn TimeSource>) -> Self {
        Self { source }
    }

    pub fn now(&self) -> Instant {
        self.source.now()
    }

    pub fn wall_ms(&self) -> i64 {
        self.source.wall_ms()
    }

    /// Waits until `deadline`; the runtime's timer follows a paused clock in tests.
    pub async fn sleep_until(&self, deadline: Instant) {
        tokio::time::sleep_until(tokio::time::Instant::from_std(deadline)).await;
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

struct SystemTimeSource;

impl TimeSource for SystemTimeSource {
    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    fn now(&self) -> Instant {
        // Tokio's reading follows `tokio::time::pause`, so tests of waits need no real time.
        tokio::time::Instant::now().into_std()
    }

    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    fn wall_ms(&self) -> i64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}
