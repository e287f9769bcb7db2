//! Client quotas: how much clients may use of a broker, and how long they wait who took more.
//!
//! - `table` which quota a client falls under
//! - `rate` how much came in the last seconds; `bucket` how much may still come
//! - `work` the time threads work for a request; `mutations` partitions created and deleted
//!
//! Each broker counts for itself, as in Kafka: a client of three brokers may use three times as much. So it is
//! here for changes of metadata too, which Kafka's controller counts.
//! Promises: nothing is lost, a client only waits: it is told how long in the answer, and nothing more is read
//! from its connection until then. Only changes of metadata are refused, to clients that know of it.
//! Replicas are never held up.

mod bucket;
pub(crate) mod mutations;
mod rate;
mod table;
mod work;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use drave_raft::record::QuotaEntity;
use parking_lot::{Mutex, MutexGuard};

use crate::clock::Clock;
use crate::cluster::ClusterView;
use crate::server::quotas::bucket::Bucket;
use crate::server::quotas::rate::Rate;
use crate::server::quotas::table::{Configs, QuotaTable};

pub(crate) use crate::config::quotas::Usage;
pub(crate) use table::agreed;
pub(crate) use work::Work;

/// Who everybody is as long as nobody is asked.
const ANONYMOUS: &str = "ANONYMOUS";
/// Counts beyond which those of clients that fell silent are dropped.
const RATES_MAX: usize = 10_000;

/// Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct ClientQuotas {
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    /// What the table was made of.
    configs: Arc<Configs>,
    table: QuotaTable,
    rates: BTreeMap<(Usage, QuotaEntity), Rate>,
    buckets: BTreeMap<QuotaEntity, Bucket>,
}

impl ClientQuotas {
    /// Takes note of what a client used; how long it must wait now.
    pub(crate) fn used(
        &self,
        view: &ClusterView,
        client_id: Option<&str>,
        (usage, n_bytes): (Usage, usize),
        now: Instant,
    ) -> Duration {
        let n_bytes = f64::from(u32::try_from(n_bytes).unwrap_or(u32::MAX));
        let configs = &view.image().configs;
        self.counted(
            configs,
            client_id.unwrap_or_default(),
            (usage, n_bytes),
            now,
        )
    }

    fn counted(
        &self,
        configs: &Arc<Configs>,
        client_id: &str,
        (usage, amount): (Usage, f64),
        now: Instant,
    ) -> Duration {
        let Some((mut counts, whose, limit)) = self.limit(configs, client_id, usage) else {
            return Duration::ZERO;
        };
        counts.make_room(now);
        let rate = counts.rates.entry((usage, whose)).or_default();
        rate.record(amount, now);
        rate.excess(limit, now)
    }

    /// Takes note of partitions that a client creates or deletes. Whether it may, where those who took too much
    /// are refused; and how long it must wait.
    fn changed(
        &self,
        configs: &Arc<Configs>,
        client_id: &str,
        (n_partitions, refuses): (u32, bool),
        now: Instant,
    ) -> (bool, Duration) {
        let Some((mut counts, whose, limit)) = self.limit(configs, client_id, Usage::Mutation)
        else {
            return (true, Duration::ZERO);
        };
        counts.make_room(now);
        let bucket = counts.buckets.entry(whose);
        let bucket = bucket.or_insert_with(|| Bucket::of(limit, now));
        if refuses && bucket.is_empty(limit, now) {
            return (false, bucket.wait());
        }
        bucket.take(f64::from(n_partitions), limit, now);
        // Who is refused in time need not wait for what it was let do.
        let wait = if refuses {
            Duration::ZERO
        } else {
            bucket.wait()
        };
        (true, wait)
    }

    fn has_limit(&self, configs: &Arc<Configs>, client_id: &str, usage: Usage) -> bool {
        self.limit(configs, client_id, usage).is_some()
    }

    /// The limit of a client, and with whom it shares.
    fn limit(
        &self,
        configs: &Arc<Configs>,
        client_id: &str,
        usage: Usage,
    ) -> Option<(MutexGuard<'_, Counts>, QuotaEntity, f64)> {
        // Mostly there are none, and then nobody waits for anybody here.
        agreed(configs).next()?;
        let mut counts = self.counts.lock();
        if !Arc::ptr_eq(&counts.configs, configs) {
            counts.table = QuotaTable::of(configs);
            counts.configs = Arc::clone(configs);
        }
        let (whose, limit) = counts.table.limit(ANONYMOUS, client_id, usage)?;
        Some((counts, whose, limit))
    }
}

impl Counts {
    fn make_room(&mut self, now: Instant) {
        if self.rates.len() >= RATES_MAX {
            self.rates.retain(|_, rate| !rate.is_silent(now));
        }
        // Clients with ever new names, all at once: who was counted so far begins anew.
        if self.rates.len() >= RATES_MAX {
            self.rates.clear();
        }
        if self.buckets.len() >= RATES_MAX {
            self.buckets.retain(|_, bucket| !bucket.is_full(now));
        }
        if self.buckets.len() >= RATES_MAX {
            self.buckets.clear();
        }
    }
}

/// A duration as answers carry it.
pub(crate) fn throttle_ms(wait: Duration) -> i32 {
    i32::try_from(wait.as_millis()).unwrap_or(i32::MAX)
}

/// Until when nothing is read from a connection. Cheap to clone; all clones are of one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mute {
    until: Arc<Mutex<Option<Instant>>>,
}

impl Mute {
    pub(crate) fn extend(&self, until: Instant) {
        let mut current = self.until.lock();
        *current = Some(current.map_or(until, |it| it.max(until)));
    }

    /// When it ends, if it has not. Where there is none, nobody looks at a clock.
    pub(crate) fn end(&self, clock: &Clock) -> Option<Instant> {
        let mut until = self.until.lock();
        *until = until.filter(|it| *it > clock.now());
        *until
    }
}
