//! A producer that writes one record after another to one partition, and remembers every ack.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use drave_protocol::error_code::ErrorCode;

use crate::support::client::{self, code};
use crate::support::wait::pause;
use crate::support::wire::Wire;

/// What a [`Steady`] lived through.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// Value and offset of every acked record, in order.
    pub(crate) acked: Vec<(String, i64)>,
    /// When each ack came, and from which port.
    pub(crate) at: Vec<(Instant, u16)>,
    pub(crate) errors: Vec<String>,
}

impl Account {
    /// # Panics
    /// Unless every acked record is where its ack said, in `values`, which are all that a partition keeps.
    #[track_caller]
    pub(crate) fn assert_kept(&self, values: &[Vec<u8>]) {
        for (value, offset) in &self.acked {
            let at = usize::try_from(*offset).expect("acked offsets are no wishes");
            let found = values.get(at).map(|it| String::from_utf8_lossy(it));
            assert_eq!(found.as_deref(), Some(value.as_str()), "acked at {offset}");
        }
    }

    /// The longest time between two acks.
    pub(crate) fn longest_gap(&self) -> Duration {
        let pairs = self.at.iter().zip(self.at.iter().skip(1));
        pairs
            .map(|((before, _), (after, _))| after.duration_since(*before))
            .max()
            .unwrap_or_default()
    }

    /// From `moment` to the first ack after it that `port` did not give: one of its acks may have been
    /// under way when it died.
    pub(crate) fn next_ack_not_from(&self, port: u16, moment: Instant) -> Option<Duration> {
        let mut later = self.at.iter().filter(|(at, _)| *at > moment);
        let (at, _) = later.find(|(_, from)| *from != port)?;
        Some(at.duration_since(moment))
    }
}

#[derive(Debug)]
pub(crate) struct Steady {
    is_stopping: Arc<AtomicBool>,
    n_acked: Arc<AtomicUsize>,
    thread: JoinHandle<Account>,
}

impl Steady {
    /// Produces with `acks=all` to one node, over one connection; ends at the first error.
    pub(crate) fn to_node(port: u16, topic: &str, partition: i32) -> Self {
        Self::spawn(Route::Node(port), topic, partition)
    }

    /// Produces with `acks=all` to whichever of the nodes leads, through deaths and elections.
    pub(crate) fn to_leader(ports: Vec<u16>, topic: &str, partition: i32) -> Self {
        Self::spawn(Route::Leader(ports), topic, partition)
    }

    fn spawn(route: Route, topic: &str, partition: i32) -> Self {
        let is_stopping = Arc::new(AtomicBool::new(false));
        let n_acked = Arc::new(AtomicUsize::new(0));
        let course = Course {
            route,
            topic: topic.to_owned(),
            partition,
            is_stopping: is_stopping.clone(),
            n_acked: n_acked.clone(),
        };
        Self {
            is_stopping,
            n_acked,
            thread: std::thread::spawn(move || course.run()),
        }
    }

    pub(crate) fn n_acked(&self) -> usize {
        self.n_acked.load(Ordering::Relaxed)
    }

    /// Whether it ended by itself.
    pub(crate) fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    pub(crate) fn stop(self) -> Account {
        self.is_stopping.store(true, Ordering::Relaxed);
        self.thread.join().expect("the producer ran to its end")
    }
}

#[derive(Debug)]
enum Route {
    Node(u16),
    Leader(Vec<u16>),
}

#[derive(Debug)]
struct Course {
    route: Route,
    topic: String,
    partition: i32,
    is_stopping: Arc<AtomicBool>,
    n_acked: Arc<AtomicUsize>,
}

impl Course {
    fn run(&self) -> Account {
        let mut account = Account::default();
        let mut connection = None;
        while !self.is_stopping.load(Ordering::Relaxed) {
            let step = match connection.take() {
                Some(wire) => Ok(wire),
                None => self.connect(),
            };
            match step.and_then(|wire| self.produce(wire, &mut account)) {
                Ok(wire) => connection = Some(wire),
                Err(error) => {
                    account.errors.push(error);
                    if let Route::Node(_) = self.route {
                        return account;
                    }
                    pause();
                }
            }
        }
        account
    }

    fn produce(&self, mut wire: Wire, account: &mut Account) -> Result<Wire, String> {
        // No two producers write the same.
        let producer = std::thread::current().id();
        let value = format!("{producer:?} record {}", account.acked.len());
        let answer = client::produce(&mut wire, &self.topic, self.partition, [&value])
            .map_err(|error| error.to_string())?;
        match code(answer.error_code) {
            ErrorCode::None => {
                account.acked.push((value, answer.base_offset));
                account.at.push((Instant::now(), wire.port()));
                self.n_acked.fetch_add(1, Ordering::Relaxed);
                Ok(wire)
            }
            refusal => Err(format!("{refusal:?}")),
        }
    }

    fn connect(&self) -> Result<Wire, String> {
        match &self.route {
            Route::Node(port) => Wire::connect(*port).map_err(|error| error.to_string()),
            Route::Leader(ports) => {
                let found = ports.iter().find_map(|port| self.leader_by(*port));
                let mut wire = found.ok_or("no node names a leader that is reached")?;
                // A leader that hangs instead of dying must not hold the producer for long.
                wire.read_timeout(Duration::from_secs(3));
                Ok(wire)
            }
        }
    }

    fn leader_by(&self, port: u16) -> Option<Wire> {
        let mut wire = Wire::connect(port).ok()?;
        let answer = client::metadata(&mut wire, &[&self.topic]).ok()?;
        let mut partitions = answer.topics.iter().flat_map(|it| &it.partitions);
        let partition = partitions.find(|it| it.partition_index == self.partition)?;
        let mut brokers = answer.brokers.iter();
        let leader = brokers.find(|it| it.node_id == partition.leader_id)?;
        Wire::connect(u16::try_from(leader.port).ok()?).ok()
    }
}
