//! The loop around `registration`: the connection to the controller, and who is told what.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use drave_raft::{CallError, Leadership, MetadataRaft, PeerConnection};
use tokio::sync::watch;
use tracing::debug;

use crate::clock::Clock;
use crate::cluster::lease::{BrokerLease, LeaseState};
use crate::cluster::metadata::Metadata;
use crate::cluster::registration::{BrokerStanding, Controller, Effect, Event, Registration, Wish};
use crate::cluster::rpc::{
    MessageError, PeerReply, PeerRequest, PeerResponse, RegisterBroker, decode, encode,
};
use crate::config::BrokerConfig;
use crate::tasks::Tasks;

/// Keeps this broker registered and alive in the controller's eyes.
#[derive(Debug)]
pub struct Liveness {
    raft: MetadataRaft,
    metadata: Metadata,
    clock: Clock,
    tasks: Tasks,
    registration: Registration,
    answer_timeout: Duration,
    lease: BrokerLease,
    wishes: watch::Receiver<Wish>,
    standing: watch::Sender<BrokerStanding>,
}

/// What the rest of the node does with it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LivenessHandle {
    lease: BrokerLease,
    clock: Clock,
    wishes: Arc<watch::Sender<Wish>>,
    standing: watch::Receiver<BrokerStanding>,
}

impl LivenessHandle {
    pub fn lease(&self) -> BrokerLease {
        self.lease.clone()
    }

    pub fn standing(&self) -> BrokerStanding {
        self.standing.borrow().clone()
    }

    pub fn standings(&self) -> watch::Receiver<BrokerStanding> {
        self.standing.clone()
    }

    /// Logs are open and listeners answer: clients may come.
    pub fn serve(&self) {
        self.wish(Wish::Serve);
    }

    /// Asks to leave politely; `false` if the deadline came first.
    pub async fn leave(&self, deadline: Instant) -> bool {
        self.wish(Wish::Leave);
        let mut standing = self.standing.clone();
        tokio::select! {
            allowed = standing.wait_for(|it| it.may_stop) => allowed.is_ok(),
            () = self.clock.sleep_until(deadline) => false,
        }
    }

    fn wish(&self, wish: Wish) {
        self.wishes.send_if_modified(|current| {
            let newer = wish > *current;
            if newer {
                *current = wish;
            }
            newer
        });
    }
}

type Connecting = Pin<Box<dyn Future<Output = Result<Line, CallError>> + Send>>;
type Calling = Pin<Box<dyn Future<Output = Result<PeerResponse, CallFailure>> + Send>>;
type Closing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How requests reach the controller.
#[derive(Clone, Debug)]
enum Line {
    /// It is in this process.
    Here,
    Connection(Arc<PeerConnection>),
}

#[derive(Debug, thiserror::Error)]
enum CallFailure {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Message(#[from] MessageError),
}

/// What is under way; dropping a part abandons it.
#[derive(Default)]
struct Underway {
    line: Option<Line>,
    connecting: Option<Connecting>,
    calling: Option<(Instant, Calling)>,
    closing: Option<Closing>,
}

impl Liveness {
    /// `request` says who this process is; its cluster id is filled in from the image.
    pub fn new(
        request: RegisterBroker,
        config: &BrokerConfig,
        raft: MetadataRaft,
        metadata: Metadata,
        clock: Clock,
        tasks: Tasks,
    ) -> (Self, LivenessHandle) {
        let session_timeout = config.broker_session_timeout;
        let interval = config.broker_heartbeat_interval;
        let registration = Registration::new(request, session_timeout, interval, clock.now());
        let lease = BrokerLease::default();
        let (wish_sender, wishes) = watch::channel(Wish::StayFenced);
        let (standing, standing_receiver) = watch::channel(BrokerStanding::default());
        let handle = LivenessHandle {
            lease: lease.clone(),
            clock: clock.clone(),
            wishes: Arc::new(wish_sender),
            standing: standing_receiver,
        };
        let liveness = Self {
            raft,
            metadata,
            clock,
            tasks,
            registration,
            // A controller silent for so long is asked on a fresh connection, while the lease holds.
            answer_timeout: session_timeout / 2,
            lease,
            wishes,
            standing,
        };
        (liveness, handle)
    }

    /// Until the node stops.
    pub async fn run(mut self) {
        let tasks = self.tasks.clone();
        tokio::select! {
            () = tasks.stopping() => {}
            () = self.keep_alive() => {}
        }
        self.lease.set(LeaseState::default());
    }

    async fn keep_alive(&mut self) {
        let mut leadership = self.raft.leadership();
        let mut metadata = self.metadata.clone();
        let mut wishes = self.wishes.clone();
        let clock = self.clock.clone();
        let mut underway = Underway::default();
        self.step(applied(&metadata), &mut underway);
        self.step(
            controller(&leadership.borrow_and_update().clone()),
            &mut underway,
        );
        loop {
            let wake_at = self.registration.wake_at();
            let event = tokio::select! {
                changed = leadership.changed() => match changed {
                    Ok(()) => controller(&leadership.borrow_and_update().clone()),
                    Err(_) => return,
                },
                changed = metadata.changed() => if changed { applied(&metadata) } else { return },
                changed = wishes.changed() => match changed {
                    Ok(()) => Event::Wished(*wishes.borrow_and_update()),
                    Err(_) => return,
                },
                event = underway.next() => event,
                () = sleep_until(&clock, wake_at) => Event::Tick,
            };
            self.step(event, &mut underway);
        }
    }

    fn step(&mut self, event: Event, underway: &mut Underway) {
        let mut effects = Vec::new();
        self.registration
            .step(event, self.clock.now(), &mut effects);
        self.lease.set(self.registration.lease());
        self.standing.send_if_modified(|current| {
            let changed = current != self.registration.standing();
            if changed {
                current.clone_from(self.registration.standing());
            }
            changed
        });
        for effect in effects {
            match effect {
                Effect::Connect(controller) => {
                    *underway = Underway::default();
                    underway.connecting = Some(self.connect(controller));
                }
                Effect::Disconnect => *underway = Underway::default(),
                Effect::Send(request) => {
                    let call = self.call(underway.line.clone(), &request);
                    underway.calling = Some((self.clock.now(), call));
                }
            }
        }
    }

    fn connect(&self, controller: Controller) -> Connecting {
        let (raft, deadline) = (self.raft.clone(), self.clock.now() + self.answer_timeout);
        Box::pin(async move {
            match controller {
                Controller::Here => Ok(Line::Here),
                Controller::At(address) => {
                    let connection = raft.connect(&address, deadline).await?;
                    Ok(Line::Connection(Arc::new(connection)))
                }
            }
        })
    }

    fn call(&self, line: Option<Line>, request: &PeerRequest) -> Calling {
        let (raft, deadline) = (self.raft.clone(), self.clock.now() + self.answer_timeout);
        let bytes = encode(request);
        Box::pin(async move {
            let bytes = bytes?;
            let answer = match line {
                Some(Line::Connection(connection)) => connection.call(bytes, deadline).await?,
                Some(Line::Here) | None => raft.call_leader(bytes, deadline).await?,
            };
            Ok(decode::<PeerReply>(&answer)?.response)
        })
    }
}

impl Underway {
    /// The next thing that happens on the line.
    ///
    /// Cancellation: safe, what is under way stays in its place and is polled again.
    async fn next(&mut self) -> Event {
        let Self {
            connecting,
            calling,
            closing,
            ..
        } = self;
        let outcome = tokio::select! {
            connected = wait(connecting) => Outcome::Connected(connected),
            (sent_at, answer) = answered(calling) => Outcome::Answered(sent_at, answer),
            () = wait(closing) => Outcome::Closed,
        };
        match outcome {
            Outcome::Connected(Ok(line)) => {
                self.connecting = None;
                self.closing = Some(closed(line.clone()));
                self.line = Some(line);
                return Event::Connected;
            }
            Outcome::Answered(sent_at, Ok(response)) => {
                self.calling = None;
                return Event::Answered { sent_at, response };
            }
            Outcome::Connected(Err(error)) => debug!(%error, "no connection to the controller"),
            Outcome::Answered(_, Err(error)) => debug!(%error, "no answer from the controller"),
            Outcome::Closed => debug!("connection to the controller closed"),
        }
        *self = Self::default();
        Event::Disconnected
    }
}

enum Outcome {
    Connected(Result<Line, CallError>),
    Answered(Instant, Result<PeerResponse, CallFailure>),
    Closed,
}

async fn wait<T>(work: &mut Option<Pin<Box<dyn Future<Output = T> + Send>>>) -> T {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}

async fn answered(
    calling: &mut Option<(Instant, Calling)>,
) -> (Instant, Result<PeerResponse, CallFailure>) {
    match calling {
        Some((sent_at, call)) => (*sent_at, call.await),
        None => std::future::pending().await,
    }
}

fn closed(line: Line) -> Closing {
    Box::pin(async move {
        match line {
            Line::Here => std::future::pending().await,
            Line::Connection(connection) => connection.closed().await,
        }
    })
}

async fn sleep_until(clock: &Clock, deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => clock.sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn applied(metadata: &Metadata) -> Event {
    let image = metadata.image();
    Event::Applied {
        offset: image.offset,
        cluster_id: image.cluster_id.clone(),
    }
}

fn controller(leadership: &Leadership) -> Event {
    let controller = if leadership.is_self {
        Some(Controller::Here)
    } else {
        let leader = leadership.leader.as_ref();
        leader.map(|it| Controller::At(it.address.clone()))
    };
    Event::Controller(controller)
}
