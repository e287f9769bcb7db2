//! What a story asks of a cluster: who leads, what is committed, is it written.
//!
//! Asked of any node that runs; waits with a limit where the answer takes time.

use std::time::Duration;

use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use drave_protocol::schema::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use drave_protocol::schema::metadata::{
    MetadataRequest, MetadataResponsePartition, MetadataResponseTopic,
};
use serde_json::Value;

use crate::support::client::{self, LATEST, code};
use crate::support::cluster::Cluster;
use crate::support::wait::{seconds, wait_for};
use crate::support::wire::Wire;

const ASK_LIMIT: Duration = seconds(5);

impl Cluster {
    /// What a node's page of metrics says of one, by its name with its labels; 0 when it says nothing.
    pub(crate) fn metric(&self, id: i32, name: &str) -> u64 {
        let page = self.node(id).get("/metrics").unwrap().text;
        let mut lines = page.lines();
        let value = lines.find_map(|it| it.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0, |it| it.parse().unwrap())
    }

    pub(crate) fn n_topics(&mut self) -> usize {
        self.ask(|wire| wire.call_newest(&all_topics()))
            .topics
            .len()
    }

    /// Asks the first running node that answers.
    #[track_caller]
    pub(crate) fn ask<T>(&mut self, question: impl Fn(&mut Wire) -> std::io::Result<T>) -> T {
        self.try_ask(&question)
            .unwrap_or_else(|error| panic!("no node answers: {error}"))
    }

    fn try_ask<T>(
        &mut self,
        question: &impl Fn(&mut Wire) -> std::io::Result<T>,
    ) -> Result<T, String> {
        let mut errors = Vec::new();
        let mut running = self.running();
        running.sort_by_key(|id| *id != self.spokesman);
        for id in running {
            let connected = Wire::connect(self.node(id).ports.kafka);
            let answer = connected.and_then(|mut wire| {
                // A node that does not serve yet lets its clients wait.
                wire.read_timeout(ASK_LIMIT);
                question(&mut wire)
            });
            match answer {
                Ok(answer) => {
                    self.spokesman = id;
                    return Ok(answer);
                }
                Err(error) => errors.push(format!("node {id}: {error}")),
            }
        }
        Err(errors.join("; "))
    }

    #[track_caller]
    pub(crate) fn create_topic(
        &mut self,
        name: &str,
        n_partitions: i32,
        n_replicas: i16,
        configs: &[(&str, &str)],
    ) {
        self.ask_for_topic(name, n_partitions, n_replicas, configs);
        self.wait_for_leaders(name);
    }

    /// Creates a topic, though not every node may know of it yet.
    #[track_caller]
    pub(crate) fn ask_for_topic(
        &mut self,
        name: &str,
        n_partitions: i32,
        n_replicas: i16,
        configs: &[(&str, &str)],
    ) {
        let config = |(name, value): &(&str, &str)| CreatableTopicConfig {
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
        };
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: name.to_owned(),
                num_partitions: n_partitions,
                replication_factor: n_replicas,
                configs: configs.iter().map(config).collect(),
                ..CreatableTopic::default()
            }],
            timeout_ms: 10_000,
            validate_only: false,
        };
        wait_for(&format!("topic {name} to be created"), seconds(20), || {
            let mut response = self.try_ask(&|wire: &mut Wire| wire.call_newest(&request))?;
            let result = response.topics.pop().expect("one topic was asked for");
            match code(result.error_code) {
                ErrorCode::None | ErrorCode::TopicAlreadyExists => Ok(()),
                refusal => Err(format!("{refusal:?} {:?}", result.error_message)),
            }
        });
    }

    /// Deletes a topic, again until somebody could.
    #[track_caller]
    pub(crate) fn delete_topic(&mut self, name: &str) {
        let request = DeleteTopicsRequest {
            topics: vec![DeleteTopicState {
                name: Some(name.to_owned()),
                ..DeleteTopicState::default()
            }],
            timeout_ms: 10_000,
            ..DeleteTopicsRequest::default()
        };
        wait_for(&format!("{name} to be deleted"), seconds(20), || {
            let answer = self.try_ask(&|wire: &mut Wire| wire.call_newest(&request))?;
            match code(answer.responses[0].error_code) {
                ErrorCode::None => Ok(()),
                refusal => Err(format!("{refusal:?}")),
            }
        });
    }

    /// Waits until every running node knows every leader, and every leader serves.
    #[track_caller]
    pub(crate) fn wait_for_leaders(&mut self, topic: &str) {
        let running = self.running();
        wait_for(&format!("leaders of {topic}"), seconds(20), || {
            for id in &running {
                let found = Wire::connect(self.node(*id).ports.kafka)
                    .and_then(|mut wire| client::topic_metadata(&mut wire, topic))
                    .map_err(|error| error.to_string())?;
                if found.error_code != 0 || found.partitions.iter().any(|it| it.leader_id < 0) {
                    return Err(format!("node {id} says {found:?}"));
                }
                for partition in &found.partitions {
                    self.try_end_of(topic, partition.partition_index, partition.leader_id)?;
                }
            }
            Ok(())
        });
    }

    /// The end of a partition as `leader` tells it.
    fn try_end_of(&self, topic: &str, partition: i32, leader: i32) -> Result<i64, String> {
        let answer = Wire::connect(self.node(leader).ports.kafka)
            .and_then(|mut wire| client::list_offset(&mut wire, topic, partition, LATEST))
            .map_err(|error| format!("node {leader}: {error}"))?;
        match code(answer.error_code) {
            ErrorCode::None => Ok(answer.offset),
            refusal => Err(format!("node {leader}: {refusal:?}")),
        }
    }

    #[track_caller]
    pub(crate) fn topic(&mut self, topic: &str) -> MetadataResponseTopic {
        self.ask(|wire| client::topic_metadata(wire, topic))
    }

    #[track_caller]
    pub(crate) fn partition(&mut self, topic: &str, partition: i32) -> MetadataResponsePartition {
        let found = self.topic(topic);
        assert_eq!(
            code(found.error_code),
            ErrorCode::None,
            "metadata of {topic}"
        );
        let mut partitions = found.partitions.into_iter();
        partitions
            .find(|it| it.partition_index == partition)
            .unwrap_or_else(|| panic!("there is no {topic}-{partition}"))
    }

    /// Who leads, as the first running node that answers knows it; -1 is nobody.
    #[track_caller]
    pub(crate) fn leader_of(&mut self, topic: &str, partition: i32) -> i32 {
        self.partition(topic, partition).leader_id
    }

    /// Waits for a leader other than `old`, and returns it.
    #[track_caller]
    pub(crate) fn wait_for_other_leader(&mut self, topic: &str, partition: i32, old: i32) -> i32 {
        wait_for(
            &format!("a new leader of {topic}-{partition}"),
            seconds(10),
            || match self.leader_of(topic, partition) {
                leader if leader >= 0 && leader != old => Ok(leader),
                leader => Err(format!("{leader} leads")),
            },
        )
    }

    /// Waits until `n` replicas of every partition are in sync.
    #[track_caller]
    pub(crate) fn wait_for_isr(&mut self, topic: &str, n: usize, limit: Duration) {
        wait_for(&format!("{n} replicas of {topic} in sync"), limit, || {
            let found = self.topic(topic);
            let behind = found.partitions.iter().find(|it| it.isr_nodes.len() < n);
            behind.map_or(Ok(()), |it| Err(format!("{it:?}")))
        });
    }

    /// A connection to the leader.
    #[track_caller]
    pub(crate) fn leader_wire(&mut self, topic: &str, partition: i32) -> Wire {
        let leader = self.leader_of(topic, partition);
        assert!(leader >= 0, "{topic}-{partition} has no leader");
        self.wire(leader)
    }

    /// Produces one batch with `acks=all` to whoever leads, again until it is acked; gives its offset.
    #[track_caller]
    pub(crate) fn produce<V: AsRef<[u8]>>(
        &mut self,
        topic: &str,
        partition: i32,
        values: impl IntoIterator<Item = V> + Clone,
    ) -> i64 {
        wait_for(
            &format!("an ack from {topic}-{partition}"),
            seconds(30),
            || {
                let leader = self.leader_of(topic, partition);
                if leader < 0 {
                    return Err("nobody leads".to_owned());
                }
                let answer = Wire::connect(self.node(leader).ports.kafka)
                    .and_then(|mut wire| {
                        client::produce(&mut wire, topic, partition, values.clone())
                    })
                    .map_err(|error| format!("node {leader}: {error}"))?;
                match code(answer.error_code) {
                    ErrorCode::None => Ok(answer.base_offset),
                    refusal => Err(format!("node {leader}: {refusal:?}")),
                }
            },
        )
    }

    /// The high watermark, as the leader tells consumers.
    #[track_caller]
    pub(crate) fn high_watermark(&mut self, topic: &str, partition: i32) -> i64 {
        wait_for(
            &format!("the end of {topic}-{partition}"),
            seconds(20),
            || {
                let leader = self.leader_of(topic, partition);
                if leader < 0 {
                    return Err("nobody leads".to_owned());
                }
                self.try_end_of(topic, partition, leader)
            },
        )
    }

    /// All values committed in a partition.
    #[track_caller]
    pub(crate) fn read_all(&mut self, topic: &str, partition: i32) -> Vec<Vec<u8>> {
        let mut wire = self.leader_wire(topic, partition);
        client::read_all(&mut wire, topic, partition)
    }

    /// What the first running node that answers says of the cluster.
    pub(crate) fn describe(&mut self) -> Result<Value, String> {
        let mut errors = Vec::new();
        for id in self.running() {
            match self.node(id).get("/v1/cluster") {
                Ok(answer) if answer.status == 200 => return Ok(answer.json()),
                Ok(answer) => errors.push(format!("node {id}: {} {}", answer.status, answer.text)),
                Err(error) => errors.push(format!("node {id}: {error}")),
            }
        }
        Err(errors.join("; "))
    }

    /// The active controller.
    #[track_caller]
    pub(crate) fn controller(&mut self) -> i32 {
        wait_for("an active controller", seconds(10), || {
            let cluster = self.describe()?;
            let id = controller_in(&cluster).ok_or_else(|| cluster.to_string())?;
            Ok(id)
        })
    }
}

/// The active controller in an answer of `/v1/cluster`.
pub(crate) fn controller_in(cluster: &Value) -> Option<i32> {
    let id = cluster.get("controller")?.as_i64()?;
    i32::try_from(id).ok()
}

fn all_topics() -> MetadataRequest {
    MetadataRequest {
        topics: None,
        ..MetadataRequest::default()
    }
}
