//! What stories ask of administration: where replicas lie, who is on the way, what the command line says.

use std::process::{Command, Output};
use std::time::Duration;

use drave_protocol::schema::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, ReassignablePartition, ReassignableTopic,
};
use drave_protocol::schema::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use drave_protocol::schema::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, OngoingTopicReassignment,
};

use crate::support::cluster::Cluster;
use crate::support::wait::wait_for;

impl Cluster {
    /// One partition for each list of replicas.
    #[track_caller]
    pub(crate) fn create_topic_on(
        &mut self,
        name: &str,
        replicas: &[&[i32]],
        configs: &[(&str, &str)],
    ) {
        let assignments = (0..).zip(replicas).map(|(partition_index, ids)| {
            let broker_ids = ids.to_vec();
            CreatableReplicaAssignment {
                partition_index,
                broker_ids,
            }
        });
        let config = |(name, value): &(&str, &str)| CreatableTopicConfig {
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
        };
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: name.to_owned(),
                num_partitions: -1,
                replication_factor: -1,
                assignments: assignments.collect(),
                configs: configs.iter().map(config).collect(),
            }],
            timeout_ms: 10_000,
            validate_only: false,
        };
        let answer = self.ask(|wire| wire.call_newest(&request));
        assert_eq!(answer.topics[0].error_code, 0, "{answer:?}");
        self.wait_for_leaders(name);
    }

    /// The error code of a reassignment of one partition; without a target, of its cancellation.
    #[track_caller]
    pub(crate) fn reassign(&mut self, topic: &str, partition: i32, target: Option<&[i32]>) -> i16 {
        let request = AlterPartitionReassignmentsRequest {
            timeout_ms: 10_000,
            topics: vec![ReassignableTopic {
                name: topic.to_owned(),
                partitions: vec![ReassignablePartition {
                    partition_index: partition,
                    replicas: target.map(<[i32]>::to_vec),
                }],
            }],
            ..AlterPartitionReassignmentsRequest::default()
        };
        let answer = self.ask(|wire| wire.call_newest(&request));
        assert_eq!(answer.error_code, 0, "{answer:?}");
        answer.responses[0].partitions[0].error_code
    }

    pub(crate) fn reassignments(&mut self) -> Vec<OngoingTopicReassignment> {
        let all = ListPartitionReassignmentsRequest::default();
        self.ask(|wire| wire.call_newest(&all)).topics
    }

    /// Waits until exactly these hold the partition, all in sync.
    #[track_caller]
    pub(crate) fn wait_for_replicas(
        &mut self,
        topic: &str,
        partition: i32,
        replicas: &[i32],
        limit: Duration,
    ) {
        wait_for(
            &format!("{topic}-{partition} to be on {replicas:?}"),
            limit,
            || {
                let found = self.partition(topic, partition);
                let mut isr = found.isr_nodes.clone();
                let mut wanted = replicas.to_vec();
                isr.sort_unstable();
                wanted.sort_unstable();
                if found.replica_nodes == replicas && isr == wanted {
                    Ok(())
                } else {
                    Err(format!("{found:?}"))
                }
            },
        );
    }

    /// What `drave` says to these arguments.
    pub(crate) fn drave(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drave"));
        command
            .args(arguments)
            .env("DRAVE_BOOTSTRAP", self.bootstrap());
        command.output().expect("the binary of this build runs")
    }
}
