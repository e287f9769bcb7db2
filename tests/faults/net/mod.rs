//! Nodes with a network between them that can be cut: one way, both ways, records or the quorum's traffic only.
//!
//! Where this is root, each node is in a network namespace of its own, cables lead to a bridge, and what is cut
//! is dropped by each node's own kernel, as a dead cable does: [`namespaces`]. Where it is not, nodes dial each
//! other through proxies on the loopback that let bytes wait: [`proxies`]. A story says which of the two it used.
//!
//! Promise: nothing is left of it, however the test ends.

mod namespaces;
mod proxies;
#[allow(dead_code, reason = "the program's own, and this uses a part of it")]
#[path = "../../../src/cli/verify/whose.rs"]
mod whose;

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use drave_protocol::schema::metadata::MetadataResponsePartition;

use crate::support::client;
use crate::support::cluster::Cluster;
use crate::support::ports::free_port;
use crate::support::segments::assert_copies_are_equal;
use crate::support::steady::{Account, Steady};
use crate::support::wait::{seconds, wait_for, wait_until};
use crate::support::wire::Wire;

use self::namespaces::Namespaces;
use self::proxies::Proxies;

const ANSWER_LIMIT: Duration = seconds(5);

/// What nodes say to each other, by the port it goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Traffic {
    /// Fetches.
    Records,
    /// Raft, heartbeats and what brokers ask the controller.
    Control,
}

/// Nothing of this kind passes from one node to another. The way back is another cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cut {
    from: i32,
    to: i32,
    traffic: Traffic,
}

/// Where a node is dialled by the others.
#[derive(Clone, Copy, Debug)]
struct Plug {
    node: i32,
    traffic: Traffic,
    port: u16,
}

#[derive(Debug)]
enum Way {
    Namespaces(Namespaces),
    Proxies(Proxies),
}

#[derive(Debug)]
pub(super) struct Net {
    way: Way,
    cuts: BTreeSet<Cut>,
    ids: Vec<i32>,
}

/// A cluster and the network it is in. The nodes go first.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) cluster: Cluster,
    pub(super) net: Net,
}

impl Site {
    #[track_caller]
    pub(super) fn start(n_nodes: i32, settings: &[(&str, &str)]) -> Self {
        let mut site = Self::prepare(n_nodes, settings);
        site.cluster.spawn_all();
        site.cluster.wait_ready();
        site
    }

    /// Nothing runs yet.
    #[track_caller]
    pub(super) fn prepare(n_nodes: i32, settings: &[(&str, &str)]) -> Self {
        let mut cluster = Cluster::prepare(n_nodes, &[]);
        let ids = cluster.ids();
        let mut plugs = Vec::new();
        for id in &ids {
            let controller = cluster.node(*id).ports.controller;
            for (traffic, port) in [
                (Traffic::Records, free_port()),
                (Traffic::Control, controller),
            ] {
                plugs.push(Plug {
                    node: *id,
                    traffic,
                    port,
                });
            }
        }
        // So that root can try both.
        let is_wanted = std::env::var_os("FAULTS_NET").is_none_or(|it| it != "proxies");
        let namespaces = if is_wanted {
            Namespaces::lay(&ids, &plugs)
        } else {
            Err("asked for".to_owned())
        };
        let way = match namespaces {
            Ok(namespaces) => {
                say("in network namespaces");
                Way::Namespaces(namespaces)
            }
            Err(why) => {
                say(&format!("through proxies on the loopback: {why}"));
                Way::Proxies(Proxies::lay(&plugs))
            }
        };
        let net = Net {
            way,
            cuts: BTreeSet::new(),
            ids,
        };
        net.configure(&mut cluster, &plugs, settings);
        Self { cluster, net }
    }

    /// A partition as this very node knows it.
    pub(super) fn seen_by(
        &self,
        id: i32,
        topic: &str,
    ) -> Result<MetadataResponsePartition, String> {
        let port = self.cluster.node(id).ports.kafka;
        let answer = Wire::connect(port).and_then(|mut wire| {
            wire.read_timeout(ANSWER_LIMIT);
            client::topic_metadata(&mut wire, topic)
        });
        let found = answer.map_err(|error| format!("node {id}: {error}"))?;
        let first = found.partitions.into_iter().next();
        first.ok_or_else(|| format!("node {id} knows no {topic}"))
    }

    /// Waits until this node says that another than `old` leads, and returns who.
    #[track_caller]
    pub(super) fn wait_for_leader_other_than(&self, old: i32, topic: &str, by: i32) -> i32 {
        let what = format!("a leader of {topic} other than {old}");
        wait_for(&what, seconds(20), || match self.seen_by(by, topic)? {
            found if found.leader_id >= 0 && found.leader_id != old => Ok(found.leader_id),
            found => Err(format!("{found:?}")),
        })
    }

    /// Waits until exactly these are in sync, as node `by` knows.
    #[track_caller]
    pub(super) fn wait_for_isr_of(&self, members: &[i32], topic: &str, by: i32) {
        let what = format!("{members:?} to be in sync");
        wait_for(&what, seconds(30), || {
            let mut found = self.seen_by(by, topic)?.isr_nodes;
            found.sort_unstable();
            (found == members).then_some(()).ok_or(format!("{found:?}"))
        });
    }

    /// A producer to whichever of these leads.
    pub(super) fn writer(&self, through: &[i32], topic: &str) -> Steady {
        let port = |id: &i32| self.cluster.node(*id).ports.kafka;
        Steady::to_leader(through.iter().map(port).collect(), topic, 0)
    }

    /// One that was cut off tells for a while what was before, and serves by it what was committed then.
    #[track_caller]
    fn wait_until_all_agree(&mut self, topic: &str, n_replicas: usize) {
        let running = self.cluster.running();
        wait_for("all nodes to tell the same", seconds(30), || {
            let seen = running.iter().map(|id| self.seen_by(*id, topic));
            let seen: Vec<_> = seen.collect::<Result<_, _>>()?;
            let leaderships: BTreeSet<_> = seen
                .iter()
                .map(|it| (it.leader_id, it.leader_epoch))
                .collect();
            let are_whole = seen.iter().all(|it| it.isr_nodes.len() >= n_replicas);
            let agree = leaderships.len() == 1 && are_whole;
            agree.then_some(()).ok_or_else(|| format!("{seen:?}"))
        });
    }

    /// Everything is whole again; all that these had acked is there, on all disks.
    #[track_caller]
    pub(super) fn assert_healed(&mut self, topic: &str, n_replicas: usize, accounts: &[Account]) {
        self.net.heal();
        self.wait_until_all_agree(topic, n_replicas);
        let values = self.cluster.read_all(topic, 0);
        for account in accounts {
            assert!(!account.acked.is_empty(), "it wrote: {:?}", account.errors);
            account.assert_kept(&values);
        }
        assert_copies_are_equal(&mut self.cluster, topic, 0);
    }
}

/// Waits for so many acks more.
#[track_caller]
pub(super) fn wait_for_acks(writer: &Steady, n: usize) {
    let enough = writer.n_acked() + n;
    wait_until("acks to go on", seconds(30), || writer.n_acked() >= enough);
}

impl Net {
    fn configure(&self, cluster: &mut Cluster, plugs: &[Plug], settings: &[(&str, &str)]) {
        let host = |id: i32| match &self.way {
            Way::Namespaces(it) => it.host(id),
            Way::Proxies(_) => "127.0.0.1".parse().unwrap(),
        };
        let dialled = |plug: &Plug| match &self.way {
            Way::Namespaces(_) => plug.port,
            Way::Proxies(it) => it.dialled(plug.port),
        };
        let of = |id: i32, traffic: Traffic| {
            let mut plugs = plugs.iter();
            *plugs
                .find(|it| it.node == id && it.traffic == traffic)
                .unwrap()
        };
        let quorum: Vec<String> = self
            .ids
            .iter()
            .map(|id| format!("{}:{}", host(*id), dialled(&of(*id, Traffic::Control))))
            .collect();
        for id in self.ids.clone() {
            let (records, control) = (of(id, Traffic::Records), of(id, Traffic::Control));
            let (here, ports) = (host(id), cluster.node(id).ports);
            let listeners = |records: u16, control: u16| {
                let clients = ports.kafka;
                format!(
                    "PLAINTEXT://{here}:{clients},BROKERS://{here}:{records},CONTROLLER://{here}:{control}"
                )
            };
            let node = cluster.node_mut(id);
            node.write_properties(&[
                ("listeners", &listeners(records.port, control.port)),
                (
                    "advertised.listeners",
                    &listeners(dialled(&records), dialled(&control)),
                ),
                (
                    "listener.security.protocol.map",
                    "PLAINTEXT:PLAINTEXT,BROKERS:PLAINTEXT,CONTROLLER:PLAINTEXT",
                ),
                ("inter.broker.listener.name", "BROKERS"),
                ("http.listeners", &format!("HTTP://{here}:{}", ports.http)),
                ("controller.quorum.bootstrap.servers", &quorum.join(",")),
            ]);
            node.write_properties(settings);
            if let Way::Namespaces(namespaces) = &self.way {
                node.through = namespaces.entrance(id);
                crate::support::ports::place(ports, here);
            }
        }
    }

    /// Nothing passes from one node to another. What the other says still arrives.
    pub(super) fn cut(&mut self, from: i32, to: i32) {
        self.cut_only(from, to, Traffic::Records);
        self.cut_only(from, to, Traffic::Control);
    }

    pub(super) fn cut_only(&mut self, from: i32, to: i32, traffic: Traffic) {
        self.cuts.insert(Cut { from, to, traffic });
        self.apply();
    }

    pub(super) fn mend_only(&mut self, from: i32, to: i32, traffic: Traffic) {
        self.cuts.remove(&Cut { from, to, traffic });
        self.apply();
    }

    pub(super) fn cut_both_ways(&mut self, one: i32, other: i32) {
        self.cut(one, other);
        self.cut(other, one);
    }

    pub(super) fn cut_both_ways_only(&mut self, one: i32, other: i32, traffic: Traffic) {
        self.cut_only(one, other, traffic);
        self.cut_only(other, one, traffic);
    }

    /// Clients still reach it.
    pub(super) fn isolate(&mut self, id: i32) {
        for other in self.ids.clone() {
            if other != id {
                self.cut_both_ways(id, other);
            }
        }
    }

    pub(super) fn heal(&mut self) {
        self.cuts.clear();
        self.apply();
    }

    /// What comes to a node comes no faster than this; `None` takes it back.
    pub(super) fn slow_down(&self, id: i32, bytes_a_second: Option<u32>) {
        match &self.way {
            Way::Namespaces(it) => it.slow_down(id, bytes_a_second),
            Way::Proxies(it) => it.slow_down(id, bytes_a_second),
        }
    }

    fn apply(&self) {
        match &self.way {
            Way::Namespaces(it) => it.cut(&self.cuts),
            Way::Proxies(it) => it.cut(&self.cuts),
        }
    }
}

fn say(how: &str) {
    let test = std::thread::current();
    let name = test.name().unwrap_or("a test");
    let _ = writeln!(std::io::stderr(), "{name}: {how}");
}
