//! The loads, and what is aimed at.

/// One load: how it is made, and what is compared.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) n_nodes: usize,
    pub(crate) generator: Generator,
    pub(crate) aims: &'static [Aim],
    /// What has just been started is not what is measured.
    pub(crate) wants_warmth: bool,
    /// Part of the short run.
    pub(crate) is_quick: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Generator {
    /// `drave perf` with these arguments.
    Perf(&'static str),
    /// `drave perf consume` of what `drave perf produce` with these wrote before.
    CatchUp(&'static str),
    /// `drave perf end-to-end` at so many percent of what Kafka took flat out: the same rate for all.
    EndToEnd(u32),
    /// Kafka's own `ProducerPerformance`, with these settings of the producer.
    KafkaProducer(&'static str),
    /// Kafka's own `ConsumerPerformance`, of what was written before.
    KafkaConsumer,
    /// `kcat`, librdkafka's command, with these settings: lines of a file, each a record.
    KcatProducer(&'static str),
    /// The same reading what it wrote.
    KcatConsumer,
    /// So many connections that ask for nothing.
    IdleConnections(usize),
    /// So many partitions, made; and all nodes killed and started again.
    Partitions(u32),
}

/// What is compared, drave's by Kafka's, and the ratio aimed at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aim {
    pub(crate) figure: Figure,
    pub(crate) ratio: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Figure {
    MbPerSecond,
    RequestsPerSecond,
    /// Of the brokers.
    CpuSecondsPerGb,
    /// Of the brokers and of the kernel's threads: one writes to the disk itself, another leaves it to them.
    MachineCpuSecondsPerGb,
    P99Ms,
    P999Ms,
    RssMb,
    RssAddedMb,
    ReadySeconds,
    CreateSeconds,
    RestartSeconds,
}

impl Figure {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::MbPerSecond => "MB/s",
            Self::RequestsPerSecond => "requests/s",
            Self::CpuSecondsPerGb => "CPU s/GB",
            Self::MachineCpuSecondsPerGb => "CPU s/GB with the kernel's threads",
            Self::P99Ms => "p99 ms",
            Self::P999Ms => "p99.9 ms",
            Self::RssMb => "RSS MB",
            Self::RssAddedMb => "RSS added MB",
            Self::ReadySeconds => "start to first ack s",
            Self::CreateSeconds => "all created s",
            Self::RestartSeconds => "killed to all led s",
        }
    }

    /// Whether more is better.
    pub(crate) fn is_gain(self) -> bool {
        matches!(self, Self::MbPerSecond | Self::RequestsPerSecond)
    }
}

const fn aim(figure: Figure, ratio: f64) -> Aim {
    Aim { figure, ratio }
}

const PRODUCE: &[Aim] = &[
    aim(Figure::MbPerSecond, 2.0),
    aim(Figure::CpuSecondsPerGb, 0.333),
];
const FETCH: &[Aim] = &[
    aim(Figure::MbPerSecond, 1.5),
    aim(Figure::CpuSecondsPerGb, 0.5),
];

/// Acks=1 and replication factor 1 unless the name says otherwise; 1 KiB records.
pub(crate) const LOADS: &[Load] = &[
    Load {
        name: "ready",
        title: "start to first ack; RSS idle",
        n_nodes: 1,
        generator: Generator::Perf(
            "produce --acks all --duration 100ms --warm-up 0ms --partitions 1",
        ),
        aims: &[aim(Figure::ReadySeconds, 0.1), aim(Figure::RssMb, 0.05)],
        wants_warmth: false,
        is_quick: true,
    },
    Load {
        name: "connections",
        title: "10,000 idle connections, each after its ApiVersions",
        n_nodes: 1,
        generator: Generator::IdleConnections(10_000),
        aims: &[aim(Figure::RssAddedMb, 0.2)],
        wants_warmth: false,
        is_quick: false,
    },
    Load {
        name: "produce-16k",
        title: "produce, batches of 16 KiB, acks=1",
        n_nodes: 1,
        generator: Generator::Perf("produce --acks 1 --batch-bytes 16384 --connections 2"),
        aims: PRODUCE,
        wants_warmth: true,
        is_quick: true,
    },
    Load {
        name: "produce-64k",
        title: "produce, batches of 64 KiB, acks=1",
        n_nodes: 1,
        generator: Generator::Perf("produce --acks 1 --batch-bytes 65536 --connections 2"),
        aims: PRODUCE,
        wants_warmth: true,
        is_quick: false,
    },
    Load {
        name: "produce-1m",
        title: "produce, batches of 1 MB, acks=1",
        n_nodes: 1,
        // Kafka's limit of a batch is 1,048,588 bytes by default.
        generator: Generator::Perf("produce --acks 1 --batch-bytes 1040000 --connections 2"),
        aims: PRODUCE,
        wants_warmth: true,
        is_quick: false,
    },
    Load {
        name: "small",
        title: "records of 100 bytes, each a request, 64 connections, acks=1",
        n_nodes: 1,
        generator: Generator::Perf(
            "produce --acks 1 --record-bytes 100 --batch-bytes 1 --connections 64 --in-flight 1",
        ),
        aims: &[aim(Figure::RequestsPerSecond, 2.0)],
        wants_warmth: true,
        is_quick: true,
    },
    Load {
        name: "catch-up",
        title: "fetch from the page cache",
        n_nodes: 1,
        generator: Generator::CatchUp("--batch-bytes 16384 --connections 2"),
        aims: FETCH,
        wants_warmth: true,
        is_quick: true,
    },
    Load {
        name: "end-to-end",
        title: "end to end at 30 % of what Kafka took flat out",
        n_nodes: 1,
        generator: Generator::EndToEnd(30),
        aims: &[aim(Figure::P99Ms, 0.333), aim(Figure::P999Ms, 0.2)],
        wants_warmth: true,
        is_quick: true,
    },
    Load {
        name: "kafka-producer",
        title: "Kafka's ProducerPerformance, 1 KiB, acks=1",
        n_nodes: 1,
        generator: Generator::KafkaProducer(
            "acks=1 batch.size=65536 linger.ms=5 enable.idempotence=false",
        ),
        aims: &[aim(Figure::CpuSecondsPerGb, 0.333), aim(Figure::RssMb, 0.1)],
        wants_warmth: true,
        is_quick: true,
    },
    Load {
        name: "kafka-consumer",
        title: "Kafka's ConsumerPerformance, of the records above",
        n_nodes: 1,
        generator: Generator::KafkaConsumer,
        aims: &[aim(Figure::CpuSecondsPerGb, 0.5)],
        wants_warmth: true,
        is_quick: false,
    },
    Load {
        name: "kcat-producer",
        title: "kcat (librdkafka) produces, 1 KiB, acks=1",
        n_nodes: 1,
        generator: Generator::KcatProducer("acks=1 linger.ms=5 batch.size=65536"),
        aims: &[aim(Figure::CpuSecondsPerGb, 0.333)],
        wants_warmth: true,
        is_quick: false,
    },
    Load {
        name: "kcat-consumer",
        title: "kcat reads the records above",
        n_nodes: 1,
        generator: Generator::KcatConsumer,
        aims: &[aim(Figure::CpuSecondsPerGb, 0.5)],
        wants_warmth: true,
        is_quick: false,
    },
    Load {
        name: "replicated",
        title: "produce, 3 nodes, acks=all, RF 3, batches of 64 KiB",
        n_nodes: 3,
        generator: Generator::Perf(
            "produce --acks all --batch-bytes 65536 --connections 2 --replication-factor 3",
        ),
        aims: &[aim(Figure::MbPerSecond, 2.0), aim(Figure::RssMb, 0.1)],
        wants_warmth: true,
        is_quick: true,
    },
    Load {
        name: "partitions",
        title: "10,000 partitions on 3 nodes, RF 3",
        n_nodes: 3,
        generator: Generator::Partitions(10_000),
        aims: &[
            aim(Figure::CreateSeconds, 0.333),
            aim(Figure::RestartSeconds, 0.2),
        ],
        wants_warmth: false,
        is_quick: false,
    },
];
