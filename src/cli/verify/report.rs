//! The verdict, for people and for programs.

use serde_json::{Value, json};

use crate::cli::output::Table;
use crate::cli::verify::history::Closed;
use crate::cli::verify::windows::millis;
use crate::oracle::verdict::{Kind, Verdict};

/// All there is to say at the end.
pub(super) struct Report {
    pub(super) closed: Closed,
    pub(super) seed: u64,
    /// Faults that were asked for and cannot be had here, and why.
    pub(super) skipped: Vec<(String, String)>,
    /// Strikes by kind.
    pub(super) struck: Vec<(&'static str, usize)>,
    pub(super) settings: Vec<(String, String)>,
    /// Batches found equal on every replica; `None` where the disks are not ours to read.
    pub(super) n_equal_batches: Option<u64>,
    /// The command that runs the same again.
    pub(super) again: String,
    /// Where everything is kept, when it is.
    pub(super) kept_in: Option<String>,
}

impl Report {
    pub(super) fn is_clean(&self) -> bool {
        self.closed.verdict.is_clean()
    }

    pub(super) fn json(&self) -> Value {
        let Verdict {
            n_sent,
            n_acked,
            n_acked_by_leader,
            n_read,
            n_kept,
            n_lost_by_leader,
            n_repeated,
            told,
            ..
        } = &self.closed.verdict;
        json!({
            "clean": self.is_clean(),
            "seed": self.seed,
            "again": self.again,
            "elapsed_ms": millis(self.closed.elapsed),
            "records": {
                "sent": n_sent,
                "acked": n_acked,
                "acked_by_leader_alone": n_acked_by_leader,
                "read": n_read,
                "kept": n_kept,
                "repeated": n_repeated,
                "lost_of_those_acked_by_leader_alone": n_lost_by_leader,
            },
            "violations": Kind::ALL.iter().map(|it| (it.name().to_owned(), json!(self.closed.verdict.count(*it))))
                .collect::<serde_json::Map<_, _>>(),
            "told": told.iter().map(|it| json!({"kind": it.kind, "what": it.what})).collect::<Vec<_>>(),
            "faults": {
                "struck": self.struck.iter().map(|(kind, n)| ((*kind).to_owned(), json!(n))).collect::<serde_json::Map<_, _>>(),
                "n": self.closed.n_faults,
                "skipped": self.skipped.iter().map(|(kind, why)| json!({"fault": kind, "why": why})).collect::<Vec<_>>(),
            },
            "windows": self.closed.windows.json(),
            "errors": self.closed.errors,
            "settings": self.settings.iter().map(|(name, value)| (name.clone(), json!(value))).collect::<serde_json::Map<_, _>>(),
            "lost_with_the_power": self.closed.loss.map(|it| it.json()),
            "equal_batches": self.n_equal_batches,
            "kept_in": self.kept_in,
        })
    }

    pub(super) fn text(&self) -> String {
        let mut text = vec![self.headline(), self.records(), self.windows()];
        if !self.skipped.is_empty() {
            let skipped = self
                .skipped
                .iter()
                .map(|(kind, why)| format!("  {kind}: {why}"));
            text.push(format!(
                "skipped\n{}",
                skipped.collect::<Vec<_>>().join("\n")
            ));
        }
        if !self.is_clean() {
            text.push(self.violations());
        }
        let kept = self.kept_in.as_ref();
        text.extend(kept.map(|it| format!("everything is kept in {it}")));
        text.push(format!("again: {}", self.again));
        text.join("\n\n")
    }

    fn headline(&self) -> String {
        let verdict = &self.closed.verdict;
        let struck: Vec<String> = self
            .struck
            .iter()
            .map(|(kind, n)| format!("{n} {kind}"))
            .collect();
        let faults = if struck.is_empty() {
            "no faults".to_owned()
        } else {
            struck.join(", ")
        };
        let word = if self.is_clean() {
            "CLEAN"
        } else {
            "NOT CLEAN"
        };
        format!(
            "{word}: {} acked, {} lost, {} duplicated, {} reordered, {} dirty reads, {} skipped\n\
             in {} s with {faults}",
            verdict.n_acked,
            verdict.count(Kind::LostWrite),
            verdict.count(Kind::Duplicate),
            verdict.count(Kind::NonmonotonicSend) + verdict.count(Kind::RealTimeOrder),
            verdict.count(Kind::DirtyRead),
            verdict.count(Kind::PollSkip),
            self.closed.elapsed.as_secs(),
        )
    }

    fn records(&self) -> String {
        let verdict = &self.closed.verdict;
        let mut table = Table::new(&["RECORDS", ""]);
        let rows = [
            ("sent", verdict.n_sent),
            ("acked, acks=all", verdict.n_acked),
            ("acked, acks=1", verdict.n_acked_by_leader),
            (
                "  of these not kept, as acks=1 allows",
                verdict.n_lost_by_leader,
            ),
            ("kept", verdict.n_kept),
            (
                "  again, by retries without idempotence",
                verdict.n_repeated,
            ),
            ("read by consumers", verdict.n_read),
        ];
        for (name, n) in rows {
            table.row([name.to_owned(), n.to_string()]);
        }
        if let Some(loss) = self.closed.loss {
            let (oldest, allowed) = (loss.oldest.as_millis(), loss.allowed.as_millis());
            table.row(["lost with the power".to_owned(), loss.n.to_string()]);
            let told = format!("{oldest} of {allowed} ms allowed");
            table.row(["  the oldest was acked before it".to_owned(), told]);
        }
        if let Some(n) = self.n_equal_batches {
            table.row(["batches equal on every replica".to_owned(), n.to_string()]);
        }
        table.render()
    }

    fn windows(&self) -> String {
        let windows = &self.closed.windows;
        let mut table = Table::new(&["A PARTITION WITHOUT AN ACK", "TIMES"]);
        for (name, n) in windows.rows() {
            table.row([name, n.to_string()]);
        }
        table.row([
            "longest".to_owned(),
            format!("{} ms", windows.longest().as_millis()),
        ]);
        for (kind, longest) in windows.longest_by_fault() {
            table.row([
                format!("  with {kind}"),
                format!("{} ms", longest.as_millis()),
            ]);
        }
        table.render()
    }

    fn violations(&self) -> String {
        let verdict = &self.closed.verdict;
        let mut table = Table::new(&["VIOLATION", "TIMES", "MEANING"]);
        for (kind, n) in &verdict.counts {
            let meaning = kind.meaning().trim().to_owned();
            table.row([kind.name().to_owned(), n.to_string(), meaning]);
        }
        let told = verdict.told.iter().map(|it| format!("  {it}"));
        let told: Vec<String> = told.collect();
        format!("{}\n\n{}", table.render(), told.join("\n"))
    }
}
