//! For tests: a clock that is moved by hand, and what decisions are made with.

use std::sync::Arc;
use std::time::Duration;

use super::context::Context;
use crate::clock::Clock;
use crate::cluster::ClusterView;
use crate::config::BrokerConfig;
use crate::config::define::Settings;
use crate::random::Random;

/// 2026, in the units of records.
pub(crate) const START_MS: i64 = 1_780_000_000_000;

pub(crate) fn context() -> Context {
    let config = BrokerConfig::new(Settings::default(), &|| "here".to_owned()).unwrap();
    Context {
        now: Clock::system().now(),
        wall_ms: START_MS,
        config: Arc::new(config),
        view: ClusterView::new(Arc::default()),
        random: Random::seeded(7),
    }
}

/// Moves on.
pub(crate) fn pass(cx: &mut Context, time: Duration) {
    cx.now += time;
    cx.wall_ms += i64::try_from(time.as_millis()).unwrap();
}
