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

/// Resident memory: `VmRSS` of `status`, which the kernel gives in units of 1024 bytes.
#[allow(clippy::disallowed_methods, reason = "/proc is no disk")]
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[allow(clippy::disallowed_methods, reason = "/proc is no disk")]
fn open_files() -> Option<usize> {
    // The listing holds one of them open itself.
    std::fs::read_dir("/proc/self/fd")
        .ok()
        .map(|it| it.count().saturating_sub(1))
}
