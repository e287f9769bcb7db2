//! Entries of topics, brokers, groups and the cluster: set, removed, appended to, subtracted from.
//!
//! Promises: each resource on its own, all its entries or none; an unknown key is refused with the nearest
//! known one; what a change means for leaders, ISRs and ELRs is decided with it: an unclean election
//! allowed now happens now. `min.insync.replicas` of the cluster is agreed, never a node's own opinion.

use std::collections::{BTreeMap, BTreeSet};

use drave_raft::image::MetadataImage;
use drave_raft::record::{ConfigChangedV1, ConfigResource, MetadataRecord};
use tracing::error;

use crate::cluster::administration::{
    AlterConfigs, AlterConfigsError, AlterResource, Alteration, AlteredConfigs, EntryChange,
};
use crate::cluster::rpc::CreateMode;
use crate::config::define::Key;
use crate::config::dynamic::{DynamicError, Entries, Reach};
use crate::config::value::Kind;
use crate::config::{BrokerConfig, GroupConfig, TopicConfig};
use crate::controller::decision::{Decision, Policy};
use crate::controller::election::{Standing, settle};
use crate::controller::quotas;

/// Nodes that disagreed about it would disagree about who may lead.
const MIN_ISR: &str = "min.insync.replicas";

pub fn alter(
    image: &MetadataImage,
    policy: &Policy,
    request: &AlterConfigs,
) -> Decision<Vec<AlteredConfigs>> {
    let mut records = Vec::new();
    let mut named = BTreeSet::new();
    let mut response = Vec::with_capacity(request.resources.len());
    for asked in &request.resources {
        let result = if named.insert(&asked.resource) {
            changes(image, policy, asked).map(|it| records.extend(it))
        } else {
            Err(AlterConfigsError::ResourceTwice)
        };
        response.push(AlteredConfigs {
            resource: asked.resource.clone(),
            result,
        });
    }
    match request.mode {
        CreateMode::ValidateOnly => Decision::answer(response),
        CreateMode::Create => {
            records.extend(consequences(image, policy, &records));
            Decision::new(records, response)
        }
    }
}

/// The default of the cluster that every node goes by, taken from the first controller's own config.
pub fn agree_on_min_isr(image: &MetadataImage, policy: &Policy) -> Option<MetadataRecord> {
    let agreed = image.configs.get(&ConfigResource::Cluster);
    if agreed.is_some_and(|it| it.contains_key(MIN_ISR)) {
        return None;
    }
    let value = policy.config.min_insync_replicas.to_string();
    Some(changed(&ConfigResource::Cluster, MIN_ISR, Some(value)))
}

/// What the changed entries mean for partitions.
fn consequences(
    image: &MetadataImage,
    policy: &Policy,
    records: &[MetadataRecord],
) -> Vec<MetadataRecord> {
    if records.is_empty() {
        return Vec::new();
    }
    match image.apply(image.offset, image.term, records) {
        Ok((after, _)) => settle(&after, policy, Standing::AsAgreed),
        Err(error) => {
            error!(%error, "config changes do not fit the image they were decided on");
            Vec::new()
        }
    }
}

fn changes(
    image: &MetadataImage,
    policy: &Policy,
    asked: &AlterResource,
) -> Result<Vec<MetadataRecord>, AlterConfigsError> {
    check_exists(image, &asked.resource)?;
    let none = Entries::new();
    let before = image.configs.get(&asked.resource);
    let before = before.map_or(&none, AsRef::as_ref);
    let after = altered(before, asked)?;
    let (mut set, mut whole) = (Entries::new(), before.clone());
    let mut records = Vec::new();
    for (key, value) in after {
        if value.as_ref() == before.get(&key) {
            continue;
        }
        if value.is_none() && asked.resource == ConfigResource::Cluster && key == MIN_ISR {
            return Err(AlterConfigsError::NotRemovable(key));
        }
        records.push(changed(&asked.resource, &key, value.clone()));
        whole.remove(&key);
        whole.extend(value.clone().map(|it| (key.clone(), it)));
        set.extend(value.map(|it| (key, it)));
    }
    validate(policy, &asked.resource, &set, &whole)?;
    Ok(records)
}

fn check_exists(image: &MetadataImage, resource: &ConfigResource) -> Result<(), AlterConfigsError> {
    match resource {
        ConfigResource::Topic(name) if image.topic_by_name(name).is_none() => {
            Err(AlterConfigsError::UnknownTopic(name.clone()))
        }
        ConfigResource::Broker(id) if !image.brokers.contains_key(id) => {
            Err(AlterConfigsError::UnknownBroker(*id))
        }
        ConfigResource::Topic(_)
        | ConfigResource::Broker(_)
        | ConfigResource::Cluster
        | ConfigResource::ClientQuota(_)
        | ConfigResource::Group(_) => Ok(()),
    }
}

/// Every entry the request touches, with what it becomes.
fn altered(
    before: &Entries,
    asked: &AlterResource,
) -> Result<BTreeMap<String, Option<String>>, AlterConfigsError> {
    let mut after = BTreeMap::new();
    match &asked.alteration {
        Alteration::All(entries) => {
            for (key, value) in entries {
                note(&mut after, key, Some(value.clone()))?;
            }
            // Kafka's old request knows no way to keep what it does not name; this one stays all the same.
            let keeps = |key: &str| asked.resource == ConfigResource::Cluster && key == MIN_ISR;
            for key in before.keys().filter(|it| !keeps(it)) {
                after.entry(key.clone()).or_insert(None);
            }
        }
        Alteration::Some(entries) => {
            for (key, change) in entries {
                let value = match change {
                    EntryChange::Set(value) => Some(value.clone()),
                    EntryChange::Delete => None,
                    EntryChange::Append(value) => {
                        Some(list(before, &asked.resource, key, &|list| {
                            append(list, value)
                        })?)
                    }
                    EntryChange::Subtract(value) => {
                        Some(list(before, &asked.resource, key, &|list| {
                            subtract(list, value)
                        })?)
                    }
                };
                note(&mut after, key, value)?;
            }
        }
    }
    Ok(after)
}

fn note(
    after: &mut BTreeMap<String, Option<String>>,
    key: &str,
    value: Option<String>,
) -> Result<(), AlterConfigsError> {
    let named_before = after.insert(key.to_owned(), value).is_some();
    if named_before {
        return Err(AlterConfigsError::KeyTwice(key.to_owned()));
    }
    Ok(())
}

/// The list under `key` after `change`.
fn list(
    before: &Entries,
    resource: &ConfigResource,
    key: &str,
    change: &dyn Fn(Vec<String>) -> Vec<String>,
) -> Result<String, AlterConfigsError> {
    let keys: &[Key] = match resource {
        ConfigResource::Topic(_) => TopicConfig::KEYS,
        ConfigResource::Broker(_) | ConfigResource::Cluster => BrokerConfig::KEYS,
        ConfigResource::Group(_) => GroupConfig::KEYS,
        ConfigResource::ClientQuota(_) => &[],
    };
    let known = keys.iter().find(|it| it.name == key);
    if known.is_some_and(|it| it.kind != Kind::List) {
        return Err(AlterConfigsError::NoList(key.to_owned()));
    }
    let default = known.map_or("", |it| it.default);
    let text = before.get(key).map_or(default, String::as_str);
    Ok(change(parts(text)).join(","))
}

fn append(mut list: Vec<String>, value: &str) -> Vec<String> {
    for part in parts(value) {
        if !list.contains(&part) {
            list.push(part);
        }
    }
    list
}

fn subtract(mut list: Vec<String>, value: &str) -> Vec<String> {
    let gone = parts(value);
    list.retain(|it| !gone.contains(it));
    list
}

fn parts(text: &str) -> Vec<String> {
    let parts = text.split(',').map(str::trim).filter(|it| !it.is_empty());
    parts.map(str::to_owned).collect()
}

/// `set`: what changes; `whole`: all there is afterwards.
fn validate(
    policy: &Policy,
    resource: &ConfigResource,
    set: &Entries,
    whole: &Entries,
) -> Result<(), AlterConfigsError> {
    let reach = match resource {
        ConfigResource::Topic(_) => {
            let checked = TopicConfig::validate(set);
            return checked.map_err(|error| AlterConfigsError::Invalid(error.to_string()));
        }
        ConfigResource::ClientQuota(_) => return quotas::validate(set),
        // One of its values says what another may be.
        ConfigResource::Group(_) => {
            let checked = GroupConfig::validate(&policy.config, whole);
            return checked.map_err(|it| refused(&it));
        }
        ConfigResource::Broker(_) => Reach::OneBroker,
        ConfigResource::Cluster => Reach::EveryBroker,
    };
    BrokerConfig::validate_dynamic(set, reach).map_err(|it| refused(&it))
}

fn refused(error: &DynamicError) -> AlterConfigsError {
    match error {
        DynamicError::Invalid(_) => AlterConfigsError::Invalid(error.to_string()),
        DynamicError::ReadOnly(_) | DynamicError::ClusterWide(_) | DynamicError::NoUse(_) => {
            AlterConfigsError::NotDynamic(error.to_string())
        }
    }
}

fn changed(resource: &ConfigResource, key: &str, value: Option<String>) -> MetadataRecord {
    MetadataRecord::ConfigChanged(ConfigChangedV1 {
        resource: resource.clone(),
        key: key.to_owned(),
        value,
    })
}

#[cfg(test)]
#[path = "configs_test.rs"]
mod tests;
