//! How long threads of this broker work for one request (`request_percentage`).
//!
//! What counts is the time its handler runs, from a frame to its answer, each time it goes on; what it waits in
//! between is nobody's. Requests of clients without such a quota are not measured at all.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::clock::Clock;
use crate::config::quotas::Usage;
use crate::server::quotas::table::Configs;
use crate::server::quotas::{ClientQuotas, Mute};
use crate::server::reply::Waiting;

/// As in Kafka: whoever works much waits often, never long.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// The work for one request. Cheap to clone; all clones are of one request.
#[derive(Clone)]
pub(crate) struct Work {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Clock,
    quotas: ClientQuotas,
    configs: Arc<Configs>,
    client_id: String,
    mute: Mute,
    spent: Mutex<Spent>,
}

/// What was not charged yet, and since when a thread is at it.
#[derive(Debug, Default)]
struct Spent {
    before: Duration,
    since: Option<Instant>,
    is_exempt: bool,
}

impl ClientQuotas {
    /// Begins to measure the request that came at `received_at`, if its client may be held up for it.
    pub(crate) fn work_for(
        &self,
        configs: &Arc<Configs>,
        client_id: Option<&str>,
        (mute, clock): (&Mute, &Clock),
        received_at: Instant,
    ) -> Option<Work> {
        let client_id = client_id.unwrap_or_default();
        self.has_limit(configs, client_id, Usage::Work)
            .then(|| Work {
                shared: Arc::new(Shared {
                    clock: clock.clone(),
                    quotas: self.clone(),
                    configs: Arc::clone(configs),
                    client_id: client_id.to_owned(),
                    mute: mute.clone(),
                    spent: Mutex::new(Spent {
                        before: Duration::ZERO,
                        since: Some(received_at),
                        is_exempt: false,
                    }),
                }),
            })
    }
}

impl Work {
    /// Counts what was worked up to now. How long the client must wait; its connection is not read from before.
    pub(crate) fn charge(&self) -> Duration {
        let shared = &self.shared;
        let now = shared.clock.now();
        let Some(spent) = shared.spent.lock().charge(now) else {
            return Duration::ZERO;
        };
        let seconds = spent.as_secs_f64();
        let used = (Usage::Work, seconds * 100.0);
        let client_id = &shared.client_id;
        let wait = shared.quotas.counted(&shared.configs, client_id, used, now);
        let wait = wait.min(WAIT_MAX);
        if !wait.is_zero() {
            shared.mute.extend(now + wait);
        }
        wait
    }

    /// No thread is at it until it goes on.
    pub(crate) fn pause(&self) {
        let now = self.shared.clock.now();
        self.shared.spent.lock().pause(now);
    }

    /// It turns out not to be held up for anything.
    pub(crate) fn exempt(&self) {
        self.shared.spent.lock().is_exempt = true;
    }

    fn go_on(&self) {
        self.shared.spent.lock().since = Some(self.shared.clock.now());
    }

    /// The same wait, measured.
    pub(crate) fn measured(self, waiting: Waiting) -> Waiting {
        Box::pin(Measured {
            work: self,
            waiting,
        })
    }
}

impl Spent {
    fn charge(&mut self, now: Instant) -> Option<Duration> {
        (!self.is_exempt).then(|| self.take(now))
    }

    fn take(&mut self, now: Instant) -> Duration {
        let since = self.since.replace(now).unwrap_or(now);
        std::mem::take(&mut self.before) + now.saturating_duration_since(since)
    }

    fn pause(&mut self, now: Instant) {
        if let Some(since) = self.since.take() {
            self.before += now.saturating_duration_since(since);
        }
    }
}

struct Measured {
    work: Work,
    waiting: Waiting,
}

impl Future for Measured {
    type Output = <Waiting as Future>::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.work.go_on();
        let polled = self.waiting.as_mut().poll(cx);
        match polled {
            // What came after the answer was made, and all of it where there is no answer.
            Poll::Ready(_) => {
                self.work.charge();
            }
            Poll::Pending => self.work.pause(),
        }
        polled
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work")
            .field("client_id", &self.shared.client_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_time_a_thread_is_at_it_counts_and_each_only_once() {
        let start = Clock::system().now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut spent = Spent {
            before: Duration::ZERO,
            since: Some(start),
            is_exempt: false,
        };
        spent.pause(at(3));
        spent.since = Some(at(100));
        assert_eq!(spent.take(at(104)), Duration::from_millis(7));
        assert_eq!(spent.take(at(105)), Duration::from_millis(1));
        spent.pause(at(105));
        assert_eq!(spent.take(at(200)), Duration::ZERO);
    }
}
