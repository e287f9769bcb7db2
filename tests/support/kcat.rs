//! kcat, the tool many users meet a cluster with first.

use std::io::Write;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::OnceLock;
use std::thread::JoinHandle;

use crate::support::command::of_this_machine;
use crate::support::librdkafka::retried_messages;

/// Whether kcat is here. Where it is not, says so; on a build server that is a failure.
pub(crate) fn is_here() -> bool {
    static IS_HERE: OnceLock<bool> = OnceLock::new();
    *IS_HERE.get_or_init(|| {
        let mut command = of_this_machine("kcat");
        let answer = command
            .arg("-V")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        answer.status().is_ok_and(|status| status.success())
    }) || skip("kcat is not installed (Debian: apt-get install kcat)")
}

/// Says why a test does nothing; refuses to on a build server. Not through `eprintln!`, which the test
/// runner hides when a test passes.
pub(crate) fn skip(reason: &str) -> bool {
    assert!(std::env::var_os("CI").is_none(), "{reason}");
    let test = std::thread::current();
    let name = test.name().unwrap_or("a test");
    let _ = writeln!(std::io::stderr(), "SKIPPED {name}: {reason}");
    false
}

#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) is_success: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs kcat to its end, with `input` on its standard input.
#[track_caller]
pub(crate) fn run(bootstrap: &str, arguments: &[&str], input: &str) -> Output {
    let mut running = Kcat::spawn(bootstrap, arguments);
    running.write(input);
    running.finish()
}

/// [`run`], refusing failure; returns what it printed.
#[track_caller]
pub(crate) fn must_run(bootstrap: &str, arguments: &[&str], input: &str) -> String {
    let output = run(bootstrap, arguments, input);
    assert!(output.is_success, "kcat {arguments:?}: {}", output.stderr);
    output.stdout
}

/// A kcat that is fed while the story goes on.
#[derive(Debug)]
pub(crate) struct Kcat {
    child: Child,
    input: Option<ChildStdin>,
    stdout: JoinHandle<String>,
    stderr: JoinHandle<String>,
}

impl Kcat {
    pub(crate) fn spawn(bootstrap: &str, arguments: &[&str]) -> Self {
        let mut child = of_this_machine("kcat")
            .args(["-b", bootstrap])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kcat starts");
        let stdout = collect(child.stdout.take().expect("piped"));
        let stderr = collect(child.stderr.take().expect("piped"));
        Self {
            input: child.stdin.take(),
            child,
            stdout,
            stderr,
        }
    }

    pub(crate) fn write(&mut self, text: &str) {
        let input = self.input.as_mut().expect("not finished");
        // A kcat that died says why when it is finished.
        let _ = input.write_all(text.as_bytes());
    }

    /// Ends its input and waits for its end.
    pub(crate) fn finish(mut self) -> Output {
        drop(self.input.take());
        let status = self.child.wait().expect("our own child can be waited for");
        Output {
            is_success: status.success(),
            stdout: self.stdout.join().expect("collected"),
            stderr: self.stderr.join().expect("collected"),
        }
    }
}

impl Output {
    /// Messages it sent again, by its own account; wants `-X debug=msg`.
    pub(crate) fn retried_messages(&self) -> usize {
        self.stderr.lines().map(retried_messages).sum()
    }
}

fn collect(mut stream: impl std::io::Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What a dying child managed to say is enough.
        let _ = stream.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Everything in one partition as kcat reads it: values in order.
#[track_caller]
pub(crate) fn read_partition(bootstrap: &str, topic: &str, partition: i32) -> Vec<String> {
    let partition = partition.to_string();
    let arguments = [
        "-C",
        "-t",
        topic,
        "-p",
        &partition,
        "-o",
        "beginning",
        "-e",
        "-q",
    ];
    let text = must_run(bootstrap, &arguments, "");
    text.lines().map(str::to_owned).collect()
}
