//! What load is asked for.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use drave_protocol::record::attributes::Compression;
use drave_protocol::record::compression::Packing;

use crate::cli::ask::Brokers;
use crate::cli::duration::duration;
use crate::cli::perf::{Kind, payload};

#[derive(Args, Clone, Debug)]
pub(super) struct Load {
    #[command(flatten)]
    pub(super) brokers: Brokers,
    /// An existing topic, which stays; by default one is made for the run and deleted after it.
    #[arg(long, global = true, value_name = "NAME")]
    pub(super) topic: Option<String>,
    /// Of the topic that is made.
    #[arg(long, global = true, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(i32).range(1..))]
    pub(super) partitions: i32,
    /// Of the topic that is made; the cluster's default when not given.
    #[arg(long, global = true, value_name = "N")]
    pub(super) replication_factor: Option<i16>,
    /// A setting of the topic that is made; may be repeated.
    #[arg(long = "config", global = true, value_name = "NAME=VALUE")]
    pub(super) configs: Vec<String>,
    /// What is counted: 30s, 10m. A consume ends before when it has read what was there.
    #[arg(long, global = true, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(super) duration: Duration,
    /// Writing before anything is counted.
    #[arg(long, global = true, value_name = "TIME", default_value = "2s", value_parser = duration)]
    pub(super) warm_up: Duration,
    /// Clients, each with its own connections.
    #[arg(long, global = true, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) connections: u16,
    /// Records a second, all clients together; as many as can be when not given.
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) rate: Option<u32>,
    /// The value of a record.
    #[arg(long, global = true, value_name = "BYTES", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=16_777_216))]
    pub(super) record_bytes: u32,
    /// A batch holds as many records as fit into this, and one at least.
    #[arg(long, global = true, value_name = "BYTES", default_value_t = 16_384, value_parser = clap::value_parser!(u32).range(1..=67_108_864))]
    pub(super) batch_bytes: u32,
    /// With --rate: how long a record waits for others of its batch.
    #[arg(long, global = true, value_name = "TIME", default_value = "5ms", value_parser = duration)]
    pub(super) linger: Duration,
    #[arg(long, global = true, value_enum, default_value_t = Acks::All)]
    pub(super) acks: Acks,
    /// Producers with ids and sequences: a retry is stored once.
    #[arg(long, global = true)]
    pub(super) idempotence: bool,
    #[arg(long, global = true, value_enum, default_value_t = Codec::None)]
    pub(super) compression: Codec,
    /// Requests under way on one connection.
    #[arg(long, global = true, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=60))]
    pub(super) in_flight: u16,
    /// What a consumer takes of one partition at once.
    #[arg(long, global = true, value_name = "BYTES", default_value_t = 1_048_576, value_parser = clap::value_parser!(i32).range(1..))]
    pub(super) fetch_bytes: i32,
    /// Consumers do not verify checksums. (Kafka's clients do by default.)
    #[arg(long, global = true)]
    pub(super) skip_crc: bool,
    /// Threads of the clients.
    #[arg(long, global = true, value_name = "N", default_value_t = 2)]
    pub(super) threads: usize,
    /// Write the result here too, as JSON.
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Acks {
    All,
    #[value(name = "1")]
    Leader,
    #[value(name = "0")]
    None,
}

impl Acks {
    /// On the wire.
    pub(super) fn number(self) -> i16 {
        match self {
            Self::All => -1,
            Self::Leader => 1,
            Self::None => 0,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Codec {
    pub(super) fn packing(self) -> Packing {
        Packing::of(match self {
            Self::None => Compression::None,
            Self::Gzip => Compression::Gzip,
            Self::Snappy => Compression::Snappy,
            Self::Lz4 => Compression::Lz4,
            Self::Zstd => Compression::Zstd,
        })
    }
}

impl Load {
    /// What makes no sense is refused before anything is begun.
    pub(super) fn check(&self, kind: Kind) -> anyhow::Result<()> {
        if kind == Kind::Consume && self.topic.is_none() {
            anyhow::bail!("perf consume: name what to read with --topic NAME");
        }
        if kind == Kind::EndToEnd && self.rate.is_none() {
            anyhow::bail!(
                "perf end-to-end: needs --rate N; flat out, a latency is that of a queue without end"
            );
        }
        if kind == Kind::EndToEnd && self.record_bytes < payload::TIME_BYTES {
            anyhow::bail!(
                "perf end-to-end: records hold a time of {} bytes; --record-bytes cannot be less",
                payload::TIME_BYTES
            );
        }
        if self.idempotence && self.acks != Acks::All {
            anyhow::bail!("--idempotence needs --acks all, as Kafka's producers do");
        }
        if self.threads == 0 {
            anyhow::bail!("--threads: 1 at least");
        }
        Ok(())
    }

    /// Records in a batch. At a rate, no more than come due within the linger at one of `n_lanes`.
    pub(super) fn records_per_batch(&self, n_lanes: u32) -> u32 {
        // What a record needs besides its value.
        let per_record = self.record_bytes.saturating_add(10);
        let fit = (self.batch_bytes / per_record).max(1);
        let Some(rate) = self.rate else { return fit };
        let lingering =
            u64::from(rate) * u64::try_from(self.linger.as_micros()).unwrap_or(u64::MAX);
        let due = lingering / 1_000_000 / u64::from(n_lanes.max(1));
        fit.min(u32::try_from(due).unwrap_or(u32::MAX)).max(1)
    }
}
