//! Kafka's own command-line tools, by their unchanged `main`, all in one virtual machine.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use drave_protocol::schema::api_versions::ApiVersionsRequest;
use serde_json::Value;

use crate::compat::clients::started;
use crate::compat::grid::{Outcome, Row};
use crate::compat::runtimes::Runtime;
use crate::support::cluster::Cluster;
use crate::support::java;
use crate::support::wait::{pause, seconds};

pub(crate) const NAME: &str = "kafka-tools";

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const CONFIGS: &str = "kafka.admin.ConfigCommand";
const GET_OFFSETS: &str = "org.apache.kafka.tools.GetOffsetShell";
const PRODUCER_PERF: &str = "org.apache.kafka.tools.ProducerPerformance";
const CONSUMER_PERF: &str = "org.apache.kafka.tools.ConsumerPerformance";
const CONSOLE_CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";
const LOG_DIRS: &str = "org.apache.kafka.tools.LogDirsCommand";
const QUORUM: &str = "org.apache.kafka.tools.MetadataQuorumCommand";
const API_VERSIONS: &str = "org.apache.kafka.tools.BrokerApiVersionsCommand";
const FEATURES: &str = "org.apache.kafka.tools.FeatureCommand";
const CLIENT_METRICS: &str = "org.apache.kafka.tools.ClientMetricsCommand";
const CLUSTER: &str = "org.apache.kafka.tools.ClusterTool";
const VERIFIABLE_PRODUCER: &str = "org.apache.kafka.tools.VerifiableProducer";
const VERIFIABLE_CONSUMER: &str = "org.apache.kafka.tools.VerifiableConsumer";
const DELETE_RECORDS: &str = "org.apache.kafka.tools.DeleteRecordsCommand";
const TRANSACTIONS: &str = "org.apache.kafka.tools.TransactionsCommand";
const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
const ALL_GROUPS: &str = "org.apache.kafka.tools.GroupsCommand";

/// Tools that say what they did when their machine ends: they have one of their own.
const ALONE: [&str; 2] = [VERIFIABLE_PRODUCER, VERIFIABLE_CONSUMER];

const CLASSIC_GROUPS: i16 = 11;
const QUOTAS: i16 = 49;
const ALWAYS: i16 = 18;

/// One call of a tool: what it is about, what it needs, and what it must say. `{bootstrap}` and `{dir}`
/// stand for the cluster's.
struct Call {
    about: &'static str,
    needs: i16,
    tool: &'static str,
    arguments: &'static str,
    says: &'static [&'static str],
}

const fn call(
    about: &'static str,
    tool: &'static str,
    arguments: &'static str,
    says: &'static [&'static str],
) -> Call {
    Call {
        about,
        needs: ALWAYS,
        tool,
        arguments,
        says,
    }
}

const fn group(
    about: &'static str,
    tool: &'static str,
    arguments: &'static str,
    says: &'static [&'static str],
) -> Call {
    Call {
        needs: CLASSIC_GROUPS,
        ..call(about, tool, arguments, says)
    }
}

const fn quota(
    about: &'static str,
    tool: &'static str,
    arguments: &'static str,
    says: &'static [&'static str],
) -> Call {
    Call {
        needs: QUOTAS,
        ..call(about, tool, arguments, says)
    }
}

const CALLS: &[Call] = &[
    call(
        "kafka-topics --create",
        TOPICS,
        "--bootstrap-server {bootstrap} --create --topic made --partitions 3 --replication-factor 2 --config retention.ms=77000",
        &["Created topic made"],
    ),
    call(
        "kafka-topics --create, by default",
        TOPICS,
        "--bootstrap-server {bootstrap} --create --topic a.b --if-not-exists",
        &["Created topic a.b"],
    ),
    call(
        "kafka-topics --describe",
        TOPICS,
        "--bootstrap-server {bootstrap} --describe --topic made",
        &[
            "PartitionCount: 3",
            "ReplicationFactor: 2",
            "retention.ms=77000",
        ],
    ),
    call(
        "kafka-topics --describe, all",
        TOPICS,
        "--bootstrap-server {bootstrap} --describe",
        &["Topic: read", "Topic: made"],
    ),
    call(
        "kafka-topics --list",
        TOPICS,
        "--bootstrap-server {bootstrap} --list",
        &["made", "read"],
    ),
    call(
        "kafka-topics --delete",
        TOPICS,
        "--bootstrap-server {bootstrap} --delete --topic made",
        &[],
    ),
    call(
        "kafka-get-offsets",
        GET_OFFSETS,
        "--bootstrap-server {bootstrap} --topic read",
        &["read:0:100", "read:2:100"],
    ),
    call(
        "kafka-get-offsets --time earliest",
        GET_OFFSETS,
        "--bootstrap-server {bootstrap} --topic read --time earliest",
        &["read:0:0"],
    ),
    call(
        "kafka-get-offsets --time max-timestamp",
        GET_OFFSETS,
        "--bootstrap-server {bootstrap} --topic read --time max-timestamp",
        &["read:0:99"],
    ),
    call(
        "kafka-get-offsets --time earliest-local",
        GET_OFFSETS,
        "--bootstrap-server {bootstrap} --topic read --time earliest-local",
        &["read:0:0"],
    ),
    call(
        "kafka-get-offsets --time, a time",
        GET_OFFSETS,
        "--bootstrap-server {bootstrap} --topic read --time 1700000040000",
        &["read:0:40"],
    ),
    call(
        "kafka-producer-perf-test",
        PRODUCER_PERF,
        "--topic node-dies --num-records 5000 --record-size 100 --throughput -1 --producer-props bootstrap.servers={bootstrap}",
        &["5000 records sent"],
    ),
    call(
        "kafka-console-consumer, a partition",
        CONSOLE_CONSUMER,
        "--bootstrap-server {bootstrap} --topic read --partition 0 --offset 97 --max-messages 3",
        &["v-97", "v-99"],
    ),
    call(
        "kafka-log-dirs --describe",
        LOG_DIRS,
        "--bootstrap-server {bootstrap} --describe --topic-list read",
        &["\"partition\":\"read-0\""],
    ),
    call(
        "kafka-metadata-quorum describe --status",
        QUORUM,
        "--bootstrap-server {bootstrap} describe --status",
        &["LeaderId", "CurrentVoters"],
    ),
    call(
        "kafka-metadata-quorum describe --replication",
        QUORUM,
        "--bootstrap-server {bootstrap} describe --replication",
        &["Leader", "Follower"],
    ),
    call(
        "kafka-broker-api-versions",
        API_VERSIONS,
        "--bootstrap-server {bootstrap}",
        &["Produce(0)", "DescribeQuorum(55)"],
    ),
    call(
        "kafka-features describe",
        FEATURES,
        "--bootstrap-server {bootstrap} describe",
        &["metadata.version"],
    ),
    call(
        "kafka-client-metrics --list",
        CLIENT_METRICS,
        "--bootstrap-server {bootstrap} --list",
        &[],
    ),
    call(
        "kafka-cluster cluster-id",
        CLUSTER,
        "cluster-id --bootstrap-server {bootstrap}",
        &["Cluster ID"],
    ),
    call(
        "kafka-verifiable-producer",
        VERIFIABLE_PRODUCER,
        "--bootstrap-server {bootstrap} --topic producers --max-messages 200 --acks -1",
        &["tool_data", "\"acked\":200"],
    ),
    call(
        "kafka-delete-records",
        DELETE_RECORDS,
        "--bootstrap-server {bootstrap} --offset-json-file {dir}/delete.json",
        &["low_watermark: 30"],
    ),
    call(
        "kafka-transactions describe-producers",
        TRANSACTIONS,
        "--bootstrap-server {bootstrap} describe-producers --topic producers --partition 0",
        &["ProducerId", "LastSequence"],
    ),
    call(
        "kafka-configs, a topic",
        CONFIGS,
        "--bootstrap-server {bootstrap} --alter --entity-type topics --entity-name read --add-config max.message.bytes=2000000",
        &["Completed updating config"],
    ),
    call(
        "kafka-configs --describe --all",
        CONFIGS,
        "--bootstrap-server {bootstrap} --describe --all --entity-type topics --entity-name read",
        &[
            "max.message.bytes=2000000",
            "DEFAULT_CONFIG:log.cleanup.policy=delete",
        ],
    ),
    quota(
        "kafka-configs, quotas of a client",
        CONFIGS,
        "--bootstrap-server {bootstrap} --alter --entity-type clients --entity-name quoted --add-config producer_byte_rate=1000000",
        &["Completed updating config"],
    ),
    quota(
        "kafka-configs, quotas described",
        CONFIGS,
        "--bootstrap-server {bootstrap} --describe --entity-type clients --entity-name quoted",
        &["producer_byte_rate=1000000"],
    ),
    group(
        "kafka-consumer-perf-test",
        CONSUMER_PERF,
        "--bootstrap-server {bootstrap} --topic node-dies --group perf --num-records 5000 --timeout 30000",
        &["5000"],
    ),
    group(
        "kafka-verifiable-consumer",
        VERIFIABLE_CONSUMER,
        "--bootstrap-server {bootstrap} --topic producers --group-id verifiable --max-messages 200 --reset-policy earliest",
        &["offsets_committed"],
    ),
    group(
        "kafka-consumer-groups --list",
        GROUPS,
        "--bootstrap-server {bootstrap} --list",
        &["perf"],
    ),
    group(
        "kafka-consumer-groups --describe",
        GROUPS,
        "--bootstrap-server {bootstrap} --describe --group perf",
        &["node-dies"],
    ),
    group(
        "kafka-consumer-groups --reset-offsets",
        GROUPS,
        "--bootstrap-server {bootstrap} --reset-offsets --group perf --topic node-dies --to-earliest --execute",
        &["node-dies"],
    ),
    group(
        "kafka-groups --list",
        ALL_GROUPS,
        "--bootstrap-server {bootstrap} --list",
        &["perf"],
    ),
    group(
        "kafka-consumer-groups --delete",
        GROUPS,
        "--bootstrap-server {bootstrap} --delete --group perf",
        &["successful"],
    ),
];

/// The machine the tools run in.
struct Machine {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Machine {
    fn start() -> Self {
        let mut child = Runtime::Java
            .command("Tools")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("java starts");
        let input = child.stdin.take().expect("piped");
        let output = child.stdout.take().expect("piped");
        Self {
            child,
            input,
            lines: BufReader::new(output).lines(),
        }
    }

    /// What a tool says; why not, where it ends badly.
    fn run(&mut self, tool: &str, arguments: &[String]) -> Result<String, String> {
        let line = format!("{tool}\t{}\n", arguments.join("\t"));
        self.input.write_all(line.as_bytes()).unwrap();
        let answer = self.lines.next().expect("it runs").unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let said = answer["said"].as_str().unwrap_or_default().to_owned();
        if answer["status"] == 0 {
            Ok(said)
        } else {
            Err(said)
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Errors mean that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run_alone(tool: &str, arguments: &[String]) -> Result<String, String> {
    let output = java::command().arg(tool).args(arguments).output();
    let output = output.expect("java starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stdout) + &text(&output.stderr))
    }
}

fn try_out(call: &Call, machine: &mut Machine, cluster: &Cluster) -> Outcome {
    const LIMIT: Duration = seconds(10);
    let [bootstrap, dir] = [cluster.bootstrap(), cluster.path().display().to_string()];
    let words = call.arguments.split(' ');
    let arguments: Vec<String> = words
        .map(|it| it.replace("{bootstrap}", &bootstrap).replace("{dir}", &dir))
        .collect();
    let started = std::time::Instant::now();
    loop {
        let said = if ALONE.contains(&call.tool) {
            run_alone(call.tool, &arguments)
        } else {
            machine.run(call.tool, &arguments)
        };
        let missing = match &said {
            Ok(text) => call.says.iter().find(|it| !text.contains(**it)),
            Err(text) => return Outcome::Failed(first_lines(text)),
        };
        let Some(missing) = missing else {
            return Outcome::Passed;
        };
        // Any broker may be asked, and they learn of a change one after another; looking changes nothing.
        let is_looking = call.about.contains("describe") || call.about.contains("list");
        if !is_looking || started.elapsed() > LIMIT {
            let text = said.unwrap_or_default();
            return Outcome::Failed(format!("no {missing:?} in: {}", first_lines(&text)));
        }
        pause();
    }
}

fn first_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().take(6).collect();
    lines.join(" / ").replace('|', "¦")
}

#[test]
fn kafkas_own_tools() {
    if !java::is_here() || !Runtime::Java.is_here("Tools") {
        return;
    }
    let mut cluster = started();
    let delete = r#"{"version":1,"partitions":[{"topic":"records","partition":0,"offset":30}]}"#;
    std::fs::write(cluster.path().join("delete.json"), delete).unwrap();
    let answer = cluster.ask(|wire| wire.call(0, &ApiVersionsRequest::default()));
    let mut machine = Machine::start();
    let mut row = Row::of(NAME, "Java");
    row.version = java::kafka_version();
    for call in CALLS {
        let is_served = answer.api_keys.iter().any(|it| it.api_key == call.needs);
        let outcome = if is_served {
            try_out(call, &mut machine, &cluster)
        } else {
            Outcome::NotServed
        };
        row.add(call.about, outcome);
    }
    row.publish();
    row.assert_nothing_failed();
}
