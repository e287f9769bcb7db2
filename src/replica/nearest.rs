//! Which replica a consumer is sent to when it names its rack (KIP-392). Pure.
//!
//! The leader serves consumers in its own rack, and those in racks without a replica that has what they ask
//! for; all others are sent to the follower in their rack that is furthest.

use std::time::Instant;

use drave_protocol::ids::{NodeId, Offset};

/// A follower that holds the offset asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'a> {
    pub(super) node: NodeId,
    pub(super) rack: Option<&'a str>,
    pub(super) log_end_offset: Offset,
    pub(super) last_caught_up: Instant,
}

/// `None`: the leader.
pub(super) fn nearest<'a>(
    rack: &str,
    leader_rack: Option<&str>,
    followers: impl Iterator<Item = Candidate<'a>>,
) -> Option<NodeId> {
    if rack.is_empty() || leader_rack == Some(rack) {
        return None;
    }
    followers
        .filter(|it| it.rack == Some(rack))
        .max_by_key(|it| (it.log_end_offset, it.last_caught_up, it.node))
        .map(|it| it.node)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[allow(clippy::disallowed_methods, reason = "any starting point will do")]
    fn followers() -> Vec<Candidate<'static>> {
        let now = Instant::now();
        let follower = |node, rack, end, ago| Candidate {
            node: NodeId(node),
            rack,
            log_end_offset: Offset(end),
            last_caught_up: now.checked_sub(Duration::from_millis(ago)).unwrap(),
        };
        vec![
            follower(2, Some("b"), 10, 5),
            follower(3, Some("b"), 12, 9),
            follower(4, Some("b"), 12, 3),
            follower(5, Some("c"), 90, 0),
            follower(6, None, 99, 0),
        ]
    }

    fn of(rack: &str) -> Option<i32> {
        nearest(rack, Some("a"), followers().into_iter()).map(|it| it.0)
    }

    #[test]
    fn the_furthest_follower_of_the_rack_serves_it() {
        assert_eq!(of("b"), Some(4), "as far as 3, and caught up later");
        assert_eq!(of("c"), Some(5));
    }

    #[test]
    fn the_leader_serves_its_own_rack_and_those_without_a_replica() {
        assert_eq!(of("a"), None);
        assert_eq!(of("d"), None);
        assert_eq!(of(""), None, "who names no rack");
    }
}
