//! One partition's cluster: real state machines, and around them time, network, quorum and disks that
//! obey a seed.
//!
//! | file | what it simulates |
//! |---|---|
//! | `event`, `queue` | what happens, and in which order |
//! | `network` | messages delayed, held, lost |
//! | `quorum`, `controller` | the agreed log; who decides what goes into it |
//! | `process`, `liveness`, `links` | a broker's process, its heartbeats, its calls to the controller |
//! | `leading`, `following`, `disk` | the two ends of a fetch; write now, sync later |
//! | `clients`, `deletion` | producers and readers; records that are to go |
//! | `faults`, `heal`, `operator` | what goes wrong, that it passes, and who helps where it does not |
//! | `watch` | looks at every replica after every step, and tells the oracle |

mod clients;
mod controller;
mod deletion;
mod disk;
mod event;
mod faults;
mod following;
mod heal;
mod leading;
mod links;
mod liveness;
mod network;
mod operator;
mod process;
mod queue;
mod quorum;
mod watch;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use drave::clock::Clock;
use drave::config::{BrokerConfig, TopicConfig};
use drave::controller::decision::Policy;
use drave::replica::solo::Settings;
use drave_protocol::ids::{NodeId, TopicIdPartition, TopicPartition, Uuid};

use crate::chance::{Chance, mixed};
use crate::history::Fact;
use crate::oracle::{Oracle, Promise};
use crate::swarm::Swarm;

use self::clients::{Producer, Reader};
use self::controller::Reigning;
use self::event::Event;
use self::network::Network;
use self::process::Broker;
use self::queue::Queue;
use self::quorum::Quorum;

pub const TOPIC: &str = "t";

pub fn topic_id() -> Uuid {
    Uuid([7; 16])
}

pub fn partition_id() -> TopicIdPartition {
    TopicIdPartition {
        topic_id: topic_id(),
        partition: 0,
    }
}

/// Brokers are counted from 0, and known by ids from 1.
pub fn node_id(broker: usize) -> NodeId {
    NodeId(broker as i32 + 1)
}

/// Counted while a schedule runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub steps: u64,
    pub virtual_us: u64,
    pub acked_records: u64,
    pub faults: u64,
    pub elections: u64,
}

#[allow(missing_debug_implementations, reason = "it shows itself by its trace")]
pub struct World {
    pub(crate) swarm: Swarm,
    pub(crate) chance: Chance,
    pub(crate) now: u64,
    queue: Queue,
    epoch: Instant,
    settings: Settings,
    config: Arc<BrokerConfig>,
    policy: Policy,
    network: Network,
    quorum: Quorum,
    reigns: Vec<Reigning>,
    brokers: Vec<Broker>,
    producers: Vec<Producer>,
    readers: Vec<Reader>,
    pub(crate) oracle: Oracle,
    pub(crate) tally: Tally,
    is_healing: bool,
    has_lost_log: bool,
    /// Whose log is gone, and not begun anew.
    lost_log: Option<usize>,
    /// Whether an operator had a replica lead that may lack records, and when one asks again.
    accepts_loss: bool,
    asks_again_at: u64,
    reassigns_again_at: u64,
    n_losses: u64,
    skew_ppm: Vec<i64>,
    hash: u64,
    lines: Option<Vec<String>>,
    next_id: u64,
}

fn real_epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(|| Clock::system().now())
}

impl World {
    pub fn new(swarm: Swarm, is_traced: bool) -> Self {
        let mut chance = Chance::new(swarm.seed ^ 0x5eed);
        let (config, topic) = configured(&swarm);
        let name = TopicPartition {
            topic: TOPIC.to_owned(),
            partition: 0,
        };
        let settings = Settings::new((partition_id(), name), &config, &topic, swarm.segment_bytes);
        let ppm = swarm.skew_ppm;
        let skew_ppm = (0..=swarm.n_brokers)
            .map(|_| chance.between(0, 2 * ppm + 1) as i64 - ppm as i64)
            .collect();
        let promise = Promise {
            min_isr: swarm.min_isr,
            counts_on_disk: !swarm.is_async,
            may_lose: swarm.is_reckless,
        };
        let mut world = Self {
            chance,
            now: 0,
            queue: Queue::default(),
            epoch: real_epoch(),
            settings,
            policy: Policy::new(Arc::clone(&config)),
            config,
            network: Network::default(),
            quorum: Quorum::default(),
            reigns: Vec::new(),
            brokers: Vec::new(),
            producers: Vec::new(),
            readers: Vec::new(),
            oracle: Oracle::new(promise),
            tally: Tally::default(),
            is_healing: false,
            has_lost_log: false,
            lost_log: None,
            accepts_loss: false,
            asks_again_at: 0,
            reassigns_again_at: 0,
            n_losses: 0,
            skew_ppm,
            hash: 0,
            lines: is_traced.then(Vec::new),
            next_id: 0,
            swarm,
        };
        world.form();
        world
    }

    /// The safety phase, then the heal phase.
    pub fn run(&mut self) {
        self.run_until(self.swarm.span_us);
        if self.oracle.violation().is_none() {
            self.heal();
        }
        self.tally.virtual_us = self.now;
    }

    fn run_until(&mut self, end: u64) {
        while self.oracle.violation().is_none() {
            let Some((at, event)) = self.queue.pop_until(end) else {
                self.now = self.now.max(end);
                return;
            };
            self.now = at;
            self.tally.steps += 1;
            self.handle(event);
        }
    }

    fn handle(&mut self, event: Event) {
        self.trace(|| format!("{event}"), event.digest());
        match event {
            Event::Broker { broker, life, what } => self.at_broker(broker, life, what),
            Event::Controller { reign, what } => self.at_controller(reign, what),
            Event::Agree { reign, records } => self.agree(reign, records),
            Event::Activate { term } => self.activate(term),
            Event::Client(what) => self.at_client(what),
            Event::Fault(what) => self.fault(what),
        }
    }

    // ---- time --------------------------------------------------------------------------------

    /// The time at the controllers (0) or at a broker (its number + 1).
    fn instant(&self, who: usize) -> Instant {
        let skew = self.now as i64 * self.skew_ppm[who] / 1_000_000;
        self.epoch + Duration::from_micros((self.now as i64 + skew + 1_000_000) as u64)
    }

    /// When it will be that time there.
    fn moment_of(&self, who: usize, instant: Instant) -> u64 {
        let local = instant.saturating_duration_since(self.epoch).as_micros() as i64 - 1_000_000;
        let ppm = 1_000_000 + self.skew_ppm[who];
        (local.max(0) * 1_000_000 / ppm) as u64 + 1
    }

    fn wall_ms(&self, who: usize) -> i64 {
        let skew_ms = mixed(self.swarm.seed ^ who as u64) % 100_000;
        1_700_000_000_000 + (self.now / 1000 + skew_ms) as i64
    }

    fn after(&mut self, delay_us: u64, event: Event) {
        self.queue.push(self.now + delay_us, event);
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    // ---- what is told ------------------------------------------------------------------------

    fn tell(&mut self, fact: &Fact) {
        self.trace(|| format!("    {fact:?}"), 1);
        self.oracle.tell(self.now, fact);
    }

    fn trace(&mut self, line: impl FnOnce() -> String, digest: u64) {
        self.hash = mixed(self.hash ^ mixed(self.now) ^ digest).wrapping_add(digest);
        if let Some(lines) = &mut self.lines {
            let (ms, us) = (self.now / 1000, self.now % 1000);
            lines.push(format!("{ms:6}.{us:03} {}", line()));
        }
    }

    /// The same for the same seed.
    pub fn trace_hash(&self) -> u64 {
        self.hash
    }

    pub fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }

    /// For an assertion that failed: the world is left as it is.
    pub fn panicked(&mut self, message: String) {
        self.tell(&Fact::Panicked { message });
        self.tally.virtual_us = self.now;
    }
}

fn configured(swarm: &Swarm) -> (Arc<BrokerConfig>, TopicConfig) {
    let (min_isr, session) = (swarm.min_isr.to_string(), swarm.session_ms.to_string());
    let (lag, heartbeat) = (swarm.lag_ms.to_string(), swarm.heartbeat_ms.to_string());
    let config = BrokerConfig::from_pairs([
        ("min.insync.replicas", min_isr.as_str()),
        (
            "log.flush.mode",
            if swarm.is_async { "async" } else { "commit" },
        ),
        (
            "unclean.leader.election.enable",
            if swarm.is_unclean_allowed {
                "true"
            } else {
                "false"
            },
        ),
        ("broker.session.timeout.ms", session.as_str()),
        ("broker.heartbeat.interval.ms", heartbeat.as_str()),
        ("replica.lag.time.max.ms", lag.as_str()),
    ]);
    let config = Arc::new(config.expect("these are valid"));
    let topic = TopicConfig::effective(&config, &std::collections::BTreeMap::new());
    (config, topic)
}
