//! Blocks for what will be written next, taken before it is.
//!
//! A write into blocks that the file has already costs the file system less than one that makes it longer. They are
//! taken beyond the file's end, so its size says what was written as before, and recovery finds nothing to mistake.
//! A segment takes a quarter of what it holds, so a small one takes none, and none a lot more than it uses; what is left goes
//! back when it is sealed. One whose file system was slow about it takes no more.

use std::io;
use std::time::Duration;

use crate::fs::File;

/// Less is not worth the call: a segment of four times as much begins.
const STEP_MIN: u64 = 1024 * 1024;
const STEP_MAX: u64 = 32 * STEP_MIN;
/// A disk that writes all it can has a call wait a hundred times as long, which is longer than what is saved.
const SLOW: Duration = Duration::from_millis(5);

/// How far a segment's file has blocks.
#[derive(Debug)]
pub(super) struct Room {
    until: u64,
    /// Blocks may be there that nobody has written to.
    has_left_over: bool,
    /// A file system that refused once is not asked again: a write that finds no room says so itself. Nor is one
    /// that was slow.
    is_done: bool,
}

impl Room {
    /// Of a file just made.
    pub(super) fn of_new() -> Self {
        Self {
            until: 0,
            has_left_over: false,
            is_done: false,
        }
    }

    /// Of a file that another process may have taken blocks for.
    pub(super) fn of_existing() -> Self {
        Self {
            has_left_over: true,
            ..Self::of_new()
        }
    }

    /// Blocks for what is about to be written from `size` to `end`, and for some after it.
    pub(super) fn take(&mut self, file: &dyn File, size: u64, end: u64) {
        let step = (size / 4).min(STEP_MAX);
        if end <= self.until || step < STEP_MIN || self.is_done {
            return;
        }
        let until = end.saturating_add(step);
        match file.take_blocks(size, until - size) {
            Ok(took) => {
                self.until = until;
                self.has_left_over = true;
                self.is_done = took > SLOW;
            }
            Err(_) => self.is_done = true,
        }
    }

    /// Gives back what was not written to.
    pub(super) fn give_back(&mut self, file: &dyn File, size: u64) -> io::Result<()> {
        if self.has_left_over {
            file.set_size(size)?;
        }
        *self = Self::of_new();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Gives blocks, in so much time.
    #[derive(Debug)]
    struct Disk {
        takes: Mutex<Duration>,
        n_calls: Mutex<u32>,
    }

    impl File for Disk {
        fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
            Ok(0)
        }

        fn write_at(&self, bytes: &[u8], _: u64) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn size(&self) -> io::Result<u64> {
            Ok(0)
        }

        fn set_size(&self, _: u64) -> io::Result<()> {
            Ok(())
        }

        fn modified_ms(&self) -> io::Result<i64> {
            Ok(0)
        }

        fn set_modified_ms(&self, _: i64) -> io::Result<()> {
            Ok(())
        }

        fn sync_data(&self) -> io::Result<()> {
            Ok(())
        }

        fn read_anew(&self, _: u64) -> io::Result<()> {
            Ok(())
        }

        fn allocate(&self, _: u64) -> io::Result<()> {
            Ok(())
        }

        fn take_blocks(&self, _: u64, _: u64) -> io::Result<Duration> {
            *self.n_calls.lock().unwrap() += 1;
            Ok(*self.takes.lock().unwrap())
        }
    }

    #[test]
    fn a_slow_disk_is_asked_no_more() {
        let disk = Disk {
            takes: Mutex::new(SLOW),
            n_calls: Mutex::new(0),
        };
        let mut room = Room::of_new();
        let write_up_to = |room: &mut Room, size| room.take(&disk, size, size + 1);
        write_up_to(&mut room, STEP_MIN);
        assert_eq!(*disk.n_calls.lock().unwrap(), 0);
        write_up_to(&mut room, 4 * STEP_MIN);
        write_up_to(&mut room, 8 * STEP_MIN);
        assert_eq!(*disk.n_calls.lock().unwrap(), 2);
        *disk.takes.lock().unwrap() = SLOW * 2;
        for step in [16, 32, 64] {
            write_up_to(&mut room, step * STEP_MIN);
        }
        assert_eq!(*disk.n_calls.lock().unwrap(), 3);
        // The next segment begins anew.
        room.give_back(&disk, 64 * STEP_MIN).unwrap();
        write_up_to(&mut room, 4 * STEP_MIN);
        assert_eq!(*disk.n_calls.lock().unwrap(), 4);
    }
}
