//! Administration of what exists: more partitions, other leaders, other configs.

use drave_protocol::schema::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use drave_protocol::schema::elect_leaders::{ElectLeadersRequest, TopicPartitions};
use drave_protocol::schema::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};

use crate::admin::{Admin, PerTopic, outcome};
use crate::error::ClientError;

/// Which replica an election prefers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElectionKind {
    /// The first of the assignment, if it is in sync.
    Preferred,
    /// Any live one, where nobody leads.
    Unclean,
}

/// What became of one partition; a success may come with a warning of what it cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Election {
    pub topic: String,
    pub partition: i32,
    pub outcome: Result<Option<String>, ClientError>,
}

/// Whose configs they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    Topic(String),
    Broker(i32),
    /// The default of every broker.
    Cluster,
    /// By its id.
    Group(String),
}

impl Resource {
    /// Kafka's number and name of it; a broker without a name stands for all.
    pub(crate) fn on_wire(&self) -> (i8, String) {
        match self {
            Self::Topic(name) => (2, name.clone()),
            Self::Broker(id) => (4, id.to_string()),
            Self::Cluster => (4, String::new()),
            Self::Group(id) => (32, id.clone()),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigChange {
    Set(String),
    Delete,
    /// Adds to a list.
    Append(String),
    /// Takes from a list.
    Subtract(String),
}

impl Admin {
    /// Makes the topic have `n_partitions`; with `validate_only` only says whether it could.
    pub async fn create_partitions(
        &self,
        topic: &str,
        n_partitions: i32,
        validate_only: bool,
    ) -> Result<PerTopic<()>, ClientError> {
        let topic = CreatePartitionsTopic {
            name: topic.to_owned(),
            count: n_partitions,
            assignments: None,
        };
        let request = CreatePartitionsRequest {
            topics: vec![topic],
            timeout_ms: self.timeout_ms(),
            validate_only,
        };
        let response = self.ask(|_| Ok(request.clone())).await?;
        let outcomes = response.results.into_iter();
        Ok(outcomes
            .map(|it| (it.name, outcome(it.error_code, it.error_message, ())))
            .collect())
    }

    /// Elects leaders of the named partitions, or wherever one is needed.
    pub async fn elect_leaders(
        &self,
        kind: ElectionKind,
        partitions: Option<&[(String, i32)]>,
    ) -> Result<Vec<Election>, ClientError> {
        let named = partitions.map(|partitions| {
            let one = |(topic, partition): &(String, i32)| TopicPartitions {
                topic: topic.clone(),
                partitions: vec![*partition],
            };
            partitions.iter().map(one).collect()
        });
        let request = ElectLeadersRequest {
            election_type: match kind {
                ElectionKind::Preferred => 0,
                ElectionKind::Unclean => 1,
            },
            topic_partitions: named,
            timeout_ms: self.timeout_ms(),
        };
        let response = self.ask(|_| Ok(request.clone())).await?;
        outcome(response.error_code, None, ())?;
        let mut elections = Vec::new();
        for topic in response.replica_election_results {
            for it in topic.partition_result {
                let warning = it.error_message.clone();
                elections.push(Election {
                    topic: topic.topic.clone(),
                    partition: it.partition_id,
                    outcome: outcome(it.error_code, it.error_message, warning),
                });
            }
        }
        Ok(elections)
    }

    /// Changes single entries of a resource, all or none; with `validate_only` only says whether it could.
    pub async fn alter_configs(
        &self,
        resource: &Resource,
        changes: &[(String, ConfigChange)],
        validate_only: bool,
    ) -> Result<(), ClientError> {
        let (resource_type, resource_name) = resource.on_wire();
        let entry = |(name, change): &(String, ConfigChange)| {
            let (config_operation, value) = match change {
                ConfigChange::Set(value) => (0, Some(value.clone())),
                ConfigChange::Delete => (1, None),
                ConfigChange::Append(value) => (2, Some(value.clone())),
                ConfigChange::Subtract(value) => (3, Some(value.clone())),
            };
            AlterableConfig {
                name: name.clone(),
                config_operation,
                value,
            }
        };
        let request = IncrementalAlterConfigsRequest {
            resources: vec![AlterConfigsResource {
                resource_type,
                resource_name,
                configs: changes.iter().map(entry).collect(),
            }],
            validate_only,
        };
        let response = self.ask(|_| Ok(request.clone())).await?;
        let result = response.responses.into_iter().next().unwrap_or_default();
        outcome(result.error_code, result.error_message, ())
    }
}
