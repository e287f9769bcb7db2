//! Faults planted on purpose, so that tests can show that they would notice.
//!
//! Compiled in by the feature `planted-faults` only, which test builds turn on and releases do not; without
//! it [`is_planted`] is `false` for the compiler too, and nothing of this is left in the binary.
//!
//! Two ways to plant one: `DRAVE_PLANT=ack-before-replication drave start` (comma-separated names) for a
//! process, [`plant`] for the calling thread until what it returns is dropped. Never by configuration.

/// What can be planted: a variant, the name it goes by, and what it breaks.
macro_rules! faults {
    ($( $(#[$doc:meta])* $fault:ident = $name:literal; )*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Fault { $( $(#[$doc])* $fault, )* }

        impl Fault {
            pub const ALL: &[Self] = &[$(Self::$fault,)*];

            pub const fn name(self) -> &'static str {
                match self { $(Self::$fault => $name,)* }
            }

            pub fn by_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$fault),)* _ => None }
            }
        }
    };
}

faults! {
    /// Files are never synced; the answer is success all the same.
    NoFileSync = "no-file-sync";
    /// Folders are never synced: a new file may lose its name.
    NoFolderSync = "no-folder-sync";
    /// Recovery keeps what lies behind the first bad batch.
    TornTailKept = "torn-tail-kept";
    /// An index is believed without a look at the log it points into.
    IndexTrustedBlindly = "index-trusted-blindly";
    /// A leader acks `acks=all` as soon as it has appended.
    AckBeforeReplication = "ack-before-replication";
    /// A follower of a new leader cuts its log to the high watermark it knows.
    TruncateToHighWatermark = "truncate-to-high-watermark";
    /// A producer's last four batches are remembered, not five.
    WindowOfFour = "window-of-four";
    /// A leader's high watermark is one above what its ISR holds.
    HighWatermarkOffByOne = "high-watermark-off-by-one";
    /// What a replica has not synced counts, though it should count on disk only.
    UnsyncedCounts = "unsynced-counts";
    /// A follower asks a new leader for what follows bytes it has not synced.
    ClaimsUnsynced = "claims-unsynced";
    /// A follower may join the ISR of a leader whose high watermark is still that of the one before.
    JoinsBeforeEpochStart = "joins-before-epoch-start";
    /// Who is proposed for the ISR is waited for only once it is agreed.
    NoMaximalIsr = "no-maximal-isr";
    /// The high watermark rises with fewer in sync than it needs.
    MinIsrIgnored = "min-isr-ignored";
    /// A fetch counts for the ISR whichever process of the broker sent it.
    StaleFetchCounts = "stale-fetch-counts";
    /// A leader sends a follower what comes next without a look at where their histories part.
    DivergenceUnseen = "divergence-unseen";
    /// A consumer is given what is not committed.
    ReadsPastHighWatermark = "reads-past-high-watermark";
    /// A broker nobody hears goes on taking records.
    LeaseIgnored = "lease-ignored";
    /// A process leads what an image from before its registration says it leads.
    LeadsByOldImage = "leads-by-old-image";
    /// A process deletes a log that an image from before its registration shows as held here no longer.
    OldImageTakesAway = "old-image-takes-away";
    /// A follower claims a log start that a crash would take back.
    UnnotedStartClaimed = "unnoted-start-claimed";
    /// The controller takes ISR changes that were decided on an older state.
    StaleProposalTaken = "stale-proposal-taken";
    /// Anybody alive is elected, and nobody told that records may be lost.
    SilentUncleanElection = "silent-unclean-election";
    /// A broker that crashed counts as one that stopped cleanly.
    CrashTakenForStop = "crash-taken-for-stop";
    /// A heartbeat that was overtaken by later ones counts.
    LateHeartbeatCounts = "late-heartbeat-counts";
    /// A polite stop ends as by kill -9 when it has only begun; the next ones end it further on.
    StopDiesBeforeHandingOver = "stop-dies-before-handing-over";
    StopDiesBeforeDraining = "stop-dies-before-draining";
    StopDiesBeforeSyncing = "stop-dies-before-syncing";
    StopDiesBeforeTheMarker = "stop-dies-before-the-marker";
    StopDiesAfterTheMarker = "stop-dies-after-the-marker";
    StopDiesBeforeTheQuorumCloses = "stop-dies-before-the-quorum-closes";
}

/// Ends the process at once, as kill -9 would, where that is planted.
pub fn die_if(fault: Fault) {
    if is_planted(fault) {
        std::process::abort();
    }
}

/// The environment's variable that plants faults, where they can be planted.
pub const VARIABLE: Option<&str> = if cfg!(feature = "planted-faults") {
    Some("DRAVE_PLANT")
} else {
    None
};

#[cfg(feature = "planted-faults")]
mod planting {
    use std::cell::Cell;

    use super::Fault;

    thread_local! {
        // By thread, so that a test does not disturb its neighbours.
        static PLANTED: Cell<u64> = Cell::new(of_environment());
    }

    /// All that is planted here.
    pub fn all_planted() -> Vec<Fault> {
        let all = Fault::ALL.iter().copied();
        all.filter(|it| is_planted(*it)).collect()
    }

    fn bit(fault: Fault) -> u64 {
        Fault::ALL
            .iter()
            .position(|it| *it == fault)
            .map_or(0, |at| 1 << at)
    }

    fn of_environment() -> u64 {
        let names = std::env::var("DRAVE_PLANT").unwrap_or_default();
        let faults = names.split(',').filter(|it| !it.is_empty()).map(|name| {
            Fault::by_name(name).unwrap_or_else(|| panic!("DRAVE_PLANT: no fault is called {name}"))
        });
        faults.map(bit).fold(0, |all, it| all | it)
    }

    pub fn is_planted(fault: Fault) -> bool {
        PLANTED.get() & bit(fault) != 0
    }

    /// Plants a fault for this thread, until the answer is dropped.
    #[must_use = "dropping it takes the fault out again"]
    pub fn plant(fault: Fault) -> Planted {
        let before = PLANTED.get();
        PLANTED.set(before | bit(fault));
        Planted { before }
    }

    #[derive(Debug)]
    pub struct Planted {
        before: u64,
    }

    impl Drop for Planted {
        fn drop(&mut self) {
            PLANTED.set(self.before);
        }
    }
}

#[cfg(feature = "planted-faults")]
pub use planting::{Planted, all_planted, is_planted, plant};

#[cfg(not(feature = "planted-faults"))]
pub const fn is_planted(_: Fault) -> bool {
    false
}

#[cfg(not(feature = "planted-faults"))]
pub const fn all_planted() -> Vec<Fault> {
    Vec::new()
}

#[cfg(all(test, feature = "planted-faults"))]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_there_while_it_is_planted_and_on_this_thread_only() {
        assert!(!is_planted(Fault::NoFileSync));
        let planted = plant(Fault::NoFileSync);
        assert!(is_planted(Fault::NoFileSync) && !is_planted(Fault::WindowOfFour));
        std::thread::scope(|threads| {
            threads.spawn(|| assert!(!is_planted(Fault::NoFileSync)));
        });
        drop(planted);
        assert!(!is_planted(Fault::NoFileSync));
        assert!(
            Fault::ALL
                .iter()
                .all(|it| Fault::by_name(it.name()) == Some(*it))
        );
        assert!(Fault::ALL.len() <= 64, "one bit each");
    }
}
