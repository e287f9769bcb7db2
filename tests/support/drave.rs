//! The command line, as an operator uses it on a running cluster.

use std::process::Output;

use crate::support::cluster::Cluster;
use crate::support::command::of_this_machine;

/// What a command said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code(),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }

    /// # Panics
    /// Unless it was done.
    #[track_caller]
    pub(crate) fn done(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        self.out
    }

    /// # Panics
    /// Unless it was refused.
    #[track_caller]
    pub(crate) fn refused(self) -> String {
        assert_eq!(self.code, Some(1), "{}{}", self.out, self.err);
        self.err
    }
}

impl Cluster {
    /// `drave` with these arguments, told of every node.
    pub(crate) fn operator(&self, arguments: &[&str]) -> Said {
        let output = of_this_machine(env!("CARGO_BIN_EXE_drave"))
            .args(arguments)
            .env("DRAVE_BOOTSTRAP", self.bootstrap())
            .output()
            .expect("drave starts");
        Said::of(&output)
    }
}
