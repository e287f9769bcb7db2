//! Proxies on the loopback, one for each address at which a node is dialled by others. What is cut waits.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use drave_protocol::ids::NodeId;
use parking_lot::{Condvar, Mutex};

use crate::faults::net::{Cut, Plug, whose};

const CHUNK_BYTES: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct Proxies {
    /// By the port a node listens on, the one it is dialled at.
    dialled: BTreeMap<u16, u16>,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    wires: Mutex<Wires>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Wires {
    cuts: BTreeSet<Cut>,
    bytes_a_second: BTreeMap<i32, u32>,
    is_over: bool,
}

impl Proxies {
    pub(super) fn lay(plugs: &[Plug]) -> Self {
        let state = Arc::new(State::default());
        let mut dialled = BTreeMap::new();
        for plug in plugs {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            dialled.insert(plug.port, listener.local_addr().unwrap().port());
            let (plug, state) = (*plug, Arc::clone(&state));
            thread::spawn(move || accept(&listener, plug, &state));
        }
        Self { dialled, state }
    }

    pub(super) fn dialled(&self, port: u16) -> u16 {
        self.dialled[&port]
    }

    pub(super) fn cut(&self, cuts: &BTreeSet<Cut>) {
        self.state.wires.lock().cuts.clone_from(cuts);
        self.state.changed.notify_all();
    }

    pub(super) fn slow_down(&self, id: i32, bytes_a_second: Option<u32>) {
        let mut wires = self.state.wires.lock();
        match bytes_a_second {
            Some(rate) => wires.bytes_a_second.insert(id, rate),
            None => wires.bytes_a_second.remove(&id),
        };
    }
}

impl Drop for Proxies {
    fn drop(&mut self) {
        self.state.wires.lock().is_over = true;
        self.state.changed.notify_all();
        for port in self.dialled.values() {
            // Whoever waits in `accept` looks up.
            drop(TcpStream::connect((Ipv4Addr::LOCALHOST, *port)));
        }
    }
}

fn accept(listener: &TcpListener, plug: Plug, state: &Arc<State>) {
    let dialled = listener.local_addr().unwrap();
    for near in listener.incoming().flatten() {
        if state.wires.lock().is_over {
            return;
        }
        let state = Arc::clone(state);
        thread::spawn(move || carry(&near, dialled, plug, &state));
    }
}

/// An error ends the connection, at both ends.
fn carry(near: &TcpStream, dialled: SocketAddr, plug: Plug, state: &Arc<State>) -> Option<()> {
    let from = dialler(near.peer_addr().ok()?, dialled)?;
    let there = Cut {
        from,
        to: plug.node,
        traffic: plug.traffic,
    };
    let back = Cut {
        from: plug.node,
        to: from,
        traffic: plug.traffic,
    };
    state.until_whole(there)?;
    let far = TcpStream::connect((Ipv4Addr::LOCALHOST, plug.port)).ok()?;
    near.set_nodelay(true).ok()?;
    far.set_nodelay(true).ok()?;
    let (near_too, far_too, state_too) = (
        near.try_clone().ok()?,
        far.try_clone().ok()?,
        Arc::clone(state),
    );
    thread::spawn(move || pump(&far_too, &near_too, back, &state_too));
    pump(near, &far, there, state);
    Some(())
}

/// When one direction ends, so does the other: nodes never half-close.
fn pump(mut from: &TcpStream, mut to: &TcpStream, way: Cut, state: &State) {
    let mut chunk = vec![0; CHUNK_BYTES];
    while let Ok(n @ 1..) = from.read(&mut chunk) {
        let written = state.until_whole(way).and_then(|()| {
            state.take_time(way.to, n);
            to.write_all(&chunk[..n]).ok()
        });
        if written.is_none() {
            break;
        }
    }
    // The end of a connection is cut off too.
    state.until_whole(way);
    for stream in [from, to] {
        let _ = stream.shutdown(Shutdown::Both);
    }
}

impl State {
    /// `None` when all is over.
    fn until_whole(&self, way: Cut) -> Option<()> {
        let mut wires = self.wires.lock();
        while wires.cuts.contains(&way) && !wires.is_over {
            self.changed.wait(&mut wires);
        }
        (!wires.is_over).then_some(())
    }

    fn take_time(&self, to: i32, n_bytes: usize) {
        let rate = self.wires.lock().bytes_a_second.get(&to).copied();
        if let Some(rate) = rate {
            let seconds = u32::try_from(n_bytes).unwrap();
            // The slow line itself, no wait for anything.
            thread::sleep(Duration::from_secs_f64(
                f64::from(seconds) / f64::from(rate),
            ));
        }
    }
}

/// The node whose process owns the near end: nodes carry their id in the path of their configuration.
fn dialler(near: SocketAddr, dialled: SocketAddr) -> Option<i32> {
    let mut nodes = Vec::new();
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|it| it.parse().ok()) else {
            continue;
        };
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).into_owned();
        let path = command.split("/node-").nth(1);
        let id = path.and_then(|it| it.split('/').next()?.parse().ok());
        if let Some(id) = id {
            nodes.push((NodeId(id), pid));
        }
    }
    whose::owner(near, dialled, &nodes).map(|it| it.0)
}
