//! The picture `drave cluster status` draws from `/v1/cluster` and `/v1/topics`.

use std::fmt::Write;

use anyhow::Context;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::cli::Exit;
use crate::cli::ask::Nodes;
use crate::cli::output::{Format, Table, list};
use crate::http::answers::{ClusterAnswer, NodeAnswer, NodeRole, TopicsAnswer};

/// The page, and whether what it shows is healthy.
pub(super) fn read(nodes: &Nodes, format: Format) -> anyhow::Result<(String, Exit)> {
    let cluster_body = nodes.get_any("/v1/cluster")?.body;
    let topics_body = nodes.get_any("/v1/topics")?.body;
    let cluster: ClusterAnswer = understood(&cluster_body)?;
    let topics: TopicsAnswer = understood(&topics_body)?;
    let troubles = troubles(&cluster);
    let page = match format {
        Format::Table => page(&cluster, &topics, &troubles),
        Format::Json => {
            let whole = json!({
                "healthy": troubles.is_empty(),
                "troubles": troubles,
                "cluster": cluster_body,
                "topics": topics_body.get("topics"),
            });
            format!("{whole:#}")
        }
    };
    let exit = if troubles.is_empty() {
        Exit::Done
    } else {
        Exit::Unhealthy
    };
    Ok((page, exit))
}

fn understood<T: DeserializeOwned>(body: &Value) -> anyhow::Result<T> {
    T::deserialize(body)
        .context("the node answered something else; is it a drave of another version?")
}

/// What a person should know, most urgent first; nothing when all is well.
fn troubles(cluster: &ClusterAnswer) -> Vec<String> {
    let mut troubles = Vec::new();
    let counts = &cluster.counts;
    if let Some(no_quorum) = &cluster.seen.no_quorum {
        troubles.push(format!("no quorum: {}", no_quorum.reason));
    } else if cluster.controller.is_none() {
        troubles.push("no active controller".to_owned());
    }
    for node in &cluster.nodes {
        if let Some(state) = absence(node) {
            troubles.push(format!("node {} is {state}", node.node));
        }
    }
    for (n, what) in [
        (counts.offline_partitions, "without a leader"),
        (
            counts.under_min_isr_partitions,
            "refuse acks=all for want of replicas in sync",
        ),
        (counts.under_replicated_partitions, "under-replicated"),
    ] {
        if n > 0 {
            troubles.push(format!("{n} of {} partitions {what}", counts.partitions));
        }
    }
    for it in &cluster.unanswered {
        troubles.push(format!(
            "node {} could not be asked: {}",
            it.node, it.reason
        ));
    }
    troubles
}

fn absence(node: &NodeAnswer) -> Option<&'static str> {
    if node.alive == Some(false) {
        Some("down")
    } else if node.fenced == Some(true) {
        Some("fenced")
    } else if node.shutting_down == Some(true) {
        Some("shutting down")
    } else {
        None
    }
}

fn presence(node: &NodeAnswer) -> &'static str {
    if node.drained == Some(true) {
        "drained"
    } else {
        "up"
    }
}

fn page(cluster: &ClusterAnswer, topics: &TopicsAnswer, troubles: &[String]) -> String {
    let name = cluster.cluster_id.as_deref().unwrap_or("not formed yet");
    let controller = cluster
        .controller
        .map_or_else(|| "none".to_owned(), |it| it.to_string());
    let mut page = format!(
        "cluster {name}  controller {controller}  term {}  committed {}  as node {} sees it\n\n",
        cluster.term, cluster.committed_index, cluster.seen.node,
    );
    page.push_str(&nodes_table(cluster).render());
    if !topics.topics.is_empty() {
        page.push_str("\n\n");
        page.push_str(&topics_table(topics).render());
    }
    page.push_str("\n\n");
    if troubles.is_empty() {
        page.push_str("healthy");
    }
    for trouble in troubles {
        // Writing to a string cannot fail.
        let _ = writeln!(page, "! {trouble}");
    }
    page
}

fn nodes_table(cluster: &ClusterAnswer) -> Table {
    let headings = [
        "NODE", "STATE", "ROLES", "LEADS", "REPLICAS", "KAFKA", "HTTP",
    ];
    let mut table = Table::new(&headings);
    for node in &cluster.nodes {
        let kafka = node
            .listeners
            .iter()
            .map(|it| format!("{}:{}", it.host, it.port));
        table.row([
            node.node.to_string(),
            absence(node).unwrap_or(presence(node)).to_owned(),
            list(node.roles.iter().map(|it| role(*it, node.is_controller))),
            node.leaders.to_string(),
            node.replicas.to_string(),
            list(kafka),
            node.http_address.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table
}

fn role(role: NodeRole, is_active: bool) -> &'static str {
    match (role, is_active) {
        (NodeRole::Broker, _) => "broker",
        (NodeRole::Controller, true) => "controller*",
        (NodeRole::Controller, false) => "controller",
    }
}

fn topics_table(topics: &TopicsAnswer) -> Table {
    let headings = [
        "TOPIC",
        "PARTITIONS",
        "REPLICAS",
        "OFFLINE",
        "UNDER-REPLICATED",
    ];
    let mut table = Table::new(&headings);
    for topic in &topics.topics {
        table.row([
            topic.name.clone(),
            topic.partition_count.to_string(),
            topic.replication_factor.to_string(),
            topic.offline_partitions.to_string(),
            topic.under_replicated_partitions.to_string(),
        ]);
    }
    table
}
