//! The binary as scripts meet it: exit codes, what goes to which stream, what a refusal says.

#![allow(clippy::unwrap_used, reason = "a test, helpers included")]

use std::net::TcpListener;
use std::process::{Command, Output};

fn drave(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_drave"))
        .args(arguments)
        .env_clear()
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// An address where nobody listens: held and let go, so that no one else was given it meanwhile.
fn deaf_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[test]
fn help_is_no_failure_and_shows_examples() {
    for arguments in [
        &["--help"][..],
        &["start", "--help"],
        &["topic", "--help"],
        &["cluster", "--help"],
        &["quorum", "--help"],
        &["node", "--help"],
        &["log", "--help"],
        &["verify", "--help"],
        &["verify", "failover", "--help"],
    ] {
        let output = drave(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(stdout(&output).contains("Examples:"), "{arguments:?}");
    }
}

#[test]
fn misuse_exits_with_two() {
    for arguments in [
        &[][..],
        &["topic"],
        &["topic", "create"],
        &["topic", "create", "a", "--partitions", "0"],
        &["topic", "create", "a", "--config", "no-value"],
        &["quorum", "add"],
        &["quorum", "remove", "3", "--directory", "short"],
        &["node", "drain"],
        &["no-such-command"],
    ] {
        assert_eq!(drave(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_configuration_that_is_refused_is_misuse_and_says_what_was_meant() {
    let output = drave(&["start", "--set", "num.partition=3"]);
    assert_eq!(output.status.code(), Some(2));
    let error = stderr(&output);
    assert!(
        error.contains("did you mean \"num.partitions\"?"),
        "{error}"
    );

    let output = drave(&["start", "--config", "/no/such/file"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("/no/such/file"));

    let advertised = "advertised.listeners=PLAINTEXT://0.0.0.0:9092";
    let output = drave(&["start", "--set", advertised]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("would connect to itself"));
}

#[test]
fn asking_where_nobody_listens_fails_with_one_and_one_line() {
    let address = deaf_address();
    let output = drave(&["topic", "list", "--bootstrap", &address, "--timeout", "1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&address), "{}", stderr(&output));
    assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));

    let output = drave(&["cluster", "status", "--http", &address]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&address), "{}", stderr(&output));
}

#[test]
fn waiting_for_a_cluster_that_is_not_there_is_unhealthy() {
    let address = deaf_address();
    let output = drave(&["cluster", "wait", "--timeout", "0", "--http", &address]);
    assert_eq!(output.status.code(), Some(10));
}

#[test]
fn waiting_ends_as_soon_as_the_process_does() {
    let mut child = Command::new("true").spawn().unwrap();
    let pid = child.id().to_string();
    child.wait().unwrap();
    let output = drave(&["cluster", "wait", "--ended", &pid]);
    assert_eq!(output.status.code(), Some(0));
    let output = drave(&[
        "cluster",
        "wait",
        "--while-runs",
        &pid,
        "--http",
        &deaf_address(),
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&pid));
}

#[test]
fn completions_are_written_for_every_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let output = drave(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0));
        assert!(stdout(&output).contains("drave"), "{shell}");
    }
}
