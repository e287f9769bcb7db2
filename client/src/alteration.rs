//! Administration of what exists: more partitions, other leaders.

use drave_protocol::schema::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use drave_protocol::schema::elect_leaders::{ElectLeadersRequest, TopicPartitions};

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
}
