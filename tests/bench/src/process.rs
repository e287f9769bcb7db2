//! What the kernel knows of a process: the time it had, and the memory it holds.

use std::fs;

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Of one process, or of several together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    /// Seconds of a core, by itself and by the kernel for it.
    pub(crate) cpu_seconds: f64,
    /// Resident, now.
    pub(crate) rss_mb: f64,
}

impl std::iter::Sum for Usage {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), std::ops::Add::add)
    }
}

impl std::ops::Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            cpu_seconds: self.cpu_seconds + other.cpu_seconds,
            rss_mb: self.rss_mb + other.rss_mb,
        }
    }
}

/// For this process and those it starts.
pub(crate) fn allow_open_files(n: u64) -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|it| it >= n) {
        return Ok(());
    }
    let maximum = limit.maximum.map(|it| it.max(n));
    let raised = Rlimit {
        current: Some(n),
        maximum,
    };
    setrlimit(Resource::Nofile, raised).with_context(|| {
        format!("{n} open files are not allowed (only {maximum:?}); run it as root, or after `ulimit -n {n}`")
    })
}

pub(crate) fn usage(pid: u32) -> anyhow::Result<Usage> {
    let read = |file: &str| read(&format!("/proc/{pid}/{file}")).context("did it end?");
    let parsed = parse(&read("stat")?, &read("statm")?);
    parsed.with_context(|| format!("/proc/{pid} tells nothing"))
}

/// Seconds of all cores that went to anything but this process and what it has waited for, its generators: brokers,
/// and what the kernel does for them in threads of its own, as writing to the disk. Of two looks the difference tells.
pub(crate) fn others_cpu_seconds() -> anyhow::Result<f64> {
    let parsed = parse_others(&read("/proc/stat")?, &read("/proc/self/stat")?);
    parsed.context("/proc/stat tells nothing")
}

fn read(path: &str) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
}

fn parse_others(machine: &str, own: &str) -> Option<f64> {
    let cpu = machine.lines().find_map(|it| it.strip_prefix("cpu "))?;
    let cpu: Vec<f64> = cpu
        .split_whitespace()
        .map_while(|it| it.parse().ok())
        .collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, ..] = cpu.as_slice() else {
        return None;
    };
    let fields = fields_of(own)?;
    let own = fields.get(11..15)?.iter().map(|it| it.parse::<f64>().ok());
    let own: f64 = own.sum::<Option<f64>>()?;
    Some((user + nice + system + irq + softirq - own) / ticks_per_second()?)
}

fn ticks_per_second() -> Option<f64> {
    let ticks = u32::try_from(rustix::param::clock_ticks_per_second()).ok()?;
    Some(f64::from(ticks))
}

/// From the third on: the name before may have spaces, and ends with the last bracket.
fn fields_of(stat: &str) -> Option<Vec<&str>> {
    Some(stat.rsplit_once(')')?.1.split_whitespace().collect())
}

fn parse(stat: &str, statm: &str) -> Option<Usage> {
    let fields = fields_of(stat)?;
    let ticks = |i: usize| fields.get(i)?.parse::<f64>().ok();
    let pages: f64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    let page_bytes = f64::from(u32::try_from(rustix::param::page_size()).ok()?);
    Some(Usage {
        // Fields 14 and 15 of the file: the name's bracket closes the second.
        cpu_seconds: (ticks(11)? + ticks(12)?) / ticks_per_second()?,
        rss_mb: pages * page_bytes / 1e6,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_usage_is_told() {
        let own = usage(std::process::id()).unwrap();
        assert!(own.rss_mb > 0.5, "{own:?}");
    }

    #[test]
    fn idle_time_and_our_own_are_nobody_elses() {
        let machine = "cpu  500 20 300 9000 70 10 40 3 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        let own = "7 (a) S 1 7 7 0 -1 4194560 100 0 0 0 50 20 100 30 20 0 1 0 9 9 9";
        let others = parse_others(machine, own).unwrap();
        assert!((others - 6.7).abs() < 1e-9, "{others}");
        assert!(others_cpu_seconds().unwrap() > 0.0);
    }

    #[test]
    fn a_name_with_brackets_is_no_obstacle() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 1 0 9 9 9";
        let usage = parse(stat, "1000 250 9 9 0 9 0").unwrap();
        assert!((usage.cpu_seconds - 2.0).abs() < 1e-9, "{usage:?}");
    }
}
