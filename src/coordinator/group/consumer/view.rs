//! The topics of the cluster as groups see them.

use drave_protocol::ids::TopicId;

use super::topics::{Topic, Topics};
use crate::cluster::ClusterView;

impl Topics for ClusterView {
    fn by_name(&self, name: &str) -> Option<Topic> {
        let topic = self.topic(name)?;
        Some(Topic {
            id: topic.topic_id,
            n_partitions: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
        })
    }

    fn name_of(&self, id: TopicId) -> Option<&str> {
        Some(self.topic_by_id(id)?.name.as_str())
    }

    // Kafka lets an expression stand for `__consumer_offsets` too; a group that reads it is fed by its own commits.
    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        let all = self.topics().map(|it| it.name.as_str());
        Box::new(all.filter(|it| !it.starts_with("__")))
    }

    fn version(&self) -> i64 {
        i64::try_from(self.image().offset.0).unwrap_or(i64::MAX)
    }
}
