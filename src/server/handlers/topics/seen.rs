//! What was done is seen here before it is answered: the client's next question may come to this node.

use std::time::Instant;

use drave_protocol::ids::TopicId;

use crate::cluster::Metadata;

/// Waits until this node knows all of `topics`, or `deadline`.
pub(crate) async fn created(metadata: &Metadata, topics: &[TopicId], deadline: Instant) {
    let all_known = |metadata: &Metadata| {
        let image = metadata.image();
        topics.iter().all(|it| image.topics.contains_key(it))
    };
    until(metadata, all_known, deadline).await;
}

/// Waits until this node knows none of `topics`, or `deadline`.
pub(crate) async fn deleted(metadata: &Metadata, topics: &[TopicId], deadline: Instant) {
    let none_known = |metadata: &Metadata| {
        let image = metadata.image();
        !topics.iter().any(|it| image.topics.contains_key(it))
    };
    until(metadata, none_known, deadline).await;
}

async fn until(metadata: &Metadata, is_so: impl Fn(&Metadata) -> bool, deadline: Instant) {
    let mut metadata = metadata.clone();
    let wait = async {
        // An end of the metadata is the end of the node: nothing more will be seen.
        while !is_so(&metadata) && metadata.changed().await {}
    };
    // Too late is no failure: what was asked for is done, and the client will find it.
    let _ = tokio::time::timeout_at(deadline.into(), wait).await;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use drave_protocol::ids::MetadataOffset;
    use drave_raft::image::MetadataImage;

    use super::*;
    use crate::clock::Clock;
    use crate::server::handlers::sample;

    #[tokio::test]
    async fn an_answer_waits_for_what_it_says_to_be_seen_and_not_for_ever() {
        let (feed, metadata) = Metadata::starting_at(Arc::default());
        let soon = Clock::system().now() + Duration::from_millis(10);
        created(&metadata, &[sample::ORDERS], soon).await;
        assert!(metadata.image().topics.is_empty(), "gave up");

        let later = Clock::system().now() + Duration::from_secs(20);
        let topics = [sample::ORDERS];
        let wait = created(&metadata, &topics, later);
        let publish = async { feed.publish(sample::image()) };
        tokio::join!(wait, publish);
        assert_eq!(metadata.image().topics.len(), 1);

        let wait = deleted(&metadata, &topics, later);
        let without = MetadataImage {
            offset: MetadataOffset(100),
            ..MetadataImage::default()
        };
        let publish = async { feed.publish(Arc::new(without)) };
        tokio::join!(wait, publish);
        assert!(metadata.image().topics.is_empty());
        assert!(Clock::system().now() < later);
    }
}
