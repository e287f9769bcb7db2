//! What writers and readers saw, in the order they saw it. Written as JSON lines; read back, judged the same.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One producer's records in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lane {
    pub producer: u32,
    pub partition: i32,
}

/// What a producer asked to be promised by an ack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Acks {
    /// Nobody answers.
    None,
    /// The leader has it.
    Leader,
    /// Every in-sync replica has it: the one ack that no later event may take back.
    #[default]
    All,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    pub acks: Acks,
    /// A retry is stored once, and order holds whatever is in flight.
    pub idempotent: bool,
}

/// What lies at one offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Item {
    /// A numbered record: its producer and its number, counted from 0 in its lane.
    Record(u32, u64),
    /// A control record.
    Marker(()),
    /// A record that is none of ours, or damaged; the checksum of its bytes.
    Stranger { crc: u32 },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    Producer {
        producer: u32,
        promise: Promise,
    },
    /// A batch leaves for the first time; retries are not told.
    Sent {
        lane: Lane,
        first: u64,
        n: u32,
    },
    /// The batch was acked; its records lie at `offset` and after, where the answer said.
    Acked {
        lane: Lane,
        first: u64,
        n: u32,
        offset: Option<i64>,
    },
    /// A consumer was given a batch: the records at `base` and after.
    Read {
        reader: u32,
        partition: i32,
        base: i64,
        epoch: i32,
        items: Vec<Item>,
    },
    /// What an answer without an error said of the partition. Each reader tells these in the order it asked.
    Marks {
        reader: u32,
        partition: i32,
        high_watermark: i64,
        last_stable_offset: i64,
        log_start_offset: i64,
    },
    /// A broker named this leader.
    Led {
        partition: i32,
        epoch: i32,
        leader: i32,
    },
    /// The last reading, when all is quiet: what is kept.
    Kept {
        partition: i32,
        base: i64,
        items: Vec<Item>,
    },
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "producer {} in {}", self.producer, self.partition)
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(producer, number) => write!(f, "record {number} of producer {producer}"),
            Self::Marker(()) => f.write_str("a control record"),
            Self::Stranger { crc } => write!(f, "a record of nobody (checksum {crc:08x})"),
        }
    }
}
