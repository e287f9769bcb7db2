//! How many files this process may have open: as many as it is allowed to ask for.
//!
//! A log keeps one file open at least, so the limit bounds how many replicas a node can hold. What it cannot
//! hold is refused by name; without that the first to fail would be whoever opens a socket next.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

/// A part of the limit, and at most so many, are for connections, and for segments that are read.
const KEPT_PART: u64 = 4;
const KEPT_MAX: u64 = 2_048;

/// Raises the limit to what is allowed; how many logs may be open then.
pub(super) fn for_logs() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    let files = if current == maximum {
        current
    } else {
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => {
                info!(from = ?current, to = ?maximum, "raised the limit of open files");
                maximum
            }
            Err(error) => {
                warn!(in_force = ?current, asked = ?maximum, %error, "the limit of open files could not be raised");
                current
            }
        }
    };
    // None is no limit.
    files.map_or(usize::MAX, n_logs)
}

fn n_logs(n_files: u64) -> usize {
    let kept = (n_files / KEPT_PART).min(KEPT_MAX);
    usize::try_from(n_files - kept).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_files_is_kept_for_others() {
        assert_eq!(n_logs(1_024), 768);
        assert_eq!(n_logs(20_000), 17_952);
    }
}
