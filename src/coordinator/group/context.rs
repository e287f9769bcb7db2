//! What a decision may look at besides the group: the time, the settings, the cluster, and chance.

use std::sync::Arc;
use std::time::Instant;

use crate::cluster::ClusterView;
use crate::config::BrokerConfig;
use crate::random::Random;

#[derive(Clone, Debug)]
pub struct Context {
    pub now: Instant,
    pub wall_ms: i64,
    pub config: Arc<BrokerConfig>,
    pub view: ClusterView,
    pub random: Random,
}
