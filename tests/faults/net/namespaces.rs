//! A network namespace for each node, and one with a bridge where the cables meet and the story's clients are.
//!
//! Nothing has a name: a namespace is there as long as a process is in it, and with it go its cables and its
//! rules. So nothing can be left over, and those who test beside us cannot be met.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::faults::net::{Cut, Plug};
use crate::support::command::of_this_machine;
use crate::support::wait::wait_until;

const PROGRAMS: [&str; 5] = ["ip", "nft", "tc", "nsenter", "unshare"];
const START_LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Namespaces {
    by_node: BTreeMap<i32, Held>,
    plugs: Vec<Plug>,
    /// Where this thread was before, and where it is now.
    before: File,
    hub: Held,
}

/// A namespace, and who holds it.
#[derive(Debug)]
struct Held(Child);

impl Namespaces {
    /// `Err` says why there can be none here.
    pub(super) fn lay(ids: &[i32], plugs: &[Plug]) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("namespaces are root's to make".to_owned());
        }
        for program in PROGRAMS {
            let there = of_this_machine(program).arg("--version").output();
            there.map_err(|error| format!("{program}: {error}"))?;
        }
        let here = File::open("/proc/thread-self/ns/net").map_err(|it| it.to_string())?;
        let hub = Held::new()?;
        hub.run("ip link add hub type bridge && ip link set hub up && ip link set lo up")?;
        hub.run("ip address add 10.0.0.254/24 dev hub")?;
        let mut by_node = BTreeMap::new();
        for id in ids {
            let held = Held::new()?;
            let (pid, host) = (held.0.id(), host(*id));
            hub.run(&format!(
                "ip link add node{id} type veth peer name eth0 netns {pid} && \
                 ip link set node{id} master hub up"
            ))?;
            held.run(&format!(
                "ip link set lo up && ip address add {host}/24 dev eth0 && ip link set eth0 up"
            ))?;
            held.filter(&[])?;
            by_node.insert(*id, held);
        }
        hub.enter()?;
        Ok(Self {
            by_node,
            plugs: plugs.to_vec(),
            before: here,
            hub,
        })
    }

    #[allow(clippy::unused_self, reason = "hosts are those of the namespaces")]
    pub(super) fn host(&self, id: i32) -> Ipv4Addr {
        host(id)
    }

    /// The command through which a program runs where the node is.
    pub(super) fn entrance(&self, id: i32) -> Vec<String> {
        vec!["nsenter".to_owned(), self.by_node[&id].net()]
    }

    pub(super) fn cut(&self, cuts: &BTreeSet<Cut>) {
        for (id, held) in &self.by_node {
            let here = cuts.iter().filter(|it| it.to == *id);
            let rules: Vec<String> = here.flat_map(|it| self.rules(it)).collect();
            held.filter(&rules).unwrap();
        }
    }

    /// Requests go to the receiver's port, answers come from the sender's.
    fn rules(&self, cut: &Cut) -> Vec<String> {
        let from = host(cut.from);
        let port_of = |node: i32| {
            let mut plugs = self.plugs.iter();
            let plug = plugs.find(|it| it.node == node && it.traffic == cut.traffic);
            plug.unwrap().port
        };
        let (receivers, senders) = (port_of(cut.to), port_of(cut.from));
        vec![
            format!("ip saddr {from} tcp dport {receivers} drop"),
            format!("ip saddr {from} tcp sport {senders} drop"),
        ]
    }

    pub(super) fn slow_down(&self, id: i32, bytes_a_second: Option<u32>) {
        // At the hub's end of the cable, for what comes to the node.
        let shape = match bytes_a_second {
            Some(rate) => format!(
                "tc qdisc replace dev node{id} root tbf rate {}bit burst 3kb latency 200ms",
                u64::from(rate) * 8
            ),
            None => format!("tc qdisc del dev node{id} root"),
        };
        self.hub.run(&shape).unwrap();
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        // A test runner of one thread goes on in it.
        let back = move_into_link_name_space(self.before.as_fd(), Some(LinkNameSpaceType::Network));
        if let Err(error) = back {
            let _ = writeln!(
                std::io::stderr(),
                "this thread stays in the story's network: {error}"
            );
        }
    }
}

impl Held {
    fn new() -> Result<Self, String> {
        let child = of_this_machine("setpriv")
            .args(["--pdeathsig", "KILL", "unshare", "--net", "sleep", "1000"])
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| format!("setpriv: {error}"))?;
        let held = Self(child);
        let ours = std::fs::read_link("/proc/thread-self/ns/net").map_err(|it| it.to_string())?;
        let path = format!("/proc/{}/ns/net", held.0.id());
        let comm = format!("/proc/{}/comm", held.0.id());
        let mut is_refused = false;
        let mut held = held;
        wait_until("a network namespace", START_LIMIT, || {
            is_refused = held.0.try_wait().is_ok_and(|it| it.is_some());
            let its_own = std::fs::read_link(&path).is_ok_and(|it| it != ours);
            let is_at_rest = std::fs::read_to_string(&comm).is_ok_and(|it| it.trim() == "sleep");
            is_refused || (its_own && is_at_rest)
        });
        if is_refused {
            return Err("the kernel makes no network namespace".to_owned());
        }
        Ok(held)
    }

    fn net(&self) -> String {
        format!("--net=/proc/{}/ns/net", self.0.id())
    }

    fn enter(&self) -> Result<(), String> {
        let path = format!("/proc/{}/ns/net", self.0.id());
        let file = File::open(path).map_err(|error| error.to_string())?;
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|error| error.to_string())
    }

    /// What comes in is dropped by these rules, and by no others.
    fn filter(&self, rules: &[String]) -> Result<(), String> {
        let rules = rules.join("\n");
        let table = format!(
            "table ip cuts\ndelete table ip cuts\ntable ip cuts {{\nchain arriving {{\n\
             type filter hook input priority 0;\n{rules}\n}}\n}}\n"
        );
        self.run(&format!("nft -f - <<'END'\n{table}END\n"))
    }

    fn run(&self, script: &str) -> Result<(), String> {
        let output = of_this_machine("nsenter")
            .args([&self.net(), "sh", "-c", script])
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("nsenter: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("{script}: {said}"))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // An error means that it is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn host(id: i32) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, u8::try_from(id).unwrap())
}
