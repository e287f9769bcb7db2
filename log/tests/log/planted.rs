//! Each fault of the table is planted, and the test that is there for it notices.
//!
//! A fault that a test here does not find is not harmless: the test is too weak.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use drave_log::fs::{FileSystem, RealFs};
use drave_log::planted::{Fault, plant};

use crate::compaction_crash;
use crate::crash_at_every_write;
use crate::producers;
use crate::recovery;

/// Runs a test that passes as things are, with `fault` planted.
fn finds(fault: Fault, test: impl FnOnce() -> Result<u64, String>) {
    let _planted = plant(fault);
    // A test may also stop at what it finds.
    let ended = catch_unwind(AssertUnwindSafe(test));
    if let Ok(Ok(n_tried)) = ended {
        panic!(
            "{} was planted, and not found in {n_tried} tries",
            fault.name()
        );
    }
}

#[test]
fn a_file_sync_that_does_nothing_is_found() {
    finds(Fault::NoFileSync, crash_at_every_write::blow_everywhere);
    finds(Fault::NoFileSync, compaction_crash::crash_everywhere);
}

#[test]
fn a_folder_sync_that_does_nothing_is_found() {
    finds(Fault::NoFolderSync, crash_at_every_write::blow_everywhere);
    finds(Fault::NoFolderSync, compaction_crash::crash_everywhere);
}

#[test]
fn a_torn_tail_that_is_kept_is_found() {
    finds(Fault::TornTailKept, crash_at_every_write::blow_everywhere);
}

#[test]
fn an_index_that_is_trusted_blindly_is_found() {
    finds(
        Fault::IndexTrustedBlindly,
        recovery::no_index_changes_what_is_read,
    );
}

#[test]
fn a_window_of_four_batches_is_found() {
    finds(Fault::WindowOfFour, producers::crash_everywhere);
}

/// On a disk that keeps its power nobody can see whether a sync was done; but the kernel refuses to
/// sync what cannot be, so it can be seen whether it was asked.
#[test]
fn the_machines_files_are_synced_by_the_kernel_unless_it_is_planted_that_they_are_not() {
    let null = RealFs.open(Path::new("/dev/null")).unwrap();
    assert!(null.sync_data().is_err());
    let planted = plant(Fault::NoFileSync);
    assert!(null.sync_data().is_ok());
    drop(planted);

    let nowhere = Path::new("/nowhere/at/all");
    assert!(RealFs.sync_dir(nowhere).is_err());
    let _planted = plant(Fault::NoFolderSync);
    assert!(RealFs.sync_dir(nowhere).is_ok());
}
