//! Whose configuration it is, on the wire and in the metadata.

use drave_protocol::ids::NodeId;
use drave_raft::record::ConfigResource;

/// Never renumber.
pub(crate) const TOPIC: i8 = 2;
pub(crate) const BROKER: i8 = 4;
pub(crate) const GROUP: i8 = 32;

/// A broker without a name stands for all of them.
pub(crate) fn read(resource_type: i8, name: &str) -> Result<ConfigResource, String> {
    match resource_type {
        TOPIC => Ok(ConfigResource::Topic(name.to_owned())),
        BROKER if name.is_empty() => Ok(ConfigResource::Cluster),
        BROKER => name
            .parse()
            .map(|id| ConfigResource::Broker(NodeId(id)))
            .map_err(|_| format!("a broker is named by its id, not '{name}'")),
        GROUP if name.is_empty() => Err("a group is named by its id".to_owned()),
        GROUP => Ok(ConfigResource::Group(name.to_owned())),
        other => Err(format!(
            "resources of type {other} have no configuration here"
        )),
    }
}

pub(crate) fn written(resource: &ConfigResource) -> (i8, String) {
    match resource {
        ConfigResource::Topic(name) => (TOPIC, name.clone()),
        ConfigResource::Broker(id) => (BROKER, id.to_string()),
        ConfigResource::Cluster => (BROKER, String::new()),
        ConfigResource::Group(id) => (GROUP, id.clone()),
        ConfigResource::ClientQuota(_) => unreachable!("quotas have requests of their own"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_what_it_was_written_as() {
        for resource in [
            ConfigResource::Topic("t".to_owned()),
            ConfigResource::Broker(NodeId(7)),
            ConfigResource::Cluster,
            ConfigResource::Group("g".to_owned()),
        ] {
            let (resource_type, name) = written(&resource);
            assert_eq!(read(resource_type, &name), Ok(resource));
        }
        assert!(read(BROKER, "x").is_err() && read(8, "1").is_err());
        assert!(read(GROUP, "").is_err());
    }
}
