//! `result.json` for programs; for people `performance.md` and its picture, which `make bench` copies into docs/.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::Plan;
use crate::compare::{self, Row};
use crate::limit::Limit;
use crate::plot;
use crate::sample::Samples;
use crate::system::System;

/// Writes the files; the page for people.
pub(crate) fn write(plan: &Plan, limits: &[Limit], samples: &Samples) -> anyhow::Result<String> {
    let loads = plan.loads.iter();
    let rows: Vec<Row> = loads.flat_map(|it| compare::rows(it, samples)).collect();
    fs::create_dir_all(&plan.out)?;
    let machine = machine(&plan.dir);
    let result = json!({
        "machine": machine,
        "quick": plan.is_quick,
        "rounds": samples.n_rounds(),
        "limits_mb_per_s": limits.iter().map(|it| (it.name.to_owned(), json!(it.mb_per_second))).collect::<serde_json::Map<_, _>>(),
        "rows": rows.iter().map(as_json).collect::<Vec<_>>(),
    });
    fs::write(plan.out.join("result.json"), format!("{result:#}\n"))?;
    let table = table(&rows);
    let n_rounds = samples.n_rounds();
    let mut page = format!("{machine}; {n_rounds} round(s)\n\n");
    for limit in limits {
        let _ = writeln!(page, "- limit: {limit}");
    }
    let _ = write!(page, "\n{table}");
    fs::write(plan.out.join("performance.md"), &page)?;
    fs::write(plan.out.join("ratios.svg"), plot::ratios(&rows))?;
    Ok(page)
}

fn as_json(row: &Row) -> Value {
    let [plain, synced, kafka] = row.medians;
    json!({
        "load": row.load.name,
        "figure": row.figure.name(),
        "drave": plain,
        "drave_synced": synced,
        "kafka": kafka,
        "ratio": row.ratio,
        "ratio_synced": row.ratio_synced,
        "aim": row.aim,
        "met": row.is_met(),
    })
}

fn table(rows: &[Row]) -> String {
    let [plain, synced, kafka] = System::ALL.map(System::name);
    let mut text = format!(
        "| load | figure | {plain} | {synced} | {kafka} | ratio without fsync | with | aim |\n|---|---|---|---|---|---|---|---|\n"
    );
    for row in rows {
        let cells = row.medians.map(|it| it.map_or("–".to_owned(), number));
        let ratio = |ratio: Option<[f64; 3]>| {
            ratio.map_or("–".to_owned(), |[median, least, most]| {
                format!("**{median:.2}** ({least:.2}–{most:.2})")
            })
        };
        let aim = match (row.aim, row.is_met()) {
            (Some(aim), Some(is_met)) => {
                let sign = if row.figure.is_gain() { "≥" } else { "≤" };
                format!("{sign} {aim:.2}{}", if is_met { "" } else { ", missed" })
            }
            _ => String::new(),
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {aim} |",
            row.load.title,
            row.figure.name(),
            cells.join(" | "),
            [ratio(row.ratio), ratio(row.ratio_synced)].join(" | "),
        );
    }
    text
}

fn number(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

fn machine(dir: &Path) -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|it| it.strip_prefix("model name"));
    let model = model.map_or("unknown processor", |it| {
        it.trim_start_matches([' ', '\t', ':'])
    });
    let n = cpus
        .lines()
        .filter(|it| it.starts_with("processor"))
        .count();
    let kernel = read("/proc/sys/kernel/osrelease");
    let congestion = read("/proc/sys/net/ipv4/tcp_congestion_control");
    format!(
        "{n} cores of {model}, Linux {}, loopback with {}, read-ahead of {} kB",
        kernel.trim(),
        congestion.trim(),
        read_ahead_kb(dir).trim()
    )
}

/// Of the disk a folder is on: Kafka's indexes are mapped, and the first touch of each reads so much of it.
fn read_ahead_kb(dir: &Path) -> String {
    let device = rustix::fs::stat(dir).map_or(0, |it| it.st_dev);
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let path = format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb");
    fs::read_to_string(path).unwrap_or_else(|_| "unknown".to_owned())
}
