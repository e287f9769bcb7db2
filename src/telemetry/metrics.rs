//! The table of metrics. One set per node, never per process; names are those Kafka operators chart.

use std::fmt::Write;
use std::sync::Arc;

use crate::telemetry::instrument::{ByLabel, Counter, Gauge, Histogram, Instrument};

/// One row of the table.
#[derive(Debug)]
pub struct Metric {
    pub name: &'static str,
    pub kind: &'static str,
    pub labels: &'static [&'static str],
    pub help: &'static [&'static str],
}

/// Turns the table into the set, its rows and its page.
macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $name:literal => $field:ident: $type:ident $(by [$($label:literal),+])?;)+) => {
        /// The metrics of one node.
        #[derive(Debug)]
        pub struct MetricSet { $($(#[doc = $help])+ pub $field: metrics!(@type $type $([$($label),+])?),)+ }

        /// The table, in the order of the page.
        pub const METRICS: &[Metric] = &[$(Metric {
            name: $name,
            kind: <$type as Instrument>::KIND,
            labels: &[$($($label),+)?],
            help: &[$($help),+],
        },)+];

        impl Default for MetricSet {
            fn default() -> Self {
                Self { $($field: metrics!(@new $type $([$($label),+])?),)+ }
            }
        }

        impl MetricSet {
            /// All of it as Prometheus text.
            pub fn render(&self) -> String {
                let mut page = String::new();
                $(
                    head(&mut page, $name, <$type as Instrument>::KIND, &[$($help),+]);
                    metrics!(@render self.$field, $name, page $([$($label),+])?);
                )+
                page
            }
        }
    };
    (@type $type:ident) => { $type };
    (@type $type:ident [$($label:literal),+]) => { ByLabel<$type> };
    (@new $type:ident) => { $type::default() };
    (@new $type:ident [$($label:literal),+]) => { ByLabel::new(&[$($label),+]) };
    (@render $it:expr, $name:literal, $page:ident) => { $it.render($name, "", &mut $page) };
    (@render $it:expr, $name:literal, $page:ident [$($label:literal),+]) => { $it.render($name, &mut $page) };
}

metrics! {
    /// Whether this node is the active controller: 1 or 0.
    "kafka_controller_kafkacontroller_activecontrollercount" => active_controller: Gauge;
    /// Brokers registered and not fenced.
    "kafka_controller_kafkacontroller_activebrokercount" => active_brokers: Gauge;
    /// Brokers registered and fenced.
    "kafka_controller_kafkacontroller_fencedbrokercount" => fenced_brokers: Gauge;
    /// Topics in the cluster.
    "kafka_controller_kafkacontroller_globaltopiccount" => topics: Gauge;
    /// Partitions in the cluster.
    "kafka_controller_kafkacontroller_globalpartitioncount" => partitions: Gauge;
    /// Partitions in the cluster without a leader.
    "kafka_controller_kafkacontroller_offlinepartitionscount" => offline_partitions: Gauge;

    /// Term of the metadata quorum, which is the controller epoch.
    "kafka_server_raft_metrics_current_epoch" => raft_term: Gauge;
    /// Node id of the metadata quorum's leader; -1 when none is known.
    "kafka_server_raft_metrics_current_leader" => raft_leader: Gauge;
    /// Index up to which the metadata log is committed.
    "kafka_server_raft_metrics_high_watermark" => raft_committed: Gauge;
    /// Index up to which this node's image reflects the metadata log.
    "drave_raft_applied_index" => raft_applied: Gauge;

    /// Replicas on this node.
    "kafka_server_replicamanager_partitioncount" => replicas: Gauge;
    /// Partitions this node leads.
    "kafka_server_replicamanager_leadercount" => leaders: Gauge;
    /// Partitions led here with fewer replicas in sync than assigned.
    "kafka_server_replicamanager_underreplicatedpartitions" => under_replicated_partitions: Gauge;
    /// Partitions led here with fewer replicas in sync than `min.insync.replicas`.
    "kafka_server_replicamanager_underminisrpartitioncount" => under_min_isr_partitions: Gauge;
    /// Replicas on this node that are offline.
    "kafka_server_replicamanager_offlinereplicacount" => offline_replicas: Gauge;
    /// Log directories of this node that are out of use.
    "kafka_log_logmanager_offlinelogdirectorycount" => offline_log_dirs: Gauge;
    /// Bytes looked at again on disk, in passing.
    "drave_log_scrubbed_bytes_total" => scrubbed_bytes: Counter;
    /// Times that all logs were looked at.
    "drave_log_scrub_passes_total" => scrub_passes: Counter;
    /// Logs whose bytes were found not to be what was written.
    "drave_log_damaged_total" => damaged_logs: Counter;
    /// Log directories of this node that take no records because their disk is full.
    "drave_log_full_directories" => full_log_dirs: Gauge;
    /// Logs that were lost or damaged and fetched anew, since the process started.
    "drave_replicas_begun_anew" => replicas_begun_anew: Gauge;

    /// Records produced here.
    "kafka_server_brokertopicmetrics_messagesin_total" => records_in: Counter by ["topic"];
    /// Bytes of records produced here.
    "kafka_server_brokertopicmetrics_bytesin_total" => bytes_in: Counter by ["topic"];
    /// Bytes of records consumed here.
    "kafka_server_brokertopicmetrics_bytesout_total" => bytes_out: Counter by ["topic"];
    /// Produces that were refused.
    "kafka_server_brokertopicmetrics_failedproducerequests_total" => failed_produces: Counter by ["topic"];
    /// Fetches that were refused.
    "kafka_server_brokertopicmetrics_failedfetchrequests_total" => failed_fetches: Counter by ["topic"];

    /// Fetch sessions kept for consumers and followers.
    "kafka_server_fetchsessioncache_numincrementalfetchsessions" => fetch_sessions: Gauge;
    /// Partitions remembered in them.
    "kafka_server_fetchsessioncache_numincrementalfetchpartitionscached" => fetch_session_partitions: Gauge;
    /// Fetch sessions that made room for others.
    "kafka_server_fetchsessioncache_incrementalfetchsessionevictions_total" => fetch_session_evictions: Counter;

    /// Partitions of `__consumer_offsets` whose groups are coordinated here.
    "drave_groups_partitions" => group_partitions: Gauge;
    /// Of those, the ones whose log is still being read.
    "drave_groups_partitions_loading" => group_partitions_loading: Gauge;
    /// Groups coordinated here.
    "kafka_coordinator_group_groupmetadatamanager_numgroups" => groups: Gauge;
    /// Members of these groups.
    "drave_groups_members" => group_members: Gauge;
    /// Offsets kept for these groups.
    "kafka_coordinator_group_groupmetadatamanager_numoffsets" => group_offsets: Gauge;

    /// Segments removed from this node's disk: by `retention.ms`, by `retention.bytes`, or because the log
    /// starts behind them.
    "drave_log_removed_segments_total" => removed_segments: Counter by ["reason"];
    /// Bytes of these segments.
    "drave_log_removed_bytes_total" => removed_bytes: Counter by ["reason"];

    /// Compactions of a log that went through.
    "drave_log_cleaner_runs_total" => cleaner_runs: Counter;
    /// Compactions that failed.
    "drave_log_cleaner_failures_total" => cleaner_failures: Counter;
    /// Bytes compaction read.
    "drave_log_cleaner_read_bytes_total" => cleaner_read_bytes: Counter;
    /// Bytes compaction wrote.
    "drave_log_cleaner_written_bytes_total" => cleaner_written_bytes: Counter;
    /// Bytes compaction gave back to the disk.
    "drave_log_cleaner_freed_bytes_total" => cleaner_freed_bytes: Counter;
    /// Partitions that cannot be compacted until the node starts again; their logs only grow.
    "kafka_log_logcleanermanager_uncleanable_partitions_count" => uncleanable_partitions: Gauge;

    /// Requests answered.
    "kafka_network_requestmetrics_requests_total" => requests: Counter by ["request"];
    /// Seconds from the last byte of a request to the first of its answer.
    "kafka_network_requestmetrics_totaltime_seconds" => request_time: Histogram by ["request"];
    /// Connections of clients open now.
    "kafka_server_socket_server_metrics_connection_count" => connections: Gauge;
    /// Of these, connections that are silent: they cost a socket and next to no memory until they are heard.
    "drave_network_silent_connections" => connections_silent: Gauge;
    /// Connections closed because of what came over them.
    "drave_network_refused_total" => connections_refused: Counter by ["reason"];

}

/// A cheap handle on one node's metrics.
pub type Metrics = Arc<MetricSet>;

fn head(page: &mut String, name: &str, kind: &str, help: &[&str]) {
    // Writing to a string cannot fail.
    let _ = writeln!(
        page,
        "# HELP {name} {}\n# TYPE {name} {kind}",
        sentence(help)
    );
}

fn sentence(help: &[&str]) -> String {
    let lines: Vec<&str> = help.iter().map(|it| it.trim()).collect();
    lines.join(" ")
}

/// `docs/metrics.md`.
pub fn manual() -> String {
    let mut page = String::from(
        "# Metrics\n\n<!-- Generated from src/telemetry/metrics.rs by `make docs`; do not edit. -->\n\n\
         Every node serves these at `/metrics`. Names are those Kafka operators already chart; ours begin\n\
         with `drave_`.\n\n| name | kind | labels | what it counts |\n|---|---|---|---|\n",
    );
    for metric in METRICS {
        let labels = metric.labels.join(", ");
        let help = sentence(metric.help);
        let _ = writeln!(
            page,
            "| `{}` | {} | {labels} | {help} |",
            metric.name, metric.kind
        );
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_a_head_for_every_metric_and_the_values_of_this_node_only() {
        let (one, other) = (MetricSet::default(), MetricSet::default());
        one.leaders.set(3);
        one.records_in.with(&["orders"]).add(5);
        other.leaders.set(4);
        let page = one.render();
        assert!(
            page.contains("\nkafka_server_replicamanager_leadercount 3\n"),
            "{page}"
        );
        let records = "kafka_server_brokertopicmetrics_messagesin_total{topic=\"orders\"} 5\n";
        assert!(page.contains(records), "{page}");
        for metric in METRICS {
            assert!(page.contains(&format!("# TYPE {} {}\n", metric.name, metric.kind)));
        }
    }

    #[test]
    fn names_are_declared_once_and_counters_end_in_total() {
        let mut names: Vec<&str> = METRICS.iter().map(|it| it.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|it| it[0] != it[1]));
        for metric in METRICS.iter().filter(|it| it.kind == "counter") {
            assert!(metric.name.ends_with("_total"), "{}", metric.name);
        }
    }
}
