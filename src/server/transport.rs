//! Sockets: the only file of the broker's Kafka door that names `tokio::net`.
//!
//! What a socket is set to is set here: no delay (answers are whole), keepalive (a peer that lost its
//! power is noticed though it never said goodbye).

use std::io;
use std::net::SocketAddr;

use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, lookup_host};

/// Connections the kernel completes before we accept them.
const BACKLOG: u32 = 1024;

pub(crate) type ReadHalf = OwnedReadHalf;
pub(crate) type WriteHalf = OwnedWriteHalf;

/// A bound, listening socket.
#[derive(Debug)]
pub(crate) struct Acceptor {
    socket: TcpListener,
    address: SocketAddr,
}

/// An accepted connection.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) peer: SocketAddr,
    pub(crate) reader: ReadHalf,
    pub(crate) writer: WriteHalf,
}

impl Acceptor {
    /// Binds the first address `host` resolves to that can be bound; an empty host is every interface.
    pub(crate) async fn bind(host: &str, port: u16) -> io::Result<Self> {
        if host.is_empty() {
            return Self::bind_to(SocketAddr::from(([0, 0, 0, 0], port)));
        }
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for address in lookup_host((host, port)).await? {
            match Self::bind_to(address) {
                Ok(acceptor) => return Ok(acceptor),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The address with the port that was really bound.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// For a door that accepts by itself.
    pub(crate) fn into_socket(self) -> TcpListener {
        self.socket
    }

    /// Cancellation: safe, a connection not returned stays in the backlog.
    pub(crate) async fn accept(&self) -> io::Result<Accepted> {
        let (stream, peer) = self.socket.accept().await?;
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        Ok(Accepted {
            peer,
            reader,
            writer,
        })
    }

    fn bind_to(address: SocketAddr) -> io::Result<Self> {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        // A restarted broker takes its port back while old connections linger in TIME_WAIT.
        socket.set_reuseaddr(true)?;
        // Accepted sockets inherit it.
        socket.set_keepalive(true)?;
        socket.bind(address)?;
        let socket = socket.listen(BACKLOG)?;
        Ok(Self {
            address: socket.local_addr()?,
            socket,
        })
    }
}
