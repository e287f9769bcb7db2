//! Carries a schedule of faults out, and takes all of them back.
//!
//! Invariant: a node is down, or paused, as long as any fault under way wants it so; it comes back with the
//! end of the last of them.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use drave_client::Admin;
use drave_protocol::ids::NodeId;

use crate::cli::verify::cluster::{self, Cluster};
use crate::cli::verify::faults::{Kind, Strike};
use crate::cli::verify::history::History;
use crate::cli::verify::wires::{Cut, Traffic};
use crate::clock::Clock;
use crate::oracle::verdict;

/// How often it is looked whether all processes are there.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A double failover: how long followers lack what their leader has before it dies, how long until it is
/// back, and until the next leader dies.
const CUT_OFF_FOR: Duration = Duration::from_millis(300);
const BACK_AFTER: Duration = Duration::from_millis(1_200);
const NEXT_DIES_AFTER: Duration = Duration::from_secs(1);
const READY_PATIENCE: Duration = Duration::from_mins(3);

#[derive(Debug)]
pub(super) struct Nemesis<'a> {
    cluster: &'a mut Cluster,
    topic: String,
    history: Arc<History>,
    clock: Clock,
    down: BTreeMap<NodeId, BTreeSet<usize>>,
    paused: BTreeMap<NodeId, BTreeSet<usize>>,
    cuts: BTreeMap<usize, BTreeSet<Cut>>,
    full: BTreeMap<usize, NodeId>,
    stalled: BTreeMap<usize, NodeId>,
}

/// The start or the end of a fault. What ends at a moment ends before what begins then: that one may be
/// meant to be alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    End,
    Begin,
}

impl<'a> Nemesis<'a> {
    pub(super) fn new(
        cluster: &'a mut Cluster,
        topic: &str,
        history: &Arc<History>,
        clock: &Clock,
    ) -> Self {
        Self {
            cluster,
            topic: topic.to_owned(),
            history: Arc::clone(history),
            clock: clock.clone(),
            down: BTreeMap::new(),
            paused: BTreeMap::new(),
            cuts: BTreeMap::new(),
            full: BTreeMap::new(),
            stalled: BTreeMap::new(),
        }
    }

    /// Until the last fault is over, and no shorter than `duration`.
    pub(super) async fn run(
        &mut self,
        strikes: &[Strike],
        duration: Duration,
    ) -> anyhow::Result<()> {
        let started = self.clock.now();
        let mut turns: Vec<(Duration, Turn, usize)> = Vec::new();
        for (number, strike) in strikes.iter().enumerate() {
            turns.push((strike.at, Turn::Begin, number));
            turns.push((strike.at + strike.lasts, Turn::End, number));
        }
        turns.sort_unstable();
        for (at, turn, number) in turns {
            self.wait_until(started + at).await?;
            let Some(strike) = strikes.get(number) else {
                continue;
            };
            match turn {
                Turn::Begin => self.begin(number, strike).await?,
                Turn::End => self.end(number).await?,
            }
        }
        self.wait_until(started + duration).await
    }

    /// The power goes again and again, each time under load.
    pub(super) async fn cut_power(&mut self, strikes: &[Strike]) -> anyhow::Result<()> {
        for (number, strike) in strikes.iter().enumerate() {
            let acked = self.history.standing().n_acked;
            // Load first: a cut among nothing proves nothing.
            let deadline = self.clock.now() + READY_PATIENCE;
            while self.history.standing().n_acked < acked + 100 {
                if self.clock.now() >= deadline {
                    let what = format!("nothing is acked after power cut {number}");
                    self.history.found(verdict::Kind::NotHealed, 1, what);
                    return Ok(());
                }
                self.wait_until(self.clock.now() + LOOK_EVERY).await?;
            }
            self.wait_until(self.clock.now() + strike.lasts).await?;
            self.begin(number, strike).await?;
            self.end(number).await?;
            let deadline = self.clock.now() + READY_PATIENCE;
            if let Err(error) = self.cluster.wait_ready(deadline).await {
                // What keeps a node from coming back is what the power was cut to find.
                let what = format!("after power cut {number}: {error:#}");
                self.history.found(verdict::Kind::NodeDied, 1, what);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Takes back whatever is still there, and waits until every node is ready.
    pub(super) async fn heal(&mut self, deadline: Instant) -> anyhow::Result<()> {
        self.down.clear();
        self.paused.clear();
        self.cuts.clear();
        for id in mem::take(&mut self.stalled).into_values() {
            self.cluster.disk(id)?.thaw()?;
        }
        for id in mem::take(&mut self.full).into_values() {
            self.cluster.disk(id)?.make_room()?;
        }
        for id in self.cluster.ids() {
            self.cluster.node(id)?.resume();
        }
        self.cluster.wires.cut(BTreeSet::new());
        self.cluster.start_all().await?;
        self.cluster.wait_ready(deadline).await
    }

    async fn wait_until(&mut self, deadline: Instant) -> anyhow::Result<()> {
        loop {
            self.look().await?;
            let now = self.clock.now();
            if now >= deadline {
                return Ok(());
            }
            self.clock.sleep_until(deadline.min(now + LOOK_EVERY)).await;
        }
    }

    /// A node that ended by itself is told, and started again.
    async fn look(&mut self) -> anyhow::Result<()> {
        for (id, what) in self.cluster.dead().await {
            self.history.found(verdict::Kind::NodeDied, 1, what);
            if self.down.get(&id).is_none_or(BTreeSet::is_empty) {
                self.cluster.start(id).await?;
            }
        }
        Ok(())
    }

    async fn begin(&mut self, number: usize, strike: &Strike) -> anyhow::Result<()> {
        if strike.kind == Kind::Wipe && !self.is_whole().await {
            // Not every copy is where it should be: the last one could be the one that is wiped.
            return Ok(());
        }
        self.history
            .fault_began(number, strike.kind.name(), &strike.told());
        match strike.kind {
            Kind::Kill => self.kill(number, &strike.nodes).await,
            Kind::Wipe => {
                self.kill(number, &strike.nodes).await?;
                for id in &strike.nodes {
                    self.cluster.node(*id)?.wipe_records()?;
                }
                Ok(())
            }
            Kind::Stop => self.stop(number, &strike.nodes).await,
            Kind::Pause => self.pause(number, &strike.nodes),
            Kind::KillAll => {
                self.hold_down(number, &strike.nodes);
                self.cluster.kill_all().await;
                Ok(())
            }
            Kind::Power => {
                self.hold_down(number, &strike.nodes);
                let went = self.cluster.cut_power().await?;
                self.history.power_went(went);
                Ok(())
            }
            Kind::Cut | Kind::CutOneWay | Kind::Isolate => {
                self.cuts.insert(number, self.cuts_of(strike));
                self.cut();
                Ok(())
            }
            Kind::DoubleFailover => self.fail_over_twice(number).await,
            Kind::FullDisk => self.fill(number, &strike.nodes),
            Kind::StalledDisk => self.stall(number, &strike.nodes),
        }
    }

    async fn end(&mut self, number: usize) -> anyhow::Result<()> {
        self.cuts.remove(&number);
        self.cut();
        if let Some(id) = self.full.remove(&number) {
            self.cluster.disk(id)?.make_room()?;
        }
        if let Some(id) = self.stalled.remove(&number) {
            self.cluster.disk(id)?.thaw()?;
        }
        for id in self.cluster.ids() {
            if release(&mut self.paused, id, number) {
                self.cluster.node(id)?.resume();
            }
            if release(&mut self.down, id, number) {
                self.cluster.start(id).await?;
            }
        }
        self.history.fault_ended(number);
        Ok(())
    }

    fn hold_down(&mut self, number: usize, nodes: &[NodeId]) {
        for id in nodes {
            self.down.entry(*id).or_default().insert(number);
        }
    }

    async fn kill(&mut self, number: usize, nodes: &[NodeId]) -> anyhow::Result<()> {
        self.hold_down(number, nodes);
        for id in nodes {
            self.cluster.kill(*id).await?;
        }
        Ok(())
    }

    async fn stop(&mut self, number: usize, nodes: &[NodeId]) -> anyhow::Result<()> {
        self.hold_down(number, nodes);
        for id in nodes {
            // Whoever is paused cannot be polite.
            let is_paused = self.paused.get(id).is_some_and(|it| !it.is_empty());
            if is_paused {
                self.cluster.kill(*id).await?;
            } else if let Err(error) = self.cluster.stop(*id).await {
                self.history
                    .found(verdict::Kind::NodeDied, 1, error.to_string());
            }
        }
        Ok(())
    }

    fn pause(&mut self, number: usize, nodes: &[NodeId]) -> anyhow::Result<()> {
        for id in nodes {
            self.paused.entry(*id).or_default().insert(number);
            self.cluster.node(*id)?.pause();
        }
        Ok(())
    }

    fn fill(&mut self, number: usize, nodes: &[NodeId]) -> anyhow::Result<()> {
        for id in nodes {
            if !self.full.values().any(|it| it == id) {
                self.full.insert(number, *id);
                self.cluster.disk(*id)?.fill()?;
            }
        }
        Ok(())
    }

    fn stall(&mut self, number: usize, nodes: &[NodeId]) -> anyhow::Result<()> {
        for id in nodes {
            if !self.stalled.values().any(|it| it == id) {
                self.stalled.insert(number, *id);
                self.cluster.disk(*id)?.freeze()?;
            }
        }
        Ok(())
    }

    fn cut(&self) {
        let all = self.cuts.values().flatten().copied().collect();
        self.cluster.wires.cut(all);
    }

    fn cuts_of(&self, strike: &Strike) -> BTreeSet<Cut> {
        let ids = self.cluster.ids();
        let mut pairs = Vec::new();
        match (strike.kind, strike.nodes.as_slice()) {
            (Kind::CutOneWay, [from, to]) => pairs.push((*from, *to)),
            (Kind::Cut, [one, other]) => pairs.extend([(*one, *other), (*other, *one)]),
            (_, [alone, ..]) => {
                for it in ids.iter().filter(|it| *it != alone) {
                    pairs.extend([(*alone, *it), (*it, *alone)]);
                }
            }
            (_, []) => {}
        }
        let both = [Traffic::Records, Traffic::Control];
        let cuts = pairs
            .into_iter()
            .flat_map(|(from, to)| both.map(|traffic| Cut { from, to, traffic }));
        cuts.collect()
    }

    /// Followers have all that was acked and do not know yet that it was. Their leader dies, one of them
    /// leads; that one dies before the other could fetch anything, and the other leads.
    async fn fail_over_twice(&mut self, number: usize) -> anyhow::Result<()> {
        let ids = self.cluster.ids();
        let mut cuts = BTreeSet::new();
        for from in &ids {
            for to in ids.iter().filter(|it| *it != from) {
                cuts.insert(Cut {
                    from: *from,
                    to: *to,
                    traffic: Traffic::Records,
                });
            }
        }
        self.cuts.insert(number, cuts);
        self.cut();
        self.wait_until(self.clock.now() + CUT_OFF_FOR).await?;
        let Some(first) = self.leader().await else {
            return Ok(());
        };
        self.cluster.kill(first).await?;
        self.wait_until(self.clock.now() + BACK_AFTER).await?;
        self.cluster.start(first).await?;
        self.wait_until(self.clock.now() + NEXT_DIES_AFTER).await?;
        if let Some(second) = self.leader().await.filter(|it| *it != first) {
            self.kill(number, &[second]).await?;
        }
        Ok(())
    }

    /// Who leads the first partition.
    async fn leader(&self) -> Option<NodeId> {
        let admin = self.admin().await?;
        let found = cluster::partitions(&admin, &self.topic).await.ok()?;
        found.first()?.leader
    }

    async fn is_whole(&self) -> bool {
        let Some(admin) = self.admin().await else {
            return false;
        };
        let deadline = self.clock.now() + Duration::from_secs(5);
        let waited = cluster::wait_in_sync(&admin, &self.topic, deadline, &self.clock);
        waited.await.is_ok()
    }

    async fn admin(&self) -> Option<Admin> {
        let patience = Duration::from_secs(2);
        Admin::connect_within(&self.cluster.bootstrap(), patience)
            .await
            .ok()
    }
}

/// Whether this fault was the last that held the node.
fn release(held: &mut BTreeMap<NodeId, BTreeSet<usize>>, id: NodeId, number: usize) -> bool {
    let Some(holders) = held.get_mut(&id) else {
        return false;
    };
    holders.remove(&number) && holders.is_empty()
}
