//! Where the files lie: `DRAVE_BENCH_DIR`, or the build's folder. Not where memory is a file system.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

pub(crate) fn folder() -> TempDir {
    let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench-log");
    let place = env::var_os("DRAVE_BENCH_DIR").map_or(build, PathBuf::from);
    fs::create_dir_all(&place).unwrap();
    tempfile::tempdir_in(place).unwrap()
}

/// An empty file, to be written without a log.
pub(crate) fn file(folder: &TempDir) -> File {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(true);
    options.open(folder.path().join("bytes")).unwrap()
}
