//! `ListPartitionReassignments`: which partitions are on their way, as this node's image shows it.

use drave_protocol::ids::NodeId;
use drave_protocol::schema::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
    OngoingPartitionReassignment, OngoingTopicReassignment,
};
use drave_raft::image::TopicImage;

use crate::cluster::ClusterView;

pub(crate) fn handle(
    view: &ClusterView,
    request: &ListPartitionReassignmentsRequest,
) -> ListPartitionReassignmentsResponse {
    let topics: Vec<OngoingTopicReassignment> = match &request.topics {
        None => view.topics().map(|it| ongoing(view, it, None)).collect(),
        // As Kafka: what does not exist is not on its way.
        Some(named) => named
            .iter()
            .filter_map(|it| {
                Some(ongoing(
                    view,
                    view.topic(&it.name)?,
                    Some(&it.partition_indexes),
                ))
            })
            .collect(),
    };
    let is_ongoing = |it: &OngoingTopicReassignment| !it.partitions.is_empty();
    ListPartitionReassignmentsResponse {
        topics: topics.into_iter().filter(is_ongoing).collect(),
        ..ListPartitionReassignmentsResponse::default()
    }
}

fn ongoing(
    view: &ClusterView,
    topic: &TopicImage,
    named: Option<&[i32]>,
) -> OngoingTopicReassignment {
    let ids = |nodes: &[NodeId]| nodes.iter().map(|it| it.0).collect();
    let is_named = |number: i32| named.is_none_or(|it| it.contains(&number));
    let partitions = view
        .partitions_of(topic)
        .filter(|it| it.state.is_reassigning() && is_named(it.partition.partition))
        .map(|it| OngoingPartitionReassignment {
            partition_index: it.partition.partition,
            replicas: ids(&it.state.replicas),
            adding_replicas: ids(&it.state.adding_replicas),
            removing_replicas: ids(&it.state.removing_replicas),
        });
    OngoingTopicReassignment {
        name: topic.name.clone(),
        partitions: partitions.collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use drave_protocol::schema::list_partition_reassignments::ListPartitionReassignmentsTopics;

    use super::*;
    use crate::server::handlers::sample;

    #[test]
    fn only_what_is_on_its_way_and_was_asked_for_is_told() {
        let mut image = sample::image().as_ref().clone();
        let topics = Arc::make_mut(&mut image.topics);
        let topic = Arc::make_mut(topics.get_mut(&sample::ORDERS).unwrap());
        Arc::make_mut(&mut topic.partitions[1]).adding_replicas = vec![NodeId(1)];
        let view = ClusterView::new(Arc::new(image));
        let ask = |named: Option<&[i32]>| {
            let topics = named.map(|it| {
                vec![ListPartitionReassignmentsTopics {
                    name: "orders".to_owned(),
                    partition_indexes: it.to_vec(),
                }]
            });
            let request = ListPartitionReassignmentsRequest {
                topics,
                ..ListPartitionReassignmentsRequest::default()
            };
            handle(&view, &request).topics
        };
        let all = ask(None);
        assert_eq!(all[0].partitions.len(), 1);
        let told = &all[0].partitions[0];
        assert_eq!((told.partition_index, &told.adding_replicas), (1, &vec![1]));
        assert_eq!(ask(Some(&[1, 0])), all);
        assert_eq!(ask(Some(&[0, 9])), vec![]);
    }
}
