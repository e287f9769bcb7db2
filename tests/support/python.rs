//! Clients that live in Python.

use std::process::Stdio;
use std::sync::OnceLock;

use crate::support::command::of_this_machine;
use crate::support::kcat::skip;

const PYTHON: &str = "python3";

/// Whether confluent-kafka is here. Where it is not, says so; on a build server that is a failure.
pub(crate) fn has_confluent_kafka() -> bool {
    static IS_HERE: OnceLock<bool> = OnceLock::new();
    *IS_HERE.get_or_init(|| {
        let mut command = of_this_machine(PYTHON);
        command
            .args(["-c", "import confluent_kafka"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }) || skip("confluent-kafka is not installed (pip install confluent-kafka)")
}

/// Runs a program with the bootstrap addresses and `arguments`; returns what it printed.
#[track_caller]
pub(crate) fn must_run(program: &str, bootstrap: &str, arguments: &[&str]) -> String {
    let output = of_this_machine(PYTHON)
        .args(["-c", program, bootstrap])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("python starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the python program failed: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
