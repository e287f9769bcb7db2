//! Administration: topics and configurations, asked of any broker that answers.
//!
//! A drave broker carries administrative requests to the active controller itself, and Kafka's do so
//! too, so any live broker will do; the controller is asked first because that saves a hop.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use drave_protocol::error_code::ErrorCode;
use drave_protocol::ids::TopicId;
use drave_protocol::message::Request;
use drave_protocol::schema::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use drave_protocol::schema::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use drave_protocol::schema::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
};

use crate::alteration::Resource;
use crate::error::ClientError;
use crate::metadata::{self, Broker, ClusterDescription, TopicDescription};
use crate::network::connection::Connection;
use crate::network::pool::Pool;

const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A broker that hangs must leave time to ask another.
const ATTEMPT_MAX: Duration = Duration::from_secs(10);
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Speaks to whichever broker answers; retries what may succeed later until its timeout.
#[derive(Debug)]
pub struct Admin {
    pool: Pool,
    timeout: Duration,
    /// Addresses in the order they are tried: bootstrap first, then what metadata added.
    known: Mutex<Vec<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    pub name: String,
    /// `None`: the broker's `num.partitions`.
    pub n_partitions: Option<i32>,
    /// `None`: the broker's `default.replication.factor`.
    pub replication_factor: Option<i16>,
    pub configs: Vec<(String, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedTopic {
    pub name: String,
    pub topic_id: TopicId,
    /// -1 when the broker did not say.
    pub n_partitions: i32,
    pub replication_factor: i16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    pub name: String,
    pub value: Option<String>,
    /// Kafka's number of the source: 1 topic, 2 and 3 dynamic broker, 4 static, 5 default.
    pub source: i8,
    pub is_read_only: bool,
    pub is_sensitive: bool,
}

/// One outcome per topic asked for, under its name.
pub type PerTopic<T> = Vec<(String, Result<T, ClientError>)>;

impl Admin {
    /// Connects to the first of the comma-separated `host:port` in `bootstrap` that answers.
    pub async fn connect(bootstrap: &str) -> Result<Self, ClientError> {
        Self::connect_within(bootstrap, TIMEOUT_DEFAULT).await
    }

    /// As `connect`; `timeout` bounds it, and each later operation.
    pub async fn connect_within(bootstrap: &str, timeout: Duration) -> Result<Self, ClientError> {
        let addresses = bootstrap.split(',').map(str::trim);
        let addresses = addresses.filter(|it| !it.is_empty()).map(str::to_owned);
        let admin = Self {
            pool: Pool::new("drave-admin", CONNECT_TIMEOUT.min(timeout)),
            timeout,
            known: Mutex::new(addresses.collect()),
        };
        admin.describe_cluster().await?;
        Ok(admin)
    }

    /// Brokers and controller, without topics.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription, ClientError> {
        self.describe(Some(&[])).await
    }

    /// Every topic there is.
    pub async fn list_topics(&self) -> Result<Vec<TopicDescription>, ClientError> {
        Ok(self.describe(None).await?.topics)
    }

    /// The named topics; an unknown one comes back with its error.
    pub async fn describe_topics(
        &self,
        names: &[String],
    ) -> Result<Vec<TopicDescription>, ClientError> {
        Ok(self.describe(Some(names)).await?.topics)
    }

    /// Creates each topic or says why not; with `validate_only` only says.
    pub async fn create_topics(
        &self,
        topics: &[NewTopic],
        validate_only: bool,
    ) -> Result<PerTopic<CreatedTopic>, ClientError> {
        let request = CreateTopicsRequest {
            topics: topics.iter().map(creatable).collect(),
            timeout_ms: self.timeout_ms(),
            validate_only,
        };
        let response = self.ask(|_| Ok(request.clone())).await?;
        let outcomes = response.topics.into_iter().map(|it| {
            let created = CreatedTopic {
                name: it.name.clone(),
                topic_id: it.topic_id,
                n_partitions: it.num_partitions,
                replication_factor: it.replication_factor,
            };
            (it.name, outcome(it.error_code, it.error_message, created))
        });
        Ok(outcomes.collect())
    }

    /// Deletes each topic or says why not.
    pub async fn delete_topics(&self, names: &[String]) -> Result<PerTopic<()>, ClientError> {
        let topic = |name: &String| DeleteTopicState {
            name: Some(name.clone()),
            ..DeleteTopicState::default()
        };
        let request = DeleteTopicsRequest {
            topics: names.iter().map(topic).collect(),
            topic_names: names.to_vec(),
            timeout_ms: self.timeout_ms(),
        };
        let response = self
            .ask(|connection| {
                // Below version 6 topics go by `topic_names`, from there by `topics`.
                let mut request = request.clone();
                if connection.newest_version::<DeleteTopicsRequest>()? >= 6 {
                    request.topic_names.clear();
                } else {
                    request.topics.clear();
                }
                Ok(request)
            })
            .await?;
        let outcomes = response.responses.into_iter().map(|it| {
            let name = it.name.unwrap_or_default();
            (name, outcome(it.error_code, it.error_message, ()))
        });
        Ok(outcomes.collect())
    }

    /// The effective configuration of a topic.
    pub async fn describe_topic_configs(
        &self,
        topic: &str,
    ) -> Result<Vec<ConfigEntry>, ClientError> {
        self.describe_configs_of(&Resource::Topic(topic.to_owned()))
            .await
    }

    /// The effective configuration of a broker, by its id.
    pub async fn describe_broker_configs(
        &self,
        broker: &str,
    ) -> Result<Vec<ConfigEntry>, ClientError> {
        match broker.parse() {
            Ok(id) => self.describe_configs_of(&Resource::Broker(id)).await,
            Err(_) => self.describe_configs_of(&Resource::Cluster).await,
        }
    }

    /// What is in force for a topic or a broker; for the cluster, what was set.
    pub async fn describe_configs_of(
        &self,
        resource: &Resource,
    ) -> Result<Vec<ConfigEntry>, ClientError> {
        // Only a broker itself knows what it was started with.
        if let Resource::Broker(id) = resource {
            self.ask_first(*id).await?;
        }
        let (resource_type, resource_name) = resource.on_wire();
        let resource = DescribeConfigsResource {
            resource_type,
            resource_name,
            configuration_keys: None,
        };
        let request = DescribeConfigsRequest {
            resources: vec![resource],
            ..DescribeConfigsRequest::default()
        };
        let response = self.ask(|_| Ok(request.clone())).await?;
        let result = response.results.into_iter().next().unwrap_or_default();
        let entries = result.configs.into_iter().map(entry).collect();
        outcome(result.error_code, result.error_message, entries)
    }

    async fn describe(&self, topics: Option<&[String]>) -> Result<ClusterDescription, ClientError> {
        let response = self.ask(|_| Ok(metadata::request(topics))).await?;
        let cluster = metadata::translate(response);
        self.learn(&cluster);
        Ok(cluster)
    }

    /// Puts a broker in front of all others.
    async fn ask_first(&self, broker: i32) -> Result<(), ClientError> {
        let cluster = self.describe_cluster().await?;
        let found = cluster.brokers.iter().find(|it| it.id.0 == broker);
        let Some(address) = found.map(Broker::address) else {
            return Err(ClientError::Refused {
                code: ErrorCode::BrokerNotAvailable,
                message: Some(format!("broker {broker} is not live")),
            });
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|it| *it != address);
        known.insert(0, address);
        Ok(())
    }

    /// The controller goes to the front, unknown brokers to the end.
    fn learn(&self, cluster: &ClusterDescription) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for broker in &cluster.brokers {
            let address = broker.address();
            if cluster.controller == Some(broker.id) {
                known.retain(|it| *it != address);
                known.insert(0, address);
            } else if !known.contains(&address) {
                known.push(address);
            }
        }
    }

    /// Puts the question to each known broker in turn until one answers or the time is up.
    pub(crate) async fn ask<R: Request>(
        &self,
        build: impl Fn(&Connection) -> Result<R, ClientError>,
    ) -> Result<R::Response, ClientError> {
        let last = Mutex::new("nobody was asked".to_owned());
        let rounds = async {
            loop {
                match self.ask_each_once(&build, &last).await {
                    Some(outcome) => return outcome,
                    None => tokio::time::sleep(RETRY_PAUSE).await,
                }
            }
        };
        let outcome = tokio::time::timeout(self.timeout, rounds).await;
        outcome.unwrap_or_else(|_| {
            Err(ClientError::NoBroker {
                tried: self.known(),
                after: self.timeout,
                last: last.into_inner().unwrap_or_else(PoisonError::into_inner),
            })
        })
    }

    /// `None` when every broker failed in a way that may pass.
    async fn ask_each_once<R: Request>(
        &self,
        build: &impl Fn(&Connection) -> Result<R, ClientError>,
        last: &Mutex<String>,
    ) -> Option<Result<R::Response, ClientError>> {
        for address in self.known() {
            match self.ask_one(&address, build).await {
                Err(error) if error.is_retriable() => {
                    *last.lock().unwrap_or_else(PoisonError::into_inner) = error.to_string();
                }
                answer => return Some(answer),
            }
        }
        None
    }

    async fn ask_one<R: Request>(
        &self,
        address: &str,
        build: &impl Fn(&Connection) -> Result<R, ClientError>,
    ) -> Result<R::Response, ClientError> {
        let connection = self.pool.connection(address).await?;
        let request = build(&connection)?;
        connection.send(&request, self.attempt_timeout()).await
    }

    /// Asks this broker and no other.
    pub(crate) async fn ask_at<R: Request>(
        &self,
        address: &str,
        request: &R,
    ) -> Result<R::Response, ClientError> {
        let connection = self.pool.connection(address).await?;
        connection.send(request, self.attempt_timeout()).await
    }

    pub(crate) fn patience(&self) -> Duration {
        self.timeout
    }

    fn known(&self) -> Vec<String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.clone()
    }

    fn attempt_timeout(&self) -> Duration {
        ATTEMPT_MAX.min(self.timeout)
    }

    /// What a broker may take for administrative work: less than we wait for its answer.
    pub(crate) fn timeout_ms(&self) -> i32 {
        let patience = self.attempt_timeout() * 4 / 5;
        i32::try_from(patience.as_millis()).unwrap_or(i32::MAX)
    }
}

fn creatable(topic: &NewTopic) -> CreatableTopic {
    let config = |(name, value): &(String, String)| CreatableTopicConfig {
        name: name.clone(),
        value: Some(value.clone()),
    };
    CreatableTopic {
        name: topic.name.clone(),
        num_partitions: topic.n_partitions.unwrap_or(-1),
        replication_factor: topic.replication_factor.unwrap_or(-1),
        configs: topic.configs.iter().map(config).collect(),
        ..CreatableTopic::default()
    }
}

fn entry(entry: DescribeConfigsResourceResult) -> ConfigEntry {
    ConfigEntry {
        name: entry.name,
        value: entry.value,
        source: entry.config_source,
        is_read_only: entry.read_only,
        is_sensitive: entry.is_sensitive,
    }
}

pub(crate) fn outcome<T>(code: i16, message: Option<String>, value: T) -> Result<T, ClientError> {
    let code = ErrorCode::from_number(code);
    if code.is_error() {
        Err(ClientError::Refused { code, message })
    } else {
        Ok(value)
    }
}
