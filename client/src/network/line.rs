//! The line to a peer: frames on their way out, and who waits for what comes back.
//!
//! Who posts a request writes it himself as far as the socket takes it; only what is left over is a task's
//! to write. Where the peer keeps up, a request costs no change of tasks.
//! Invariants: a request stands among the unanswered before its first byte is sent, so an answer always
//! finds who waits for it; frames leave whole and in the order they were posted; a closed line takes
//! nothing, and nobody waits on it.

use std::collections::VecDeque;
use std::io;
use std::sync::OnceLock;

use bytes::Bytes;
use drave_protocol::pieces::Pieces;
use parking_lot::Mutex;
use rustix::net::{Shutdown, shutdown};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::{Notify, Semaphore, oneshot};

/// Requests not answered, or not written where no answer comes; more wait for room.
const IN_FLIGHT_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct Line {
    stream: OwnedWriteHalf,
    state: Mutex<State>,
    room: Semaphore,
    left_over: Notify,
    closed_because: OnceLock<String>,
}

#[derive(Debug, Default)]
struct State {
    unanswered: VecDeque<Waiting>,
    unsent: VecDeque<Unsent>,
}

/// Somebody waits for the response with this id.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) correlation_id: i32,
    pub(super) reply: oneshot::Sender<Bytes>,
}

/// What the socket has not taken of a frame.
#[derive(Debug)]
struct Unsent {
    rest: Pieces,
    is_answered: bool,
}

/// Why, says [`Line::closed_because`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Closed;

impl Line {
    pub(super) fn new(stream: OwnedWriteHalf) -> Self {
        Self {
            stream,
            state: Mutex::default(),
            room: Semaphore::new(IN_FLIGHT_MAX),
            left_over: Notify::new(),
            closed_because: OnceLock::new(),
        }
    }

    pub(super) fn closed_because(&self) -> Option<&str> {
        self.closed_because.get().map(String::as_str)
    }

    /// Puts a frame behind those posted before, with who waits for its answer; nobody where none comes.
    ///
    /// Cancellation: safe, the frame is in the line whole or not at all.
    pub(super) async fn post(&self, frame: Pieces, waiting: Option<Waiting>) -> Result<(), Closed> {
        let room = self.room.acquire().await.map_err(|_| Closed)?;
        let mut state = self.state.lock();
        if self.closed_because().is_some() {
            return Err(Closed);
        }
        // Comes back with the answer, or once the frame is written.
        room.forget();
        let is_first = state.unsent.is_empty();
        state.unsent.push_back(Unsent {
            rest: frame,
            is_answered: waiting.is_some(),
        });
        state.unanswered.extend(waiting);
        if !is_first {
            return Ok(());
        }
        let written = self.write(&mut state);
        let has_more = !state.unsent.is_empty();
        drop(state);
        match written {
            Ok(()) if has_more => self.left_over.notify_one(),
            Ok(()) => {}
            Err(error) => self.close(&error.to_string()),
        }
        Ok(())
    }

    /// Writes what posters left over until the socket fails; says how.
    pub(super) async fn write_left_over(&self) -> String {
        loop {
            self.left_over.notified().await;
            while self.has_left_over() {
                let written = self.stream.writable().await;
                let written = written.and_then(|()| self.write(&mut self.state.lock()));
                if let Err(error) = written {
                    return error.to_string();
                }
            }
        }
    }

    /// Hands a response to whoever waits longest; it must be theirs.
    pub(super) fn deliver(&self, response: Bytes) -> Result<(), String> {
        let prefix = response.first_chunk();
        let prefix = prefix.ok_or("a response without a correlation id came")?;
        let correlation_id = i32::from_be_bytes(*prefix);
        let oldest = self.state.lock().unanswered.pop_front();
        let oldest =
            oldest.ok_or_else(|| format!("response {correlation_id} was never asked for"))?;
        let expected = oldest.correlation_id;
        if expected != correlation_id {
            return Err(format!(
                "response {correlation_id} came where {expected} was due"
            ));
        }
        self.room.add_permits(1);
        // The asker may have given up; the answer is then nobody's.
        let _ = oldest.reply.send(response);
        Ok(())
    }

    /// Takes nothing more, lets go of all who wait, and ends the socket. The first reason stays.
    pub(super) fn close(&self, reason: &str) {
        // Before the state is cleared: who posts looks while he holds it.
        let _ = self.closed_because.set(reason.to_owned());
        *self.state.lock() = State::default();
        self.room.close();
        let socket: &TcpStream = self.stream.as_ref();
        // It may have ended by itself.
        let _ = shutdown(socket, Shutdown::Both);
    }

    fn has_left_over(&self) -> bool {
        !self.state.lock().unsent.is_empty()
    }

    /// As much as the socket takes now.
    fn write(&self, state: &mut State) -> io::Result<()> {
        while let Some(first) = state.unsent.front_mut() {
            let written = match first.rest.only() {
                Some(bytes) => self.stream.try_write(bytes),
                None => self.stream.try_write_vectored(&first.rest.next_slices()),
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => first.rest.advance(n),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
            if first.rest.is_empty()
                && let Some(sent) = state.unsent.pop_front()
                && !sent.is_answered
            {
                self.room.add_permits(1);
            }
        }
        Ok(())
    }
}
