//! How it stands while it runs: one block on a terminal, written over; a line now and then elsewhere.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::cli::verify::history::{History, Standing};
use crate::clock::Clock;

const REFRESH_EVERY: Duration = Duration::from_millis(500);
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Up to the block's first line, and clears what is below.
const OVER: &str = "\x1b[4A\x1b[J";

#[derive(Debug)]
pub(super) struct View {
    pub(super) title: String,
    pub(super) history: Arc<History>,
    pub(super) clock: Clock,
    pub(super) stop: watch::Receiver<bool>,
}

impl View {
    /// Until stopped; standard error, so that the report alone is on standard output.
    pub(super) async fn run(self) {
        let is_terminal = io::stderr().is_terminal();
        let every = if is_terminal {
            REFRESH_EVERY
        } else {
            LINE_EVERY
        };
        let started = self.clock.now();
        let mut before = (started, 0);
        let mut over = "";
        let mut stop = self.stop.clone();
        loop {
            tokio::select! {
                () = self.clock.sleep_until(self.clock.now() + every) => {}
                _ = stop.wait_for(|it| *it) => return,
            }
            let now = self.clock.now();
            let standing = self.history.standing();
            let rate = rate(before.1, standing.n_acked, now - before.0);
            let elapsed = now - started;
            let text = if is_terminal {
                let shown = block(&self.title, elapsed, rate, &standing);
                format!("{}{shown}", std::mem::replace(&mut over, OVER))
            } else {
                line(elapsed, rate, &standing)
            };
            // Whoever closed standard error does not look.
            let _ = io::stderr().lock().write_all(text.as_bytes());
            before = (now, standing.n_acked);
        }
    }
}

fn rate(before: u64, now: u64, elapsed: Duration) -> f64 {
    let n = u32::try_from(now.saturating_sub(before)).unwrap_or(u32::MAX);
    f64::from(n) / elapsed.as_secs_f64().max(0.001)
}

fn block(title: &str, elapsed: Duration, rate: f64, standing: &Standing) -> String {
    let Standing {
        n_sent,
        n_acked,
        n_read,
        n_violations,
        faults,
        n_faults,
        waiting: (n_waiting, wait),
        longest,
    } = standing;
    let faults = if faults.is_empty() {
        "none".to_owned()
    } else {
        faults.join(" · ")
    };
    format!(
        "{title}  {:>5} s\n  \
         {rate:>7.0} acks/s   acked {n_acked}   sent and not acked {}   read {n_read}\n  \
         faults now: {faults}   so far: {n_faults}\n  \
         partitions without an ack: {n_waiting} (for {} ms)   longest window: {} ms   violations: {n_violations}\n",
        elapsed.as_secs(),
        n_sent.saturating_sub(*n_acked),
        wait.as_millis(),
        longest.as_millis(),
    )
}

fn line(elapsed: Duration, rate: f64, standing: &Standing) -> String {
    format!(
        "{:>5} s: acked {} ({rate:.0}/s), read {}, {} faults, longest window {} ms, {} violations\n",
        elapsed.as_secs(),
        standing.n_acked,
        standing.n_read,
        standing.n_faults,
        standing.longest.as_millis(),
        standing.n_violations,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_is_as_high_as_it_is_written_over() {
        let standing = Standing {
            n_sent: 12,
            n_acked: 10,
            n_read: 9,
            n_violations: 0,
            faults: vec!["kill 2".to_owned()],
            n_faults: 1,
            waiting: (2, Duration::from_millis(300)),
            longest: Duration::from_millis(700),
        };
        let block = block("verify", Duration::from_secs(3), 5.0, &standing);
        assert_eq!(block.lines().count(), 4, "{block}");
        assert!(
            block.contains("kill 2") && block.contains("acked 10"),
            "{block}"
        );
    }
}
