//! Pooled connections: one per peer and purpose, opened when first needed, replaced when lost.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use drave_protocol::ids::{DirectoryId, NodeId};
use parking_lot::Mutex;

use crate::network::connection::{Connection, Dialer};
use crate::network::rpc::{Request, Response};
use crate::peer::CallError;
use crate::types::Member;

/// So many unanswered calls in a row, and the connection is given up: packets may be swallowed
/// without a reset.
const TIMEOUTS_MAX: u32 = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    Heartbeat,
    Entries,
    Snapshot,
    Application,
}

/// Whom a link reaches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    /// A member, wherever it is registered now.
    Member(u64),
    /// Whoever answers there.
    Address(String),
}

/// Where a member is registered now, if it ever was.
pub(crate) type Resolver = Arc<dyn Fn(NodeId, DirectoryId) -> Option<String> + Send + Sync>;

/// Where a member was found that is not reached where it should be.
#[derive(Clone, Debug)]
struct Found {
    /// What it stands in for: another address said since then is newer.
    instead_of: String,
    address: String,
}

type Pool = BTreeMap<(Target, Purpose), Arc<Link>>;

/// Clones share the pool.
#[derive(Clone)]
pub(crate) struct Links {
    dialer: Dialer,
    resolver: Resolver,
    found: Arc<Mutex<BTreeMap<u64, Found>>>,
    pool: Arc<Mutex<Pool>>,
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Links({:?})", self.dialer)
    }
}

pub(crate) struct Link {
    dialer: Dialer,
    address: Box<dyn Fn() -> String + Send + Sync>,
    to: Option<u64>,
    connection: tokio::sync::Mutex<Option<Arc<Connection>>>,
    timeouts: AtomicU32,
    /// Why the peer refused us when it was last dialled.
    refusal: Mutex<Option<String>>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({})", (self.address)())
    }
}

impl Links {
    pub(crate) fn new(dialer: Dialer, resolver: Resolver) -> Self {
        Self {
            dialer,
            resolver,
            found: Arc::default(),
            pool: Arc::default(),
        }
    }

    /// Takes note of where a member answers, if that is not where it is known to be.
    pub(crate) fn found_at(&self, id: u64, member: &Member, address: &str) {
        if self.address_of(id, member) == address {
            return;
        }
        tracing::info!(
            node = member.node,
            address,
            "a member answers at another address"
        );
        let found = Found {
            instead_of: self.known_address(id, member),
            address: address.to_owned(),
        };
        self.found.lock().insert(id, found);
    }

    /// As registered, or as it was when it became a member.
    fn known_address(&self, id: u64, member: &Member) -> String {
        let registered = (self.resolver)(NodeId(member.node), DirectoryId(id));
        registered.unwrap_or_else(|| member.address.clone())
    }

    pub(crate) fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    pub(crate) fn address_of(&self, id: u64, member: &Member) -> String {
        let known = self.known_address(id, member);
        match self.found.lock().get(&id) {
            Some(found) if found.instead_of == known => found.address.clone(),
            Some(_) | None => known,
        }
    }

    pub(crate) fn member(&self, id: u64, member: &Member, purpose: Purpose) -> Arc<Link> {
        // Without the pool: a link that held it would keep itself alive.
        let book = Self {
            pool: Arc::default(),
            ..self.clone()
        };
        let member = member.clone();
        self.link(Target::Member(id), purpose, Some(id), move || {
            book.address_of(id, &member)
        })
    }

    pub(crate) fn address(&self, address: &str) -> Arc<Link> {
        let address = address.to_owned();
        let target = Target::Address(address.clone());
        self.link(target, Purpose::Application, None, move || address.clone())
    }

    fn link(
        &self,
        target: Target,
        purpose: Purpose,
        to: Option<u64>,
        address: impl Fn() -> String + Send + Sync + 'static,
    ) -> Arc<Link> {
        let mut pool = self.pool.lock();
        let link = pool.entry((target, purpose)).or_insert_with(|| {
            Arc::new(Link {
                dialer: self.dialer.clone(),
                address: Box::new(address),
                to,
                connection: tokio::sync::Mutex::new(None),
                timeouts: AtomicU32::new(0),
                refusal: Mutex::default(),
            })
        });
        link.clone()
    }
}

impl Link {
    /// Cancellation: safe; a connect that was under way is dropped with its socket.
    pub(crate) async fn call(
        &self,
        request: &Request,
        deadline: Instant,
    ) -> Result<Response, CallError> {
        let connection = self.connection(deadline).await?;
        let outcome = connection.call(request, deadline).await;
        match &outcome {
            Ok(_) => self.timeouts.store(0, Ordering::Relaxed),
            Err(CallError::Timeout { .. }) => {
                if self.timeouts.fetch_add(1, Ordering::Relaxed) + 1 >= TIMEOUTS_MAX {
                    self.timeouts.store(0, Ordering::Relaxed);
                    self.give_up(&connection).await;
                }
            }
            Err(
                CallError::Closed { .. }
                | CallError::Unreachable { .. }
                | CallError::Refused { .. }
                | CallError::NoLeader
                | CallError::TooLarge(_)
                | CallError::Stopped,
            ) => {}
        }
        outcome
    }

    async fn connection(&self, deadline: Instant) -> Result<Arc<Connection>, CallError> {
        let address = (self.address)();
        let left = self.dialer.left(deadline);
        // Held while connecting, so that callers share one attempt.
        let Ok(mut slot) = tokio::time::timeout(left, self.connection.lock()).await else {
            return Err(CallError::Timeout { address });
        };
        if let Some(connection) = slot.as_ref()
            && !connection.is_closed()
            && connection.address() == address
        {
            return Ok(connection.clone());
        }
        let connected = self.dialer.connect(&address, self.to, deadline).await;
        self.note_refusal(connected.as_ref().err());
        let connected = connected?;
        let connected = Arc::new(connected);
        *slot = Some(connected.clone());
        Ok(connected)
    }

    /// A peer that refuses us does so at every attempt; it is said once for each reason.
    fn note_refusal(&self, error: Option<&CallError>) {
        let mut refusal = self.refusal.lock();
        match error {
            None => *refusal = None,
            Some(CallError::Refused { address, reason }) => {
                if refusal.as_ref() != Some(reason) {
                    tracing::warn!(peer = %address, %reason, "a peer refuses this node");
                    *refusal = Some(reason.clone());
                }
            }
            Some(_) => {}
        }
    }

    async fn give_up(&self, connection: &Arc<Connection>) {
        let mut slot = self.connection.lock().await;
        if slot.as_ref().is_some_and(|it| Arc::ptr_eq(it, connection)) {
            *slot = None;
        }
    }
}
