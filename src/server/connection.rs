//! One client's connection: frames in, answers out.
//!
//! Invariants: first stages run in the order of arrival; answers are written in that order; what a
//! request waits for in between, it waits for beside its neighbours. At most `IN_FLIGHT_MAX` requests
//! are open, and nothing is read while `HELD_BACK_MAX` answers are there or one cannot be written, so a
//! connection's memory is bounded. Nothing of a connection that fell silent is left here: its halves are
//! given back, and another one serves them once the peer is heard again.
//! A request that breaks the protocol ends its own connection, with one line in the log, and nothing else.

use std::collections::VecDeque;
use std::future;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use drave_log::LogError;
use drave_protocol::api::Api;
use thiserror::Error;
use tokio::io::AsyncRead;
use tracing::{debug, error, info, warn};

use crate::clock::Clock;
use crate::server::dispatch::Begun;
use crate::server::frame_reader::{FrameError, FrameReader};
use crate::server::quotas::Mute;
use crate::server::reply::{Answer, Close, Reply};
use crate::server::sending::{Part, SendError, Sender};
use crate::server::transport::Outlet;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;

/// Requests read and not answered.
const IN_FLIGHT_MAX: usize = 128;
/// Answers up to this size that are ready together leave together.
const COALESCE_BYTES_MAX: usize = 16 * 1024;
/// So many answers, less one, wait for requests that have arrived already: to send costs as much as to serve a small one.
const HELD_BACK_MAX: usize = 8;
/// How long a silent connection keeps its buffers.
const WARM: Duration = Duration::from_secs(2);
/// How long a connection is served after its last word: twice as long after each time it was looked at and had
/// spoken, so that who speaks now and then is not given away and taken back each time.
const PATIENCE_FIRST: Duration = Duration::from_millis(50);
const PATIENCE_LAST: Duration = Duration::from_secs(30);
/// When the node stops, answers that are nearly there still go out.
const FAREWELL: Duration = Duration::from_millis(500);

/// Why a connection ended.
#[derive(Debug, Error)]
enum End {
    #[error("closed by the peer")]
    Peer,
    #[error("idle for {0:?}")]
    Idle(Duration),
    #[error("silent")]
    Silent,
    #[error("the node stops")]
    Stopping,
    #[error("the peer read nothing for {0:?}")]
    Stalled(Duration),
    #[error("cannot write: {0}")]
    Write(io::Error),
    #[error("cannot send records: {0}")]
    Records(LogError),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Request(#[from] Close),
}

/// A request read and not answered.
#[derive(Debug)]
struct InFlight {
    api: &'static Api,
    received_at: Instant,
    reply: Reply,
}

/// What is left of a connection when it is no longer served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// It is to be closed.
    Nothing,
    /// Both ends are silent, and nothing is open between them.
    Silence(Past),
}

/// What is remembered of a connection, also while it is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Past {
    pub(crate) last_active: Instant,
    /// How long it may be silent before it is served no longer.
    patience: Duration,
}

impl Past {
    pub(crate) fn begun(now: Instant) -> Self {
        Self {
            last_active: now,
            patience: PATIENCE_FIRST,
        }
    }

    pub(crate) fn heard_again(self, now: Instant) -> Self {
        Self {
            last_active: now,
            ..self
        }
    }
}

/// What a connection is held to, and where it is counted.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) peer: SocketAddr,
    /// A client that took too much is read from again when this ends.
    pub(crate) mute: Mute,
    pub(crate) request_bytes_max: usize,
    pub(crate) idle_max: Duration,
    /// A client that takes no byte of its answer for so long is gone.
    pub(crate) write_stall_max: Duration,
    pub(crate) clock: Clock,
    pub(crate) tasks: Tasks,
    pub(crate) metrics: Metrics,
}

/// An accepted connection, until it ends. `first_stage` is called with each frame, in their order.
#[derive(Debug)]
pub(crate) struct Connection<R, W, F> {
    reader: FrameReader<R>,
    sender: Sender<W>,
    first_stage: F,
    terms: Terms,
    in_flight: VecDeque<InFlight>,
    past: Past,
    /// Since it was last looked at whether it is silent.
    has_spoken: bool,
    is_warm: bool,
}

impl<R, W, F> Connection<R, W, F>
where
    R: AsyncRead + Unpin,
    W: Outlet,
    F: Fn(BytesMut, Instant) -> Result<Begun, Close>,
{
    pub(crate) fn new(reader: R, outlet: W, past: Past, terms: Terms, first_stage: F) -> Self {
        let tasks = terms.tasks.clone();
        Self {
            reader: FrameReader::new(reader, terms.request_bytes_max),
            sender: Sender::new(outlet, terms.write_stall_max, tasks),
            first_stage,
            in_flight: VecDeque::new(),
            past,
            has_spoken: false,
            is_warm: true,
            terms,
        }
    }

    /// What it was made of.
    pub(crate) fn into_halves(self) -> (R, W) {
        (self.reader.into_stream(), self.sender.into_outlet())
    }

    /// Serves until the peer leaves, breaks the protocol or falls silent, or the node stops.
    pub(crate) async fn run(&mut self) -> Left {
        let mut end = self.serve().await;
        match end {
            End::Silent => return Left::Silence(self.past),
            End::Stopping => end = self.farewell().await,
            // What was finished before the peer left or broke the protocol is still its due. The reason stays.
            End::Peer | End::Frame(_) | End::Request(_) => drop(self.write_ready().await),
            End::Idle(_) | End::Stalled(_) | End::Write(_) | End::Records(_) => {}
        }
        self.log(&end);
        Left::Nothing
    }

    async fn serve(&mut self) -> End {
        let (clock, tasks) = (self.terms.clock.clone(), self.terms.tasks.clone());
        let mut alarm = Box::pin(clock.sleep_until(self.next_look(clock.now())));
        let mut stopping = std::pin::pin!(tasks.stopping());
        let mut has_begun_all = false;
        loop {
            let may_hold_back = !std::mem::take(&mut has_begun_all);
            let holds_back = may_hold_back && (1..HELD_BACK_MAX).contains(&self.n_ready());
            if !holds_back && let Err(end) = self.write_ready().await {
                return end;
            }
            let muted_until = self.terms.mute.end(&clock);
            let has_room = self.in_flight.len() < IN_FLIGHT_MAX && muted_until.is_none();
            let outcome = tokio::select! {
                // What has arrived is begun, then what is finished leaves, together; only then is there time to wait.
                biased;
                () = &mut stopping => Err(End::Stopping),
                answer = oldest(&mut self.in_flight) => self.on_answer(answer),
                frame = self.reader.next(), if has_room => self.on_frame(frame),
                () = future::ready(()), if holds_back => {
                    has_begun_all = true;
                    Ok(None)
                }
                () = heard_again(&clock, muted_until) => Ok(None),
                () = &mut alarm => self.on_alarm(),
            };
            match outcome {
                Ok(None) => {}
                Ok(Some(next_alarm)) => alarm.set(clock.sleep_until(next_alarm)),
                Err(end) => return end,
            }
        }
    }

    /// The oldest request is finished; `write_ready` sends its answer.
    fn on_answer(&mut self, answer: Result<Answer, Close>) -> Result<Option<Instant>, End> {
        let answer = answer?;
        if let Some(oldest) = self.in_flight.front_mut() {
            oldest.reply = Reply::Now(answer);
        }
        Ok(None)
    }

    /// The first stage of a request, in its place in the order of arrival.
    fn on_frame(
        &mut self,
        frame: Result<Option<BytesMut>, FrameError>,
    ) -> Result<Option<Instant>, End> {
        let frame = frame?.ok_or(End::Peer)?;
        let now = self.terms.clock.now();
        self.past.last_active = now;
        self.has_spoken = true;
        let begun = (self.first_stage)(frame, now)?;
        self.in_flight.push_back(InFlight {
            api: begun.api,
            received_at: now,
            reply: begun.reply,
        });
        self.reader.recycle(begun.memory);
        let was_warm = std::mem::replace(&mut self.is_warm, true);
        Ok((!was_warm).then(|| self.next_look(now)))
    }

    /// Looks how long the connection has been silent; answers when to look again.
    fn on_alarm(&mut self) -> Result<Option<Instant>, End> {
        let now = self.terms.clock.now();
        if !self.in_flight.is_empty() {
            self.past.last_active = now;
        }
        if std::mem::take(&mut self.has_spoken) {
            self.past.patience = PATIENCE_LAST.min(self.past.patience * 2);
        }
        let silent_for = now.saturating_duration_since(self.past.last_active);
        if silent_for >= self.terms.idle_max {
            return Err(End::Idle(self.terms.idle_max));
        }
        if silent_for >= self.past.patience && self.is_at_rest() {
            return Err(End::Silent);
        }
        if silent_for >= WARM {
            self.reader.release();
            self.sender.release();
            self.is_warm = false;
        }
        Ok(Some(self.next_look(now)))
    }

    /// Whether nothing would be lost if it were not served until the peer is heard again.
    fn is_at_rest(&self) -> bool {
        let is_heard = self.terms.mute.end(&self.terms.clock).is_none();
        self.in_flight.is_empty() && self.reader.is_between_frames() && is_heard
    }

    /// When the next of what silence leads to is due.
    fn next_look(&self, now: Instant) -> Instant {
        let idle_max = self.terms.idle_max;
        let silent_for = now.saturating_duration_since(self.past.last_active);
        let steps = [self.past.patience, WARM].into_iter();
        let next = steps.filter(|it| *it > silent_for).min();
        self.past.last_active + next.unwrap_or(idle_max).min(idle_max)
    }

    /// Answers at the head of the line that are there.
    fn n_ready(&self) -> usize {
        let ready = self.in_flight.iter().take_while(|it| it.is_ready());
        ready.take(HELD_BACK_MAX).count()
    }

    /// Writes the answers at the head of the line that are there.
    ///
    /// Cancellation: never cancelled half-way; it runs outside the `select!`.
    async fn write_ready(&mut self) -> Result<(), End> {
        while self.in_flight.front().is_some_and(InFlight::is_ready) {
            self.past.last_active = self.terms.clock.now();
            let parts = self.take_ready();
            self.sender.send(parts).await?;
        }
        Ok(())
    }

    /// The first answer, and those after it while they are small.
    fn take_ready(&mut self) -> VecDeque<Part> {
        let mut parts = VecDeque::new();
        let mut n_bytes = 0;
        while let Some(first) = self.in_flight.front_mut() {
            let Reply::Now(answer) = &mut first.reply else {
                break;
            };
            if let Answer::Frame(frame) = answer {
                n_bytes += frame.iter().map(Part::len).sum::<usize>();
                if !parts.is_empty() && n_bytes > COALESCE_BYTES_MAX {
                    break;
                }
                parts.extend(std::mem::take(frame));
            }
            if let Some(answered) = self.in_flight.pop_front() {
                self.count(&answered);
            }
        }
        parts
    }

    fn count(&self, answered: &InFlight) {
        let metrics = &self.terms.metrics;
        let name = [answered.api.name];
        metrics.requests.with(&name).increment();
        let took = self
            .past
            .last_active
            .saturating_duration_since(answered.received_at);
        metrics.request_time.with(&name).observe(took);
    }

    /// Answers what is open and nearly done, in order; reads nothing more.
    async fn farewell(&mut self) -> End {
        let answers = async {
            while !self.in_flight.is_empty() {
                if !self.in_flight.front().is_some_and(InFlight::is_ready) {
                    let answer = oldest(&mut self.in_flight).await;
                    self.on_answer(answer)?;
                }
                self.write_ready().await?;
            }
            Ok(())
        };
        match tokio::time::timeout(FAREWELL, answers).await {
            Ok(Err(end)) => end,
            Ok(Ok(())) | Err(_) => End::Stopping,
        }
    }

    fn log(&self, end: &End) {
        let peer = self.terms.peer;
        match end {
            End::Frame(FrameError::Refused { .. } | FrameError::Truncated { .. })
            | End::Stalled(_)
            | End::Records(_)
            | End::Request(
                Close::UnknownApi { .. }
                | Close::UnknownVersion { .. }
                | Close::MalformedHeader(_)
                | Close::Malformed { .. },
            ) => warn!(%peer, error = %end, "connection closed"),
            End::Request(Close::Unencodable { .. }) => {
                error!(%peer, error = %end, "connection closed");
            }
            End::Request(Close::UnansweredProduce(_)) => {
                info!(%peer, error = %end, "connection closed");
            }
            End::Peer
            | End::Idle(_)
            | End::Silent
            | End::Stopping
            | End::Write(_)
            | End::Frame(_) => {
                debug!(%peer, error = %end, "connection closed");
            }
        }
        if let Some(reason) = end.reason() {
            let refused = &self.terms.metrics.connections_refused;
            refused.with(&[reason]).increment();
        }
    }
}

impl InFlight {
    fn is_ready(&self) -> bool {
        matches!(self.reply, Reply::Now(_))
    }
}

impl End {
    /// What to count it under, where it was something that came over the connection.
    fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Frame(FrameError::Refused { .. } | FrameError::Truncated { .. }) => Some("frame"),
            Self::Request(close) => Some(close.reason()),
            Self::Stalled(_) => Some("stalled"),
            Self::Frame(FrameError::Io(_))
            | Self::Peer
            | Self::Idle(_)
            | Self::Silent
            | Self::Stopping
            | Self::Write(_)
            | Self::Records(_) => None,
        }
    }
}

impl From<SendError> for End {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Stalled(patience) => Self::Stalled(patience),
            SendError::Write(error) => Self::Write(error),
            SendError::Records(error) => Self::Records(error),
            SendError::Stopping => Self::Stopping,
        }
    }
}

/// Resolves when a mute ends; never without one.
///
/// Cancellation: safe, there is nothing but the time.
async fn heard_again(clock: &Clock, muted_until: Option<Instant>) {
    match muted_until {
        Some(end) => clock.sleep_until(end).await,
        None => future::pending().await,
    }
}

/// Resolves when the oldest request is finished; never while there is none, or it is finished already.
///
/// Cancellation: safe, the wait itself lives in the queue.
async fn oldest(in_flight: &mut VecDeque<InFlight>) -> Result<Answer, Close> {
    match in_flight.front_mut().map(|it| &mut it.reply) {
        Some(Reply::Later(waiting)) => waiting.await,
        Some(Reply::Now(_)) | None => future::pending().await,
    }
}
