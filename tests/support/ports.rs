//! Ports for nodes that keep theirs across restarts.
//!
//! A port the system hands out for port 0 lies where it also takes the near ends of outgoing connections
//! from; between a node's death and its return any client could be given it. So ports are drawn from
//! below that range and then asked of the system by binding them; a collision at start is tried again.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use parking_lot::Mutex;

/// Handed out by this process, so that two nodes of one test never get the same.
static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// Ports of nodes that are not on the loopback.
static ELSEWHERE: Mutex<BTreeMap<u16, Ipv4Addr>> = Mutex::new(BTreeMap::new());

const LOWEST: u16 = 15_000;

/// The ports of one node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) kafka: u16,
    pub(crate) controller: u16,
    pub(crate) http: u16,
}

impl Ports {
    pub(crate) fn reserve() -> Self {
        Self {
            kafka: free_port(),
            controller: free_port(),
            http: free_port(),
        }
    }
}

/// Where whoever listens on `port` is reached.
pub(crate) fn address_of(port: u16) -> SocketAddr {
    let host = ELSEWHERE.lock().get(&port).copied();
    SocketAddr::from((host.unwrap_or(Ipv4Addr::LOCALHOST), port))
}

/// Whoever listens on these ports is at `host`.
pub(crate) fn place(ports: Ports, host: Ipv4Addr) {
    let Ports {
        kafka,
        controller,
        http,
    } = ports;
    let placed = [kafka, controller, http].map(|port| (port, host));
    ELSEWHERE.lock().extend(placed);
}

/// A port of this machine nobody listens on.
pub(crate) fn free_port() -> u16 {
    let highest = first_ephemeral_port();
    loop {
        let port = LOWEST + random_below(highest - LOWEST);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() && TAKEN.lock().insert(port) {
            return port;
        }
    }
}

fn first_ephemeral_port() -> u16 {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse().ok())
        .filter(|first| *first > LOWEST + 1000)
        .unwrap_or(32_768)
}

fn random_below(n: u16) -> u16 {
    // Every RandomState has fresh keys.
    let random = RandomState::new().build_hasher().finish();
    u16::try_from(random % u64::from(n)).expect("a remainder of a u16 is one")
}
