//! Sockets: the only file of the broker's Kafka door that names `tokio::net`.
//!
//! What a socket is set to is set here: no delay (answers are whole), keepalive (a peer that lost its
//! power is noticed though it never said goodbye), how much the kernel holds of what passes.

use std::future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::epoll;
use rustix::fs::sendfile;
use rustix::net::{SendFlags, send};
use rustix::time::Timespec;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncWrite, AsyncWriteExt, Interest};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};

/// Connections the kernel completes before we accept them.
const BACKLOG: u32 = 1024;
/// Silent sockets that are told of at once.
const HEARD_MAX: usize = 256;

pub(crate) type ReadHalf = OwnedReadHalf;
pub(crate) type WriteHalf = OwnedWriteHalf;

/// Where answers go. What a plain socket does better than by writing, others do by writing.
pub(crate) trait Outlet: AsyncWrite + Unpin + Send {
    /// Whether the kernel can put a file's bytes on it by itself.
    fn takes_files(&self) -> bool {
        false
    }

    /// Sends up to `n` bytes of a file; 0 at the file's end. Waits for the peer, and for the disk where the
    /// bytes are not in memory.
    ///
    /// Cancellation: safe, nothing is sent that is not told.
    fn send_file(
        &mut self,
        file: BorrowedFd<'_>,
        position: u64,
        n: usize,
    ) -> impl Future<Output = io::Result<usize>> + Send {
        let _ = (file, position, n);
        future::ready(Err(io::ErrorKind::Unsupported.into()))
    }

    /// Writes bytes that others follow at once, so that they need not leave in a packet of their own.
    fn write_more(&mut self, bytes: &[u8]) -> impl Future<Output = io::Result<usize>> + Send {
        async { self.write(bytes).await }
    }
}

impl Outlet for WriteHalf {
    fn takes_files(&self) -> bool {
        true
    }

    async fn send_file(
        &mut self,
        file: BorrowedFd<'_>,
        position: u64,
        n: usize,
    ) -> io::Result<usize> {
        let socket: &TcpStream = self.as_ref();
        let send = || Ok(sendfile(socket, file, Some(&mut position.clone()), n)?);
        socket.async_io(Interest::WRITABLE, send).await
    }

    async fn write_more(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let socket: &TcpStream = self.as_ref();
        let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
        let send = || Ok(send(socket, bytes, flags)?);
        socket.async_io(Interest::WRITABLE, send).await
    }
}

/// What the kernel holds of one connection, each way; `None` leaves it to the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Buffers {
    pub(crate) send_bytes: Option<u32>,
    pub(crate) receive_bytes: Option<u32>,
}

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
    pub(crate) async fn bind(host: &str, port: u16, buffers: Buffers) -> io::Result<Self> {
        if host.is_empty() {
            return Self::bind_to(SocketAddr::from(([0, 0, 0, 0], port)), buffers);
        }
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for address in lookup_host((host, port)).await? {
            match Self::bind_to(address, buffers) {
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
        Ok(Accepted::new(stream, peer))
    }

    fn bind_to(address: SocketAddr, buffers: Buffers) -> io::Result<Self> {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        // A restarted broker takes its port back while old connections linger in TIME_WAIT.
        socket.set_reuseaddr(true)?;
        // Accepted sockets inherit it.
        socket.set_keepalive(true)?;
        if let Some(n) = buffers.send_bytes {
            socket.set_send_buffer_size(n)?;
        }
        if let Some(n) = buffers.receive_bytes {
            socket.set_recv_buffer_size(n)?;
        }
        socket.bind(address)?;
        let socket = socket.listen(BACKLOG)?;
        Ok(Self {
            address: socket.local_addr()?,
            socket,
        })
    }
}

impl Accepted {
    fn new(stream: TcpStream, peer: SocketAddr) -> Self {
        let (reader, writer) = stream.into_split();
        Self {
            peer,
            reader,
            writer,
        }
    }
}

/// A connection's socket that nobody reads from or writes to. The runtime holds nothing for it.
#[derive(Debug)]
pub(crate) struct Silent(std::net::TcpStream);

/// Tells a socket from all others that are open.
pub(crate) type SocketId = i32;

impl Silent {
    pub(crate) fn new(reader: ReadHalf, writer: WriteHalf) -> io::Result<Self> {
        let stream = reader.reunite(writer).map_err(io::Error::other)?;
        Ok(Self(stream.into_std()?))
    }

    pub(crate) fn id(&self) -> SocketId {
        self.0.as_raw_fd()
    }

    /// Who is at the other end, as long as somebody is.
    pub(crate) fn peer(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }

    pub(crate) fn into_accepted(self) -> io::Result<Accepted> {
        let peer = self.peer()?;
        Ok(Accepted::new(TcpStream::from_std(self.0)?, peer))
    }
}

/// Listens to any number of silent sockets; for each, the kernel holds a few bytes and we none.
#[derive(Debug)]
pub(crate) struct Ear {
    epoll: AsyncFd<OwnedFd>,
}

impl Ear {
    #[allow(
        deprecated,
        reason = "what replaces it is unsafe, for types that may not own their descriptor; this one does"
    )]
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let epoll = AsyncFd::with_interest(epoll, Interest::READABLE)?;
        Ok(Self { epoll })
    }

    /// Tells once when there is something to read from it, or its peer has left; at once if there is already.
    pub(crate) fn listen_to(&self, socket: &Silent) -> io::Result<()> {
        let id = u64::try_from(socket.id()).unwrap_or_default();
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ONESHOT;
        let told = epoll::EventData::new_u64(id);
        Ok(epoll::add(&self.epoll, &socket.0, told, flags)?)
    }

    /// To be called before a socket is read from by anybody else.
    pub(crate) fn forget(&self, socket: &Silent) {
        // An error means that it was not listened to.
        let _ = epoll::delete(&self.epoll, &socket.0);
    }

    /// Sockets that were heard; at least one.
    ///
    /// Cancellation: safe, what is not returned is told later.
    pub(crate) async fn heard(&self) -> io::Result<Vec<SocketId>> {
        let at_once = Timespec::default();
        let wait = |epoll: &OwnedFd| {
            let mut events = Vec::with_capacity(HEARD_MAX);
            epoll::wait(
                epoll,
                rustix::buffer::spare_capacity(&mut events),
                Some(&at_once),
            )?;
            match events.len() {
                0 => Err(io::ErrorKind::WouldBlock.into()),
                _ => Ok(events),
            }
        };
        let events = self.epoll.async_io(Interest::READABLE, wait).await?;
        let ids = events.iter().map(|it| SocketId::try_from(it.data.u64()));
        Ok(ids.filter_map(Result::ok).collect())
    }
}
