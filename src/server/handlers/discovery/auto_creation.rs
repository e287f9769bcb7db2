//! Topics that come into being because somebody asked for them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use drave_protocol::error_code::ErrorCode;
use tracing::warn;

use crate::cluster::rpc::{CreateMode, CreateTopic, CreateTopicError, CreateTopics, CreatedTopic};
use crate::cluster::{ControllerLink, Metadata};
use crate::config::BrokerConfig;
use crate::coordinator::topic::{OFFSETS_TOPIC, offsets_topic};
use crate::replica::Replicas;

/// How long an answer is held back for the topic to be there. Kafka answers at once and lets the client
/// come again; waiting is shorter for everybody.
const PATIENCE: Duration = Duration::from_secs(2);

/// The right to create topics, where the node's configuration gives it.
#[derive(Clone, Debug)]
pub(crate) struct AutoCreation {
    controller: ControllerLink,
    replicas: Replicas,
    metadata: Metadata,
    config: Arc<BrokerConfig>,
}

impl AutoCreation {
    pub(crate) fn allowed(
        config: &Arc<BrokerConfig>,
        controller: &ControllerLink,
        replicas: &Replicas,
        metadata: &Metadata,
    ) -> Option<Self> {
        config.auto_create_topics_enable.then(|| Self {
            controller: controller.clone(),
            replicas: replicas.clone(),
            metadata: metadata.clone(),
            config: Arc::clone(config),
        })
    }

    /// Creates `names` with the cluster's defaults; says what to tell of those that are not there after.
    pub(crate) async fn create(
        &self,
        names: Vec<String>,
        received_at: Instant,
    ) -> BTreeMap<String, ErrorCode> {
        let topic = |name: &String| {
            if name == OFFSETS_TOPIC {
                // Never with the defaults of any topic: it must be compacted.
                return offsets_topic(&self.config, &self.metadata.view());
            }
            CreateTopic {
                name: name.clone(),
                ..CreateTopic::default()
            }
        };
        let request = CreateTopics {
            topics: names.iter().map(topic).collect(),
            mode: CreateMode::Create,
        };
        let deadline = received_at + PATIENCE;
        match self.controller.create_topics(request, deadline).await {
            Ok(created) => {
                let seen = self.metadata.offset();
                self.replicas.settled(seen, deadline).await;
                created.into_iter().map(outcome).collect()
            }
            Err(error) => {
                warn!(%error, "topics could not be created on demand");
                let pending = |name| (name, ErrorCode::LeaderNotAvailable);
                names.into_iter().map(pending).collect()
            }
        }
    }
}

/// What to say of a topic that is not to be seen though creating it ended like this.
fn outcome(created: CreatedTopic) -> (String, ErrorCode) {
    let code = match &created.result {
        // It exists; the next question will find it.
        Ok(_) | Err(CreateTopicError::AlreadyExists(_)) => ErrorCode::LeaderNotAvailable,
        Err(error) => ErrorCode::from(error),
    };
    (created.name, code)
}
