//! Starting programs of this machine, not of this build.

use std::ffi::OsStr;
use std::process::Command;

/// A command that loads the machine's libraries. The test runner's library path leads to the librdkafka
/// this build made, and kcat would run on that instead of its own.
pub(crate) fn of_this_machine(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_remove("LD_LIBRARY_PATH");
    command
}
