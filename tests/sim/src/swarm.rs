//! What a seed draws before anything happens: the cluster, its load, and which faults befall it how often.
//!
//! Each schedule has some of the faults, not all: a system that is broken in every way at once does
//! little, and little goes wrong with it.

use crate::chance::Chance;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// SIGKILL: the page cache stays.
    Kill,
    /// The machine goes off, and what was not synced is gone, or some of it.
    PowerCut,
    /// All machines at once.
    PowerCutEverywhere,
    /// The machine goes off between two changes of its disk, whatever it is doing.
    PowerCutMidway,
    /// A polite stop and a new start.
    Restart,
    /// The process stands still, and goes on.
    Pause,
    /// Two nodes, or a node and the controller, do not hear each other, in one direction or both.
    Partition,
    /// One broker hears nobody and is heard by nobody but clients.
    Isolate,
    /// Another controller is elected; the old one may not know it at once.
    ControllerChange,
    /// A change of the disk fails with EIO.
    DiskError,
    /// A sync fails; the kernel forgets what it did not write.
    SyncError,
    /// A stopped broker finds the folder of its log gone.
    LostLog,
    /// A broker's disk is another one, with nothing on it; an operator lets it in anew.
    WipedDisk,
    /// Metadata reaches one broker late.
    MetadataLag,
    /// One disk takes long to sync.
    SlowDisk,
    /// No fault of anybody: records are deleted, up to any offset that is committed.
    DeleteRecords,
    /// Nor of this one: an operator has the replicas move.
    Reassign,
}

const ALL: &[FaultKind] = &[
    FaultKind::Kill,
    FaultKind::PowerCut,
    FaultKind::PowerCutEverywhere,
    FaultKind::PowerCutMidway,
    FaultKind::Restart,
    FaultKind::Pause,
    FaultKind::Partition,
    FaultKind::Isolate,
    FaultKind::ControllerChange,
    FaultKind::DiskError,
    FaultKind::SyncError,
    FaultKind::LostLog,
    FaultKind::MetadataLag,
    FaultKind::SlowDisk,
];

#[derive(Clone, Debug)]
pub struct Swarm {
    pub seed: u64,
    pub n_brokers: usize,
    pub min_isr: usize,
    /// `log.flush.mode=async`: what is acknowledged may lie in page caches only.
    pub is_async: bool,
    pub is_unclean_allowed: bool,
    /// More replicas may lose bytes than `min_isr` protects from.
    pub is_reckless: bool,
    pub segment_bytes: u64,
    pub session_ms: u64,
    pub heartbeat_ms: u64,
    pub lag_ms: u64,
    pub fetch_bytes: usize,
    pub n_producers: usize,
    /// Between two batches of a producer, on average.
    pub produce_gap_us: u64,
    pub span_us: u64,
    pub latency_us: u64,
    /// Messages in a thousand that take far longer.
    pub slow_permille: u64,
    /// Answers in a thousand that are lost with their connection.
    pub lost_permille: u64,
    pub metadata_lag_us: u64,
    pub sync_us: u64,
    pub faults: Vec<FaultKind>,
    pub fault_gap_us: u64,
    /// Clocks run this much fast or slow at most.
    pub skew_ppm: u64,
}

impl Swarm {
    pub fn reassigns(&self) -> bool {
        self.faults.contains(&FaultKind::Reassign)
    }

    pub fn of(seed: u64) -> Self {
        let mut it = Chance::new(seed);
        let n_brokers = *it.pick(&[1, 2, 3, 3, 3, 3, 3, 4, 5]);
        let min_isr = match n_brokers {
            1 => 1,
            2 => *it.pick(&[1, 2]),
            3 => *it.pick(&[1, 2, 2, 2, 3]),
            _ => *it.pick(&[2, 2, 3]),
        };
        let is_async = it.permille(300);
        let is_unclean_allowed = it.permille(30);
        let is_reckless = is_unclean_allowed || (is_async && it.permille(100));
        let mut faults: Vec<FaultKind> = ALL.iter().copied().filter(|_| it.permille(350)).collect();
        // A log that is lost is one that was counted on: two others must have what it had.
        if is_async || min_isr < 2 || n_brokers < 3 {
            faults.retain(|it| *it != FaultKind::LostLog);
        }
        // How many replicas lose bytes, and when, is then for the schedule to keep in bounds.
        if is_async && !is_reckless {
            let is_bounded = |it: &FaultKind| {
                !matches!(
                    it,
                    FaultKind::DiskError | FaultKind::SyncError | FaultKind::PowerCutMidway
                )
            };
            faults.retain(is_bounded);
        }
        if faults.is_empty() {
            faults.push(FaultKind::Kill);
        }
        let session_ms = *it.pick(&[1000, 1500, 2000]);
        let mut swarm = Self {
            seed,
            n_brokers,
            min_isr,
            is_async,
            is_unclean_allowed,
            is_reckless,
            segment_bytes: *it.pick(&[600, 2000, 1 << 20]),
            session_ms,
            heartbeat_ms: session_ms / *it.pick(&[4, 6, 10]),
            lag_ms: *it.pick(&[300, 800, 2000]),
            fetch_bytes: *it.pick(&[1, 400, 1 << 20]),
            n_producers: it.between(1, 4) as usize,
            produce_gap_us: *it.pick(&[20_000, 60_000, 150_000]),
            span_us: it.between(2_000, 9_000) * 1000,
            latency_us: *it.pick(&[500, 2_000, 10_000]),
            slow_permille: *it.pick(&[0, 0, 5, 30]),
            lost_permille: *it.pick(&[0, 5, 30, 100]),
            metadata_lag_us: *it.pick(&[1_000, 5_000, 50_000, 300_000]),
            sync_us: *it.pick(&[200, 2_000, 20_000]),
            faults,
            fault_gap_us: *it.pick(&[150_000, 400_000, 900_000, 2_000_000]),
            skew_ppm: *it.pick(&[0, 1_000, 50_000]),
        };
        // Drawn last: what seeds drew before there was this one they draw still. It loses as much as a lost log.
        let may_lose_a_log = !is_async && min_isr >= 2 && n_brokers >= 3;
        if it.permille(250) && may_lose_a_log {
            swarm.faults.push(FaultKind::WipedDisk);
        }
        if it.permille(350) {
            swarm.faults.push(FaultKind::DeleteRecords);
        }
        if it.permille(250) && n_brokers > min_isr {
            swarm.faults.push(FaultKind::Reassign);
        }
        swarm
    }
}
