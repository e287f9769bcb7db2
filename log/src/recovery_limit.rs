//! How far an old recovery point may be believed after a log was cut.
//!
//! Recovery points are checkpointed now and then, for all logs at once. When a log is cut below its
//! recovery point and written again, a checkpoint from before promises durability for bytes that
//! are new and perhaps not on disk. So before the cut this small file says: whatever a recovery
//! point up to `until` claims, trust only what lies below `ceiling`. It goes when the real recovery
//! point has passed `until`, for then every old claim is true again.

use std::io;
use std::path::{Path, PathBuf};

use drave_protocol::ids::Offset;

use crate::checkpoint;
use crate::error::{During, LogError};
use crate::fs::FileSystem;

pub(crate) const FILE_NAME: &str = "recovery-point-limit";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecoveryLimit {
    pub(crate) ceiling: Offset,
    pub(crate) until: Offset,
}

impl RecoveryLimit {
    /// The limit after a cut to `ceiling`, when `recovery_point` was claimed.
    pub(crate) fn lowered(known: Option<Self>, ceiling: Offset, recovery_point: Offset) -> Self {
        match known {
            None => Self {
                ceiling,
                until: recovery_point,
            },
            Some(known) => Self {
                ceiling: known.ceiling.min(ceiling),
                until: known.until.max(recovery_point),
            },
        }
    }

    /// A limit that cannot be read is taken as the lowest: it costs a scan, never a record.
    pub(crate) fn read(fs: &dyn FileSystem, dir: &Path) -> Result<Option<Self>, LogError> {
        let path = path_in(dir);
        let distrust_all = Self {
            ceiling: Offset::ZERO,
            until: Offset(i64::MAX),
        };
        match checkpoint::read(fs, &path) {
            Ok(None) => Ok(None),
            Ok(Some(facts)) => match facts.as_slice() {
                [fact] => Ok(Some(Self::parse(fact).unwrap_or(distrust_all))),
                [] | [_, _, ..] => Ok(Some(distrust_all)),
            },
            Err(LogError::BadFile { .. }) => Ok(Some(distrust_all)),
            Err(error) => Err(error),
        }
    }

    fn parse(fact: &str) -> Option<Self> {
        let (ceiling, until) = fact.split_once(' ')?;
        Some(Self {
            ceiling: Offset(ceiling.parse().ok()?),
            until: Offset(until.parse().ok()?),
        })
    }

    pub(crate) fn write(self, fs: &dyn FileSystem, dir: &Path) -> Result<(), LogError> {
        checkpoint::write(
            fs,
            &path_in(dir),
            &[format!("{} {}", self.ceiling, self.until)],
        )
    }

    /// Not synced: a limit that comes back after a crash only costs a scan.
    pub(crate) fn remove(fs: &dyn FileSystem, dir: &Path) -> Result<(), LogError> {
        let path = path_in(dir);
        match fs.remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done.during("remove", &path),
        }
    }
}

fn path_in(dir: &Path) -> PathBuf {
    dir.join(FILE_NAME)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs;
    use crate::fs::faulty::FaultyFs;

    #[test]
    fn limits_only_get_stricter_until_they_go() {
        let first = RecoveryLimit::lowered(None, Offset(50), Offset(100));
        assert_eq!(
            first,
            RecoveryLimit {
                ceiling: Offset(50),
                until: Offset(100)
            }
        );
        let second = RecoveryLimit::lowered(Some(first), Offset(60), Offset(120));
        assert_eq!(
            second,
            RecoveryLimit {
                ceiling: Offset(50),
                until: Offset(120)
            }
        );
    }

    #[test]
    fn a_limit_survives_and_a_damaged_one_trusts_nothing() {
        let fs = FaultyFs::new();
        let dir = Path::new("/t-0");
        fs.create_dir_all(dir).unwrap();
        assert_eq!(RecoveryLimit::read(&fs, dir).unwrap(), None);
        let limit = RecoveryLimit {
            ceiling: Offset(5),
            until: Offset(9),
        };
        limit.write(&fs, dir).unwrap();
        assert_eq!(RecoveryLimit::read(&fs, dir).unwrap(), Some(limit));
        fs::replace_file(&fs, &path_in(dir), b"0\n1\n5 x\n").unwrap();
        let read = RecoveryLimit::read(&fs, dir).unwrap().unwrap();
        assert_eq!(read.ceiling, Offset::ZERO);
        RecoveryLimit::remove(&fs, dir).unwrap();
        RecoveryLimit::remove(&fs, dir).unwrap();
        assert_eq!(RecoveryLimit::read(&fs, dir).unwrap(), None);
    }
}
