//! The scenarios, what each needs of a cluster, and who judges it.

/// How a scenario is judged beside the client's own word.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Judge {
    /// The client compares what it reads with what it must be.
    Client,
    /// 100 records lie in the topic of the scenario's name, in this codec.
    Stored { codec: i16, is_idempotent: bool },
    /// Records without a key, without a value, and with headers.
    Nulls,
    /// The topics that were to be left, and none of the others.
    Topics,
    /// A topic's own size of segments.
    Configured,
    /// The first record of `records` is the 30th.
    Deleted,
    /// Everything that was acknowledged while a node died is there.
    NodeDied,
    /// The group of the scenario's name has committed the end of every partition.
    Committed,
}

/// What a cluster must serve before a scenario means anything, by the number of an API.
const CLASSIC_GROUPS: i16 = 11;
const NEW_GROUPS: i16 = 68;
const QUOTAS: i16 = 49;
const ALWAYS: i16 = 18;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) meaning: &'static str,
    pub(crate) needs: i16,
    pub(crate) judge: Judge,
}

impl Scenario {
    /// Whether a client that can read only as a member of a group needs one for it.
    pub(crate) fn reads(&self) -> bool {
        matches!(
            self.name,
            "assign" | "seek" | "pause" | "isolation" | "node-dies"
        )
    }

    /// What a client that reads as a member of a group needs.
    pub(crate) fn needs_as_member(&self) -> i16 {
        if self.reads() {
            CLASSIC_GROUPS
        } else {
            self.needs
        }
    }
}

const fn plain(name: &'static str, meaning: &'static str, judge: Judge) -> Scenario {
    Scenario {
        name,
        meaning,
        needs: ALWAYS,
        judge,
    }
}

const fn stored(name: &'static str, meaning: &'static str, codec: i16) -> Scenario {
    let judge = Judge::Stored {
        codec,
        is_idempotent: false,
    };
    plain(name, meaning, judge)
}

const fn group(name: &'static str, meaning: &'static str) -> Scenario {
    Scenario {
        name,
        meaning,
        needs: CLASSIC_GROUPS,
        judge: Judge::Client,
    }
}

const fn new_group(name: &'static str, meaning: &'static str) -> Scenario {
    Scenario {
        name,
        meaning,
        needs: NEW_GROUPS,
        judge: Judge::Client,
    }
}

/// In the order they are carried out: the last one ends the client's standard input, and kills nodes.
pub(crate) const SCENARIOS: &[Scenario] = &[
    stored("acks-0", "produces with acks=0", 0),
    stored("acks-1", "produces with acks=1", 0),
    stored("acks-all", "produces with acks=all", 0),
    plain(
        "idempotent",
        "produces as an idempotent producer",
        Judge::Stored {
            codec: 0,
            is_idempotent: true,
        },
    ),
    stored("gzip", "produces in gzip", 1),
    stored("snappy", "produces in snappy", 2),
    stored("lz4", "produces in lz4", 3),
    stored("zstd", "produces in zstd", 4),
    plain(
        "nulls",
        "produces headers, no key, and no value",
        Judge::Nulls,
    ),
    plain(
        "assign",
        "reads partitions it chose, from their beginning",
        Judge::Client,
    ),
    plain("seek", "goes on elsewhere, back and forth", Judge::Client),
    plain("pause", "leaves a partition out for a while", Judge::Client),
    plain(
        "timestamps",
        "looks offsets up by time, first, last, newest",
        Judge::Client,
    ),
    plain("isolation", "reads committed records only", Judge::Client),
    plain(
        "topics",
        "creates, places, validates, extends, describes, deletes topics",
        Judge::Topics,
    ),
    plain(
        "configs",
        "changes and describes configs with sources and synonyms",
        Judge::Configured,
    ),
    plain("records", "deletes records", Judge::Deleted),
    plain("cluster", "describes the cluster", Judge::Client),
    plain("log-dirs", "describes log directories", Judge::Client),
    plain(
        "topic-partitions",
        "describes topics page by page",
        Judge::Client,
    ),
    plain("producers", "describes producers", Judge::Client),
    Scenario {
        name: "quotas",
        meaning: "sets and describes quotas",
        needs: QUOTAS,
        judge: Judge::Client,
    },
    Scenario {
        name: "group-resume",
        meaning: "commits; the next member goes on there",
        needs: CLASSIC_GROUPS,
        judge: Judge::Committed,
    },
    group(
        "group-rebalance",
        "members come and go, each partition has one owner",
    ),
    group("group-sticky", "the same with the sticky assignor"),
    group("group-cooperative", "the same, cooperatively"),
    group("group-pattern", "subscribes to a pattern"),
    group("group-static", "comes back as a static member"),
    group(
        "group-admin",
        "lists, describes, alters and deletes groups and offsets",
    ),
    Scenario {
        name: "new-resume",
        meaning: "KIP-848: commits; the next member goes on there",
        needs: NEW_GROUPS,
        judge: Judge::Committed,
    },
    new_group(
        "new-rebalance",
        "KIP-848: members come and go, each partition has one owner",
    ),
    new_group(
        "new-pattern",
        "KIP-848: subscribes to a pattern the broker matches",
    ),
    new_group("new-static", "KIP-848: comes back as a static member"),
    new_group(
        "new-admin",
        "KIP-848: lists, describes, alters and deletes groups and offsets",
    ),
    plain(
        "node-dies",
        "goes on producing and consuming while a leader is killed",
        Judge::NodeDied,
    ),
];

/// What the topics hold that clients read: offsets, keys, values and times follow from a number.
pub(crate) const N_RECORDS: i64 = 100;
pub(crate) const READ_TOPIC: &str = "read";
pub(crate) const READ_PARTITIONS: i32 = 3;
pub(crate) const READ_FROM_MS: i64 = 1_700_000_000_000;
/// Topics with a hundred records in each partition, and the number of these.
pub(crate) const FILLED: &[(&str, i32, i64)] = &[
    (READ_TOPIC, READ_PARTITIONS, N_RECORDS),
    ("records", 1, N_RECORDS),
    ("pattern-a", 1, 10),
    ("pattern-b", 1, 10),
];
/// Topics that clients fill.
pub(crate) const EMPTY: &[(&str, i32)] = &[
    ("acks-0", 1),
    ("acks-1", 1),
    ("acks-all", 1),
    ("idempotent", 1),
    ("gzip", 1),
    ("snappy", 1),
    ("lz4", 1),
    ("zstd", 1),
    ("nulls", 1),
    ("producers", 1),
    ("node-dies", READ_PARTITIONS),
];

pub(crate) fn key(n: i64) -> String {
    format!("k-{n}")
}

pub(crate) fn value(n: i64) -> String {
    format!("v-{n} {}", "again ".repeat(20))
}
