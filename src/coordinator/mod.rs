//! Group coordinators: who is in a group, who reads what, and how far they got.
//!
//! | file | what it is |
//! |---|---|
//! | `decision`, `error` | what a shard answers: records, answers, deadlines; refusals |
//! | `group/` | the groups of one partition: decisions, and what replaying records brings about |
//! | `records/` | what is agreed on, as it lies in the log |
//! | `topic` | `__consumer_offsets`, and which partition of it a group is in |
//! | `writer`, `log_writer` | the log as a coordinator sees it, and the real one |
//! | `runtime/`, `timers` | a loop for each partition led here, and its deadlines |
//! | `asking` | what handlers ask |
//! | `following` | loops begin and end with leadership |
//!
//! Invariants: what a group agreed on changes by replaying records only; nothing is answered before the
//! records it rests on are committed; a shard whose partition is led in another epoch answers nothing.

mod asking;
pub mod decision;
pub mod error;
mod following;
pub mod group;
mod log_writer;
pub mod records;
mod runtime;
mod timers;
pub mod topic;
pub mod writer;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use drave_protocol::ids::NodeId;
use parking_lot::RwLock;

pub use self::decision::{Decision, TimerChange, TimerKey, TimerKind};
pub use self::error::GroupError;
use self::runtime::running::Surroundings;
use self::runtime::slot::Slot;
use crate::clock::Clock;
use crate::cluster::{ControllerLink, Metadata};
use crate::config::BrokerConfig;
use crate::random::Random;
use crate::replica::Replicas;
use crate::tasks::Tasks;

/// What the coordinators of a node work with.
#[derive(Debug)]
pub struct Deps {
    pub node: NodeId,
    pub config: Arc<BrokerConfig>,
    pub clock: Clock,
    pub tasks: Tasks,
    pub random: Random,
    pub metadata: Metadata,
    pub replicas: Replicas,
    pub link: ControllerLink,
}

/// All groups coordinated here. A cheap handle.
#[derive(Clone)]
pub struct GroupCoordinator {
    shared: Arc<Shared>,
}

struct Shared {
    deps: Deps,
    slots: RwLock<BTreeMap<i32, Slot>>,
    /// One asks for the topic to be created, the others wait.
    creating: tokio::sync::Mutex<()>,
}

/// How much is coordinated here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    pub n_partitions: usize,
    /// Of which the log is being read.
    pub n_loading: usize,
    pub n_groups: usize,
    pub n_members: usize,
    pub n_offsets: usize,
}

impl GroupCoordinator {
    pub fn new(deps: Deps) -> Self {
        let shared = Shared {
            deps,
            slots: RwLock::default(),
            creating: tokio::sync::Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Takes up and gives up partitions as the metadata says, from here on.
    pub fn start(&self) {
        let metadata = self.shared.deps.metadata.clone();
        let following = following::run(self.clone(), metadata);
        self.shared
            .deps
            .tasks
            .spawn("group coordinators", following);
    }

    pub fn load(&self) -> Load {
        use std::sync::atomic::Ordering::Relaxed;
        let mut load = Load::default();
        for slot in self.shared.slots.read().values() {
            load.n_partitions += 1;
            load.n_loading += usize::from(!slot.gauges.is_loaded());
            load.n_groups += slot.gauges.n_groups.load(Relaxed);
            load.n_members += slot.gauges.n_members.load(Relaxed);
            load.n_offsets += slot.gauges.n_offsets.load(Relaxed);
        }
        load
    }

    fn surroundings(&self) -> Surroundings {
        let deps = &self.shared.deps;
        Surroundings {
            config: Arc::clone(&deps.config),
            clock: deps.clock.clone(),
            tasks: deps.tasks.clone(),
            random: deps.random.clone(),
            metadata: deps.metadata.clone(),
        }
    }
}

impl fmt::Debug for GroupCoordinator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupCoordinator")
            .field("load", &self.load())
            .finish_non_exhaustive()
    }
}
