//! What operators do to nodes: let a wiped one in, add one, take one out; with the commands they would use.

use std::process::Command;

use drave_protocol::error_code::ErrorCode;
use drave_protocol::schema::delete_topics::{DeleteTopicState, DeleteTopicsRequest};

use crate::support::cluster::Cluster;
use crate::support::drave::Said;
use crate::support::java;
use crate::support::lines::line;
use crate::support::segments::assert_copies_are_equal;
use crate::support::wait::{seconds, wait_for, wait_until};

const TOPIC: &str = "orders";
const N_PARTITIONS: i32 = 3;

fn fill(cluster: &mut Cluster, n: usize) {
    let values: Vec<String> = (0..n).map(line).collect();
    for partition in 0..N_PARTITIONS {
        cluster.produce(TOPIC, partition, &values);
    }
}

fn delete(cluster: &mut Cluster, name: &str) {
    let request = DeleteTopicsRequest {
        topics: vec![DeleteTopicState {
            name: Some(name.to_owned()),
            ..DeleteTopicState::default()
        }],
        timeout_ms: 10_000,
        ..DeleteTopicsRequest::default()
    };
    let answer = cluster.ask(|wire| wire.call_newest(&request));
    assert_eq!(answer.responses[0].error_code, ErrorCode::None.number());
}

/// The voters, as the controller's node tells them.
fn voters(cluster: &mut Cluster) -> Vec<i64> {
    let described = cluster.describe().unwrap();
    let voters = described["voters"].as_array().unwrap();
    let mut ids: Vec<i64> = voters.iter().filter_map(|it| it["node"].as_i64()).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn a_wiped_node_is_refused_with_the_way_back_and_comes_back_by_it() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic(TOPIC, N_PARTITIONS, 3, &[]);
    fill(&mut cluster, 2_000);
    cluster.wait_for_isr(TOPIC, 3, seconds(20));
    let victim = cluster.controller();
    cluster.kill9(victim);
    for partition in 0..N_PARTITIONS {
        cluster.wait_for_other_leader(TOPIC, partition, victim);
    }
    let data_dir = cluster.node(victim).data_dir();
    std::fs::remove_dir_all(&data_dir).unwrap();
    cluster.node_mut(victim).spawn();

    let command = wait_for("the log to name the command", seconds(20), || {
        let said = cluster.node(victim).output();
        let begin = said.find("drave node readmit").ok_or(said.clone())?;
        let end = said[begin..].find(';').ok_or("unfinished")?;
        Ok(said[begin..begin + end].to_owned())
    });
    let health = wait_for("its health to say the same", seconds(20), || {
        let answer = cluster.node(victim).get("/health/ready")?;
        let names_it = answer.text.contains(&command);
        names_it.then_some(answer.status).ok_or(answer.text)
    });
    assert_eq!(health, 503);
    fill(&mut cluster, 500);

    let words: Vec<&str> = command.split_whitespace().skip(1).collect();
    assert_eq!(words.first(), Some(&"node"), "{command}");
    let said = cluster.operator(&words).done();
    assert!(said.contains("left the quorum"), "{said}");
    cluster.node(victim).wait_ready(seconds(30));
    cluster.wait_for_isr(TOPIC, 3, seconds(60));
    for partition in 0..N_PARTITIONS {
        assert_copies_are_equal(&mut cluster, TOPIC, partition);
        assert_eq!(cluster.high_watermark(TOPIC, partition), 2_500);
    }
    wait_until("it votes as before", seconds(20), || {
        voters(&mut cluster) == [1, 2, 3]
    });
    // And it counts: another may die.
    let other = cluster.others(victim)[0];
    cluster.kill9(other);
    fill(&mut cluster, 10);
}

#[test]
fn the_last_copy_is_not_given_up_by_letting_its_node_in_anew() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic("alone", 1, 1, &[]);
    cluster.produce("alone", 0, ["only here"]);
    let holder = cluster.leader_of("alone", 0);
    cluster.kill9(holder);
    wait_until("its leadership to end", seconds(20), || {
        cluster.leader_of("alone", 0) < 0
    });
    let refused = cluster
        .operator(&["node", "readmit", &holder.to_string()])
        .refused();
    assert!(refused.contains("1 partitions"), "{refused}");
    assert!(refused.contains("alone-0"), "{refused}");
    cluster.start_again(holder);
    wait_until("its leadership to be back", seconds(20), || {
        cluster.leader_of("alone", 0) == holder
    });
    assert_eq!(cluster.read_all("alone", 0), [b"only here"]);
}

#[test]
fn a_node_joins_by_bootstrap_alone_votes_when_asked_and_retires() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic(TOPIC, N_PARTITIONS, 3, &[]);
    fill(&mut cluster, 100);
    // It is told of one that is down, one that does not lead, and nothing else.
    let controller = cluster.controller();
    let others = cluster.others(controller);
    cluster.kill9(others[0]);
    let port = |id: i32| cluster.node(id).ports.controller;
    let bootstrap = format!(
        "127.0.0.1:{},127.0.0.1:{}",
        port(others[0]),
        port(others[1])
    );
    let four = cluster.lay_out_another(&bootstrap);
    cluster.start_again(four);
    cluster.start_again(others[0]);
    cluster.create_topic("everywhere", 1, 4, &[]);
    cluster.produce("everywhere", 0, ["on the new one too"]);
    assert_eq!(voters(&mut cluster), [1, 2, 3], "nobody asked it to vote");

    let said = cluster.operator(&["quorum", "add", "4"]).done();
    assert!(said.contains("node 4 votes now"), "{said}");
    assert!(said.contains("an odd number is better"), "{said}");
    assert_eq!(voters(&mut cluster), [1, 2, 3, 4]);
    let said = cluster.operator(&["quorum", "add", "4"]).done();
    assert!(said.contains("nothing to do"), "{said}");

    let refused = cluster.operator(&["node", "retire", "4"]).refused();
    assert!(refused.contains("holds 1 replicas"), "{refused}");
    assert!(refused.contains("everywhere-0"), "{refused}");
    let said = cluster.operator(&["node", "drain", "4"]).done();
    assert!(said.contains("holds 1 replicas"), "{said}");
    delete(&mut cluster, "everywhere");
    let refused = cluster
        .operator(&["node", "retire", "4", "--timeout", "1"])
        .refused();
    assert!(refused.contains("runs still: stop it"), "{refused}");
    assert_eq!(voters(&mut cluster), [1, 2, 3], "its vote is gone already");
    cluster.node_mut(four).stop();
    let said = cluster.operator(&["node", "retire", "4"]).done();
    assert!(said.contains("node 4 is retired"), "{said}");
    let described = cluster.describe().unwrap().to_string();
    assert!(!described.contains("\"node\":4"), "{described}");
}

#[test]
fn a_drained_node_leads_nothing_until_it_is_undrained() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic(TOPIC, 6, 3, &[]);
    cluster.wait_for_isr(TOPIC, 3, seconds(20));
    let said = cluster.operator(&["node", "drain", "2"]).done();
    assert!(said.contains("node 2 leads nothing"), "{said}");
    let leaders = |cluster: &mut Cluster| -> Vec<i32> {
        let partitions = cluster.topic(TOPIC).partitions;
        partitions.iter().map(|it| it.leader_id).collect()
    };
    // Whoever is asked may hear of it a moment later.
    wait_until("all to say so", seconds(5), || {
        !leaders(&mut cluster).contains(&2)
    });
    // Nor after it, or another, was away.
    cluster.node_mut(2).stop();
    cluster.start_again(2);
    cluster.wait_for_isr(TOPIC, 3, seconds(30));
    cluster.kill9(1);
    wait_until("3 to lead all", seconds(20), || {
        leaders(&mut cluster).iter().all(|it| *it == 3)
    });
    cluster.start_again(1);
    cluster.wait_for_isr(TOPIC, 3, seconds(30));
    // Nothing new comes to it: three replicas have no place.
    let request = ["topic", "create", "new", "--replication-factor", "3"];
    let refused = cluster.operator(&request).refused();
    assert!(refused.contains("2 live brokers"), "{refused}");
    cluster.operator(&["node", "undrain", "2"]).done();
    wait_until("it leads again", seconds(60), || {
        leaders(&mut cluster).contains(&2)
    });
    cluster.operator(&request).done();
}

#[test]
fn a_vote_is_taken_from_the_leader_but_never_the_last_majority() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.controller();
    let said = cluster
        .operator(&["quorum", "remove", &leader.to_string()])
        .done();
    assert!(said.contains("another leads first"), "{said}");
    assert_ne!(cluster.controller(), leader);
    cluster.create_topic(TOPIC, N_PARTITIONS, 3, &[]);
    fill(&mut cluster, 10);
    let said = cluster
        .operator(&["quorum", "add", &leader.to_string()])
        .done();
    assert!(said.contains("votes now"), "{said}");

    let controller = cluster.controller();
    let others = cluster.others(controller);
    cluster.kill9(others[0]);
    let refused = cluster
        .operator(&["quorum", "remove", &others[1].to_string()])
        .refused();
    let live = format!("only node {controller} live");
    assert!(refused.contains(&live), "{refused}");
    let said = cluster
        .operator(&["quorum", "remove", &others[0].to_string()])
        .done();
    assert!(said.contains("votes no more"), "{said}");
    let status = cluster.operator(&["quorum", "status", "--format", "json"]);
    let status: serde_json::Value = serde_json::from_str(&status.done()).unwrap();
    assert_eq!(status["members"].as_array().unwrap().len(), 2, "{status}");
}

fn kafka(class: &str, arguments: &[&str]) -> Said {
    let mut command: Command = java::command();
    let output = command.arg(class).args(arguments).output();
    Said::of(&output.expect("java starts"))
}

#[test]
fn kafkas_own_tools_describe_the_quorum_and_take_nodes_out() {
    if !java::is_here() {
        return;
    }
    let mut cluster = Cluster::start(3);
    let bootstrap = cluster.bootstrap();
    let quorum = |arguments: &[&str]| {
        let class = "org.apache.kafka.tools.MetadataQuorumCommand";
        let asked = [&["--bootstrap-server", &bootstrap], arguments].concat();
        kafka(class, &asked)
    };
    let leader = cluster.controller();
    let status = quorum(&["describe", "--status"]).done();
    assert!(
        status
            .lines()
            .any(|it| it.starts_with("LeaderId:") && it.ends_with(&leader.to_string())),
        "{status}"
    );
    let endpoint = format!(
        "CONTROLLER://127.0.0.1:{}",
        cluster.node(1).ports.controller
    );
    assert!(status.contains(&endpoint), "{status}");
    let replication = quorum(&["describe", "--replication", "--human-readable"]).done();
    assert_eq!(replication.matches("Follower").count(), 2, "{replication}");
    assert_eq!(replication.matches("Leader").count(), 1, "{replication}");
    assert!(replication.contains("ms ago"), "{replication}");

    let gone = cluster.others(leader)[0];
    let id = gone.to_string();
    cluster.kill9(gone);
    let directory = replication
        .lines()
        .map(str::split_whitespace)
        .find_map(|mut it| (it.next() == Some(&id)).then(|| it.next()).flatten())
        .unwrap();
    let wrong = [
        "remove-controller",
        "-i",
        &id,
        "-d",
        "AAAAAAAAAAAAAAAAAAAAZw",
    ];
    let refused = quorum(&wrong);
    assert_eq!(refused.code, Some(1), "{}", refused.out);
    assert!(
        refused.err.contains("VoterNotFound") || refused.err.contains("directory"),
        "{}",
        refused.err
    );
    let said = quorum(&["remove-controller", "-i", &id, "-d", directory]).done();
    assert!(said.contains("Removed"), "{said}");
    assert_eq!(voters(&mut cluster).len(), 2);

    let class = "org.apache.kafka.tools.ClusterTool";
    let unregister = ["unregister", "--bootstrap-server", &bootstrap, "--id", &id];
    let said = wait_for("it to be fenced and then forgotten", seconds(20), || {
        let said = kafka(class, &unregister);
        let is_done = said.code == Some(0) && said.out.contains("no longer registered");
        is_done.then_some(said.out).ok_or(said.err)
    });
    assert!(said.contains(&id), "{said}");
    let again = kafka(class, &unregister);
    assert!(
        (again.out.clone() + &again.err).contains("not registered"),
        "{again:?}"
    );
}
