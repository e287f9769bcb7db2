//! What a request calls a topic: its name in old versions, its id in new ones.

use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::{TopicId, TopicIdPartition};

use crate::cluster::ClusterView;

/// How the version of a request names topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TopicsBy {
    Name,
    Id,
}

/// The partition meant, or the code that says why there is none.
pub(crate) fn resolve(
    view: &ClusterView,
    by: TopicsBy,
    (name, topic_id): (&str, TopicId),
    partition: i32,
) -> Result<TopicIdPartition, ErrorCode> {
    let (topic, unknown) = match by {
        TopicsBy::Name => (view.topic(name), ErrorCode::UnknownTopicOrPartition),
        TopicsBy::Id => (view.topic_by_id(topic_id), ErrorCode::UnknownTopicId),
    };
    let topic = topic.ok_or(unknown)?;
    let found = TopicIdPartition {
        topic_id: topic.topic_id,
        partition,
    };
    match view.partition(found) {
        Some(_) => Ok(found),
        None => Err(ErrorCode::UnknownTopicOrPartition),
    }
}

/// The code for a refusal by the replicas of a partition that exists by the image: a broker that has no
/// replica of it (yet, or any more) is one that does not lead it, and the client should look again.
pub(crate) fn refusal<'a, E>(error: &'a E) -> ErrorCode
where
    ErrorCode: From<&'a E>,
{
    let code = ErrorCode::from(error);
    if code == ErrorCode::UnknownTopicOrPartition {
        ErrorCode::NotLeaderOrFollower
    } else {
        code
    }
}
