//! `drave log` as scripts and people meet it, on partitions that Kafka wrote.
//!
//! Golden pages are rewritten with `UPDATE_GOLDEN=1`.

#![allow(clippy::unwrap_used, reason = "a test, helpers included")]
#![allow(clippy::disallowed_methods, reason = "prepares and damages files")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn fixtures() -> PathBuf {
    root().join("log/tests/fixtures/kafka-4")
}

fn log_command(folder: &Path, arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_drave"))
        .arg("log")
        .args(arguments.split(' '))
        .current_dir(folder)
        .env_clear()
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Compares what a command prints with the page of that name.
fn assert_prints(page: &str, arguments: &str) {
    let output = log_command(&fixtures(), arguments);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    let path = root().join("tests/golden/log").join(page);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &printed).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(printed, expected, "drave log {arguments} is not {page}");
}

/// A copy of a partition's folder that may be damaged.
fn copy_of(partition: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    let folder = copy.path().join(partition);
    fs::create_dir(&folder).unwrap();
    for entry in fs::read_dir(fixtures().join(partition)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    copy
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    *bytes.get_mut(at).unwrap() ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_partition_is_dumped_file_by_file() {
    assert_prints("dump.txt", "dump transactions-0");
    assert_prints("dump.json", "dump --format json transactions-0");
}

#[test]
fn records_are_shown_when_asked_for() {
    let packed = "codecs-0/00000000000000000000.log";
    assert_prints(
        "records.txt",
        &format!("dump --records --max-bytes 12 {packed}"),
    );
    let control = "transactions-0/00000000000000000008.log";
    assert_prints(
        "records.json",
        &format!("dump --records --format json {control}"),
    );
}

#[test]
fn a_directory_is_verified_partition_by_partition() {
    assert_prints("verify.txt", "verify --allow-holes .");
    assert_prints("verify.json", "verify --allow-holes --format json .");
}

#[test]
fn a_directory_in_numbers() {
    assert_prints("stat.txt", "stat .");
    assert_prints("stat.json", "stat --format json .");
}

#[test]
fn a_fault_is_named_by_file_and_byte_and_exits_with_one() {
    let copy = copy_of("codecs-0");
    flip(&copy.path().join("codecs-0/00000000000000000030.log"), 100);
    let output = log_command(copy.path(), "verify codecs-0");
    assert_eq!(output.status.code(), Some(1));
    let printed = text(&output.stdout);
    let fault = "  codecs-0/00000000000000000030.log at byte 0: the checksum is wrong\n";
    assert!(printed.contains(fault), "{printed}");

    let output = log_command(copy.path(), "verify --format json codecs-0");
    assert_eq!(output.status.code(), Some(1));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told.get("ok"), Some(&serde_json::Value::Bool(false)));
    let flaw = told.pointer("/partitions/0/flaws/0").unwrap();
    assert_eq!(flaw.get("position").unwrap(), 0, "{flaw}");
    assert_eq!(flaw.get("of").unwrap(), "batch", "{flaw}");

    // The other segment is as good as it was.
    let output = log_command(copy.path(), "verify codecs-0/00000000000000000000.log");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
}

#[test]
fn what_is_no_log_is_said_in_one_line() {
    for arguments in [
        "dump /no/such/path",
        "verify /no/such/path",
        "stat README.md/x",
    ] {
        let output = log_command(&fixtures(), arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments}");
        assert_eq!(text(&output.stderr).lines().count(), 1, "{arguments}");
    }
    let output = log_command(&fixtures(), "dump README.md");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no file of a log"));
}

#[test]
fn a_file_cut_off_is_dumped_up_to_the_cut() {
    let copy = copy_of("appendtime-0");
    let path = copy.path().join("appendtime-0/00000000000000000000.log");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, bytes.get(..bytes.len() - 1).unwrap()).unwrap();
    let output = log_command(copy.path(), "dump appendtime-0");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("at byte"),
        "{}",
        text(&output.stderr)
    );
    assert!(text(&output.stdout).contains("00000000000000000000.log"));
}
