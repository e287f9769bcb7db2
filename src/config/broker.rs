//! The keys of a node. Kafka's names and defaults, unless ours is safer; where a default differs,
//! the row says so and the documentation says why.

use std::path::PathBuf;
use std::time::Duration;

use drave_protocol::ids::NodeId;

use crate::config::define::{Settings, configs};
use crate::config::error::ConfigError;
use crate::config::listener::{Listener, SecurityProtocols};
use crate::config::value::{
    CleanupPolicy, CompressionType, FlushMode, MigrationPolicy, ReplicaSelector, Roles,
    TimestampType,
};

configs! {
    /// What one node was told. A snapshot: `under` makes another of it and what the cluster agreed on.
    pub struct BrokerConfig {
        /// Identity of this node, unique in the cluster.
        "node.id" => node_id: NodeId = "1", ReadOnly, check "0 or more": |it| it.0 >= 0, synonym "broker.id";
        /// What this node does: `broker` stores and serves records, `controller` votes on metadata.
        "process.roles" => process_roles: Roles = "broker,controller", ReadOnly;
        /// The failure domain of this node. Replicas of a partition are spread over racks.
        "broker.rack" => broker_rack: Option<String> = "", ReadOnly;

        /// Addresses to bind, `NAME://host:port` with commas. An empty host binds every address; port 0
        /// lets the system pick. When empty: `PLAINTEXT://localhost:9092` on a broker and
        /// `CONTROLLER://localhost:9093` on a controller. A node whose list names no controller listener
        /// opens one on the same host at the next port: every node follows the metadata log there.
        "listeners" => listeners: Vec<Listener> = "", ReadOnly;
        /// Addresses told to clients and to other nodes, by listener name. A listener not named here
        /// advertises the host it binds, or this machine's name when it binds every address. `0.0.0.0`
        /// is refused: a client told to connect there connects to itself. Port 0 stands for the port
        /// that was bound.
        "advertised.listeners" => advertised_listeners: Vec<Listener> = "", ReadOnly;
        /// Which names in `listeners` are the controller's. The first one is used.
        "controller.listener.names" => controller_listener_names: Vec<String> = "CONTROLLER", ReadOnly, kafka "",
            check "at least one name": |it| !it.is_empty();
        /// The protocol of each listener name. Only PLAINTEXT is served; a listener that asks for another
        /// is refused.
        "listener.security.protocol.map" => listener_security_protocol_map: SecurityProtocols =
            "PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL", ReadOnly;
        /// The listener other brokers fetch from. When empty, the one named PLAINTEXT, or else the first.
        "inter.broker.listener.name" => inter_broker_listener_name: String = "", ReadOnly;
        /// Where HTTP is served: metadata, health and metrics. When empty, the host of the first listener
        /// at its port + 548 (9640 for 9092). `none` turns it off. Ours.
        "http.listeners" => http_listeners: String = "", ReadOnly;

        /// `host:port` of controllers to form or to join a cluster through, with commas. The same list
        /// on every node and at every start; there is no format step.
        "controller.quorum.bootstrap.servers" => controller_quorum_bootstrap_servers: Vec<String> = "", ReadOnly;
        /// `id@host:port` of every controller, with commas. Where both this and the bootstrap servers are
        /// given, this one names the voters. When neither is, a controller forms a cluster of itself.
        "controller.quorum.voters" => controller_quorum_voters_text: Vec<String> = "", ReadOnly;
        /// A controller stands for election after this long without its leader, up to twice as long, drawn
        /// anew each time. Shorter than Kafka's, so that failover takes less than a second.
        "controller.quorum.election.timeout.ms" => controller_quorum_election_timeout: Duration = "250", ReadOnly, kafka "1000",
            check "50 or more": |it| it.as_millis() >= 50;
        /// How often the leading controller makes itself heard. Ours.
        "controller.quorum.heartbeat.interval.ms" => controller_quorum_heartbeat_interval: Duration = "50", ReadOnly,
            check "10 or more": |it| it.as_millis() >= 10;
        /// How often a broker tells the controller that it lives.
        "broker.heartbeat.interval.ms" => broker_heartbeat_interval: Duration = "200", ReadOnly, kafka "2000",
            check "10 or more": |it| it.as_millis() >= 10;
        /// A broker unheard for this long is fenced and its leaderships move. After three quarters of it a
        /// broker that hears nothing stops acking by itself. Shorter than Kafka's: heartbeats cost nothing here.
        "broker.session.timeout.ms" => broker_session_timeout: Duration = "2000", ReadOnly, kafka "9000",
            check "100 or more": |it| it.as_millis() >= 100;
        /// Whether a node that stops hands its leaderships over first.
        "controlled.shutdown.enable" => controlled_shutdown_enable: bool = "true", ReadOnly;

        /// Directories of partitions, with commas. Kafka's default lies under /tmp and is gone after a
        /// reboot; ours is a folder where the node was started.
        "log.dirs" => log_dirs: Vec<PathBuf> = "drave-data", ReadOnly, kafka "/tmp/kafka-logs",
            check "at least one directory": |it| !it.is_empty(), synonym "log.dir";
        /// Room kept free of records in each of `log.dirs`, given up when the disk is full: for the small files
        /// a node must write all the same. At most a 32nd of the disk. 0: none. Ours.
        "log.dirs.reserve.bytes" => log_dirs_reserve_bytes: u64 = "67108864", ReadOnly;
        /// Bytes a second that are read again from disk and checked, so that rot is found while another
        /// replica has the records. A node with 1 TB takes 2 days and 18 hours for all of it at the default.
        /// 0: never. Ours.
        "log.scrub.bytes.per.second" => log_scrub_bytes_per_second: u64 = "4194304", ReadOnly;
        /// A pass over all logs begins this long after the one before began, or when that one ends. Ours.
        "log.scrub.interval.ms" => log_scrub_interval: Duration = "86400000", ReadOnly,
            check "100 or more": |it| it.as_millis() >= 100;
        /// Directory of the metadata log. When empty, the first of `log.dirs`.
        "metadata.log.dir" => metadata_log_dir_text: Option<PathBuf> = "", ReadOnly;
        /// When a record counts as stored: `commit` puts it on disk (group commit, fsync) before the ack
        /// of `acks=all`; `async` leaves it in the page cache as Kafka does: a process that is killed loses
        /// nothing, a machine that is may. With `commit` records are read once they are on disk; those of `acks=1` are put
        /// there within 5 ms, or at once where somebody waits for them. Ours.
        "log.flush.mode" => log_flush_mode: FlushMode = "commit", ReadOnly;
        /// With `log.flush.mode=async`: so many records of a partition are in the page cache only before they are
        /// put on disk. That goes on in the background; Kafka's append waits for it, as ours does with `commit`.
        "log.flush.interval.messages" => log_flush_interval_messages: u64 = "9223372036854775807", ReadOnly,
            check "1 or more": |it| *it >= 1;
        /// With `log.flush.mode=async`: so long is a record in the page cache only before it is put on disk. Kafka
        /// leaves it to the system when; ours bounds what a power failure takes, and what a start must scan. When
        /// 32 MiB of a log wait, they do not wait longer.
        /// There is no interval at which logs are looked at: each is synced when its time has come.
        "log.flush.interval.ms" => log_flush_interval: Duration = "5000", ReadOnly, kafka "",
            synonym "log.flush.scheduler.interval.ms";
        /// Size at which the active segment of a partition is rolled.
        "log.segment.bytes" => log_segment_bytes: u64 = "1073741824", Broker,
            check "from 1048576 to 2147483647": |it| (1_048_576..=2_147_483_647).contains(it);
        /// Age at which the active segment is rolled.
        "log.roll.ms" => log_roll: Duration = "604800000", Broker,
            check "1 or more": |it| !it.is_zero(), synonym "log.roll.hours" * 3_600_000;
        /// The age at which a segment is rolled is shortened by up to this much, drawn for each, so that not
        /// all partitions roll at once.
        "log.roll.jitter.ms" => log_roll_jitter: Duration = "0", Broker,
            synonym "log.roll.jitter.hours" * 3_600_000;
        /// Bytes of records between two entries of the offset index.
        "log.index.interval.bytes" => log_index_interval_bytes: u64 = "4096", Broker;
        /// Largest size of an index file.
        "log.index.size.max.bytes" => log_index_size_max_bytes: u64 = "10485760", Broker,
            check "from 4 to 2147483647": |it| (4..=2_147_483_647).contains(it);
        /// Age beyond which records may be deleted. -1: never.
        "log.retention.ms" => log_retention: Option<Duration> = "604800000", Broker,
            synonym "log.retention.minutes" * 60_000, synonym "log.retention.hours" * 3_600_000;
        /// Size of a partition beyond which its oldest records may be deleted. -1: no limit.
        "log.retention.bytes" => log_retention_bytes: Option<u64> = "-1", Broker;
        /// How often each partition is looked at for segments that are too old or too many.
        "log.retention.check.interval.ms" => log_retention_check_interval: Duration = "300000", ReadOnly,
            check "10 or more": |it| it.as_millis() >= 10;
        /// Whether old records are deleted, compacted by key, or both.
        "log.cleanup.policy" => log_cleanup_policy: CleanupPolicy = "delete", Broker;
        /// Whether logs are compacted at all; without it those with the policy `compact` only grow.
        "log.cleaner.enable" => log_cleaner_enable: bool = "true", ReadOnly;
        /// Logs compacted at once.
        "log.cleaner.threads" => log_cleaner_threads: usize = "1", ReadOnly,
            check "from 1 to 64": |it| (1..=64).contains(it);
        /// Memory for the keys of the logs that are being compacted, all threads together. Kafka holds it
        /// always; ours is taken for a pass, no more than the pass needs, and given back. A key takes 32
        /// bytes of it; a log with more new keys takes several passes.
        "log.cleaner.dedupe.buffer.size" => log_cleaner_dedupe_buffer_size: usize = "134217728", ReadOnly,
            check "1048576 or more": |it| *it >= 1_048_576;
        /// Bytes compaction may read and write in a second, all threads together.
        "log.cleaner.io.max.bytes.per.second" => log_cleaner_io_max_bytes_per_second: f64 = "1.7976931348623157E308", ReadOnly,
            check "1024 or more": |it| *it >= 1024.0;
        /// How long a thread rests when no log needs compaction.
        "log.cleaner.backoff.ms" => log_cleaner_backoff: Duration = "15000", ReadOnly,
            check "10 or more": |it| it.as_millis() >= 10;
        /// How long a compacted log keeps the mark of a deleted key, so that readers see that it went.
        "log.cleaner.delete.retention.ms" => log_cleaner_delete_retention: Duration = "86400000", Broker;
        /// A record is compacted at the latest when it is this old.
        "log.cleaner.max.compaction.lag.ms" => log_cleaner_max_compaction_lag: Duration = "9223372036854775807", Broker,
            check "1 or more": |it| !it.is_zero();
        /// Share of a compacted log that must be new since the last pass before it is compacted again.
        "log.cleaner.min.cleanable.ratio" => log_cleaner_min_cleanable_ratio: f64 = "0.5", Broker,
            check "from 0 to 1": |it| (0.0..=1.0).contains(it);
        /// A record younger than this is not compacted.
        "log.cleaner.min.compaction.lag.ms" => log_cleaner_min_compaction_lag: Duration = "0", Broker;
        /// How batches lie in a log: `producer` keeps them as they came; a codec makes the leader compress
        /// anew what came otherwise.
        "compression.type" => compression_type: CompressionType = "producer", Broker;
        /// Level of gzip when a log compresses with it: 1 (quick) to 9 (small), -1 for its own default.
        "compression.gzip.level" => compression_gzip_level: i32 = "-1", Broker,
            check "-1, or from 1 to 9": |it| *it == -1 || (1..=9).contains(it);
        /// Level of lz4 when a log compresses with it: 1 (quick) to 17 (small).
        "compression.lz4.level" => compression_lz4_level: i32 = "9", Broker,
            check "from 1 to 17": |it| (1..=17).contains(it);
        /// Level of zstd when a log compresses with it: -131072 (quick) to 22 (small).
        "compression.zstd.level" => compression_zstd_level: i32 = "3", Broker,
            check "from -131072 to 22": |it| (-131_072..=22).contains(it);
        /// How far the time of a record may lie ahead of the broker's.
        "log.message.timestamp.after.max.ms" => log_message_timestamp_after_max: Duration = "3600000", Broker;
        /// How far the time of a record may lie behind the broker's.
        "log.message.timestamp.before.max.ms" => log_message_timestamp_before_max: Duration = "9223372036854775807", Broker;
        /// Whether records keep the time their producer gave, or get the broker's.
        "log.message.timestamp.type" => log_message_timestamp_type: TimestampType = "CreateTime", Broker;
        /// Largest batch accepted, with its header, after compression.
        "message.max.bytes" => message_max_bytes: usize = "1048588", Broker;
        /// A producer that wrote nothing for this long is forgotten, unless its transaction is open; its
        /// next batch is taken whatever its sequence.
        "producer.id.expiration.ms" => producer_id_expiration: Duration = "86400000", ReadOnly,
            check "1 or more": |it| !it.is_zero();
        /// How often silent producers are looked for.
        "producer.id.expiration.check.interval.ms" => producer_id_expiration_check_interval: Duration = "600000", ReadOnly,
            check "1 or more": |it| !it.is_zero();

        /// Partitions of a topic whose creator did not say.
        "num.partitions" => num_partitions: i32 = "1", ReadOnly, check "1 or more": |it| *it >= 1;
        /// Replicas of a topic whose creator did not say, or as many as there are live brokers when there
        /// are fewer. Kafka keeps one copy; ours survives a node.
        "default.replication.factor" => default_replication_factor: i16 = "3", ReadOnly, kafka "1",
            check "1 or more": |it| *it >= 1;
        /// In-sync replicas without which `acks=all` is refused; for a topic with fewer replicas, all of
        /// them. Kafka acks with one copy; ours asks for two.
        "min.insync.replicas" => min_insync_replicas: i32 = "2", Cluster, kafka "1",
            check "1 or more": |it| *it >= 1;
        /// Whether asking for an unknown topic creates it.
        "auto.create.topics.enable" => auto_create_topics_enable: bool = "true", ReadOnly;
        /// Whether topics can be deleted.
        "delete.topic.enable" => delete_topic_enable: bool = "true", ReadOnly;
        /// Whether a replica outside the ISR may lead when no other is left. Acked records may be lost.
        "unclean.leader.election.enable" => unclean_leader_election_enable: bool = "false", Cluster;

        /// Bytes a second this broker sends to followers that are not in sync, of the replicas a topic names
        /// in `leader.replication.throttled.replicas`.
        "leader.replication.throttled.rate" => leader_replication_throttled_rate: i64 = "9223372036854775807", Broker,
            check "0 or more": |it| *it >= 0;
        /// Bytes a second this broker fetches of the replicas a topic names in
        /// `follower.replication.throttled.replicas`, while they are behind.
        "follower.replication.throttled.rate" => follower_replication_throttled_rate: i64 = "9223372036854775807", Broker,
            check "0 or more": |it| *it >= 0;

        /// Whether leaderships return to preferred replicas by themselves, once those are in sync.
        "auto.leader.rebalance.enable" => auto_leader_rebalance_enable: bool = "true", ReadOnly;
        /// How often it is looked whether they should. Sooner than Kafka: a restarted node is useful at once.
        "leader.imbalance.check.interval.seconds" => leader_imbalance_check_interval_seconds: u64 = "30", ReadOnly, kafka "300",
            check "1 or more": |it| *it >= 1;
        /// A broker gets its leaderships back when more than this share of those it is preferred for, in per
        /// cent, are with others.
        "leader.imbalance.per.broker.percentage" => leader_imbalance_per_broker_percentage: i32 = "10", ReadOnly,
            check "from 0 to 100": |it| (0..=100).contains(it);

        /// A follower not caught up for this long leaves the ISR.
        "replica.lag.time.max.ms" => replica_lag_time_max: Duration = "10000", ReadOnly, kafka "30000",
            check "100 or more": |it| it.as_millis() >= 100;
        /// How long a follower's fetch waits at the leader for new records.
        "replica.fetch.wait.max.ms" => replica_fetch_wait_max: Duration = "500", ReadOnly;
        /// Bytes a follower asks for per partition and fetch; a larger batch still comes whole.
        "replica.fetch.max.bytes" => replica_fetch_max_bytes: usize = "1048576", ReadOnly;
        /// Bytes a follower asks for per fetch.
        "replica.fetch.response.max.bytes" => replica_fetch_response_max_bytes: usize = "10485760", ReadOnly;
        /// How often high watermarks are written to disk.
        "replica.high.watermark.checkpoint.interval.ms" => replica_high_watermark_checkpoint_interval: Duration = "5000", ReadOnly,
            check "10 or more": |it| it.as_millis() >= 10;

        /// Which replica a consumer that names its rack is sent to: `leader`, or `rack-aware`, a follower in its
        /// rack where there is one and the leader is in none. Kafka's names of these two classes are taken too.
        /// Followers then hear of a new high watermark at once instead of with the next record or after
        /// `replica.fetch.wait.max.ms`, as in Kafka: for one more fetch an append, their consumers wait less.
        "replica.selector.class" => replica_selector: ReplicaSelector = "", ReadOnly;
        /// Fetch sessions kept at once. In one, a consumer or follower with many partitions asks and is
        /// answered only for those in which something changed. 0: none.
        "max.incremental.fetch.session.cache.slots" => fetch_session_slots: usize = "1000", ReadOnly;

        /// Partitions of `__consumer_offsets`, whose leaders coordinate the groups. Counts only when the topic
        /// comes into being, with the first group: all of a group's offsets are in one of them.
        "offsets.topic.num.partitions" => offsets_topic_num_partitions: i32 = "50", ReadOnly,
            check "1 or more": |it| *it >= 1;
        /// Replicas of `__consumer_offsets`. Where fewer brokers live when it comes into being it gets as many as
        /// there are; Kafka refuses groups until there are enough.
        "offsets.topic.replication.factor" => offsets_topic_replication_factor: i16 = "3", ReadOnly,
            check "1 or more": |it| *it >= 1;
        /// What `__consumer_offsets` is compressed with, as its `compression.type` when it comes into being: 0
        /// nothing, 1 gzip, 2 snappy, 3 lz4, 4 zstd.
        "offsets.topic.compression.codec" => offsets_topic_compression_codec: i32 = "0", ReadOnly,
            check "from 0 to 4": |it| (0..=4).contains(it);
        /// Size of a segment of `__consumer_offsets`; small, so that it is compacted soon and read quickly.
        "offsets.topic.segment.bytes" => offsets_topic_segment_bytes: i32 = "104857600", ReadOnly,
            check "14 or more": |it| *it >= 14;
        /// An offset of a group nobody is in is forgotten after this long; of a consumer without a group, this long
        /// after it was committed.
        "offsets.retention.minutes" => offsets_retention_minutes: u64 = "10080", ReadOnly,
            check "1 or more": |it| *it >= 1;
        /// How often offsets are looked through for those to be forgotten.
        "offsets.retention.check.interval.ms" => offsets_retention_check_interval: Duration = "600000", ReadOnly,
            check "1 or more": |it| !it.is_zero();
        /// Bytes of what a client may store beside an offset.
        "offset.metadata.max.bytes" => offset_metadata_max_bytes: usize = "4096", ReadOnly;
        /// A decision of a coordinator that is not committed after this long is answered with an error; it may
        /// hold later all the same.
        "offsets.commit.timeout.ms" => offsets_commit_timeout: Duration = "5000", ReadOnly,
            check "1 or more": |it| !it.is_zero();
        /// The shortest session a member of a classic group may ask for.
        "group.min.session.timeout.ms" => group_min_session_timeout: Duration = "6000", ReadOnly;
        /// The longest session a member of a classic group may ask for.
        "group.max.session.timeout.ms" => group_max_session_timeout: Duration = "1800000", ReadOnly;
        /// How long an empty classic group waits for more members after the first, before it assigns.
        "group.initial.rebalance.delay.ms" => group_initial_rebalance_delay: Duration = "3000", ReadOnly;
        /// Most members of a classic group.
        "group.max.size" => group_max_size: usize = "2147483647", ReadOnly,
            check "1 or more": |it| *it >= 1;
        /// The protocols groups may use: `classic`, and `consumer` (KIP-848).
        "group.coordinator.rebalance.protocols" => group_coordinator_rebalance_protocols: Vec<String> =
            "classic,consumer,streams", ReadOnly;
        /// After this long without a heartbeat a member of a consumer group is gone.
        "group.consumer.session.timeout.ms" => group_consumer_session_timeout: Duration = "45000", ReadOnly,
            check "1 or more": |it| !it.is_zero();
        /// The shortest session a consumer group may be given.
        "group.consumer.min.session.timeout.ms" => group_consumer_min_session_timeout: Duration = "45000", ReadOnly,
            check "1 or more": |it| !it.is_zero();
        /// The longest session a consumer group may be given.
        "group.consumer.max.session.timeout.ms" => group_consumer_max_session_timeout: Duration = "60000", ReadOnly,
            check "1 or more": |it| !it.is_zero();
        /// How often members of a consumer group are told to make themselves heard.
        "group.consumer.heartbeat.interval.ms" => group_consumer_heartbeat_interval: Duration = "5000", ReadOnly,
            check "1 or more": |it| !it.is_zero();
        /// The shortest heartbeat interval a consumer group may be given.
        "group.consumer.min.heartbeat.interval.ms" => group_consumer_min_heartbeat_interval: Duration = "5000", ReadOnly,
            check "1 or more": |it| !it.is_zero();
        /// The longest heartbeat interval a consumer group may be given.
        "group.consumer.max.heartbeat.interval.ms" => group_consumer_max_heartbeat_interval: Duration = "15000", ReadOnly,
            check "1 or more": |it| !it.is_zero();
        /// Most members of a consumer group.
        "group.consumer.max.size" => group_consumer_max_size: usize = "2147483647", ReadOnly,
            check "1 or more": |it| *it >= 1;
        /// How consumer groups are assigned by the broker: the first where a member does not say.
        "group.consumer.assignors" => group_consumer_assignors: Vec<String> = "uniform,range", ReadOnly,
            check "at least one name": |it| !it.is_empty();
        /// Which way groups may change their protocol while they run: `bidirectional`, `upgrade` to the consumer
        /// protocol, `downgrade` from it, or `disabled`.
        "group.consumer.migration.policy" => group_consumer_migration_policy: MigrationPolicy = "bidirectional", ReadOnly;

        /// Bytes any one fetch is answered with.
        "fetch.max.bytes" => fetch_max_bytes: usize = "57671680", ReadOnly,
            check "1024 or more": |it| *it >= 1024;
        /// Largest request accepted; a connection that announces more is closed.
        "socket.request.max.bytes" => socket_request_max_bytes: usize = "104857600", ReadOnly,
            check "from 1024 to 2147483647": |it| (1024..=2_147_483_647).contains(it);
        /// What the kernel holds of answers to one connection; -1 leaves it to the kernel, which measures what the way
        /// needs. A size set is one of 100 KiB in Kafka: over 100 ms, 2 MB/s.
        "socket.send.buffer.bytes" => socket_send_buffer_bytes: i32 = "-1", ReadOnly, kafka "102400",
            check "-1, or 1 or more": |it| *it == -1 || *it >= 1;
        /// The same of requests.
        "socket.receive.buffer.bytes" => socket_receive_buffer_bytes: i32 = "-1", ReadOnly, kafka "102400",
            check "-1, or 1 or more": |it| *it == -1 || *it >= 1;
        /// Connections accepted at once. Kafka has no limit; ours leaves room below the usual limits on
        /// open files.
        "max.connections" => max_connections: usize = "16384", ReadOnly, kafka "2147483647",
            check "1 or more": |it| *it >= 1;
        /// A connection idle for this long is closed.
        "connections.max.idle.ms" => connections_max_idle: Duration = "600000", ReadOnly,
            check "1 or more": |it| !it.is_zero();
    }
    derived {
        /// Where clients are served; empty on a pure controller.
        client_listeners: Vec<Listener>,
        /// Where the metadata quorum and the other nodes are answered.
        controller_listener: Listener,
        /// What other nodes are told of `controller_listener`.
        advertised_controller_listener: Listener,
        /// Where HTTP is served, unless turned off.
        http_listener: Option<Listener>,
        /// The voters by name; empty where only bootstrap servers are given.
        controller_quorum_voters: Vec<(NodeId, String)>,
        /// Where the metadata log lies.
        metadata_log_dir: PathBuf,
    }
}

impl BrokerConfig {
    /// Checks each value on its own.
    pub(super) fn read_alone(settings: Settings) -> Result<(), ConfigError> {
        Self::read(settings).map(|_| ())
    }

    /// Checks and completes what was set. `host_name` is what this machine calls itself, asked only for
    /// listeners that bind every address and advertise none.
    pub fn new(settings: Settings, host_name: &dyn Fn() -> String) -> Result<Self, ConfigError> {
        let mut config = Self::read(settings)?;
        config.resolve(host_name)?;
        Ok(config)
    }
}
