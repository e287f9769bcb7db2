//! A leader from outside the ISR: never by itself, on demand or by config at a price that is named.

use crate::support::cluster::Cluster;
use crate::support::segments::assert_copies_are_equal;
use crate::support::wait::{seconds, wait_until};

/// A partition on 1 and 2 whose newest record only 1 has, which is dead. 3 is there for the quorum.
fn only_the_dead_has_it_all(topics: &[&str]) -> Cluster {
    let mut cluster = Cluster::start(3);
    for topic in topics {
        cluster.create_topic_on(topic, &[&[1, 2]], &[("min.insync.replicas", "1")]);
        cluster.produce(topic, 0, ["both"]);
        cluster.wait_for_isr(topic, 2, seconds(20));
    }
    cluster.kill9(2);
    for topic in topics {
        cluster.wait_for_isr(topic, 1, seconds(20));
        cluster.produce(topic, 0, ["only 1"]);
    }
    cluster.kill9(1);
    cluster.start_again(2);
    cluster
}

#[test]
fn a_partition_stays_leaderless_until_told_and_names_what_is_lost() {
    let mut cluster = only_the_dead_has_it_all(&["t"]);
    wait_until("1 to be found dead", seconds(20), || {
        cluster.partition("t", 0).leader_id == -1
    });
    let clean = cluster.drave(&["elect", "t:0"]);
    assert!(
        !clean.status.success(),
        "nobody is elected cleanly: {clean:?}"
    );
    assert_eq!(cluster.partition("t", 0).leader_id, -1);

    let elected = cluster.drave(&["elect", "--unclean", "t:0"]);
    assert!(elected.status.success(), "{elected:?}");
    let said = String::from_utf8_lossy(&elected.stdout);
    assert!(
        said.contains("broker 2 leads uncleanly") && said.contains("only 1 had"),
        "{said}"
    );
    wait_until("2 to lead", seconds(20), || {
        cluster.partition("t", 0).leader_id == 2
    });
    let warned = |cluster: &Cluster| cluster.node(2).output().contains("leads uncleanly");
    wait_until("the leader to say so", seconds(10), || warned(&cluster));
    cluster.produce("t", 0, ["after"]);
    assert_eq!(cluster.read_all("t", 0), [&b"both"[..], b"after"]);

    cluster.start_again(1);
    cluster.wait_for_isr("t", 2, seconds(30));
    assert_eq!(cluster.read_all("t", 0), [&b"both"[..], b"after"]);
    assert_copies_are_equal(&mut cluster, "t", 0);
}

#[test]
fn allowing_unclean_election_elects_at_once() {
    let mut cluster = only_the_dead_has_it_all(&["t", "u"]);
    wait_until("1 to be found dead", seconds(20), || {
        ["t", "u"]
            .iter()
            .all(|it| cluster.partition(it, 0).leader_id == -1)
    });
    let set = [
        "config",
        "set",
        "topic:t",
        "unclean.leader.election.enable=true",
    ];
    let allowed = cluster.drave(&set);
    assert!(allowed.status.success(), "{allowed:?}");
    wait_until("2 to lead", seconds(20), || {
        cluster.partition("t", 0).leader_id == 2
    });
    assert_eq!(
        cluster.partition("u", 0).leader_id,
        -1,
        "only where it was allowed"
    );
    cluster.produce("t", 0, ["after"]);
}
