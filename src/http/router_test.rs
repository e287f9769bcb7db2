//! The door as a stranger meets it: bytes in, bytes out, over connections that need no port.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::serve::Listener;
use bytes::Bytes;
use drave_protocol::ids::{MetadataOffset, TopicIdPartition};
use drave_raft::{Probe, QuorumStatus};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::cluster::metadata::Metadata;
use crate::cluster::registration::BrokerStanding;
use crate::cluster::rpc::{self, PeerReply, PeerRequest, PeerResponse};
use crate::coordinator::group::{GroupDescription, GroupStatus};
use crate::http::bounds::{Gate, REQUEST_PATIENCE};
use crate::http::fixture::{
    broken_log_dir, config, group_of_one, group_of_two, image_with_groups, leader_of_orders,
    log_dir, quorum_status, replicas_of_two, standing,
};
use crate::http::index::ROUTES;
use crate::http::sources::{Answer, Sources};
use crate::http::{Deps, HttpState, router_through, serve};
use crate::replica::status::{LogDirStatus, ReplicaStatus};
use crate::tasks::Tasks;

/// Node 1 of the fixture. Node 2 answers at once; node 3 refuses, or is silent.
#[derive(Clone, Debug)]
pub(super) struct NodeOne {
    quorum: QuorumStatus,
    third: Probe,
}

impl Default for NodeOne {
    fn default() -> Self {
        Self {
            quorum: quorum_status(),
            third: Probe::Refused,
        }
    }
}

impl Sources for NodeOne {
    fn quorum(&self) -> QuorumStatus {
        self.quorum.clone()
    }

    fn replicas(&self) -> Vec<ReplicaStatus> {
        vec![leader_of_orders()]
    }

    fn unopened(&self) -> BTreeMap<TopicIdPartition, String> {
        BTreeMap::new()
    }

    fn log_dirs(&self) -> Vec<LogDirStatus> {
        vec![log_dir(), broken_log_dir()]
    }

    fn groups(&self) -> crate::coordinator::Load {
        crate::coordinator::Load::default()
    }

    fn groups_here(&self) -> Answer<'_, Result<Vec<GroupStatus>, String>> {
        Box::pin(std::future::ready(Ok(vec![group_of_one()])))
    }

    fn group_here<'a>(
        &'a self,
        group: &'a str,
    ) -> Answer<'a, Result<Option<GroupDescription>, String>> {
        let answer = match group {
            "shipping" => Err("the group is being read".to_owned()),
            _ => Ok(None),
        };
        Box::pin(std::future::ready(answer))
    }

    fn n_begun_anew(&self) -> u64 {
        1
    }

    fn standing(&self) -> BrokerStanding {
        standing()
    }

    fn lease_is_held(&self, _now: Instant) -> bool {
        self.quorum.has_quorum
    }

    fn call<'a>(
        &'a self,
        address: &'a str,
        request: Bytes,
        _deadline: Instant,
    ) -> Answer<'a, Result<Bytes, String>> {
        Box::pin(async move {
            let request = rpc::decode::<PeerRequest>(&request).unwrap();
            match (address, self.third) {
                ("c2:9093", _) => {
                    let answer = PeerReply {
                        applied: MetadataOffset(42),
                        response: said_by_two(&request),
                    };
                    Ok(rpc::encode(&answer).unwrap())
                }
                (_, Probe::Silent) => std::future::pending().await,
                (_, Probe::Refused | Probe::Alive) => Err("connection refused".to_owned()),
            }
        })
    }

    fn probe<'a>(&'a self, address: &'a str, _patience: Duration) -> Answer<'a, Probe> {
        let probe = if address == "c3:9093" {
            self.third
        } else {
            Probe::Alive
        };
        Box::pin(std::future::ready(probe))
    }
}

fn said_by_two(request: &PeerRequest) -> PeerResponse {
    let groups = |said: Value| PeerResponse::DescribeGroups(said.to_string().into());
    if let PeerRequest::DescribeGroups(asked) = request {
        return match asked {
            None => groups(json!({"Ok": [group_of_two().status]})),
            Some(asked) => {
                let found = Some(group_of_two()).filter(|it| it.status.group == *asked);
                groups(json!({ "Ok": found }))
            }
        };
    }
    assert_eq!(*request, PeerRequest::DescribeReplicas);
    let json = serde_json::to_vec(&replicas_of_two()).unwrap();
    PeerResponse::DescribeReplicas(json.into())
}

/// Accepts what a test connects.
struct Corridor {
    ends: mpsc::Receiver<DuplexStream>,
}

impl Listener for Corridor {
    type Io = DuplexStream;
    type Addr = ();

    async fn accept(&mut self) -> (DuplexStream, ()) {
        match self.ends.recv().await {
            Some(end) => (end, ()),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<()> {
        Ok(())
    }
}

pub(super) struct Door {
    corridor: mpsc::Sender<DuplexStream>,
    tasks: Tasks,
}

fn state(node: NodeOne, tasks: &Tasks) -> HttpState {
    let (_, metadata) = Metadata::starting_at(image_with_groups());
    HttpState::new(Deps {
        config: Arc::new(config()),
        metadata,
        sources: Arc::new(node),
        metrics: Arc::default(),
        clock: Clock::system(),
        tasks: tasks.clone(),
    })
}

impl Door {
    pub(super) fn open(node: NodeOne) -> Self {
        let (corridor, ends) = mpsc::channel(4);
        let tasks = Tasks::new();
        tasks.spawn("http", serve(Corridor { ends }, state(node, &tasks)));
        Self { corridor, tasks }
    }

    pub(super) async fn say(&self, request: &str) -> (u16, String, String) {
        let (near, far) = tokio::io::duplex(64 * 1024);
        self.corridor.send(far).await.unwrap();
        talk(near, request).await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let (status, _, body) = self.say(&request).await;
        (
            status,
            serde_json::from_str(&body).unwrap_or(Value::String(body)),
        )
    }
}

async fn talk(mut near: DuplexStream, request: &str) -> (u16, String, String) {
    near.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    near.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), body.to_owned())
}

#[tokio::test]
async fn every_route_of_the_table_is_served() {
    let door = Door::open(NodeOne::default());
    for route in ROUTES {
        let path = route.path.replace("{name}", "orders");
        let (status, body) = door.get(&path).await;
        assert_eq!(status, 200, "{path}: {body}");
    }
}

#[tokio::test]
async fn a_node_that_refuses_is_named_and_the_rest_is_answered() {
    let door = Door::open(NodeOne::default());
    let (_, topic) = door.get("/v1/topics/orders").await;
    let unanswered = json!([{"node": 3, "reason": "connection refused"}]);
    assert_eq!(topic["unanswered"], unanswered);
    let replicas = &topic["partitions"][0]["replica_states"];
    assert_eq!(replicas[1]["log_end_offset"], 95);
    assert_eq!(replicas[2]["log_end_offset"], Value::Null);
    let (_, cluster) = door.get("/v1/cluster").await;
    assert_eq!(cluster["nodes"][2]["alive"], false);
    assert_eq!(cluster["unanswered"][0]["node"], 3);
    assert_eq!(cluster["controller"], 2);
}

#[tokio::test]
async fn groups_are_gathered_from_all_who_coordinate_them() {
    let door = Door::open(NodeOne::default());
    let (_, groups) = door.get("/v1/groups").await;
    let found = groups["groups"].as_array().unwrap().iter();
    let found: Vec<_> = found.map(|it| (&it["group"], &it["coordinator"])).collect();
    assert_eq!(
        found,
        [
            (&json!("orders"), &json!(2)),
            (&json!("shipping"), &json!(1))
        ]
    );
    assert_eq!(groups["unanswered"], json!([]));

    let (_, group) = door.get("/v1/groups/orders").await;
    assert_eq!(
        (&group["coordinator"], &group["lag"]),
        (&json!(2), &json!(12))
    );
    let (first, second) = (&group["partitions"][0], &group["partitions"][1]);
    assert_eq!(
        (&first["lag"], &first["member"]),
        (&json!(12), &json!("one"))
    );
    assert_eq!(
        (&second["lag"], &second["high_watermark"]),
        (&Value::Null, &json!(7))
    );
}

#[tokio::test]
async fn a_group_nobody_knows_is_told_from_one_nobody_can_speak_for() {
    let door = Door::open(NodeOne::default());
    let (status, answer) = door.get("/v1/groups/audit").await;
    assert_eq!(
        (status, &answer["error"]),
        (404, &json!("no group 'audit'"))
    );
    let (status, answer) = door.get("/v1/groups/shipping").await;
    assert_eq!(status, 503);
    let error = answer["error"].as_str().unwrap();
    assert!(
        error.ends_with("node 1: the group is being read"),
        "{error}"
    );
}

#[tokio::test]
async fn a_node_that_is_silent_costs_the_answer_half_a_second_and_no_more() {
    let door = Door::open(NodeOne {
        third: Probe::Silent,
        ..NodeOne::default()
    });
    let clock = Clock::system();
    let began = clock.now();
    let (status, topic) = door.get("/v1/topics/orders").await;
    assert_eq!(status, 200);
    let reason = topic["unanswered"][0]["reason"].as_str().unwrap();
    assert_eq!(reason, "no answer from c3:9093 within 500 ms");
    assert_eq!(topic["partitions"][0]["high_watermark"], 90);
    assert!(clock.now().duration_since(began) < REQUEST_PATIENCE);
}

#[tokio::test]
async fn without_a_quorum_answers_go_on_and_say_so_and_health_is_red() {
    let mut node = NodeOne::default();
    node.quorum.has_quorum = false;
    node.quorum.leader = None;
    let door = Door::open(node);
    for path in [
        "/v1/cluster",
        "/v1/brokers",
        "/v1/topics",
        "/v1/topics/orders",
        "/v1/raft",
    ] {
        let (status, answer) = door.get(path).await;
        assert_eq!((status, &answer["quorum"]), (200, &json!(false)), "{path}");
        let reason = answer["no_quorum"]["reason"].as_str().unwrap();
        assert!(reason.contains("no leader is known"), "{reason}");
    }
    let (status, health) = door.get("/health/ready").await;
    assert_eq!((status, &health["ok"]), (503, &json!(false)));
    assert_eq!(door.get("/health/live").await.0, 200);
    let (_, page) = door.get("/metrics").await;
    assert!(page.as_str().unwrap().contains("\ndrave_raft_quorum 0\n"));
}

#[tokio::test]
async fn strangers_are_told_what_is_near() {
    let door = Door::open(NodeOne::default());
    let (status, answer) = door.get("/v1/topic").await;
    assert_eq!((status, &answer["nearest"]), (404, &json!("/v1/topics")));
    let (status, answer) = door.get("/v1/topics/ordres").await;
    assert_eq!((status, &answer["nearest"]), (404, &json!("orders")));
    assert_eq!(answer["error"], "no topic 'ordres'");
    let post = "POST /v1/topics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let (status, head, body) = door.say(post).await;
    assert_eq!(status, 405);
    assert!(head.contains("allow: get, head"), "{head}");
    assert!(body.contains("POST is not served at /v1/topics"), "{body}");
}

#[tokio::test]
async fn a_browser_gets_a_page_to_click_on() {
    let door = Door::open(NodeOne::default());
    let request = "GET / HTTP/1.1\r\nhost: x\r\naccept: text/html,*/*\r\nconnection: close\r\n\r\n";
    let (_, head, body) = door.say(request).await;
    assert!(head.contains("content-type: text/html"), "{head}");
    assert!(body.contains("node 1"), "{body}");
}

#[tokio::test]
async fn a_body_is_refused_before_it_is_read() {
    let door = Door::open(NodeOne::default());
    let request = "POST /v1/topics HTTP/1.1\r\nhost: x\r\ncontent-length: 9999999999\r\n\r\n";
    let (status, head, _) = door.say(request).await;
    assert_eq!(status, 413);
    assert!(head.contains("connection: close"), "{head}");
}

#[tokio::test]
async fn a_full_gate_refuses_questions_and_lets_health_through() {
    let tasks = Tasks::new();
    let (corridor, ends) = mpsc::channel(4);
    let router = router_through(Gate::new(0), state(NodeOne::default(), &tasks));
    tasks.spawn("http", async move {
        axum::serve(Corridor { ends }, router).await.unwrap();
    });
    let door = Door { corridor, tasks };
    let (status, answer) = door.get("/v1/cluster").await;
    assert_eq!(status, 503);
    let error = answer["error"].as_str().unwrap();
    assert!(error.contains("try again"), "{error}");
    assert_eq!(door.get("/health/ready").await.0, 200);
}

#[tokio::test]
async fn stopping_the_tasks_ends_the_door() {
    let door = Door::open(NodeOne::default());
    assert_eq!(door.get("/health/ready").await.0, 200);
    door.tasks.drain(REQUEST_PATIENCE).await;
    assert!(door.corridor.is_closed());
}
