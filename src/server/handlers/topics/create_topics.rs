//! `CreateTopics`: carried to the active controller; refused topic by topic.

use std::collections::BTreeMap;

use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::NodeId;
use drave_protocol::schema::create_topics::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest,
    CreateTopicsResponse,
};

use crate::cluster::rpc::{CreateMode, CreateTopic, CreateTopics, CreatedTopic, ReplicaAssignment};
use crate::cluster::{ControllerLink, Metadata};
use crate::config::{BrokerConfig, TopicConfig};
use crate::replica::Replicas;
use crate::server::context::RequestContext;
use crate::server::quotas::mutations::{EXCEEDED, EXCEEDED_MESSAGE, Mutations};

/// The first version whose clients know that changes may be refused for a while.
pub(crate) const REFUSES_SINCE: i16 = 6;
/// On the wire: let the cluster decide.
const DEFAULT: i32 = -1;

type Overrides = BTreeMap<String, String>;

pub(crate) async fn handle(
    ctx: &RequestContext,
    (controller, replicas, metadata): (&ControllerLink, &Replicas, &Metadata),
    mut mutations: Mutations,
    config: &BrokerConfig,
    request: CreateTopicsRequest,
) -> CreateTopicsResponse {
    let deadline = ctx.deadline(request.timeout_ms);
    let mode = if request.validate_only {
        CreateMode::ValidateOnly
    } else {
        CreateMode::Create
    };
    let mut results = Vec::with_capacity(request.topics.len());
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        match translate(topic) {
            Ok(topic) if mutations.may_change(ctx, n_partitions(&topic, config)) => {
                topics.push(topic);
            }
            Ok(topic) => results.push(refused(topic.name, EXCEEDED, EXCEEDED_MESSAGE)),
            Err(refused) => results.push(refused),
        }
    }
    let overrides: BTreeMap<String, Overrides> = topics
        .iter()
        .map(|it| (it.name.clone(), it.configs.iter().cloned().collect()))
        .collect();
    let names: Vec<String> = topics.iter().map(|it| it.name.clone()).collect();
    match controller
        .create_topics(CreateTopics { topics, mode }, deadline)
        .await
    {
        Ok(created) => {
            // What this broker leads of it, it is ready to lead when the client hears of it.
            replicas.settled(metadata.offset(), deadline).await;
            let config = metadata.view().broker_config(config);
            let result = |it: CreatedTopic| {
                let overrides = overrides.get(&it.name);
                created_result(it, &config, overrides.unwrap_or(&Overrides::new()))
            };
            results.extend(created.into_iter().map(result));
        }
        Err(error) => {
            let code = ErrorCode::from(&error);
            let message = error.to_string();
            results.extend(names.into_iter().map(|it| refused(it, code, &message)));
        }
    }
    CreateTopicsResponse {
        topics: results,
        throttle_time_ms: mutations.throttle_ms(ctx),
    }
}

fn n_partitions(topic: &CreateTopic, config: &BrokerConfig) -> usize {
    if !topic.assignments.is_empty() {
        return topic.assignments.len();
    }
    let n_partitions = topic.n_partitions.unwrap_or(config.num_partitions);
    usize::try_from(n_partitions).unwrap_or_default()
}

fn translate(topic: CreatableTopic) -> Result<CreateTopic, CreatableTopicResult> {
    let mut configs = Vec::with_capacity(topic.configs.len());
    for config in topic.configs {
        let Some(value) = config.value else {
            let message = format!("config '{}' has no value", config.name);
            return Err(refused(topic.name, ErrorCode::InvalidConfig, &message));
        };
        configs.push((config.name, value));
    }
    let assignments = topic.assignments.into_iter().map(|it| ReplicaAssignment {
        partition: it.partition_index,
        replicas: it.broker_ids.into_iter().map(NodeId).collect(),
    });
    let replication_factor = topic.replication_factor;
    Ok(CreateTopic {
        name: topic.name,
        n_partitions: (topic.num_partitions != DEFAULT).then_some(topic.num_partitions),
        replication_factor: (i32::from(replication_factor) != DEFAULT)
            .then_some(replication_factor),
        assignments: assignments.collect(),
        configs,
    })
}

fn created_result(
    created: CreatedTopic,
    config: &BrokerConfig,
    overrides: &Overrides,
) -> CreatableTopicResult {
    match created.result {
        Ok(topic) => CreatableTopicResult {
            name: created.name,
            topic_id: topic.topic_id,
            num_partitions: topic.n_partitions,
            replication_factor: topic.replication_factor,
            configs: Some(configs(config, overrides)),
            ..CreatableTopicResult::default()
        },
        Err(error) => refused(created.name, ErrorCode::from(&error), &error.to_string()),
    }
}

/// What is in force for the new topic; Java's client reads it from the answer.
fn configs(config: &BrokerConfig, overrides: &Overrides) -> Vec<CreatableTopicConfigs> {
    let entries = TopicConfig::effective(config, overrides).describe();
    let entries = entries.into_iter().map(|it| CreatableTopicConfigs {
        name: it.name.to_owned(),
        value: Some(it.value),
        read_only: it.read_only,
        config_source: it.source.number(),
        is_sensitive: false,
    });
    entries.collect()
}

fn refused(name: String, code: ErrorCode, message: &str) -> CreatableTopicResult {
    CreatableTopicResult {
        name,
        error_code: code.number(),
        error_message: Some(message.to_owned()),
        ..CreatableTopicResult::default()
    }
}

#[cfg(test)]
mod tests {
    use drave_protocol::schema::create_topics::CreatableTopicConfig;

    use super::*;

    fn asked(num_partitions: i32, replication_factor: i16, value: Option<&str>) -> CreatableTopic {
        CreatableTopic {
            name: "t".to_owned(),
            num_partitions,
            replication_factor,
            configs: vec![CreatableTopicConfig {
                name: "cleanup.policy".to_owned(),
                value: value.map(str::to_owned),
            }],
            ..CreatableTopic::default()
        }
    }

    #[test]
    fn minus_one_leaves_the_count_to_the_cluster_and_zero_does_not() {
        let default = translate(asked(-1, -1, Some("compact"))).unwrap();
        assert_eq!(
            (default.n_partitions, default.replication_factor),
            (None, None)
        );
        let zero = translate(asked(0, 0, Some("compact"))).unwrap();
        assert_eq!(
            (zero.n_partitions, zero.replication_factor),
            (Some(0), Some(0))
        );
    }

    #[test]
    fn a_config_without_a_value_is_refused_by_name() {
        let refused = translate(asked(1, 1, None)).unwrap_err();
        assert_eq!(refused.error_code, ErrorCode::InvalidConfig.number());
        assert!(refused.error_message.unwrap().contains("cleanup.policy"));
    }
}
