//! Client quotas: who may produce and fetch how many bytes a second, and how long they wait who took more.
//!
//! Each broker counts for itself, as in Kafka: a client of three brokers may use three times as much.
//! Promises: nothing is refused and nothing is lost, a client only waits: it is told how long in the
//! answer, and nothing more is read from its connection until then. Replicas are never held up.

mod rate;
mod table;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use drave_raft::record::QuotaEntity;
use parking_lot::Mutex;

use crate::cluster::ClusterView;
use crate::server::quotas::rate::Rate;
use crate::server::quotas::table::{Configs, QuotaTable};

pub(crate) use table::{Usage, agreed};

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
        let configs = &view.image().configs;
        // Mostly there are none, and then nobody waits for anybody here.
        if agreed(configs).next().is_none() {
            return Duration::ZERO;
        }
        let mut counts = self.counts.lock();
        if !Arc::ptr_eq(&counts.configs, configs) {
            counts.table = QuotaTable::of(configs);
            counts.configs = Arc::clone(configs);
        }
        let client_id = client_id.unwrap_or_default();
        let Some((whose, limit)) = counts.table.limit(ANONYMOUS, client_id, usage) else {
            return Duration::ZERO;
        };
        counts.make_room(now);
        let n_bytes = u32::try_from(n_bytes).unwrap_or(u32::MAX);
        let rate = counts.rates.entry((usage, whose)).or_default();
        rate.record(f64::from(n_bytes), now);
        rate.excess(limit, now)
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

    /// When it ends, if it has not.
    pub(crate) fn end(&self, now: Instant) -> Option<Instant> {
        let mut until = self.until.lock();
        *until = until.filter(|it| *it > now);
        *until
    }
}
