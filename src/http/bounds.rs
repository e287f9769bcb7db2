//! What strangers can take from this node over HTTP: so many connections, so many requests at once,
//! so long for each, and no bodies. Health is answered outside the limit on requests, so that a flood
//! of other questions does not make a node look dead.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

use crate::clock::Clock;
use crate::http::refusals;

pub(super) const CONNECTIONS_MAX: usize = 256;
pub(super) const REQUESTS_MAX: usize = 64;
/// Well above what asking the other nodes takes.
pub(super) const REQUEST_PATIENCE: Duration = Duration::from_secs(5);
/// A connection on which nothing moves for so long is closed; longer than any request takes.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(30);

/// The limit on requests at once.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    open: Arc<Semaphore>,
    n_max: usize,
}

impl Gate {
    pub(super) fn new(n_max: usize) -> Self {
        Self {
            open: Arc::new(Semaphore::new(n_max)),
            n_max,
        }
    }
}

/// Answers at once when too many are being answered, and after a while in any case.
pub(super) async fn enter(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let Ok(_entered) = gate.open.try_acquire() else {
        return refusals::too_busy(gate.n_max);
    };
    let answer = tokio::time::timeout(REQUEST_PATIENCE, next.run(request)).await;
    answer.unwrap_or_else(|_| refusals::too_slow(REQUEST_PATIENCE.as_millis()))
}

/// Refuses a request that announces a body: nothing here reads one.
pub(super) async fn without_body(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let length = headers.get(header::CONTENT_LENGTH);
    let is_empty = length.is_none_or(|it| it.as_bytes() == b"0");
    if is_empty && !headers.contains_key(header::TRANSFER_ENCODING) {
        next.run(request).await
    } else {
        refusals::body_not_wanted()
    }
}

/// A listener that accepts no more than so many connections at once; the rest wait in the backlog.
#[derive(Debug)]
pub(super) struct Bounded<L> {
    listener: L,
    free: Arc<Semaphore>,
    idle_max: Duration,
    clock: Clock,
}

impl<L> Bounded<L> {
    pub(super) fn new(listener: L, n_max: usize, idle_max: Duration, clock: Clock) -> Self {
        Self {
            listener,
            free: Arc::new(Semaphore::new(n_max)),
            idle_max,
            clock,
        }
    }
}

impl<L: Listener> Listener for Bounded<L> {
    type Io = Watched<L::Io>;
    type Addr = L::Addr;

    /// Cancellation: safe, a permit without a connection goes back.
    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let permit = Arc::clone(&self.free).acquire_owned().await;
        let (io, address) = self.listener.accept().await;
        let watched = Watched {
            io,
            clock: self.clock.clone(),
            idle_max: self.idle_max,
            idle: Box::pin(sleep(self.idle_max)),
            // The semaphore is never closed, so there is always a permit.
            _permit: permit.ok(),
        };
        (watched, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A connection that fails once nothing moved on it for too long.
#[derive(Debug)]
pub(super) struct Watched<T> {
    io: T,
    clock: Clock,
    idle_max: Duration,
    idle: Pin<Box<Sleep>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl<T: Unpin> Watched<T> {
    /// Passes on what moved, and turns waiting into an error when it took too long.
    fn watch<R>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if polled.is_ready() {
            let deadline = Instant::from_std(self.clock.now() + self.idle_max);
            self.idle.as_mut().reset(deadline);
            return polled;
        }
        match self.idle.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_read(context, buffer);
        self.watch(context, polled)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(context, bytes);
        self.watch(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(context, slices);
        self.watch(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Flushing a socket does nothing: if it counted as movement, an idle one never would be.
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_shutdown(context);
        self.watch(context, polled)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn watched(
        io: tokio::io::DuplexStream,
        idle_max: Duration,
    ) -> Watched<tokio::io::DuplexStream> {
        Watched {
            io,
            clock: Clock::system(),
            idle_max,
            idle: Box::pin(sleep(idle_max)),
            _permit: None,
        }
    }

    #[tokio::test]
    async fn a_connection_on_which_nothing_moves_is_closed() {
        let idle_max = Duration::from_millis(20);
        let (near, mut far) = tokio::io::duplex(8);
        let mut near = watched(near, idle_max);
        far.write_all(b"x").await.unwrap();
        // A byte that moved starts the wait anew.
        let began = Clock::system().now();
        near.read_u8().await.unwrap();
        let error = near.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(Clock::system().now().duration_since(began) >= idle_max);
    }

    #[tokio::test]
    async fn a_reader_that_does_not_read_holds_nothing_forever() {
        let (near, _far) = tokio::io::duplex(8);
        let mut near = watched(near, Duration::from_millis(20));
        let error = near.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
