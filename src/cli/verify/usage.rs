//! What a process uses, as Linux tells.

use anyhow::Context;

use crate::telemetry::process;

/// Of `/proc/PID/stat`, on every Linux there is.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    /// User and system time so far.
    pub(super) cpu_seconds: f64,
    pub(super) resident_kb: f64,
    pub(super) n_files: usize,
}

impl Usage {
    #[allow(clippy::disallowed_methods, reason = "files of the system's")]
    pub(super) fn of(pid: u32) -> anyhow::Result<Self> {
        let read = |name: &str| {
            let path = format!("/proc/{pid}/{name}");
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
        };
        let files = format!("/proc/{pid}/fd");
        let files = std::fs::read_dir(&files).with_context(|| format!("cannot list {files}"))?;
        Ok(Self {
            cpu_seconds: cpu_seconds(&read("stat")?).context("/proc/PID/stat has no times")?,
            resident_kb: resident_kb(&read("status")?).context("/proc/PID/status has no VmRSS")?,
            n_files: files.count(),
        })
    }
}

/// The name before may hold anything.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

fn resident_kb(status: &str) -> Option<f64> {
    let kib = process::resident_kib(status)?;
    u32::try_from(kib).ok().map(f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_tells_is_read() {
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(
            resident_kb("VmPeak: 9 kB\nVmRSS:\t 2048 kB\n"),
            Some(2048.0)
        );
        assert_eq!(resident_kb("nothing"), None);
    }
}
