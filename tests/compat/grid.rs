//! The grid of results: gathered by each test, and written down when `make compat` asks for it.
//!
//! Each row is a file in `target/compat/results`; whoever publishes one writes the page anew from all of
//! them. `COMPAT=full` takes longer, and writes `docs/conformance.md`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::compat::runtimes::built;
use crate::compat::scenarios::SCENARIOS;
use crate::compat::tools;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed(String),
    Lacking(String),
    NotServed,
}

/// What one client did.
#[derive(Debug)]
pub(crate) struct Row {
    name: &'static str,
    language: &'static str,
    pub(crate) version: String,
    outcomes: Vec<(String, Outcome)>,
}

pub(crate) fn is_full() -> bool {
    std::env::var_os("COMPAT").is_some_and(|it| it == "full")
}

impl Row {
    pub(crate) fn of(name: &'static str, language: &'static str) -> Self {
        Self {
            name,
            language,
            version: String::new(),
            outcomes: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, scenario: &str, outcome: Outcome) {
        self.outcomes.push((scenario.to_owned(), outcome));
    }

    #[track_caller]
    pub(crate) fn assert_nothing_failed(&self) {
        let failed = self.outcomes.iter().filter_map(|(name, it)| match it {
            Outcome::Failed(reason) => Some(format!("{name}: {reason}")),
            _ => None,
        });
        let failed: Vec<String> = failed.collect();
        assert!(failed.is_empty(), "{}\n{}", self.name, failed.join("\n"));
    }

    /// Keeps the row, and writes the page when this is the run that does.
    pub(crate) fn publish(&self) {
        let outcomes = self.outcomes.iter().map(|(name, it)| match it {
            Outcome::Passed => json!([name, "passed"]),
            Outcome::Failed(reason) => json!([name, "failed", reason]),
            Outcome::Lacking(reason) => json!([name, "lacking", reason]),
            Outcome::NotServed => json!([name, "not served"]),
        });
        let row = json!({
            "name": self.name,
            "language": self.language,
            "version": self.version,
            "outcomes": outcomes.collect::<Vec<_>>(),
        });
        std::fs::create_dir_all(results()).unwrap();
        let file = self.name.replace(['/', '@'], "-");
        std::fs::write(results().join(file + ".json"), row.to_string()).unwrap();
        if is_full() {
            let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/conformance.md");
            std::fs::write(page, written_down(&rows())).unwrap();
        }
    }
}

fn results() -> PathBuf {
    built().join("results")
}

fn rows() -> Vec<Value> {
    let mut rows: Vec<Value> = std::fs::read_dir(results())
        .unwrap()
        .map(|it| serde_json::from_str(&std::fs::read_to_string(it.unwrap().path()).unwrap()))
        .map(Result::unwrap)
        .collect();
    rows.sort_by_key(|it| (it["language"].to_string(), it["name"].to_string()));
    rows
}

/// Outcome and reason of a scenario.
fn outcome(row: &Value, scenario: &str) -> (String, String) {
    let all = row["outcomes"].as_array().unwrap();
    let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
    let found = all.iter().find(|it| it[0] == scenario);
    found.map_or_else(
        || ("not tried".to_owned(), String::new()),
        |it| (text(&it[1]), text(&it[2])),
    )
}

const HEAD: &str = "\
# Conformance

<!-- Written by `make compat`; do not edit. -->

Other people's clients and tools, unmodified, against three processes of this build, one of which is killed
on the way (`tests/compat`). What a client wrote is read back over a bare connection by our own codec; what it
read it compared with what it must be.

**✓** passed · **✗** failed · **–** the client cannot · **·** this build does not serve it yet
";

fn written_down(rows: &[Value]) -> String {
    let mut page = HEAD.to_owned();
    let (tools, clients): (Vec<&Value>, Vec<&Value>) =
        rows.iter().partition(|it| it["name"] == tools::NAME);
    write_clients(&mut page, &clients);
    for row in tools {
        write_tools(&mut page, row);
    }
    page
}

fn write_clients(page: &mut String, rows: &[&Value]) {
    let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
    writeln!(page, "\n## Clients\n").unwrap();
    writeln!(page, "| language | client | version |\n|---|---|---|").unwrap();
    for row in rows {
        let [language, name, version] = ["language", "name", "version"].map(|it| text(&row[it]));
        writeln!(page, "| {language} | {name} | {version} |").unwrap();
    }
    let names: Vec<String> = rows.iter().map(|it| text(&it["name"])).collect();
    writeln!(page, "\n| scenario | {} |", names.join(" | ")).unwrap();
    writeln!(page, "|---|{}", ":-:|".repeat(rows.len())).unwrap();
    for scenario in SCENARIOS {
        let marks: Vec<&str> = rows
            .iter()
            .map(|row| mark(&outcome(row, scenario.name).0))
            .collect();
        let about = format!("**{}** {}", scenario.name, scenario.meaning);
        writeln!(page, "| {about} | {} |", marks.join(" | ")).unwrap();
    }
    write_reasons(page, rows);
}

fn write_reasons(page: &mut String, rows: &[&Value]) {
    writeln!(page, "\n### What is not green, and why\n").unwrap();
    for row in rows {
        let mut by_reason: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for scenario in SCENARIOS {
            let (outcome, reason) = outcome(row, scenario.name);
            if outcome != "passed" {
                let reason = if reason.is_empty() { outcome } else { reason };
                by_reason.entry(reason).or_default().push(scenario.name);
            }
        }
        for (reason, scenarios) in by_reason {
            let name = row["name"].as_str().unwrap_or_default();
            let scenarios = scenarios.join(", ");
            writeln!(page, "- **{name}**: {scenarios}: {reason}").unwrap();
        }
    }
}

fn write_tools(page: &mut String, row: &Value) {
    let version = row["version"].as_str().unwrap_or_default();
    writeln!(page, "\n## Kafka's own tools, version {version}\n").unwrap();
    writeln!(page, "| what | result |\n|---|---|").unwrap();
    for it in row["outcomes"].as_array().unwrap() {
        let [what, outcome, reason] = [0, 1, 2].map(|n| it[n].as_str().unwrap_or_default());
        writeln!(page, "| {what} | {} {reason} |", mark(outcome)).unwrap();
    }
}

fn mark(outcome: &str) -> &'static str {
    match outcome {
        "passed" => "✓",
        "failed" => "✗",
        "lacking" => "–",
        _ => "·",
    }
}
