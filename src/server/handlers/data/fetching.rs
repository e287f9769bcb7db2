//! One fetch on its way: looks at what is due, and waits for more while there is too little.
//!
//! Every fetch is of a session; one that wants none has one of its own that is forgotten with the answer.
//! Invariants: a wake-up costs a look at each partition that changed, and none at the others; what a request
//! that was given up had looked at stays due.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Instant;

use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::{LeaderEpoch, Offset, TopicId, TopicIdPartition};
use drave_protocol::schema::fetch::FetchPartition as AskedPartition;
use parking_lot::Mutex;

use crate::cluster::{ClusterView, Metadata};
use crate::replica::{FetchError, FetchPartition, Fetched, Reader, Replicas, Watch, Watching};
use crate::server::fetch_session;
use crate::server::fetch_session::{
    Called, CalledTopic, Entry, Numbers, Outcome, Session, Telling,
};
use crate::server::handlers::data::naming::{self, TopicsBy};

/// A session, and what it has not looked at since it changed.
#[derive(Debug)]
pub(crate) struct Live {
    pub(super) session: Mutex<Session<Watching>>,
    watch: Arc<Watch>,
    /// Session epoch of the newest request that arrived; an older one that waits makes way for it.
    newest: AtomicI32,
}

impl Live {
    pub(super) fn new(session: Session<Watching>) -> Self {
        Self {
            session: Mutex::new(session),
            watch: Arc::default(),
            newest: AtomicI32::new(0),
        }
    }

    /// A request of the session came in; it may have to wait for its turn.
    pub(super) fn arrived(&self, epoch: i32) {
        self.newest.store(epoch, Ordering::Relaxed);
        self.watch.wake();
    }
}

/// How long a fetch waits, and how much it takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) reader: Reader,
    /// When to answer with whatever there is.
    pub(super) deadline: Instant,
    /// Bytes to wait for.
    pub(super) min_bytes: usize,
    /// Bytes after which no further partition is read.
    pub(super) max_bytes: usize,
    /// Of this request, where it is in a session that was there before.
    pub(super) epoch: Option<i32>,
    /// Whether the session may outlive the request.
    pub(super) may_be_kept: bool,
}

/// Where a client is, and by which listener it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client<'a> {
    pub(super) rack: &'a str,
    pub(super) listener: &'a str,
}

/// A partition that was looked at.
#[derive(Debug)]
pub(super) struct Looked {
    pub(super) called: Called,
    pub(super) partition: Option<TopicIdPartition>,
    pub(super) result: Result<Fetched, ErrorCode>,
    pub(super) was_skipped: bool,
}

pub(super) struct Fetching<'a> {
    replicas: &'a Replicas,
    metadata: &'a Metadata,
    live: &'a Live,
    client: Client<'a>,
    terms: Terms,
    looked: BTreeMap<u32, Looked>,
    n_bytes: usize,
    /// Whether somebody is to be told something no record will tell.
    is_urgent: bool,
}

impl<'a> Fetching<'a> {
    pub(super) fn new(
        (replicas, metadata): (&'a Replicas, &'a Metadata),
        live: &'a Live,
        client: Client<'a>,
        terms: Terms,
    ) -> Self {
        Self {
            client,
            replicas,
            metadata,
            live,
            terms,
            looked: BTreeMap::new(),
            n_bytes: 0,
            is_urgent: false,
        }
    }

    /// Looks until there is enough, something is urgent, or the time is over.
    ///
    /// Cancellation: safe at any await; what is due stays so.
    pub(super) async fn run(&mut self) {
        let mut watches = self.terms.may_be_kept;
        let due = self.due();
        self.look_at(due, watches);
        if !watches && !self.is_enough() {
            // What moved between the first look and now is not missed: all are looked at again.
            watches = true;
            let due = self.due();
            self.look_at(due, watches);
        }
        while !self.is_enough() {
            let woken = self.live.watch.woken();
            let is_over = tokio::time::timeout_at(self.terms.deadline.into(), woken).await;
            let marked = self.marked();
            self.look_at(marked, watches);
            if is_over.is_err() {
                return;
            }
        }
    }

    /// What was marked, and of what is left over from the request before, all.
    fn due(&self) -> Vec<u32> {
        let marked = self.live.watch.take_marked();
        let mut session = self.live.session.lock();
        for place in marked {
            session.mark(place);
        }
        session.due()
    }

    fn marked(&self) -> Vec<u32> {
        let marked: BTreeSet<u32> = self.live.watch.take_marked();
        let mut session = self.live.session.lock();
        for place in &marked {
            session.mark(*place);
        }
        marked.into_iter().collect()
    }

    fn is_enough(&self) -> bool {
        self.is_urgent
            || self.n_bytes >= self.terms.min_bytes
            || self.replicas.clock().now() >= self.terms.deadline
            || self.makes_way()
    }

    fn makes_way(&self) -> bool {
        let newest = self.live.newest.load(Ordering::Relaxed);
        self.terms
            .epoch
            .is_some_and(|it| newest != 0 && newest != it)
    }

    fn look_at(&mut self, places: Vec<u32>, watches: bool) {
        if places.is_empty() {
            return;
        }
        let view = self.metadata.view();
        let live = self.live;
        let mut session = live.session.lock();
        for place in &places {
            let before = self.looked.remove(place);
            self.n_bytes -= before.map_or(0, |it| it.n_bytes());
        }
        for place in places {
            let left = self.terms.max_bytes.saturating_sub(self.n_bytes);
            let told = session.told(place);
            let by = session.by();
            let Some(entry) = session.entry_mut(place) else {
                continue;
            };
            if entry.partition.is_none() {
                entry.partition = find(&view, by, &entry.called).ok();
            }
            if watches
                && entry.watching.is_none()
                && let Some(partition) = entry.partition
            {
                let watch = (&live.watch, place);
                entry.watching = self.replicas.watch(partition, self.terms.reader, watch);
            }
            let looked = self.look(&view, by, entry, left);
            self.n_bytes += looked.n_bytes();
            self.is_urgent |= match &looked.result {
                Ok(fetched) => fetched.has_news || self.is_awaited(told, fetched),
                Err(_) => true,
            };
            self.looked.insert(place, looked);
        }
    }

    /// Whether a follower that serves consumers is behind with what they may read.
    fn is_awaited(&self, told: Option<Numbers>, fetched: &Fetched) -> bool {
        let is_behind = told.is_some_and(|it| it.high_watermark < fetched.high_watermark);
        let is_follower = matches!(self.terms.reader, Reader::Follower { .. });
        is_behind && is_follower && self.replicas.serves_consumers_nearby()
    }

    fn look(
        &self,
        view: &ClusterView,
        by: TopicsBy,
        entry: &mut Entry<Watching>,
        left: usize,
    ) -> Looked {
        let asked = |partition| translate(partition, &entry.asked, left);
        let read = |partition| self.read(view, &asked(partition));
        let mut result = match entry.partition {
            None => Err(find(view, by, &entry.called)
                .err()
                .unwrap_or(ErrorCode::UnknownTopicOrPartition)),
            Some(partition) => read(partition).map_err(|error| {
                // The topic may be gone, and its name another topic's.
                let is_gone = matches!(error, FetchError::UnknownPartition(_));
                let gone = find(view, by, &entry.called).err().filter(|_| is_gone);
                gone.unwrap_or_else(|| naming::refusal(&error))
            }),
        };
        let mut was_skipped = left == 0;
        if let Ok(fetched) = &mut result
            && self.n_bytes > 0
            && fetched.n_bytes() > left
        {
            // A batch comes whole, but only the first of an answer may be too large for it.
            fetched.records = None;
            was_skipped = true;
        }
        Looked {
            called: entry.called.clone(),
            partition: entry.partition,
            was_skipped,
            result,
        }
    }

    fn read(&self, view: &ClusterView, asked: &FetchPartition) -> Result<Fetched, FetchError> {
        let mut fetched = self.replicas.read(self.terms.reader, asked)?;
        if let Reader::Consumer { .. } = self.terms.reader
            && fetched.diverging.is_none()
        {
            let rack_of = |node| {
                view.endpoint(node, self.client.listener)?;
                let broker = view.broker(node).filter(|it| !it.fenced)?;
                broker.rack.as_deref()
            };
            let nearest = self
                .replicas
                .nearest_replica(asked, self.client.rack, rack_of);
            if nearest.is_some() {
                fetched.records = None;
                fetched.has_news = true;
                fetched.preferred_read_replica = nearest;
            }
        }
        Ok(fetched)
    }

    /// What the answer tells; `None` where another request took the session over meanwhile.
    pub(super) fn finish(self) -> Option<Vec<Looked>> {
        let mut session = self.live.session.lock();
        let telling = match self.terms.epoch {
            None => Telling::All,
            Some(epoch) if fetch_session::epoch_after(epoch) == session.epoch() => Telling::News,
            Some(_) => return None,
        };
        let told = self.looked.into_iter().filter_map(|(place, looked)| {
            let is_told = session.settle(place, looked.outcome(), telling);
            is_told.then_some(looked)
        });
        Some(told.collect())
    }
}

impl Looked {
    pub(super) fn refused(called: Called, code: ErrorCode) -> Self {
        Self {
            called,
            partition: None,
            result: Err(code),
            was_skipped: false,
        }
    }

    fn n_bytes(&self) -> usize {
        self.result.as_ref().map_or(0, Fetched::n_bytes)
    }

    fn outcome(&self) -> Outcome {
        let quiet = self.result.as_ref().ok();
        let is_quiet =
            |it: &&Fetched| it.diverging.is_none() && it.preferred_read_replica.is_none();
        let quiet = quiet.filter(is_quiet);
        Outcome {
            n_bytes: self.n_bytes(),
            numbers: quiet.map(|it| Numbers {
                high_watermark: it.high_watermark,
                log_start_offset: it.log_start_offset,
            }),
            was_skipped: self.was_skipped,
            is_settled: quiet.is_some_and(|it| it.is_settled),
        }
    }
}

pub(super) fn find(
    view: &ClusterView,
    by: TopicsBy,
    called: &Called,
) -> Result<TopicIdPartition, ErrorCode> {
    let name = match &called.topic {
        CalledTopic::Name(name) => (name.as_ref(), TopicId::ZERO),
        CalledTopic::Id(id) => ("", *id),
    };
    naming::resolve(view, by, name, called.partition)
}

fn translate(partition: TopicIdPartition, asked: &AskedPartition, left: usize) -> FetchPartition {
    let epoch = |epoch: i32| (epoch >= 0).then_some(LeaderEpoch(epoch));
    FetchPartition {
        partition,
        current_leader_epoch: epoch(asked.current_leader_epoch),
        fetch_offset: Offset(asked.fetch_offset),
        last_fetched_epoch: epoch(asked.last_fetched_epoch),
        log_start_offset: (asked.log_start_offset >= 0).then_some(Offset(asked.log_start_offset)),
        max_bytes: size(asked.partition_max_bytes).min(left),
    }
}

/// A count of bytes from the wire; less than none is none.
pub(super) fn size(bytes: i32) -> usize {
    usize::try_from(bytes).unwrap_or_default()
}
