//! What the operating system says of this process, as Prometheus text. Linux only; elsewhere empty.

use std::fmt::Write;

/// Resident memory and open files, under the names every Prometheus client uses.
pub fn render() -> String {
    let mut page = String::new();
    if let Some(bytes) = resident_bytes() {
        let name = "process_resident_memory_bytes";
        let _ = writeln!(page, "# TYPE {name} gauge\n{name} {bytes}");
    }
    if let Some(n_files) = open_files() {
        let name = "process_open_fds";
        let _ = writeln!(page, "# TYPE {name} gauge\n{name} {n_files}");
    }
    page
}

/// Resident memory.
#[allow(clippy::disallowed_methods, reason = "/proc is no disk")]
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    resident_kib(&status)?.checked_mul(1024)
}

/// Resident memory: `VmRSS` of a `status` file, in the kernel's units of 1024 bytes.
pub fn resident_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

#[allow(clippy::disallowed_methods, reason = "/proc is no disk")]
fn open_files() -> Option<usize> {
    // The listing holds one of them open itself.
    std::fs::read_dir("/proc/self/fd")
        .ok()
        .map(|it| it.count().saturating_sub(1))
}
