//! Changes of metadata a client may make (`controller_mutation_rate`, KIP-599): partitions created and deleted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use drave_protocol::error_code::ErrorCode;

use crate::clock::Clock;
use crate::server::context::RequestContext;
use crate::server::quotas::ClientQuotas;
use crate::server::quotas::table::Configs;

/// What a client is told that must come again.
pub(crate) const EXCEEDED: ErrorCode = ErrorCode::ThrottlingQuotaExceeded;
pub(crate) const EXCEEDED_MESSAGE: &str = "the throttling quota has been exceeded";

/// Whether those who change too much are refused, or only wait: clients of before know no refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strictness {
    Refuses,
    Waits,
}

/// The changes of one request.
#[derive(Debug)]
pub(crate) struct Mutations {
    quotas: ClientQuotas,
    configs: Arc<Configs>,
    clock: Clock,
    strictness: Strictness,
    wait: Duration,
}

impl Mutations {
    /// `refuses_since`: the first version whose clients know that they may be refused.
    pub(crate) fn of(
        quotas: &ClientQuotas,
        configs: &Arc<Configs>,
        clock: &Clock,
        (version, refuses_since): (i16, i16),
    ) -> Self {
        Self {
            quotas: quotas.clone(),
            configs: Arc::clone(configs),
            clock: clock.clone(),
            strictness: if version >= refuses_since {
                Strictness::Refuses
            } else {
                Strictness::Waits
            },
            wait: Duration::ZERO,
        }
    }

    /// Whether so many partitions may be created or deleted; then they are counted.
    pub(crate) fn may_change(&mut self, ctx: &RequestContext, n_partitions: usize) -> bool {
        let now = self.now();
        let client_id = ctx.client_id.as_deref().unwrap_or_default();
        let n_partitions = u32::try_from(n_partitions).unwrap_or(u32::MAX);
        let refuses = self.strictness == Strictness::Refuses;
        let (may, wait) =
            self.quotas
                .changed(&self.configs, client_id, (n_partitions, refuses), now);
        self.wait = self.wait.max(wait);
        may
    }

    /// What to tell the client of its wait; until then its connection is not read from.
    pub(crate) fn throttle_ms(&self, ctx: &RequestContext) -> i32 {
        ctx.mute(self.wait, self.now())
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }
}
