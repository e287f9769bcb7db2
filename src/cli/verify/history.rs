//! Where all that is seen comes together: the oracle judges it, a file keeps it, the view counts it.
//!
//! Invariant: one order. What is recorded later was seen later by its own task, and an event that caused
//! another (an ack after which a record is sent) stands before it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::json;

use crate::cli::verify::loss::{Loss, Losses};
use crate::cli::verify::windows::Windows;
use crate::clock::Clock;
use crate::oracle::Oracle;
use crate::oracle::event::{Acks, Event, Promise};
use crate::oracle::verdict::{Kind, Verdict};

pub(super) struct History {
    clock: Clock,
    started: Instant,
    book: Mutex<Book>,
}

struct Book {
    oracle: Oracle,
    /// Where acked records may go with the power.
    losses: Option<Losses>,
    extra: Vec<(Kind, u64, String)>,
    file: BufWriter<File>,
    /// The first thing that could not be written.
    file_error: Option<String>,
    promises: BTreeMap<u32, Promise>,
    windows: Windows,
    errors: BTreeMap<String, u64>,
    faults: BTreeMap<usize, String>,
    n_faults: usize,
}

/// How it stands, for the view.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) n_sent: u64,
    pub(super) n_acked: u64,
    pub(super) n_read: u64,
    pub(super) n_violations: u64,
    pub(super) faults: Vec<String>,
    pub(super) n_faults: usize,
    pub(super) waiting: (usize, std::time::Duration),
    pub(super) longest: std::time::Duration,
}

/// The end of a history.
pub(super) struct Closed {
    pub(super) verdict: Verdict,
    pub(super) loss: Option<Loss>,
    pub(super) windows: Windows,
    pub(super) errors: BTreeMap<String, u64>,
    pub(super) n_faults: usize,
    pub(super) elapsed: std::time::Duration,
}

#[derive(Serialize)]
struct Line<'a> {
    at_ms: u64,
    #[serde(flatten)]
    event: &'a Event,
}

impl History {
    #[allow(clippy::disallowed_methods, reason = "its own file, written once")]
    pub(super) fn create(path: &Path, clock: &Clock) -> anyhow::Result<Self> {
        let file = File::create(path);
        let file = file.with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self {
            clock: clock.clone(),
            started: clock.now(),
            book: Mutex::new(Book {
                oracle: Oracle::new(),
                losses: None,
                extra: Vec::new(),
                file: BufWriter::new(file),
                file_error: None,
                promises: BTreeMap::new(),
                windows: Windows::default(),
                errors: BTreeMap::new(),
                faults: BTreeMap::new(),
                n_faults: 0,
            }),
        })
    }

    pub(super) fn saw(&self, event: &Event) {
        let mut book = self.book.lock();
        // Under the lock: lines are in the order in which they were judged.
        let now = self.clock.now();
        let at_ms = self.ms(now);
        book.write(&Line { at_ms, event });
        if let Event::Producer { producer, promise } = event {
            book.promises.insert(*producer, *promise);
        } else if let Event::Acked { lane, .. } = event {
            let promise = book.promises.get(&lane.producer);
            if promise.is_some_and(|it| it.acks == Acks::All) {
                book.windows.acked(lane.partition, now);
            }
        }
        let Book { losses, oracle, .. } = &mut *book;
        match losses {
            Some(losses) => oracle.see(&losses.see(event, now)),
            None => oracle.see(event),
        }
    }

    /// From here on what was acked less than `allowed` before the power goes may go with it.
    pub(super) fn may_lose(&self, allowed: Duration) {
        self.book.lock().losses = Some(Losses::new(allowed));
    }

    pub(super) fn power_went(&self, at: Instant) {
        if let Some(losses) = &mut self.book.lock().losses {
            losses.power_went(at);
        }
    }

    /// What no client can see of itself: a node that died, replicas that differ.
    pub(super) fn found(&self, kind: Kind, n: u64, what: String) {
        let mut book = self.book.lock();
        let at_ms = self.ms(self.clock.now());
        book.write(&json!({ "at_ms": at_ms, "found": kind, "what": what }));
        book.extra.push((kind, n, what));
    }

    /// An answer that was an error, or none. No violation: clients try again.
    pub(super) fn failed(&self, what: &str) {
        let mut book = self.book.lock();
        *book.errors.entry(what.to_owned()).or_default() += 1;
    }

    pub(super) fn fault_began(&self, number: usize, kind: &'static str, what: &str) {
        let mut book = self.book.lock();
        let now = self.clock.now();
        let at_ms = self.ms(now);
        book.write(&json!({ "at_ms": at_ms, "fault": what, "number": number }));
        book.windows.began(number, kind, now);
        book.faults.insert(number, what.to_owned());
        book.n_faults += 1;
    }

    pub(super) fn fault_ended(&self, number: usize) {
        let mut book = self.book.lock();
        let now = self.clock.now();
        let at_ms = self.ms(now);
        book.write(&json!({ "at_ms": at_ms, "fault_ended": number }));
        book.windows.ended(number, now);
        book.faults.remove(&number);
    }

    pub(super) fn standing(&self) -> Standing {
        let book = self.book.lock();
        let verdict = book.oracle.so_far();
        let extra: u64 = book.extra.iter().map(|(_, n, _)| n).sum();
        Standing {
            n_sent: verdict.n_sent,
            n_acked: verdict.n_acked + verdict.n_acked_by_leader,
            n_read: verdict.n_read,
            n_violations: verdict.counts.values().sum::<u64>() + extra,
            faults: book.faults.values().cloned().collect(),
            n_faults: book.n_faults,
            waiting: book.windows.open(self.clock.now()),
            longest: book.windows.longest(),
        }
    }

    /// The last word.
    pub(super) fn close(&self) -> anyhow::Result<Closed> {
        let mut book = self.book.lock();
        let flushed = book.file.flush().map_err(|it| it.to_string()).err();
        if let Some(error) = book.file_error.take().or(flushed) {
            anyhow::bail!("the history could not be written: {error}");
        }
        let mut verdict = std::mem::take(&mut book.oracle).close();
        let loss = book.losses.take().map(|it| it.judge(&mut verdict));
        for (kind, n, what) in book.extra.drain(..) {
            verdict.add(kind, n, what);
        }
        Ok(Closed {
            verdict,
            loss,
            windows: std::mem::take(&mut book.windows),
            errors: std::mem::take(&mut book.errors),
            n_faults: book.n_faults,
            elapsed: self.clock.now().saturating_duration_since(self.started),
        })
    }

    fn ms(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.started);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Book {
    fn write(&mut self, line: &impl Serialize) {
        if self.file_error.is_some() {
            return;
        }
        let written = serde_json::to_writer(&mut self.file, line).map_err(std::io::Error::from);
        let ended = written.and_then(|()| self.file.write_all(b"\n"));
        self.file_error = ended.err().map(|it| it.to_string());
    }
}

impl std::fmt::Debug for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("History")
    }
}
