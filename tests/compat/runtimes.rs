//! What clients are written in: is it here, and are their programs built.
//!
//! Everything that is fetched or built lies in `target/compat`, once; `make compat-clients` fetches it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::command::of_this_machine;
use crate::support::java;
use crate::support::kcat;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runtime {
    Python,
    Go,
    Node,
    Java,
    Rust,
    Kcat,
}

pub(crate) fn built() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/compat")
}

pub(crate) fn sources() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/compat")
}

impl Runtime {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Python => "Python",
            Self::Go => "Go",
            Self::Node => "Node",
            Self::Java => "Java",
            Self::Rust => "Rust",
            Self::Kcat => "shell",
        }
    }

    /// Whether programs in it can run. Where they cannot, says so; on a build server that is a failure.
    pub(crate) fn is_here(self, program: &str) -> bool {
        let is_there = match self {
            Self::Rust => true,
            Self::Kcat => return kcat::is_here(),
            Self::Java => {
                return java::is_here()
                    && (built().join("java/Compat.class").exists() || self.skip());
            }
            Self::Python => built().join("python/bin/python").exists(),
            Self::Go => built().join("go").join(program).exists(),
            Self::Node => built().join("node/node_modules").exists() && answers("node"),
        };
        is_there || self.skip()
    }

    fn skip(self) -> bool {
        let language = self.name();
        kcat::skip(&format!(
            "no {language} or none of its clients (make compat-clients)"
        ))
    }

    /// The program, ready to be given addresses and scenarios.
    pub(crate) fn command(self, program: &str) -> Command {
        match self {
            Self::Python => {
                let mut command = of_this_machine(built().join("python/bin/python"));
                command.arg(sources().join("python").join(program));
                command
            }
            Self::Go => of_this_machine(built().join("go").join(program)),
            Self::Node => {
                let mut command = of_this_machine("node");
                command.arg(built().join("node").join(program));
                command
            }
            Self::Java => {
                let mut command = java::command_with(&built().join("java"));
                command.arg(program);
                command
            }
            Self::Rust | Self::Kcat => panic!("{program} runs in this process"),
        }
    }
}

fn answers(program: impl AsRef<Path>) -> bool {
    let mut command = of_this_machine(program.as_ref());
    let asked = command
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    asked.status().is_ok_and(|it| it.success())
}
