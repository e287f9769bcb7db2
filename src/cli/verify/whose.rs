//! Which node dialled: the one whose process owns the near end of the connection, as the kernel tells.
//!
//! So nodes need no setting for being cut off from each other, and no node can be taken for another.

use std::net::{SocketAddr, SocketAddrV4};
use std::path::Path;

use drave_protocol::ids::NodeId;

/// Whether this system tells who owns a socket.
pub(super) fn can_tell() -> bool {
    Path::new("/proc/self/net/tcp").exists()
}

/// The node whose process holds the socket bound to `near` and connected to `far`.
pub(super) fn owner(near: SocketAddr, far: SocketAddr, pids: &[(NodeId, i32)]) -> Option<NodeId> {
    let (SocketAddr::V4(near), SocketAddr::V4(far)) = (near, far) else {
        return None;
    };
    let inode = inode(&read("/proc/self/net/tcp")?, near, far)?;
    let socket = format!("socket:[{inode}]");
    let owns = |pid: i32| holds(pid, &socket);
    let found = pids.iter().find(|(_, pid)| owns(*pid));
    found.map(|(node, _)| *node)
}

#[allow(clippy::disallowed_methods, reason = "the kernel's table, not a file")]
fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

#[allow(
    clippy::disallowed_methods,
    reason = "the kernel's table, not a folder"
)]
fn holds(pid: i32, socket: &str) -> bool {
    let Ok(open) = std::fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    let links = open.filter_map(|it| std::fs::read_link(it.ok()?.path()).ok());
    links.into_iter().any(|it| it.to_str() == Some(socket))
}

/// The inode of the socket with these two ends in the kernel's table of connections.
fn inode(table: &str, near: SocketAddrV4, far: SocketAddrV4) -> Option<u64> {
    let (near, far) = (in_table(near), in_table(far));
    table.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let ends = (fields.next()?, fields.next()?);
        let inode = fields.nth(6)?.parse().ok()?;
        (ends == (near.as_str(), far.as_str())).then_some(inode)
    })
}

/// As the kernel writes it: the address as a number of this machine's byte order.
fn in_table(address: SocketAddrV4) -> String {
    let ip = u32::from_ne_bytes(address.ip().octets());
    format!("{ip:08X}:{:04X}", address.port())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_socket_is_found_in_the_kernels_table() {
        if !can_tell() {
            return;
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let far = listener.local_addr().unwrap();
        let dialled = TcpStream::connect(far).unwrap();
        let near = dialled.local_addr().unwrap();
        let me = i32::try_from(std::process::id()).unwrap();
        assert_eq!(owner(near, far, &[(NodeId(7), me)]), Some(NodeId(7)));
        assert_eq!(owner(near, far, &[(NodeId(7), 1)]), None);
        // The far end of the connection is another socket.
        let (accepted, _) = listener.accept().unwrap();
        assert_ne!(accepted.local_addr().unwrap(), near);
    }
}
