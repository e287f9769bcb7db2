//! `drave completions SHELL`.

use clap::Args;
use clap_complete::Shell;

use crate::cli::{Exit, command, output};

/// Print a completion script for a shell.
///
/// For bash: `source <(drave completions bash)`.
#[derive(Args, Debug)]
pub(super) struct Completions {
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self) -> Exit {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command(), "drave", &mut script);
        output::say(&String::from_utf8_lossy(&script));
        Exit::Done
    }
}
