//! What a client may do, as a set of bits: everything, as long as nobody is asked who they are.

/// Not asked for.
pub(crate) const NOT_ASKED: i32 = i32::MIN;

/// Kafka's operation numbers on a topic: read 3, write 4, create 5, delete 6, alter 7, describe 8,
/// describe configs 10, alter configs 11.
pub(crate) const ALL_ON_TOPIC: i32 =
    1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11;

/// On the cluster: create 5, alter 7, describe 8, cluster action 9, describe configs 10, alter configs
/// 11, idempotent write 12.
pub(crate) const ALL_ON_CLUSTER: i32 =
    1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12;

/// On a group: read 3, delete 6, describe 8, describe configs 10, alter configs 11.
pub(crate) const ALL_ON_GROUP: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;
