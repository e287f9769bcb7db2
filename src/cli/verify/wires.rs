//! The wires between the nodes: what one dials of another goes through here, and can be cut.
//!
//! A cut loses nothing: bytes wait, as they do in a kernel that sends them again, and arrive when the wire
//! is whole; no end is told that anything is wrong. A node that is down refuses, as its host would.
//!
//! Invariant: no byte goes from one node to another while the wire between them is cut in that direction.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use drave_protocol::ids::NodeId;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::cli::verify::whose;
use crate::tasks::Tasks;

const CHUNK_BYTES: usize = 64 << 10;
const BIND_AGAIN: Duration = Duration::from_millis(20);

/// What goes over a wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Traffic {
    /// Records, from leaders to followers.
    Records,
    /// The metadata quorum and the controller.
    Control,
}

/// A direction in which nothing passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cut {
    pub(super) from: NodeId,
    pub(super) to: NodeId,
    pub(super) traffic: Traffic,
}

/// Where others dial a node, and where it really listens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plug {
    pub(super) node: NodeId,
    pub(super) traffic: Traffic,
    pub(super) dialled: SocketAddr,
    pub(super) listens: SocketAddr,
}

#[derive(Debug)]
pub(super) struct Wires {
    cuts: watch::Sender<BTreeSet<Cut>>,
    sockets: Vec<Socket>,
    processes: Arc<Mutex<Vec<(NodeId, i32)>>>,
    tasks: Tasks,
}

#[derive(Debug)]
struct Socket {
    node: NodeId,
    is_wanted: watch::Sender<bool>,
    is_open: watch::Receiver<bool>,
}

impl Wires {
    pub(super) fn new() -> Self {
        let (cuts, _) = watch::channel(BTreeSet::new());
        Self {
            cuts,
            sockets: Vec::new(),
            processes: Arc::default(),
            tasks: Tasks::new(),
        }
    }

    /// Nothing is accepted before [`Wires::open`].
    pub(super) fn add(&mut self, plug: Plug) {
        let (is_wanted, wanted) = watch::channel(false);
        let (opened, is_open) = watch::channel(false);
        let serving = Serving {
            plug,
            cuts: self.cuts.subscribe(),
            processes: Arc::clone(&self.processes),
            tasks: self.tasks.clone(),
        };
        self.tasks.spawn("verify wire", serving.run(wanted, opened));
        self.sockets.push(Socket {
            node: plug.node,
            is_wanted,
            is_open,
        });
    }

    /// The node's process is this one; its addresses accept from here on.
    pub(super) async fn open(&self, node: NodeId, pid: i32) {
        {
            let mut processes = self.processes.lock();
            processes.retain(|(it, _)| *it != node);
            processes.push((node, pid));
        }
        self.want(node, true).await;
    }

    /// From here on the node's addresses refuse.
    pub(super) async fn close(&self, node: NodeId) {
        self.want(node, false).await;
    }

    /// Exactly these are cut from here on.
    pub(super) fn cut(&self, cuts: BTreeSet<Cut>) {
        self.cuts.send_replace(cuts);
    }

    async fn want(&self, node: NodeId, open: bool) {
        for socket in self.sockets.iter().filter(|it| it.node == node) {
            socket.is_wanted.send_replace(open);
            let mut is_open = socket.is_open.clone();
            // The task ends only with all of this.
            let _ = is_open.wait_for(|it| *it == open).await;
        }
    }
}

/// One address at which a node is dialled.
struct Serving {
    plug: Plug,
    cuts: watch::Receiver<BTreeSet<Cut>>,
    processes: Arc<Mutex<Vec<(NodeId, i32)>>>,
    tasks: Tasks,
}

impl Serving {
    async fn run(self, mut wanted: watch::Receiver<bool>, opened: watch::Sender<bool>) {
        while wanted.wait_for(|it| *it).await.is_ok() {
            let Ok(listener) = TcpListener::bind(self.plug.dialled).await else {
                // Its former life may not be quite gone.
                tokio::time::sleep(BIND_AGAIN).await;
                continue;
            };
            opened.send_replace(true);
            tokio::select! {
                () = self.accept(&listener) => {}
                _ = wanted.wait_for(|it| !*it) => {}
            }
            drop(listener);
            opened.send_replace(false);
        }
    }

    async fn accept(&self, listener: &TcpListener) {
        loop {
            let Ok((near, dialler)) = listener.accept().await else {
                continue;
            };
            let (plug, cuts) = (self.plug, self.cuts.clone());
            let processes = self.processes.lock().clone();
            let tasks = self.tasks.clone();
            let find = move || whose::owner(dialler, plug.dialled, &processes);
            self.tasks.spawn("verify connection", async move {
                // A dialler that is nobody's is gone already.
                if let Some(Some(from)) = tasks.run_blocking(find).await {
                    // An error ends the connection, at both ends: what else should it do?
                    drop(carry(near, from, plug, cuts).await);
                }
            });
        }
    }
}

async fn carry(
    near: TcpStream,
    from: NodeId,
    plug: Plug,
    mut cuts: watch::Receiver<BTreeSet<Cut>>,
) -> io::Result<()> {
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
    until_whole(&mut cuts, there).await;
    let far = TcpStream::connect(plug.listens).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    // When one direction ends, so does the other: nodes never half-close.
    tokio::select! {
        ended = pump(near_read, far_write, there, cuts.clone()) => ended,
        ended = pump(far_read, near_write, back, cuts.clone()) => ended,
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    direction: Cut,
    mut cuts: watch::Receiver<BTreeSet<Cut>>,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        until_whole(&mut cuts, direction).await;
        let n = from.read(&mut chunk).await?;
        // What was read before the cut waits here; so does the end of the connection.
        until_whole(&mut cuts, direction).await;
        match chunk.get(..n) {
            Some(read) if n > 0 => to.write_all(read).await?,
            _ => return Ok(()),
        }
    }
}

async fn until_whole(cuts: &mut watch::Receiver<BTreeSet<Cut>>, direction: Cut) {
    // Its sender is gone only when everything is.
    let _ = cuts.wait_for(|it| !it.contains(&direction)).await;
}

/// An address of this machine.
pub(super) fn local(port: u16) -> anyhow::Result<SocketAddr> {
    let address = format!("127.0.0.1:{port}");
    address
        .parse()
        .with_context(|| format!("{address} is no address"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::verify::ports::Ports;

    const NODE: NodeId = NodeId(2);
    const DIALLER: NodeId = NodeId(1);

    fn me() -> i32 {
        i32::try_from(std::process::id()).unwrap()
    }

    async fn wires() -> (Wires, Plug, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let plug = Plug {
            node: NODE,
            traffic: Traffic::Records,
            dialled: local(Ports::new().free().unwrap()).unwrap(),
            listens: listener.local_addr().unwrap(),
        };
        let mut wires = Wires::new();
        wires.add(plug);
        wires.processes.lock().push((DIALLER, me()));
        wires.want(NODE, true).await;
        (wires, plug, listener)
    }

    #[tokio::test]
    async fn bytes_wait_while_a_wire_is_cut_and_arrive_when_it_is_whole() {
        if !whose::can_tell() {
            return;
        }
        let (wires, plug, listener) = wires().await;
        let mut near = TcpStream::connect(plug.dialled).await.unwrap();
        let (mut far, _) = listener.accept().await.unwrap();
        let mut byte = [0];
        near.write_all(b"a").await.unwrap();
        far.read_exact(&mut byte).await.unwrap();

        let cut = Cut {
            from: DIALLER,
            to: NODE,
            traffic: Traffic::Records,
        };
        wires.cut(BTreeSet::from([cut]));
        near.write_all(b"b").await.unwrap();
        let nothing = tokio::time::timeout(Duration::from_millis(100), far.read(&mut byte));
        assert!(nothing.await.is_err(), "cut");
        // The way back is whole.
        far.write_all(b"c").await.unwrap();
        near.read_exact(&mut byte).await.unwrap();
        wires.cut(BTreeSet::new());
        far.read_exact(&mut byte).await.unwrap();
        assert_eq!(&byte, b"b");
    }

    #[tokio::test]
    async fn a_node_that_is_down_refuses_and_accepts_when_it_is_back() {
        let (wires, plug, _listener) = wires().await;
        wires.close(NODE).await;
        assert!(TcpStream::connect(plug.dialled).await.is_err());
        wires.open(NODE, 1).await;
        assert!(TcpStream::connect(plug.dialled).await.is_ok());
    }
}
