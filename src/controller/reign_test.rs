//! Stories of one term: brokers speak, die and come back; the quorum agrees when told to.

use std::collections::BTreeMap;

use drave_protocol::ids::{DirectoryId, LeaderEpoch, PartitionEpoch};
use drave_raft::record::LeaderRecovery;

use super::*;
use crate::clock::Clock;
use crate::cluster::rpc::{
    AllocateProducerIds, AlterPartition, CreateMode, CreateTopic, CreateTopics, HeartbeatError,
    IsrMember, IsrProposal, RegisterError,
};
use crate::controller::test_cluster::{
    add_topic, change_broker, cluster, epoch_of, incarnation_of, listener, name_of, nodes,
    partition, policy,
};

/// A reign together with a quorum that agrees when told to.
struct Story {
    reign: Reign,
    now: Instant,
    next_ticket: u64,
    proposed: Option<Vec<MetadataRecord>>,
    answers: BTreeMap<Ticket, PeerResponse>,
    dials: Vec<Suspect>,
}

impl Story {
    fn begin(mut image: MetadataImage) -> Self {
        // This cluster agreed on it long ago.
        if let Some(record) = agree_on_min_isr(&image, &policy()) {
            image = image.apply(image.offset, image.term, &[record]).unwrap().0;
        }
        let now = Clock::system().now();
        let reign = Reign::new((2, None), Arc::new(image), policy(), Random::seeded(1), now);
        let mut story = Self {
            reign,
            now,
            next_ticket: 0,
            proposed: None,
            answers: BTreeMap::new(),
            dials: Vec::new(),
        };
        let mut effects = Vec::new();
        story.reign.begin(&mut effects);
        story.run(effects);
        story
    }

    /// Every broker answers the new controller's dialling with a heartbeat.
    fn among_the_living(image: MetadataImage) -> Self {
        let mut story = Self::begin(image);
        for suspect in mem::take(&mut story.dials) {
            story.heartbeat(suspect.broker.0);
        }
        story
    }

    fn run(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Propose(records) => {
                    assert_eq!(self.proposed, None, "one batch at a time");
                    self.proposed = Some(records);
                }
                Effect::Answer { ticket, reply } => {
                    let before = self.answers.insert(ticket, reply.response);
                    assert_eq!(before, None, "answered once");
                }
                Effect::Dial(suspect) => self.dials.push(suspect),
                Effect::GiveUp => panic!("gave up"),
            }
        }
    }

    fn step(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.reign.step(event, self.now, &mut effects);
        self.run(effects);
    }

    fn ask(&mut self, connection: u64, request: PeerRequest) -> Ticket {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        let connection = ConnectionId(connection);
        self.step(Event::Asked {
            ticket,
            connection,
            request,
        });
        ticket
    }

    /// The quorum agrees, `skipped` entries of its own later.
    fn agree_after(&mut self, skipped: u64) -> Vec<MetadataRecord> {
        let records = self.proposed.take().expect("something was proposed");
        let before = &self.reign.committed;
        let at = MetadataOffset(before.offset.0 + skipped + 1);
        let image = before.apply(at, 2, &records).unwrap().0;
        self.step(Event::Agreed(Arc::new(image)));
        records
    }

    fn agree(&mut self) -> Vec<MetadataRecord> {
        self.agree_after(0)
    }

    fn answer(&self, ticket: Ticket) -> Option<&PeerResponse> {
        self.answers.get(&ticket)
    }

    fn heartbeat(&mut self, id: i32) -> Ticket {
        self.ask(id.try_into().unwrap(), PeerRequest::Heartbeat(alive(id)))
    }

    /// Time passes in small steps; the brokers named go on heartbeating.
    fn wait(&mut self, millis: u64, heartbeating: &[i32]) {
        for _ in 0..millis / 50 {
            self.now += Duration::from_millis(50);
            for id in heartbeating {
                self.heartbeat(*id);
            }
            self.step(Event::Tick);
        }
    }

    fn leader(&self) -> Option<NodeId> {
        self.reign
            .committed
            .partition(name_of("t", 0))
            .unwrap()
            .leader
    }
}

fn alive(id: i32) -> Heartbeat {
    Heartbeat {
        broker: NodeId(id),
        broker_epoch: epoch_of(id),
        applied: MetadataOffset(1_000),
        want_fence: false,
        want_shutdown: false,
    }
}

fn leaving(id: i32) -> PeerRequest {
    PeerRequest::Heartbeat(Heartbeat {
        want_shutdown: true,
        ..alive(id)
    })
}

fn registration(id: i32, incarnation: Uuid) -> PeerRequest {
    PeerRequest::RegisterBroker(RegisterBroker {
        broker: NodeId(id),
        incarnation,
        directory: DirectoryId(u64::try_from(id).unwrap() * 100),
        cluster_id: None,
        listeners: vec![listener(id)],
        controller_address: format!("host{id}:9093"),
        http_address: None,
        rack: None,
        previous_broker_epoch: None,
        flushes_on_commit: true,
    })
}

fn creation(name: &str) -> PeerRequest {
    let topic = CreateTopic {
        name: name.to_owned(),
        ..CreateTopic::default()
    };
    PeerRequest::CreateTopics(CreateTopics {
        topics: vec![topic],
        mode: CreateMode::Create,
    })
}

fn proposal(leader: i32, isr: &[i32], partition_epoch: i32) -> PeerRequest {
    let member = |id: &i32| IsrMember {
        node: NodeId(*id),
        broker_epoch: epoch_of(*id),
    };
    PeerRequest::AlterPartition(AlterPartition {
        broker: NodeId(leader),
        broker_epoch: epoch_of(leader),
        partitions: vec![IsrProposal {
            partition: name_of("t", 0),
            leader_epoch: LeaderEpoch(5),
            partition_epoch: PartitionEpoch(partition_epoch),
            isr: isr.iter().map(member).collect(),
            recovery: LeaderRecovery::Recovered,
        }],
    })
}

/// Topic t: one partition on 1, 2, 3, all in sync, led by 1.
fn image() -> MetadataImage {
    let mut image = cluster(&[1, 2, 3]);
    add_topic(
        &mut image,
        "t",
        vec![partition(&[1, 2, 3], &[1, 2, 3], &[])],
    );
    image
}

const RESTARTED: Uuid = Uuid([0xaa; 16]);

#[test]
fn nothing_is_answered_before_it_is_agreed() {
    let mut story = Story::begin(image());
    let ticket = story.ask(1, creation("new"));
    assert_eq!(story.answer(ticket), None);
    story.agree();
    assert!(matches!(
        story.answer(ticket),
        Some(PeerResponse::CreateTopics(_))
    ));
}

#[test]
fn what_is_decided_meanwhile_gathers_behind_the_batch_in_flight() {
    let mut story = Story::begin(image());
    story.ask(1, creation("a"));
    let b = story.ask(1, creation("b"));
    let c = story.ask(1, creation("c"));
    story.agree();
    assert_eq!(story.answer(b), None);
    assert_eq!(story.agree().len(), 4, "b and c go out together");
    assert!(story.answer(b).is_some() && story.answer(c).is_some());
}

#[test]
fn a_decision_builds_on_those_before_it_and_is_answered_after_them() {
    let mut story = Story::begin(image());
    story.ask(1, creation("a"));
    let again = story.ask(1, creation("a"));
    assert_eq!(
        story.answer(again),
        None,
        "the refusal rests on what is not agreed"
    );
    story.agree();
    let Some(PeerResponse::CreateTopics(created)) = story.answer(again) else {
        panic!()
    };
    assert!(created[0].result.is_err());
}

#[test]
fn the_end_of_a_reign_tells_everyone_who_waits_to_ask_again() {
    let mut story = Story::begin(image());
    let waiting = [story.ask(1, creation("a")), story.ask(1, creation("b"))];
    let mut effects = Vec::new();
    story.reign.end(&mut effects);
    story.run(effects);
    for ticket in waiting {
        let refused = PeerResponse::Refused(Refusal::NotController);
        assert_eq!(story.answer(ticket), Some(&refused));
    }
}

#[test]
fn a_broker_epoch_is_the_offset_its_registration_got() {
    let mut story = Story::begin(image());
    story.ask(1, creation("a"));
    let ticket = story.ask(4, registration(4, RESTARTED));
    story.agree();
    story.agree_after(3);
    let epoch = BrokerEpoch(105);
    assert_eq!(
        story.answer(ticket),
        Some(&PeerResponse::RegisterBroker(Ok(epoch)))
    );
    let heartbeat = Heartbeat {
        broker_epoch: epoch,
        ..alive(4)
    };
    let ticket = story.ask(4, PeerRequest::Heartbeat(heartbeat));
    story.agree();
    let Some(PeerResponse::Heartbeat(Ok(answer))) = story.answer(ticket) else {
        panic!()
    };
    assert!(!answer.fenced, "the answer comes when it is unfenced");
}

#[test]
fn a_silent_broker_is_fenced_when_its_session_ends_and_not_before() {
    let mut story = Story::begin(image());
    story.wait(1950, &[2, 3]);
    assert_eq!(story.proposed, None);
    story.wait(100, &[2, 3]);
    story.agree();
    assert_eq!(story.leader(), Some(NodeId(2)));
    assert!(story.reign.committed.active_broker(NodeId(1)).is_none());
}

#[test]
fn a_broker_that_died_with_the_last_controller_is_found_by_dialling() {
    let mut story = Story::begin(image());
    let dials = mem::take(&mut story.dials);
    assert_eq!(dials.len(), 3, "whoever is not fenced and not heard");
    story.heartbeat(2);
    story.heartbeat(3);
    for suspect in dials {
        let probe = Probe::Refused;
        story.step(Event::Dialled { suspect, probe });
    }
    assert_eq!(story.dials.len(), 1, "those heard are suspects no more");
    let suspect = story.dials.remove(0);
    let probe = Probe::Refused;
    story.step(Event::Dialled { suspect, probe });
    story.agree();
    assert_eq!(story.leader(), Some(NodeId(2)));
}

#[test]
fn a_killed_broker_is_fenced_as_soon_as_its_host_refuses_twice() {
    let mut story = Story::among_the_living(image());
    story.heartbeat(1);
    story.step(Event::Closed(ConnectionId(1)));
    for probe in [Probe::Alive, Probe::Refused, Probe::Refused] {
        assert_eq!(story.proposed, None);
        let suspect = story.dials.pop().expect("dialled again");
        assert_eq!(suspect.address, "host1:9093");
        story.step(Event::Dialled { suspect, probe });
    }
    story.agree();
    assert_eq!(story.leader(), Some(NodeId(2)));
}

#[test]
fn a_broker_back_on_another_connection_is_not_fenced() {
    let mut story = Story::among_the_living(image());
    story.heartbeat(1);
    story.step(Event::Closed(ConnectionId(1)));
    let suspect = story.dials.pop().unwrap();
    story.ask(9, PeerRequest::Heartbeat(alive(1)));
    story.step(Event::Dialled {
        suspect,
        probe: Probe::Refused,
    });
    assert_eq!((story.dials.len(), &story.proposed), (0, &None));
}

#[test]
fn what_comes_late_over_an_older_connection_fences_nobody() {
    let mut story = Story::among_the_living(image());
    story.ask(20, PeerRequest::Heartbeat(alive(2)));
    let hidden = Heartbeat {
        want_fence: true,
        ..alive(2)
    };
    let late = story.ask(12, PeerRequest::Heartbeat(hidden));
    assert_eq!(story.proposed, None, "it serves by now");
    assert!(story.answer(late).is_some());
    story.ask(20, PeerRequest::Heartbeat(hidden));
    assert!(story.proposed.is_some(), "unless it says so itself");
}

#[test]
fn a_silent_host_leaves_the_verdict_to_the_session() {
    let mut story = Story::among_the_living(image());
    story.heartbeat(1);
    story.step(Event::Closed(ConnectionId(1)));
    let suspect = story.dials.pop().unwrap();
    story.step(Event::Dialled {
        suspect,
        probe: Probe::Silent,
    });
    assert_eq!((story.dials.len(), &story.proposed), (0, &None));
    story.wait(2000, &[2, 3]);
    story.agree();
    assert_eq!(story.leader(), Some(NodeId(2)));
}

#[test]
fn a_restarted_broker_is_admitted_as_soon_as_its_old_connection_is_gone() {
    let mut story = Story::begin(image());
    story.heartbeat(1);
    let early = story.ask(7, registration(1, RESTARTED));
    let running = incarnation_of(1);
    let duplicate = RegisterError::Duplicate {
        broker: NodeId(1),
        running,
    };
    assert_eq!(
        story.answer(early),
        Some(&PeerResponse::RegisterBroker(Err(duplicate)))
    );
    story.step(Event::Closed(ConnectionId(1)));
    let ticket = story.ask(7, registration(1, RESTARTED));
    story.agree();
    assert!(matches!(
        story.answer(ticket),
        Some(PeerResponse::RegisterBroker(Ok(_)))
    ));
    assert_eq!(
        story.leader(),
        Some(NodeId(2)),
        "the new process leads nothing yet"
    );
    let old = story.heartbeat(1);
    assert!(
        matches!(
            story.answer(old),
            Some(PeerResponse::Heartbeat(Err(HeartbeatError::Stale(_))))
        ),
        "the old one is over"
    );
}

#[test]
fn a_new_controller_admits_a_restarted_broker_it_never_heard() {
    let mut story = Story::begin(image());
    let ticket = story.ask(7, registration(1, RESTARTED));
    story.agree();
    assert!(matches!(
        story.answer(ticket),
        Some(PeerResponse::RegisterBroker(Ok(_)))
    ));
}

#[test]
fn of_two_processes_in_one_batch_only_the_last_one_is_registered() {
    let mut story = Story::begin(image());
    story.ask(1, creation("a"));
    let first = story.ask(7, registration(4, RESTARTED));
    let second = story.ask(8, registration(4, Uuid([0xbb; 16])));
    story.agree();
    story.agree();
    let refused = PeerResponse::Refused(Refusal::NotController);
    assert_eq!(story.answer(first), Some(&refused));
    assert!(matches!(
        story.answer(second),
        Some(PeerResponse::RegisterBroker(Ok(_)))
    ));
}

#[test]
fn the_answer_to_a_broker_about_to_be_fenced_renews_no_lease() {
    let mut story = Story::begin(image());
    story.wait(2000, &[2, 3]);
    assert!(story.proposed.is_some(), "the fence is in flight");
    let ticket = story.heartbeat(1);
    // It is back, and will be unfenced; until then it must not think itself a leader.
    assert_eq!(story.answer(ticket), None);
    story.agree();
    story.agree();
    let Some(PeerResponse::Heartbeat(Ok(answer))) = story.answer(ticket) else {
        panic!()
    };
    assert!(!answer.fenced);
    assert_eq!(story.leader(), Some(NodeId(2)));
}

#[test]
fn a_leaving_broker_goes_when_it_leads_nothing_and_all_have_seen_it() {
    let mut story = Story::begin(image());
    let seen = |applied, id| {
        PeerRequest::Heartbeat(Heartbeat {
            applied: MetadataOffset(applied),
            ..alive(id)
        })
    };
    story.ask(2, seen(100, 2));
    story.ask(3, seen(100, 3));
    let mut last = story.ask(1, leaving(1));
    story.agree();
    let may_go = |story: &Story, ticket| match story.answer(ticket) {
        Some(PeerResponse::Heartbeat(Ok(answer))) => answer.should_shut_down,
        other => panic!("{other:?}"),
    };
    assert_eq!(story.leader(), Some(NodeId(2)));
    assert!(!may_go(&story, last), "the others have not seen it yet");
    story.ask(2, seen(101, 2));
    last = story.ask(1, leaving(1));
    assert!(!may_go(&story, last));
    story.ask(3, seen(101, 3));
    last = story.ask(1, leaving(1));
    assert!(may_go(&story, last));
}

#[test]
fn a_fenced_broker_that_wants_to_leave_may_go_at_once() {
    let mut image = image();
    change_broker(&mut image, 3, |it| it.fenced = true);
    let mut story = Story::begin(image);
    story.agree();
    let ticket = story.ask(3, leaving(3));
    let Some(PeerResponse::Heartbeat(Ok(answer))) = story.answer(ticket) else {
        panic!()
    };
    assert!(answer.should_shut_down && answer.fenced);
}

fn wants_ids(id: i32) -> PeerRequest {
    PeerRequest::AllocateProducerIds(AllocateProducerIds {
        broker: NodeId(id),
        broker_epoch: epoch_of(id),
    })
}

#[test]
fn producer_ids_of_a_lost_reign_may_be_lost_but_are_never_given_again() {
    let mut story = Story::begin(image());
    let first_id = |story: &Story, ticket| match story.answer(ticket) {
        Some(PeerResponse::AllocateProducerIds(Ok(block))) => Some(block.first.0),
        None => None,
        other => panic!("{other:?}"),
    };
    let first = story.ask(1, wants_ids(1));
    let second = story.ask(2, wants_ids(2));
    let third = story.ask(1, wants_ids(1));
    assert_eq!(first_id(&story, first), None, "not agreed yet");
    story.agree();
    assert_eq!(first_id(&story, first), Some(0));
    assert_eq!(first_id(&story, second), None, "decided, not agreed yet");
    // The second batch is agreed, but this controller never hears of it.
    let lost = story.proposed.take().unwrap();
    let before = story.reign.committed.as_ref();
    let at = MetadataOffset(before.offset.0 + 1);
    let image = before.apply(at, 2, &lost).unwrap().0;
    let mut effects = Vec::new();
    story.reign.end(&mut effects);
    story.run(effects);
    let refused = PeerResponse::Refused(Refusal::NotController);
    assert_eq!(story.answer(second), Some(&refused));
    assert_eq!(story.answer(third), Some(&refused));

    let mut story = Story::begin(image);
    let again = story.ask(2, wants_ids(2));
    story.agree();
    assert_eq!(first_id(&story, again), Some(3000));
}

#[test]
fn isr_proposals_in_a_row_each_see_the_one_before() {
    let mut story = Story::begin(image());
    story.ask(1, proposal(1, &[1, 2], 9));
    let stale = story.ask(1, proposal(1, &[1, 3], 9));
    let next = story.ask(1, proposal(1, &[1], 10));
    story.agree();
    story.agree();
    let result = |ticket| match story.answer(ticket) {
        Some(PeerResponse::AlterPartition(Ok(it))) => it[0].1.clone(),
        other => panic!("{other:?}"),
    };
    assert!(result(stale).is_err());
    let after = result(next).unwrap();
    assert_eq!(
        (after.isr, after.partition_epoch),
        (nodes(&[1]), PartitionEpoch(11))
    );
}

#[test]
fn a_new_reign_finishes_a_fence_that_was_cut_short() {
    let mut image = image();
    change_broker(&mut image, 1, |it| it.fenced = true);
    let mut story = Story::begin(image);
    story.agree();
    assert_eq!(story.leader(), Some(NodeId(2)));
}

#[test]
fn leaderships_come_home_after_a_while() {
    let mut image = cluster(&[1, 2, 3]);
    add_topic(
        &mut image,
        "t",
        vec![partition(&[1, 2, 3], &[2, 1, 3], &[])],
    );
    let mut story = Story::begin(image);
    story.wait(30_100, &[1, 2, 3]);
    story.agree();
    assert_eq!(story.leader(), Some(NodeId(1)));
}
