//! Nodes that must not start, and what they say.

use std::net::TcpListener;

use drave_protocol::error_code::ErrorCode;

use crate::support::client::{self, code};
use crate::support::cluster::Cluster;
use crate::support::ports::free_port;
use crate::support::wait::{seconds, wait_for, wait_until};

#[test]
fn a_port_someone_else_has_is_named_without_a_stack() {
    let mut cluster = Cluster::prepare(1, &[]);
    let port = free_port();
    let _holder = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let controller = cluster.node(1).ports.controller;
    let http = cluster.node(1).ports.http;
    let all = [
        (
            "listeners",
            format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}"),
        ),
        (
            "listeners",
            format!("PLAINTEXT://127.0.0.1:{http},CONTROLLER://127.0.0.1:{port}"),
        ),
        ("http.listeners", format!("HTTP://127.0.0.1:{port}")),
    ];
    for (name, value) in &all {
        let node = cluster.node_mut(1);
        node.write_properties(&[(name, value)]);
        let (status, said) = node.run_to_refusal();
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(
            said.contains(&format!("127.0.0.1:{port}")),
            "the port is named: {said}"
        );
        assert!(said.contains("in use"), "the reason is given: {said}");
        assert!(
            !said.contains("panicked") && !said.contains("backtrace"),
            "{said}"
        );
    }
}

#[test]
fn a_second_node_on_the_same_directory_is_refused() {
    let mut cluster = Cluster::start(1);
    let data_dir = cluster.node(1).data_dir();
    let mut second = cluster.second_node_on(1);
    let (status, said) = second.run_to_refusal();
    assert_eq!(status.code(), Some(1), "{said}");
    let data_dir = data_dir.display().to_string();
    assert!(said.contains(&data_dir), "the directory is named: {said}");
    cluster.create_topic("still-fine", 1, 1, &[]);
    cluster.produce("still-fine", 0, ["x"]);
}

#[test]
fn a_node_id_on_a_wiped_disk_is_refused_until_its_data_is_back() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic("kept", 1, 3, &[]);
    cluster.produce("kept", 0, ["before"]);
    let controller = cluster.controller();
    let victim = cluster.others(controller)[0];
    cluster.kill9(victim);
    let data_dir = cluster.node(victim).data_dir();
    let aside = cluster.node(victim).dir.join("aside");
    std::fs::rename(&data_dir, &aside).unwrap();

    cluster.node_mut(victim).spawn();
    wait_for(
        "the node or its health to say why it may not join",
        seconds(20),
        || {
            let is_running = cluster.node_mut(victim).is_running();
            let node = cluster.node(victim);
            let said = node.output() + &node.get("/v1/raft").map(|it| it.text).unwrap_or_default();
            let is_explained = said.contains("director") && said.contains("refused");
            if is_explained {
                Ok(())
            } else {
                Err(format!("running: {is_running}; {said}"))
            }
        },
    );
    let health = cluster.node(victim).get("/health/ready");
    assert!(
        health.is_err() || health.is_ok_and(|it| it.status == 503),
        "it is not let in"
    );
    // It takes connections, and answers none: who asks it because it led waits in vain.
    wait_until("another to lead", seconds(20), || {
        cluster.leader_of("kept", 0) != victim
    });
    cluster.produce("kept", 0, ["meanwhile"]);

    if cluster.node_mut(victim).is_running() {
        cluster.kill9(victim);
    }
    std::fs::remove_dir_all(&data_dir).unwrap();
    std::fs::rename(&aside, &data_dir).unwrap();
    cluster.start_again(victim);
    cluster.wait_for_isr("kept", 3, seconds(30));
}

#[test]
fn a_node_with_the_data_of_another_cluster_is_kept_out() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic("old", 1, 3, &[]);
    cluster.produce("old", 0, ["of the first cluster"]);
    for id in cluster.ids() {
        cluster.kill9(id);
    }
    // Two of the three lose their disks and form a cluster of their own; the one with the lowest address
    // forms it, so it is among them.
    let port_of = |id: &i32| cluster.node(*id).ports.controller;
    let third = cluster.ids().into_iter().max_by_key(port_of).unwrap();
    let others = cluster.others(third);
    for id in &others {
        std::fs::remove_dir_all(cluster.node(*id).data_dir()).unwrap();
        cluster.node_mut(*id).spawn();
    }
    cluster.wait_ready();
    cluster.create_topic("new", 1, 2, &[]);
    cluster.produce("new", 0, ["of the second cluster"]);

    cluster.node_mut(third).spawn();
    wait_for(
        "the third to say that it is of another cluster",
        seconds(20),
        || {
            let said = cluster.node(third).output();
            if said.contains("belongs to cluster") {
                Ok(())
            } else {
                Err(said)
            }
        },
    );
    let health = cluster.node(third).get("/health/ready");
    assert!(
        health.is_err() || health.is_ok_and(|it| it.status == 503),
        "it is not let in"
    );
    assert_eq!(cluster.read_all("new", 0).len(), 1, "the others go on");
    let mut wire = cluster.wire(others[0]);
    let old = client::topic_metadata(&mut wire, "old").unwrap();
    assert_eq!(code(old.error_code), ErrorCode::UnknownTopicOrPartition);
}
