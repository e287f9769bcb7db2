//! Which replicas copy at a bounded pace: `partition:broker` with commas, `*` for all, nothing for none.

use std::collections::BTreeSet;

use drave_protocol::ids::NodeId;

use crate::config::value::{ConfigValue, Kind};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ThrottledReplicas {
    All,
    /// Partition and broker.
    Named(BTreeSet<(i32, i32)>),
}

impl ThrottledReplicas {
    pub fn names(&self, partition: i32, broker: NodeId) -> bool {
        match self {
            Self::All => true,
            Self::Named(named) => named.contains(&(partition, broker.0)),
        }
    }
}

impl ConfigValue for ThrottledReplicas {
    const KIND: Kind = Kind::List;

    fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::All);
        }
        let parts = text.split(',').map(str::trim).filter(|it| !it.is_empty());
        let named = parts.map(|part| {
            let pair = part.split_once(':');
            let numbers = pair.and_then(|(partition, broker)| {
                Some((partition.parse().ok()?, broker.parse().ok()?))
            });
            numbers
                .ok_or_else(|| format!("expected * or partition:broker with commas, not {part:?}"))
        });
        named.collect::<Result<_, _>>().map(Self::Named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_named_by_partition_and_broker() {
        let named = ThrottledReplicas::parse("0:1, 0:2,3:1").unwrap();
        assert!(named.names(0, NodeId(2)) && named.names(3, NodeId(1)));
        assert!(!named.names(3, NodeId(2)) && !named.names(1, NodeId(1)));
        assert!(ThrottledReplicas::parse("*").unwrap().names(9, NodeId(9)));
        assert!(!ThrottledReplicas::parse("").unwrap().names(0, NodeId(1)));
        for wrong in ["1", "a:1", "1:", "*,0:1"] {
            assert!(ThrottledReplicas::parse(wrong).is_err(), "{wrong}");
        }
    }
}
