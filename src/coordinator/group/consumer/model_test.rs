//! A group under members that come, go, die and miss answers, against what must always hold: no partition
//! is read by two, epochs only rise, and left in peace all comes to rest.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use drave_protocol::ids::{TopicId, Uuid};
use proptest::prelude::*;

use super::member::{JOINING, LEFT, LEFT_FOR_A_WHILE, each_held};
use super::{ConsumerGroup, Heard, Heartbeat, Settings, State, Surroundings, Topic, Topics};
use crate::clock::Clock;
use crate::coordinator::decision::{Decision, TimerKind};
use crate::coordinator::error::GroupError;
use crate::coordinator::group::assignor::{Assignor, Partitions};
use crate::coordinator::records::GroupRecord;

#[derive(Debug, Default)]
struct Cluster {
    topics: BTreeMap<String, i32>,
    version: i64,
}

impl Cluster {
    fn set(&mut self, name: &str, n_partitions: i32) {
        self.topics.insert(name.to_owned(), n_partitions);
        self.version += 1;
    }
}

fn id_of(name: &str) -> TopicId {
    Uuid([name.as_bytes()[0]; 16])
}

impl Topics for Cluster {
    fn by_name(&self, name: &str) -> Option<Topic> {
        let n_partitions = *self.topics.get(name)?;
        Some(Topic {
            id: id_of(name),
            n_partitions,
        })
    }
    fn name_of(&self, id: TopicId) -> Option<&str> {
        self.names().find(|it| id_of(it) == id)
    }
    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.topics.keys().map(String::as_str))
    }
    fn version(&self) -> i64 {
        self.version
    }
}

/// A client as Kafka's behaves: it gives up before it takes.
#[derive(Clone, Debug, Default)]
struct Client {
    member_id: String,
    instance_id: Option<String>,
    epoch: i32,
    owned: Partitions,
    /// What it was told it may have, when that is not what it has.
    told: Option<Partitions>,
    names: BTreeSet<String>,
    regex: Option<String>,
    says_all: bool,
}

impl Client {
    fn heartbeat(&mut self) -> Heartbeat {
        let joins = self.epoch == JOINING;
        let full = joins || std::mem::take(&mut self.says_all);
        Heartbeat {
            group_id: "g".into(),
            member_id: self.member_id.clone(),
            member_epoch: self.epoch,
            instance_id: self.instance_id.clone(),
            rebalance_timeout_ms: full.then_some(60_000),
            subscribed_names: full.then(|| self.names.clone()),
            subscribed_regex: self.regex.clone().filter(|_| full),
            owned: Some(self.owned.clone()),
            ..Heartbeat::default()
        }
    }

    fn hear(&mut self, heard: Heard) {
        assert!(heard.member_epoch >= self.epoch, "{self:?} heard {heard:?}");
        self.epoch = heard.member_epoch;
        if let Some(assignment) = heard.assignment {
            self.told = Some(each_held(&assignment));
        }
    }

    /// Gives up what it may not have; takes the rest another time.
    fn revoke(&mut self) {
        let Some(told) = &self.told else { return };
        for (topic, partitions) in &mut self.owned {
            let may = told.get(topic);
            partitions.retain(|it| may.is_some_and(|may| may.contains(it)));
        }
        self.owned.retain(|_, it| !it.is_empty());
    }

    fn take(&mut self) {
        self.revoke();
        if let Some(told) = self.told.take() {
            self.owned = told;
        }
    }

    fn fenced(&mut self) {
        self.epoch = JOINING;
        self.owned.clear();
        self.told = None;
    }
}

struct World {
    cluster: Cluster,
    group: ConsumerGroup,
    log: Vec<GroupRecord>,
    clients: Vec<Client>,
    n_joined: usize,
    now: Instant,
    wall_ms: i64,
    settings: Settings,
}

impl World {
    fn new(assignor: Assignor) -> Self {
        let mut cluster = Cluster::default();
        cluster.set("a", 4);
        cluster.set("b", 3);
        Self {
            cluster,
            group: ConsumerGroup::new("g"),
            log: Vec::new(),
            clients: Vec::new(),
            n_joined: 0,
            now: Clock::system().now(),
            wall_ms: 1_000_000,
            settings: Settings {
                session_timeout: Duration::from_secs(45),
                heartbeat_interval: Duration::from_secs(5),
                n_members_max: 100,
                assignors: vec![assignor],
                upgrades: true,
                downgrades: true,
                n_classic_members_max: 100,
            },
        }
    }

    fn around(&self) -> Surroundings<'_> {
        Surroundings {
            now: self.now,
            wall_ms: self.wall_ms,
            topics: &self.cluster,
            settings: &self.settings,
        }
    }

    fn agree<R>(&mut self, decision: Decision<R>) -> R {
        let epochs = (self.group.epoch(), self.group.assignment_epoch());
        for record in &decision.records {
            self.group.replay(record);
        }
        self.log.extend(decision.records);
        let after = (self.group.epoch(), self.group.assignment_epoch());
        assert!(
            after >= epochs && after.1 >= epochs.1,
            "{epochs:?} became {after:?}"
        );
        assert!(after.1 <= after.0, "{after:?}");
        decision.response
    }

    fn join(&mut self, reads: usize) {
        self.n_joined += 1;
        let mut client = Client {
            member_id: format!("m-{}", self.n_joined),
            instance_id: reads
                .is_multiple_of(5)
                .then(|| format!("i-{}", self.n_joined)),
            ..Client::default()
        };
        match reads % 4 {
            0 => client.names = ["a".to_owned()].into(),
            1 => client.regex = Some("[ac]".into()),
            _ => client.names = ["a".to_owned(), "b".to_owned()].into(),
        }
        self.clients.push(client);
    }

    fn heartbeat(&mut self, place: usize, is_answer_lost: bool) {
        let n_clients = self.clients.len();
        let Some(client) = self.clients.get_mut(place % n_clients.max(1)) else {
            return;
        };
        let said = client.heartbeat();
        let decided = self.group.heartbeat(&said, self.around());
        let heard = decided.map(|it| self.agree(it));
        let client = &mut self.clients[place % n_clients];
        match heard {
            // It cannot know what it may have until it is told again.
            Ok(_) if is_answer_lost => {
                client.says_all = true;
                client.told = None;
            }
            Ok(heard) => client.hear(heard),
            Err(GroupError::FencedMemberEpoch { .. } | GroupError::UnknownMember { .. }) => {
                client.fenced();
            }
            Err(error) => panic!("{said:?}: {error}"),
        }
    }

    fn leave(&mut self, place: usize) {
        if self.clients.is_empty() {
            return;
        }
        let mut client = self.clients.remove(place % self.clients.len());
        if self.group.member(&client.member_id).is_none() {
            return;
        }
        client.epoch = if client.instance_id.is_some() {
            LEFT_FOR_A_WHILE
        } else {
            LEFT
        };
        let decided = self
            .group
            .heartbeat(&client.heartbeat(), self.around())
            .unwrap();
        self.agree(decided);
        if client.instance_id.is_some() {
            // Another process in its place.
            self.n_joined += 1;
            client.member_id = format!("m-{}", self.n_joined);
            client.fenced();
            self.clients.push(client);
        }
    }

    fn crash(&mut self, place: usize) {
        if !self.clients.is_empty() {
            self.clients.remove(place % self.clients.len());
        }
    }

    /// The sessions of those end who died, or did not come back.
    fn miss(&mut self) {
        let lives = |id: &str| self.clients.iter().any(|it| it.member_id == id);
        let members = self.group.members().map(|it| it.member_id.clone());
        let dead: Vec<String> = members.filter(|it| !lives(it)).collect();
        for member_id in dead {
            let decided = self
                .group
                .expire(&member_id, TimerKind::Session, self.around());
            self.agree(decided);
        }
    }

    /// Another coordinator reads the log.
    fn fail_over(&mut self) {
        let mut group = ConsumerGroup::new("g");
        for record in &self.log {
            let bytes = record.encode().unwrap();
            let read = GroupRecord::decode(&bytes.key, bytes.value.as_ref()).unwrap();
            let crate::coordinator::records::Decoded::Record(read) = read else {
                panic!("{record:?}");
            };
            group.replay(&read);
        }
        assert_eq!(group.members, self.group.members);
        assert_eq!(group.targets, self.group.targets);
        assert_eq!(group.owners, self.group.owners);
        assert_eq!(group.member_by_instance, self.group.member_by_instance);
        self.group = group;
    }

    fn check(&self) {
        let mut readers: BTreeMap<(TopicId, i32), &str> = BTreeMap::new();
        for client in &self.clients {
            for (topic, partitions) in &client.owned {
                for partition in partitions {
                    let other = readers.insert((*topic, *partition), &client.member_id);
                    assert_eq!(other, None, "{topic}-{partition} and {}", client.member_id);
                }
            }
        }
    }

    /// Everybody lives and answers: soon all is read by somebody, and nothing changes any more.
    fn settle(&mut self) {
        self.wall_ms += 20_000;
        self.miss();
        for _ in 0..12 {
            for place in 0..self.clients.len() {
                self.heartbeat(place, false);
                self.clients[place].take();
                self.check();
            }
        }
        let n_records = self.log.len();
        (0..self.clients.len()).for_each(|it| self.heartbeat(it, false));
        assert_eq!(self.log.len(), n_records, "{:?}", self.log.last());
        let rest = if self.clients.is_empty() {
            State::Empty
        } else {
            State::Stable
        };
        assert_eq!(self.group.state(), rest);
        self.check_all_is_read();
    }

    fn check_all_is_read(&self) {
        let mut read: BTreeSet<&str> = BTreeSet::new();
        for client in &self.clients {
            read.extend(client.names.iter().map(String::as_str));
            read.extend(client.regex.iter().flat_map(|_| ["a", "c"]));
        }
        let there = read.iter().filter_map(|it| self.cluster.topics.get(*it));
        let n_read: i32 = there.sum();
        let owned = self.clients.iter().flat_map(|it| it.owned.values());
        let n_owned: usize = owned.map(BTreeSet::len).sum();
        assert_eq!(n_owned, usize::try_from(n_read).unwrap());
    }
}

#[derive(Clone, Debug)]
enum Op {
    Join(usize),
    Heartbeat(usize),
    LostAnswer(usize),
    Revoke(usize),
    Take(usize),
    Leave(usize),
    Crash(usize),
    Miss,
    Grow(i32),
    FailOver,
}

fn op() -> impl Strategy<Value = Op> {
    let who = 0_usize..8;
    prop_oneof![
        3 => (0_usize..20).prop_map(Op::Join),
        12 => who.clone().prop_map(Op::Heartbeat),
        2 => who.clone().prop_map(Op::LostAnswer),
        4 => who.clone().prop_map(Op::Revoke),
        8 => who.clone().prop_map(Op::Take),
        1 => who.clone().prop_map(Op::Leave),
        1 => who.prop_map(Op::Crash),
        1 => Just(Op::Miss),
        1 => (3_i32..9).prop_map(Op::Grow),
        1 => Just(Op::FailOver),
    ]
}

impl World {
    fn run(&mut self, op: &Op) {
        self.wall_ms += 500;
        let n_clients = self.clients.len().max(1);
        match *op {
            Op::Join(reads) => self.join(reads),
            Op::Heartbeat(place) => self.heartbeat(place, false),
            Op::LostAnswer(place) => self.heartbeat(place, true),
            Op::Revoke(place) => self
                .clients
                .iter_mut()
                .skip(place % n_clients)
                .take(1)
                .for_each(Client::revoke),
            Op::Take(place) => self
                .clients
                .iter_mut()
                .skip(place % n_clients)
                .take(1)
                .for_each(Client::take),
            Op::Leave(place) => self.leave(place),
            Op::Crash(place) => self.crash(place),
            Op::Miss => self.miss(),
            Op::Grow(n) => {
                let name = if n % 2 == 0 { "b" } else { "c" };
                let n = n.max(*self.cluster.topics.get(name).unwrap_or(&0));
                self.cluster.set(name, n);
            }
            Op::FailOver => self.fail_over(),
        }
        self.check();
    }
}

proptest! {
    #[test]
    fn no_partition_is_read_by_two_and_all_comes_to_rest(ops in prop::collection::vec(op(), 1..120)) {
        for assignor in Assignor::ALL {
            let mut world = World::new(assignor);
            for op in &ops {
                world.run(op);
            }
            world.settle();
            world.fail_over();
            world.settle();
        }
    }
}
