//! Loops begin and end with leadership, as the metadata tells it.

use std::collections::BTreeMap;
use std::sync::Arc;

use drave_protocol::ids::{LeaderEpoch, TopicIdPartition};
use drave_raft::image::MetadataImage;

use crate::cluster::{ClusterView, Metadata};
use crate::coordinator::GroupCoordinator;
use crate::coordinator::decision::Decision;
use crate::coordinator::log_writer::LogWriter;
use crate::coordinator::runtime::running::Running;
use crate::coordinator::runtime::slot::Slot;
use crate::coordinator::topic::OFFSETS_TOPIC;

pub(super) async fn run(coordinator: GroupCoordinator, mut metadata: Metadata) {
    let tasks = coordinator.shared.deps.tasks.clone();
    let mut before = metadata.image();
    loop {
        let view = metadata.view();
        coordinator.follow(&view);
        if lost_a_topic(&before, view.image()) {
            coordinator.forget_deleted_topics();
        }
        before = Arc::clone(view.image());
        drop(view);
        tokio::select! {
            () = tasks.stopping() => return,
            is_there_more = metadata.changed() => if !is_there_more { return },
        }
    }
}

fn lost_a_topic(before: &MetadataImage, now: &MetadataImage) -> bool {
    before.topics.keys().any(|it| !now.topics.contains_key(it))
}

impl GroupCoordinator {
    fn follow(&self, view: &ClusterView) {
        let led = self.led(view);
        let mut slots = self.shared.slots.write();
        // Dropping a slot ends its loop; who waits in it is told to look for the coordinator again.
        slots.retain(|partition, slot| {
            let leads = led.get(partition) == Some(&slot.led);
            leads && !slot.has_ended()
        });
        for (number, led) in led {
            slots.entry(number).or_insert_with(|| self.begin(view, led));
        }
    }

    fn led(&self, view: &ClusterView) -> BTreeMap<i32, (TopicIdPartition, LeaderEpoch)> {
        let topic = view.topic(OFFSETS_TOPIC);
        let partitions = topic.into_iter().flat_map(|it| view.partitions_of(it));
        let led = partitions.filter(|it| it.state.leader == Some(self.shared.deps.node));
        led.map(|it| {
            (
                it.partition.partition,
                (it.partition, it.state.leader_epoch),
            )
        })
        .collect()
    }

    fn begin(
        &self,
        view: &ClusterView,
        (partition, epoch): (TopicIdPartition, LeaderEpoch),
    ) -> Slot {
        let deps = &self.shared.deps;
        let (slot, asks) = Slot::new((partition, epoch));
        let topic = view.topic_config(OFFSETS_TOPIC, &deps.config);
        let running = Running {
            partition: partition.partition,
            epoch,
            writer: Arc::new(LogWriter {
                replicas: deps.replicas.clone(),
                partition,
                batch_bytes_max: topic.max_message_bytes,
            }),
            gauges: Arc::clone(&slot.gauges),
            asks,
            around: self.surroundings(),
        };
        let (replicas, known) = (deps.replicas.clone(), view.image().offset);
        deps.tasks.spawn("groups of a partition", async move {
            // The replica hears of its role from the same metadata, and may not have got there yet.
            replicas.roles_taken(known).await;
            running.run().await;
        });
        slot
    }

    /// A hint: a loop that is too busy for it looks for itself at its next clean-up.
    fn forget_deleted_topics(&self) {
        for slot in self.shared.slots.read().values() {
            let forget = slot.ask(|shard, cx| {
                let forgotten = shard.forget_deleted_topics(cx);
                Ok::<Decision<()>, _>(forgotten)
            });
            drop(forget);
        }
    }
}
