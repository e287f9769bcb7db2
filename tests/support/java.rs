//! Kafka's own Java programs: the client, and the tool that reads logs.
//!
//! Each program of ours is one source file, which `java` runs as it is; `tests/java/pom.xml` names what
//! it needs, and `make java` fetches that and writes the class path down.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;

use crate::support::command::of_this_machine;
use crate::support::kcat::skip;

/// Whether Java and Kafka's jars are here. Where they are not, says so; on a build server that is a
/// failure.
pub(crate) fn is_here() -> bool {
    static IS_HERE: OnceLock<bool> = OnceLock::new();
    *IS_HERE.get_or_init(|| {
        let mut command = of_this_machine("java");
        let answer = command
            .arg("-version")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        answer.status().is_ok_and(|status| status.success()) && has_jars()
    }) || skip(
        "no Java 17 or none of Kafka's jars (Debian: apt-get install openjdk-17-jdk-headless maven; then make java)",
    )
}

fn has_jars() -> bool {
    let jars = class_path();
    let mut jars = jars.trim().split(':');
    jars.all(|it| Path::new(it).is_file())
}

fn class_path() -> String {
    std::fs::read_to_string(root().join("target/java-classpath")).unwrap_or_default()
}

/// The version of Kafka's jars, by their names.
pub(crate) fn kafka_version() -> String {
    let jars = class_path();
    let named = jars.split("/kafka-clients-").nth(1).unwrap_or_default();
    let version = named.split(".jar").next().unwrap_or_default();
    version.to_owned()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A Java virtual machine, kept small, that knows Kafka's classes.
pub(crate) fn command() -> Command {
    command_with(Path::new(""))
}

/// [`command`], with the classes in this folder too.
pub(crate) fn command_with(classes: &Path) -> Command {
    let mut command = of_this_machine("java");
    command
        .args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .args([
            "-cp",
            &format!("{}:{}", class_path().trim(), classes.display()),
        ]);
    command
}

/// One of the programs in `tests/java`.
#[derive(Debug)]
pub(crate) struct Java {
    child: Child,
    input: Option<ChildStdin>,
}

impl Java {
    #[track_caller]
    pub(crate) fn spawn(program: &str, arguments: &[&str]) -> Self {
        let mut child = command()
            .arg(root().join("tests/java").join(format!("{program}.java")))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("java starts");
        let input = child.stdin.take();
        Self { child, input }
    }

    /// Hands over each line it prints, until it ends or `story` has what it waits for.
    pub(crate) fn lines(&mut self) -> impl Iterator<Item = String> + use<> {
        let output = self.child.stdout.take().expect("piped, and taken once");
        BufReader::new(output).lines().map_while(Result::ok)
    }

    pub(crate) fn end_input(&mut self) {
        self.input = None;
    }

    /// Waits for a good end.
    #[track_caller]
    pub(crate) fn finish(mut self) {
        use std::io::Read;
        self.end_input();
        let mut said = String::new();
        let mut errors = self.child.stderr.take().expect("piped, and taken once");
        errors.read_to_string(&mut said).expect("text");
        let status = self.child.wait().expect("our own child can be waited for");
        assert!(status.success(), "{status}: {said}");
    }
}

impl Drop for Java {
    fn drop(&mut self) {
        // It is gone already after `finish`.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
