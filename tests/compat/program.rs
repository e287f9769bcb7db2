//! Running a client's program, and taking down what it says of each scenario.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::Value;

use crate::compat::runtimes::Runtime;
use crate::support::wait::seconds;

/// Longer than any scenario waits for anything; silence after that is a hang.
const PATIENCE: Duration = seconds(180);

/// What a program says.
#[derive(Debug)]
pub(crate) enum Said {
    Version(String),
    /// It produces and consumes, and a node may die.
    IsRunning,
    /// How a scenario went, and how many records it sent where that counts.
    Result {
        scenario: String,
        outcome: Result<i64, String>,
    },
}

#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Program {
    #[track_caller]
    pub(crate) fn start(runtime: Runtime, name: &str, bootstrap: &str, scenarios: &[&str]) -> Self {
        let mut child = runtime
            .command(name)
            .arg(bootstrap)
            .arg(scenarios.join(","))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let input = child.stdin.take();
        let output = child.stdout.take().expect("piped, and taken once");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // Nobody listens any more: the story is over.
                let _ = sender.send(line);
            }
        });
        Self {
            child,
            input,
            lines,
        }
    }

    /// The next thing it says; `None` at its end.
    ///
    /// # Panics
    /// When it says nothing for too long.
    pub(crate) fn next(&mut self) -> Option<Said> {
        loop {
            let line = match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => line,
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("it says nothing for {PATIENCE:?}: {}", self.last_words())
                }
            };
            // Clients print warnings of their own.
            if let Ok(said) = serde_json::from_str::<Value>(&line)
                && let Some(said) = understood(&said)
            {
                return Some(said);
            }
        }
    }

    /// Ends its standard input, which says that it has done enough.
    pub(crate) fn tell_to_stop(&mut self) {
        self.input = None;
    }

    /// What it said to its standard error; ends it.
    pub(crate) fn last_words(&mut self) -> String {
        // Gone already, where it ended by itself.
        let _ = self.child.kill();
        let mut words = String::new();
        if let Some(mut errors) = self.child.stderr.take() {
            let _ = errors.read_to_string(&mut words);
        }
        let skipped = words.len().saturating_sub(2000);
        words.chars().skip(skipped).collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Errors mean that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn understood(said: &Value) -> Option<Said> {
    if let Some(version) = said["version"].as_str() {
        return Some(Said::Version(version.to_owned()));
    }
    if said["event"] == "running" {
        return Some(Said::IsRunning);
    }
    let scenario = said["scenario"].as_str()?.to_owned();
    let outcome = if said["ok"] == true {
        Ok(said["sent"].as_i64().unwrap_or_default())
    } else {
        let reason = said["reason"].as_str().unwrap_or("it does not say why");
        Err(reason.to_owned())
    };
    Some(Said::Result { scenario, outcome })
}
