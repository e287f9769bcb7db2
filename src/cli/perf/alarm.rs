//! Waits that end when they are due, by the kernel's timers. The runtime's end up to a millisecond late, which is
//! longer than a broker takes for a batch.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::time::{self, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::clock::Clock;

#[derive(Debug)]
pub(super) struct Alarm {
    timer: AsyncFd<OwnedFd>,
    clock: Clock,
}

impl Alarm {
    #[allow(
        deprecated,
        reason = "what replaces it is unsafe, for types that may not own their descriptor; this one does"
    )]
    pub(super) fn new(clock: Clock) -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let timer = AsyncFd::with_interest(timer, Interest::READABLE)?;
        Ok(Self { timer, clock })
    }

    /// One wait at a time: a second one ends the first early.
    ///
    /// Cancellation: safe.
    pub(super) async fn wait_until(&self, at: Instant) -> io::Result<()> {
        let left = at.saturating_duration_since(self.clock.now());
        if left.is_zero() {
            return Ok(());
        }
        let once = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec::try_from(left).map_err(io::Error::other)?,
        };
        time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        loop {
            let mut rung = self.timer.readable().await?;
            if self.clock.now() >= at {
                return Ok(());
            }
            // It rang for a wait before this one.
            rung.clear_ready();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn no_wait_ends_early_and_one_can_follow_another() {
        let clock = Clock::system();
        let alarm = Alarm::new(clock.clone()).unwrap();
        let mut due = clock.now();
        for _ in 0..20 {
            due += Duration::from_micros(300);
            alarm.wait_until(due).await.unwrap();
            assert!(clock.now() >= due);
        }
    }

    #[tokio::test]
    async fn a_wait_given_up_does_not_end_the_next() {
        let clock = Clock::system();
        let alarm = Alarm::new(clock.clone()).unwrap();
        let soon = clock.now() + Duration::from_micros(100);
        let later = soon + Duration::from_millis(5);
        tokio::select! {
            biased;
            rung = alarm.wait_until(soon) => rung.unwrap(),
            () = tokio::task::yield_now() => {}
        }
        alarm.wait_until(later).await.unwrap();
        assert!(clock.now() >= later);
    }
}
