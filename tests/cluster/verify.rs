//! `drave verify` against clusters it breaks: it finds nothing where nothing is wrong, and it finds what was
//! planted where something is.

use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::cluster::turn;
use crate::support::command::of_this_machine;
use crate::support::wait::{pause, seconds};

/// The longest run breaks things for two minutes, and heals and reads for as long as it may each.
const RUN_LIMIT: Duration = seconds(900);
/// Healing takes seconds. This is for a machine that has something else to do.
const HEAL: [&str; 2] = ["--heal", "3m"];

/// What a run said, and whether it took it for clean.
#[derive(Debug)]
struct Run {
    is_clean: bool,
    report: Value,
    said: String,
}

impl Run {
    fn violations(&self, kind: &str) -> u64 {
        self.report["violations"][kind].as_u64().unwrap_or_else(|| {
            panic!("no report of {kind}: {}", self.said);
        })
    }

    fn records(&self, which: &str) -> u64 {
        self.report["records"][which].as_u64().unwrap()
    }
}

/// With `plant` the nodes have that fault in them.
fn verify(arguments: &[&str], plant: Option<&str>) -> Run {
    let _turn = turn();
    let dir = TempDir::new().unwrap();
    let json = dir.path().join("report.json");
    let mut command = of_this_machine(env!("CARGO_BIN_EXE_drave"));
    command
        .arg("verify")
        .args(arguments)
        .args(if plant.is_none() { &HEAL[..] } else { &[] })
        .arg("--json")
        .arg(&json)
        .stdin(Stdio::null());
    if let Some(fault) = plant {
        command.env("DRAVE_PLANT", fault);
    }
    let output = dir.path().join("output");
    let file = std::fs::File::create(&output).unwrap();
    command.stdout(file.try_clone().unwrap()).stderr(file);
    let status = end_of(&mut command, &output);
    let said = all_of(&output);
    let report = read(&json).unwrap_or_else(|| panic!("no report: {said}"));
    if plant.is_some() {
        // Found, as it should be: its files are of no use to anybody.
        if let Some(kept) = report["kept_in"].as_str() {
            drop(std::fs::remove_dir_all(kept));
        }
    }
    Run {
        is_clean: status.code() == Some(0),
        report,
        said,
    }
}

/// Of a run that does not end by itself, politely: it has nodes to take with it.
fn end_of(command: &mut Command, output: &Path) -> ExitStatus {
    let mut child = command.spawn().unwrap();
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if started.elapsed() > RUN_LIMIT {
            let pid = Pid::from_child(&child);
            kill_process(pid, Signal::TERM).unwrap();
            panic!("verify has not ended in {RUN_LIMIT:?}: {}", all_of(output));
        }
        pause();
    }
}

fn all_of(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
}

fn read(path: &Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
#[allow(
    clippy::print_stdout,
    reason = "the seed is for whoever has to repeat it"
)]
fn nothing_acked_is_lost_whatever_goes_wrong() {
    let run = verify(&["--nodes", "3", "--duration", "2m"], None);
    println!("{}", run.said);
    assert!(run.is_clean, "{}", run.said);
    assert!(run.records("acked") > 1_000, "{}", run.said);
    assert!(run.records("acked") <= run.records("kept"), "{}", run.said);
    let n_faults = run.report["faults"]["n"].as_u64().unwrap();
    assert!(n_faults > 10, "{n_faults} faults: {}", run.said);
    assert!(
        run.report["equal_batches"].as_u64().unwrap() > 100,
        "{}",
        run.said
    );
    for skipped in run.report["faults"]["skipped"].as_array().unwrap() {
        println!("SKIPPED {skipped}");
        assert!(!is_root() || skipped["why"].as_str().unwrap().contains("not installed"));
    }
}

#[test]
fn a_leader_that_acks_before_it_replicates_is_found_out() {
    let run = verify(
        &["--faults", "isolate", "--seed", "1", "--duration", "25s"],
        Some("ack-before-replication"),
    );
    assert!(!run.is_clean, "{}", run.said);
    assert!(run.violations("lost-write") > 0, "{}", run.said);
}

#[test]
fn a_follower_that_truncates_to_its_high_watermark_is_found_out() {
    let run = verify(
        &[
            "--faults",
            "double-failover",
            "--seed",
            "1",
            "--duration",
            "25s",
        ],
        Some("truncate-to-high-watermark"),
    );
    assert!(!run.is_clean, "{}", run.said);
    assert!(run.violations("lost-write") > 0, "{}", run.said);
}

#[test]
fn the_faults_that_find_them_find_nothing_in_nodes_without_them() {
    let run = verify(
        &[
            "--faults",
            "isolate,double-failover",
            "--seed",
            "1",
            "--duration",
            "40s",
        ],
        None,
    );
    assert!(run.is_clean, "{}", run.said);
}

#[test]
fn a_power_cut_takes_nothing_that_was_acked_and_files_never_synced_are_found_out() {
    if !is_root() {
        eprintln!("SKIPPED: a disk can be mounted by root only");
        return;
    }
    let safe = verify(&["--power-cuts", "3", "--seed", "1"], None);
    assert!(safe.is_clean, "{}", safe.said);
    // Nothing heals such a cluster: there is nothing to wait for.
    let planted = verify(
        &["--power-cuts", "1", "--seed", "1", "--heal", "10s"],
        Some("no-file-sync"),
    );
    assert!(!planted.is_clean, "{}", planted.said);
    // Which files the kernel had written by itself is its own affair: without the one that names a node,
    // that node does not start.
    let found = planted.violations("lost-write") + planted.violations("node-died");
    assert!(found > 0, "{}", planted.said);
}
