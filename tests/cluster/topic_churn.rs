//! Topics are made, filled and deleted while nodes die: in the end each node holds exactly what the
//! cluster has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use drave_protocol::schema::metadata::MetadataRequest;

use crate::support::cluster::Cluster;
use crate::support::wait::{seconds, wait_for};

const N_ROUNDS: usize = 12;
const N_NAMES: usize = 4;

#[test]
fn after_any_order_of_creations_deletions_and_deaths_no_folder_is_left_over() {
    let mut cluster = Cluster::start(3);
    // What each name was last filled with, where its topic stands.
    let mut kept: BTreeMap<String, String> = BTreeMap::new();
    for round in 0..N_ROUNDS {
        let name = format!("topic-{}", round % N_NAMES);
        let victim = i32::try_from(round % 3).unwrap() + 1;
        // Half the deletions are missed by a node, half the creations.
        let misses_deletion = round % 2 == 0;
        if misses_deletion {
            cluster.kill9(victim);
        }
        if kept.remove(&name).is_some() {
            cluster.delete_topic(&name);
        }
        if misses_deletion {
            cluster.start_again(victim);
        }
        cluster.create_topic(&name, 3, 3, &[]);
        if !misses_deletion {
            cluster.kill9(victim);
        }
        let value = format!("round {round}");
        for partition in 0..3 {
            cluster.produce(&name, partition, [&value]);
        }
        kept.insert(name, value);
        if round % 3 == 2 {
            for id in cluster.running() {
                cluster.kill9(id);
            }
            cluster.spawn_all_dead();
            cluster.wait_ready();
        } else if !misses_deletion {
            cluster.start_again(victim);
        }
    }
    for (name, value) in &kept {
        for partition in 0..3 {
            let values = cluster.read_all(name, partition);
            // Twice, where an ack was lost with its leader.
            let is_kept = !values.is_empty() && values.iter().all(|it| *it == value.as_bytes());
            assert!(is_kept, "{name}-{partition}: {values:?}");
        }
    }
    let all = MetadataRequest {
        topics: None,
        ..MetadataRequest::default()
    };
    let metadata = cluster.ask(|wire| wire.call(12, &all));
    for id in cluster.ids() {
        let mut expected = BTreeSet::new();
        for topic in &metadata.topics {
            let name = topic.name.as_deref().unwrap();
            let here = topic
                .partitions
                .iter()
                .filter(|it| it.replica_nodes.contains(&id));
            expected.extend(here.map(|it| format!("{name}-{}", it.partition_index)));
        }
        let data_dir = cluster.node(id).data_dir();
        wait_for(
            &format!("node {id} to hold what it should"),
            seconds(20),
            || {
                let found = folders(&data_dir);
                if found == expected {
                    Ok(())
                } else {
                    Err(format!("{found:?}, not {expected:?}"))
                }
            },
        );
    }
}

/// Names of the partitions' folders.
fn folders(data_dir: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(data_dir).unwrap().map(Result::unwrap);
    let names = entries
        .filter(|it| {
            it.path().join("partition.metadata").exists()
                || it.path().join("leader-epoch-checkpoint").exists()
        })
        .map(|it| it.file_name().into_string().unwrap());
    names.collect()
}
