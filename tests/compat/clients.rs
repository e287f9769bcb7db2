//! The clients, what each cannot do and why, and the run of each against three real processes.

use bytes::Bytes;
use drave_protocol::record::builder::BatchBuilder;
use drave_protocol::record::record::Record;
use drave_protocol::schema::api_versions::ApiVersionsRequest;

use crate::compat::grid::{self, Outcome, Row};
use crate::compat::judge::judge;
use crate::compat::program::{Program, Said};
use crate::compat::runtimes::Runtime;
use crate::compat::scenarios::{
    EMPTY, FILLED, READ_FROM_MS, READ_PARTITIONS, SCENARIOS, Scenario, key, value,
};
use crate::compat::{kcat, rust};
use crate::support::client::{self, ACKS_ALL, LATEST, PRODUCE_BY_NAME, produce_request, produced};
use crate::support::cluster::Cluster;
use crate::support::wait::{seconds, wait_for};

/// Somebody's client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    pub(crate) name: &'static str,
    pub(crate) runtime: Runtime,
    program: &'static str,
    /// Whether it can read only as a member of a group.
    is_always_member: bool,
    lacks: &'static [Lack],
}

/// Scenarios, and why a client has no words for them.
type Lack = (&'static [&'static str], &'static str);

const NO_CALL: &str = "the client has no call for it";
const NOT_NEW: Lack = (
    &[
        "new-resume",
        "new-rebalance",
        "new-pattern",
        "new-static",
        "new-admin",
    ],
    "the client does not speak KIP-848",
);
const NO_COOPERATIVE: Lack = (
    &["group-cooperative"],
    "the client has no cooperative assignor",
);

const CONFLUENT: Client = Client {
    name: "confluent-kafka",
    runtime: Runtime::Python,
    program: "confluent.py",
    is_always_member: false,
    lacks: &[
        (
            &[
                "log-dirs",
                "topic-partitions",
                "producers",
                "quotas",
                "new-admin",
            ],
            NO_CALL,
        ),
        (
            &["group-sticky"],
            "librdkafka knows the cooperative sticky assignor only",
        ),
        (
            &["new-pattern", "new-static"],
            "as in librdkafka from Java, where they are tried",
        ),
    ],
};

const KAFKA_PYTHON: Client = Client {
    name: "kafka-python",
    runtime: Runtime::Python,
    program: "kafkapython.py",
    is_always_member: false,
    lacks: &[(&["quotas"], NO_CALL), NO_COOPERATIVE, NOT_NEW],
};

const AIOKAFKA: Client = Client {
    name: "aiokafka",
    runtime: Runtime::Python,
    program: "aio.py",
    is_always_member: false,
    lacks: &[
        (
            &["log-dirs", "topic-partitions", "producers", "quotas"],
            NO_CALL,
        ),
        NO_COOPERATIVE,
        NOT_NEW,
    ],
};

const JAVA: Client = Client {
    name: "kafka-clients",
    runtime: Runtime::Java,
    program: "Compat",
    is_always_member: false,
    lacks: &[(
        &["topic-partitions"],
        "pages are the client's own affair: `topics` makes it use them",
    )],
};

const FRANZ: Client = Client {
    name: "franz-go",
    runtime: Runtime::Go,
    program: "franz",
    is_always_member: false,
    lacks: &[
        (&["topic-partitions"], NO_CALL),
        (
            &["new-pattern", "new-static", "new-admin"],
            "tried from Java",
        ),
    ],
};

const SARAMA: Client = Client {
    name: "sarama",
    runtime: Runtime::Go,
    program: "sarama",
    is_always_member: false,
    lacks: &[
        (&["topic-partitions", "producers"], NO_CALL),
        (&["group-pattern"], "the client subscribes to names only"),
        NO_COOPERATIVE,
        NOT_NEW,
    ],
};

const KAFKAJS: Client = Client {
    name: "kafkajs",
    runtime: Runtime::Node,
    program: "kafkajs.js",
    is_always_member: true,
    lacks: &[
        (&["lz4", "zstd"], "the client leaves them to native plugins"),
        (
            &["log-dirs", "topic-partitions", "producers", "quotas"],
            NO_CALL,
        ),
        (
            &["group-sticky", "group-cooperative", "group-static"],
            "the client has no sticky assignor and no static members",
        ),
        NOT_NEW,
    ],
};

const PLATFORMATIC: Client = Client {
    name: "@platformatic/kafka",
    runtime: Runtime::Node,
    program: "platformatic.js",
    is_always_member: true,
    lacks: &[
        (&["zstd"], "Node has it from 22.15 on"),
        (
            &["node-dies"],
            "what was on its way to a killed leader it sends there again until its retries are used up, without asking who leads now, and then gives it up",
        ),
        (&["pause", "topic-partitions", "producers"], NO_CALL),
        (
            &[
                "group-sticky",
                "group-cooperative",
                "group-pattern",
                "group-static",
            ],
            "the client has one assignor, and subscribes to names only",
        ),
        (
            &["new-pattern", "new-static", "new-admin"],
            "tried from Java",
        ),
    ],
};

const RDKAFKA: Client = Client {
    name: "rdkafka",
    runtime: Runtime::Rust,
    program: "",
    is_always_member: false,
    lacks: &[
        (
            &["zstd"],
            "the crate builds its librdkafka without it unless asked",
        ),
        (
            &[
                "cluster",
                "log-dirs",
                "topic-partitions",
                "producers",
                "quotas",
                "group-admin",
            ],
            NO_CALL,
        ),
        (
            &[
                "group-sticky",
                "group-cooperative",
                "group-pattern",
                "group-static",
                "new-resume",
                "new-rebalance",
                "new-pattern",
                "new-static",
                "new-admin",
            ],
            "as librdkafka's from Python, where they are tried",
        ),
    ],
};

const KCAT: Client = Client {
    name: "kcat",
    runtime: Runtime::Kcat,
    program: "",
    is_always_member: false,
    lacks: &[
        (
            &[
                "pause",
                "topics",
                "configs",
                "records",
                "log-dirs",
                "topic-partitions",
                "producers",
                "quotas",
                "group-admin",
            ],
            "kcat reads and writes, and lists metadata",
        ),
        (
            &[
                "group-sticky",
                "group-cooperative",
                "group-pattern",
                "group-static",
                "group-rebalance",
            ],
            "as librdkafka's from Python, where they are tried",
        ),
        NOT_NEW,
        (&["node-dies"], "told in `cluster::file_through_kcat`"),
    ],
};

impl Client {
    fn lacks(&self, scenario: &str) -> Option<&'static str> {
        let mut lacks = self.lacks.iter();
        lacks
            .find(|(names, _)| names.contains(&scenario))
            .map(|(_, reason)| *reason)
    }

    fn needs(&self, scenario: &Scenario) -> i16 {
        if self.is_always_member {
            scenario.needs_as_member()
        } else {
            scenario.needs
        }
    }
}

/// Everything one client was asked to do, and how it went.
struct Trial {
    client: Client,
    cluster: Cluster,
    row: Row,
    n_deaths: usize,
}

fn put_to_the_test(client: Client) {
    if !client.runtime.is_here(client.program) {
        return;
    }
    let mut cluster = started();
    let served = served(&mut cluster);
    let mut row = Row::of(client.name, client.runtime.name());
    let mut tried = Vec::new();
    for scenario in SCENARIOS {
        if let Some(reason) = client.lacks(scenario.name) {
            row.add(scenario.name, Outcome::Lacking(reason.to_owned()));
        } else if served.contains(&client.needs(scenario)) {
            tried.push(*scenario);
        } else {
            row.add(scenario.name, Outcome::NotServed);
        }
    }
    let mut trial = Trial {
        client,
        cluster,
        row,
        n_deaths: if grid::is_full() { 3 } else { 1 },
    };
    match client.runtime {
        Runtime::Rust => trial.run_here(&tried, rust::VERSION.to_owned(), rust::try_out),
        Runtime::Kcat => trial.run_here(&tried, kcat::version(), kcat::try_out),
        _ => trial.run_program(&tried),
    }
    trial.row.publish();
    trial.row.assert_nothing_failed();
}

impl Trial {
    fn run_program(&mut self, tried: &[Scenario]) {
        let names: Vec<&str> = tried.iter().map(|it| it.name).collect();
        let Client {
            runtime, program, ..
        } = self.client;
        let mut program = Program::start(runtime, program, &self.cluster.bootstrap(), &names);
        let mut n_told = 0;
        while let Some(said) = program.next() {
            match said {
                Said::Version(version) => self.row.version = version,
                Said::IsRunning => {
                    nodes_die(&mut self.cluster, self.n_deaths);
                    program.tell_to_stop();
                }
                Said::Result { scenario, outcome } => {
                    n_told += 1;
                    self.take(tried, &scenario, outcome);
                }
            }
        }
        let words = program.last_words();
        assert_eq!(n_told, tried.len(), "it ended before its time: {words}");
    }

    fn run_here(
        &mut self,
        tried: &[Scenario],
        version: String,
        try_out: fn(&str, &mut Cluster) -> Result<i64, String>,
    ) {
        self.row.version = version;
        for scenario in tried {
            let outcome = try_out(scenario.name, &mut self.cluster);
            self.take(tried, scenario.name, outcome);
        }
    }

    fn take(&mut self, tried: &[Scenario], name: &str, outcome: Result<i64, String>) {
        let scenario = tried.iter().find(|it| it.name == name);
        let scenario = scenario.unwrap_or_else(|| panic!("nobody asked for {name}"));
        let outcome = outcome.and_then(|sent| judge(&mut self.cluster, scenario, sent));
        let outcome = outcome.map_or_else(Outcome::Failed, |()| Outcome::Passed);
        self.row.add(name, outcome);
    }
}

/// Kills leaders of the topic one after another, and waits each time until writing has gone on.
pub(crate) fn nodes_die(cluster: &mut Cluster, n_deaths: usize) {
    const TOPIC: &str = "node-dies";
    for n in 0..n_deaths {
        let partition = i32::try_from(n).unwrap() % READ_PARTITIONS;
        let leader = cluster.partition(TOPIC, partition).leader_id;
        cluster.kill9(leader);
        cluster.wait_for_other_leader(TOPIC, partition, leader);
        let mut before = None;
        wait_for("writing to go on", seconds(60), || {
            let now = latest_offset(cluster, TOPIC, partition)?;
            let before = *before.get_or_insert(now);
            if now > before + 20 {
                Ok(())
            } else {
                Err(format!("{now} after {before}"))
            }
        });
        cluster.start_again(leader);
        cluster.wait_for_isr(TOPIC, 3, seconds(60));
    }
}

fn latest_offset(cluster: &mut Cluster, topic: &str, partition: i32) -> Result<i64, String> {
    let mut wire = cluster.leader_wire(topic, partition);
    let answer = client::list_offset(&mut wire, topic, partition, LATEST);
    let answer = answer.map_err(|error| error.to_string())?;
    if answer.error_code == 0 {
        Ok(answer.offset)
    } else {
        // A new leader does not know at once how far everybody is.
        Err(format!("error {}", answer.error_code))
    }
}

fn served(cluster: &mut Cluster) -> Vec<i16> {
    let answer = cluster.ask(|wire| wire.call(0, &ApiVersionsRequest::default()));
    answer.api_keys.iter().map(|it| it.api_key).collect()
}

/// Three nodes with the topics of the scenarios.
#[track_caller]
pub(crate) fn started() -> Cluster {
    // The long form waits for groups to gather as it comes; many small groups would take minutes.
    let gathers = [("group.initial.rebalance.delay.ms", "200")];
    let settings = if grid::is_full() {
        &[][..]
    } else {
        &gathers[..]
    };
    let mut cluster = Cluster::start_with(3, settings);
    prepare(&mut cluster);
    cluster
}

fn prepare(cluster: &mut Cluster) {
    // Their times are long ago.
    let kept = [("retention.ms", "-1")];
    for (topic, n_partitions) in EMPTY {
        cluster.ask_for_topic(topic, *n_partitions, 3, &[]);
    }
    for (topic, n_partitions, _) in FILLED {
        cluster.ask_for_topic(topic, *n_partitions, 3, &kept);
    }
    for (topic, _) in EMPTY {
        cluster.wait_for_leaders(topic);
    }
    for (topic, n_partitions, n_records) in FILLED {
        cluster.wait_for_leaders(topic);
        for partition in 0..*n_partitions {
            let request = produce_request(topic, partition, ACKS_ALL, records(*n_records));
            let mut wire = cluster.leader_wire(topic, partition);
            let answer = wire.call(PRODUCE_BY_NAME, &request).unwrap();
            assert_eq!(produced(answer).error_code, 0, "{topic}-{partition}");
        }
    }
}

fn records(n_records: i64) -> Bytes {
    let record = |n: i64| Record {
        timestamp_ms: READ_FROM_MS + n * 1000,
        key: Some(key(n).into()),
        value: Some(value(n).into()),
        headers: Vec::new(),
    };
    let batch = (0..n_records).fold(BatchBuilder::new(), |it, n| it.record(record(n)));
    batch.build().freeze()
}

#[test]
fn confluent_kafka() {
    put_to_the_test(CONFLUENT);
}

#[test]
fn kafka_python() {
    put_to_the_test(KAFKA_PYTHON);
}

#[test]
fn aiokafka() {
    put_to_the_test(AIOKAFKA);
}

#[test]
fn kafka_clients() {
    put_to_the_test(JAVA);
}

#[test]
fn franz_go() {
    put_to_the_test(FRANZ);
}

#[test]
fn sarama() {
    put_to_the_test(SARAMA);
}

#[test]
fn kafkajs() {
    put_to_the_test(KAFKAJS);
}

#[test]
fn platformatic_kafka() {
    put_to_the_test(PLATFORMATIC);
}

#[test]
fn rdkafka() {
    put_to_the_test(RDKAFKA);
}

#[test]
fn kcat_in_all_modes() {
    put_to_the_test(KCAT);
}
