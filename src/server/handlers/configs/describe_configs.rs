//! `DescribeConfigs`: what is in force for a topic, a group or this broker, and where each value came from.

use std::collections::BTreeMap;

use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
    DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym,
};

use drave_raft::record::ConfigResource;

use crate::cluster::ClusterView;
use crate::config::define::Source;
use crate::config::describe::ConfigEntry;
use crate::config::{BrokerConfig, GroupConfig, TopicConfig};
use crate::server::handlers::configs::resource::{BROKER, GROUP, TOPIC};

/// Every place the value of an entry could have come from.
type Synonyms<'a> = &'a dyn Fn(&ConfigEntry) -> Vec<DescribeConfigsSynonym>;

/// What the client wants to see of each entry.
#[derive(Clone, Copy, Debug)]
struct Detail {
    synonyms: bool,
    documentation: bool,
}

pub(crate) fn handle(
    config: &BrokerConfig,
    view: &ClusterView,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let detail = Detail {
        synonyms: request.include_synonyms,
        documentation: request.include_documentation,
    };
    let in_force = view.broker_config(config);
    let described = request.resources.into_iter().map(|resource| {
        let entries = entries((config, &in_force), view, &resource);
        let synonyms = |it: &ConfigEntry| synonyms(it, config, view);
        result(resource, entries, &synonyms, detail)
    });
    DescribeConfigsResponse {
        results: described.collect(),
        ..DescribeConfigsResponse::default()
    }
}

fn entries(
    (config, in_force): (&BrokerConfig, &BrokerConfig),
    view: &ClusterView,
    resource: &DescribeConfigsResource,
) -> Result<Vec<ConfigEntry>, (ErrorCode, String)> {
    let name = resource.resource_name.as_str();
    match resource.resource_type {
        TOPIC if view.topic(name).is_some() => {
            Ok(TopicConfig::effective(in_force, &view.topic_overrides(name)).describe())
        }
        TOPIC => Err((
            ErrorCode::UnknownTopicOrPartition,
            format!("there is no topic '{name}'"),
        )),
        // As Kafka: of what holds for all brokers, only what was set.
        BROKER if name.is_empty() => {
            let agreed = config.under(&view.entries(&ConfigResource::Cluster), &BTreeMap::new());
            let mut entries = agreed.describe();
            entries.retain(|it| it.source == Source::Cluster);
            Ok(entries)
        }
        BROKER if name == config.node_id.to_string() => Ok(in_force.describe()),
        BROKER => Err((
            ErrorCode::InvalidRequest,
            format!(
                "this is broker {}; ask broker '{name}' itself",
                config.node_id
            ),
        )),
        GROUP if name.is_empty() => Err((
            ErrorCode::InvalidRequest,
            "a group is named by its id".to_owned(),
        )),
        // As Kafka: whether there is such a group or not.
        GROUP => {
            let overrides = view.entries(&ConfigResource::Group(name.to_owned()));
            Ok(GroupConfig::effective(in_force, &overrides).describe())
        }
        other => Err((
            ErrorCode::InvalidRequest,
            format!("resources of type {other} have no configuration here"),
        )),
    }
}

fn result(
    resource: DescribeConfigsResource,
    entries: Result<Vec<ConfigEntry>, (ErrorCode, String)>,
    synonyms: Synonyms<'_>,
    detail: Detail,
) -> DescribeConfigsResult {
    let result = DescribeConfigsResult {
        resource_type: resource.resource_type,
        resource_name: resource.resource_name,
        ..DescribeConfigsResult::default()
    };
    let keys = resource.configuration_keys.unwrap_or_default();
    // As Kafka: none named is all.
    let is_wanted = |it: &ConfigEntry| keys.is_empty() || keys.iter().any(|key| key == it.name);
    match entries {
        Ok(entries) => DescribeConfigsResult {
            configs: entries
                .into_iter()
                .filter(is_wanted)
                .map(|it| entry(it, synonyms, detail))
                .collect(),
            ..result
        },
        Err((code, message)) => DescribeConfigsResult {
            error_code: code.number(),
            error_message: Some(message),
            ..result
        },
    }
}

fn entry(
    entry: ConfigEntry,
    synonyms: Synonyms<'_>,
    detail: Detail,
) -> DescribeConfigsResourceResult {
    DescribeConfigsResourceResult {
        name: entry.name.to_owned(),
        read_only: entry.read_only,
        config_source: entry.source.number(),
        is_sensitive: false,
        synonyms: if detail.synonyms {
            synonyms(&entry)
        } else {
            Vec::new()
        },
        config_type: entry.kind.number(),
        documentation: detail.documentation.then_some(entry.doc),
        value: Some(entry.value),
    }
}

/// Every place the value could have come from, strongest first; the first one is in force.
fn synonyms(
    entry: &ConfigEntry,
    started_with: &BrokerConfig,
    view: &ClusterView,
) -> Vec<DescribeConfigsSynonym> {
    let synonym = |name: &str, value: &str, source: Source| DescribeConfigsSynonym {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        source: source.number(),
    };
    let mut synonyms = Vec::new();
    if matches!(entry.source, Source::Topic | Source::Group) {
        synonyms.push(synonym(entry.name, &entry.value, entry.source));
    }
    let name = entry.inherits.unwrap_or(entry.name);
    let own = ConfigResource::Broker(started_with.node_id);
    for (resource, source) in [
        (own, Source::Broker),
        (ConfigResource::Cluster, Source::Cluster),
    ] {
        if let Some(text) = view.entries(&resource).get(name) {
            synonyms.push(synonym(name, text, source));
        }
    }
    if let Some(set) = started_with.settings().get(name) {
        synonyms.push(synonym(name, &set.text, set.source));
    }
    synonyms.push(synonym(name, entry.default, Source::Default));
    synonyms
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use drave_protocol::ids::Uuid;
    use drave_raft::image::{MetadataImage, TopicImage};

    use super::*;

    fn view() -> ClusterView {
        let (name, topic_id) = ("t".to_owned(), Uuid([1; 16]));
        let topic = TopicImage {
            topic_id,
            name: name.clone(),
            partitions: Vec::new(),
        };
        let overrides = BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]);
        let configs = BTreeMap::from([(ConfigResource::Topic(name.clone()), Arc::new(overrides))]);
        ClusterView::new(Arc::new(MetadataImage {
            topics: Arc::new(BTreeMap::from([(topic_id, Arc::new(topic))])),
            topic_ids: Arc::new(BTreeMap::from([(name, topic_id)])),
            configs: Arc::new(configs),
            ..MetadataImage::default()
        }))
    }

    fn describe(resource_type: i8, name: &str, keys: Option<&[&str]>) -> DescribeConfigsResult {
        describe_in(&view(), resource_type, name, keys)
    }

    fn describe_in(
        view: &ClusterView,
        resource_type: i8,
        name: &str,
        keys: Option<&[&str]>,
    ) -> DescribeConfigsResult {
        let config = BrokerConfig::from_pairs([("node.id", "7"), ("log.segment.bytes", "2097152")]);
        let own = |keys: &[&str]| keys.iter().map(|it| (*it).to_owned()).collect();
        let request = DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type,
                resource_name: name.to_owned(),
                configuration_keys: keys.map(own),
            }],
            include_synonyms: true,
            include_documentation: false,
        };
        let response = handle(&config.unwrap(), view, request);
        response.results.into_iter().next().unwrap()
    }

    #[test]
    fn an_override_comes_before_the_default_it_hides() {
        let result = describe(TOPIC, "t", Some(&["cleanup.policy"]));
        let [entry] = &result.configs[..] else {
            panic!("one key was asked for: {result:?}");
        };
        // Kafka Connect refuses to start unless it reads exactly this.
        assert_eq!(entry.value.as_deref(), Some("compact"));
        assert_eq!(entry.config_source, 1);
        let sources: Vec<i8> = entry.synonyms.iter().map(|it| it.source).collect();
        assert_eq!(sources, [1, 5]);
    }

    #[test]
    fn a_topic_inherits_what_its_broker_was_started_with() {
        let result = describe(TOPIC, "t", Some(&["segment.bytes"]));
        let entry = result.configs.first().unwrap();
        assert_eq!(entry.value.as_deref(), Some("2097152"));
        assert_eq!(entry.config_source, 4);
        assert_eq!(entry.synonyms.first().unwrap().name, "log.segment.bytes");
    }

    #[test]
    fn what_the_cluster_agreed_on_comes_before_what_the_broker_was_started_with() {
        let image = view().image().as_ref().clone();
        let agreed = |value: &str| {
            Arc::new(BTreeMap::from([(
                "log.segment.bytes".to_owned(),
                value.to_owned(),
            )]))
        };
        let mut configs = image.configs.as_ref().clone();
        configs.insert(ConfigResource::Cluster, agreed("3000000"));
        configs.insert(
            ConfigResource::Broker(drave_protocol::ids::NodeId(7)),
            agreed("4000000"),
        );
        let view = ClusterView::new(Arc::new(MetadataImage {
            configs: Arc::new(configs),
            ..image
        }));
        let result = describe_in(&view, TOPIC, "t", Some(&["segment.bytes"]));
        let entry = result.configs.first().unwrap();
        assert_eq!(
            (entry.value.as_deref(), entry.config_source),
            (Some("4000000"), 2)
        );
        let sources: Vec<i8> = entry.synonyms.iter().map(|it| it.source).collect();
        assert_eq!(sources, [2, 3, 4, 5]);
        let result = describe_in(&view, BROKER, "", None);
        let told: Vec<_> = result
            .configs
            .iter()
            .map(|it| (it.name.as_str(), it.config_source))
            .collect();
        assert_eq!(told, [("log.segment.bytes", 3)]);
    }

    #[test]
    fn strangers_are_refused_with_a_reason() {
        assert_eq!(describe(TOPIC, "nope", None).error_code, 3);
        assert_eq!(describe(BROKER, "8", None).error_code, 42);
        assert_eq!(describe(16, "x", None).error_code, 42);
        assert_eq!(describe(BROKER, "", None).configs.len(), 0);
        let own = describe(BROKER, "7", None);
        assert!(own.configs.iter().any(|it| it.name == "node.id"));
    }
}
