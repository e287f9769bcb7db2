//! A broker meets controllers that admit it, forget it, move and die.

use drave_protocol::ids::{DirectoryId, NodeId, Uuid};

use super::*;
use crate::clock::Clock;
use crate::cluster::rpc::StaleBrokerEpoch;

const SESSION: Duration = Duration::from_secs(2);
const INTERVAL: Duration = Duration::from_millis(200);
const EPOCH: BrokerEpoch = BrokerEpoch(50);

struct Story {
    broker: Registration,
    now: Instant,
}

impl Story {
    /// Connected to the controller at `a`, its registration sent.
    fn connected() -> Self {
        let now = Clock::system().now();
        let request = RegisterBroker {
            broker: NodeId(1),
            incarnation: Uuid([1; 16]),
            directory: DirectoryId(100),
            cluster_id: None,
            listeners: Vec::new(),
            controller_address: "me".to_owned(),
            http_address: None,
            rack: None,
            previous_broker_epoch: None,
            flushes_on_commit: true,
        };
        let broker = Registration::new(request, SESSION, INTERVAL, now);
        let mut story = Self { broker, now };
        assert_eq!(
            story.step(at("a")),
            [Effect::Connect(Controller::At("a".to_owned()))]
        );
        let sent = story.step(Event::Connected);
        assert!(matches!(
            sent.as_slice(),
            [Effect::Send(PeerRequest::RegisterBroker(_))]
        ));
        story
    }

    /// Registered and unfenced, its last heartbeat answered just now.
    fn serving() -> Self {
        let mut story = Self::connected();
        story.answer(PeerResponse::RegisterBroker(Ok(EPOCH)));
        story.answer(beat(true));
        story.step(Event::Wished(Wish::Serve));
        story.step(applied(60));
        story.answer(beat(true));
        story.answer(beat(false));
        assert!(story.broker.standing().unfenced);
        story
    }

    fn step(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.broker.step(event, self.now, &mut effects);
        effects
    }

    /// Answers what was sent just now.
    fn answer(&mut self, response: PeerResponse) -> Vec<Effect> {
        let sent_at = self.now;
        self.step(Event::Answered { sent_at, response })
    }

    fn wait(&mut self, millis: u64) -> Vec<Effect> {
        self.now += Duration::from_millis(millis);
        self.step(Event::Tick)
    }

    fn holds_lease(&self) -> bool {
        self.broker
            .lease()
            .until
            .is_some_and(|until| self.now < until)
    }
}

fn at(address: &str) -> Event {
    Event::Controller(Some(Controller::At(address.to_owned())))
}

fn applied(offset: u64) -> Event {
    Event::Applied {
        offset: MetadataOffset(offset),
        cluster_id: None,
    }
}

fn beat(fenced: bool) -> PeerResponse {
    PeerResponse::Heartbeat(Ok(HeartbeatAnswer {
        fenced,
        should_shut_down: false,
    }))
}

fn heartbeat_in(effects: &[Effect]) -> Heartbeat {
    match effects {
        [Effect::Send(PeerRequest::Heartbeat(it))] => *it,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_registered_broker_heartbeats_at_once_and_asks_to_stay_hidden() {
    let mut story = Story::connected();
    let sent = heartbeat_in(&story.answer(PeerResponse::RegisterBroker(Ok(EPOCH))));
    assert_eq!(sent.broker_epoch, EPOCH);
    assert!(sent.want_fence && !sent.want_shutdown);
}

#[test]
fn it_heartbeats_without_delay_when_its_image_shows_its_registration() {
    let mut story = Story::connected();
    story.answer(PeerResponse::RegisterBroker(Ok(EPOCH)));
    story.step(Event::Wished(Wish::Serve));
    let sent = heartbeat_in(&story.answer(beat(true)));
    assert!(
        !sent.want_fence,
        "the wish goes out as soon as there is an answer"
    );
    story.answer(beat(true));
    assert_eq!(story.step(applied(49)), []);
    let sent = heartbeat_in(&story.step(applied(50)));
    assert_eq!(sent.applied, MetadataOffset(50));
}

#[test]
fn heartbeats_follow_each_other_at_the_interval_counted_from_sending() {
    let mut story = Story::serving();
    assert_eq!(story.wait(199), []);
    let sent_at = story.now + Duration::from_millis(1);
    heartbeat_in(&story.wait(1));
    story.now += Duration::from_millis(50);
    assert_eq!(
        story.step(Event::Answered {
            sent_at,
            response: beat(false)
        }),
        []
    );
    assert_eq!(story.wait(149), []);
    heartbeat_in(&story.wait(1));
}

#[test]
fn the_lease_lasts_three_quarters_of_a_session_from_the_sending() {
    let mut story = Story::serving();
    let sent_at = story.now;
    story.now += Duration::from_millis(100);
    story.step(Event::Answered {
        sent_at,
        response: beat(false),
    });
    story.now = sent_at + Duration::from_millis(1499);
    assert!(story.holds_lease());
    story.now = sent_at + Duration::from_millis(1500);
    assert!(!story.holds_lease());
}

#[test]
fn a_fenced_answer_ends_the_lease_at_once() {
    let mut story = Story::serving();
    assert!(story.holds_lease());
    story.wait(200);
    story.answer(beat(true));
    assert!(!story.holds_lease());
}

#[test]
fn a_broken_connection_is_opened_anew_soon_and_then_less_often() {
    let mut story = Story::serving();
    assert_eq!(story.step(Event::Disconnected), [Effect::Disconnect]);
    for pause in [10, 20, 40, 80, 160, 200, 200] {
        assert_eq!(story.wait(pause - 1), []);
        assert!(
            matches!(story.wait(1).as_slice(), [Effect::Connect(_)]),
            "after {pause} ms"
        );
        story.step(Event::Disconnected);
    }
    assert_eq!(
        story.broker.lease().broker_epoch,
        Some(EPOCH),
        "it is still that process"
    );
}

#[test]
fn it_goes_where_the_controller_goes_and_keeps_its_epoch() {
    let mut story = Story::serving();
    assert_eq!(story.step(Event::Controller(None)), [], "no leader: stay");
    let moved = story.step(at("b"));
    let connect = Effect::Connect(Controller::At("b".to_owned()));
    assert_eq!(moved, [Effect::Disconnect, connect]);
    assert_eq!(
        heartbeat_in(&story.step(Event::Connected)).broker_epoch,
        EPOCH
    );
    assert_eq!(story.step(at("b")), [], "told twice");
}

#[test]
fn a_controller_not_active_yet_is_asked_again_without_reconnecting() {
    let mut story = Story::serving();
    story.wait(200);
    assert_eq!(
        story.answer(PeerResponse::Refused(Refusal::NotController)),
        []
    );
    heartbeat_in(&story.wait(10));
}

#[test]
fn a_broker_whose_registration_is_over_registers_anew_and_holds_nothing() {
    let mut story = Story::serving();
    story.wait(200);
    let stale = StaleBrokerEpoch {
        broker: NodeId(1),
        presented: EPOCH,
        registered: Some(BrokerEpoch(70)),
    };
    let sent = story.answer(PeerResponse::Heartbeat(Err(HeartbeatError::Stale(stale))));
    assert!(matches!(
        sent.as_slice(),
        [Effect::Send(PeerRequest::RegisterBroker(_))]
    ));
    assert!(!story.holds_lease());
    assert_eq!(story.broker.lease().broker_epoch, None);
}

#[test]
fn a_duplicate_is_tried_again_shortly_and_says_why_meanwhile() {
    let mut story = Story::connected();
    let running = Uuid([9; 16]);
    let error = RegisterError::Duplicate {
        broker: NodeId(1),
        running,
    };
    assert_eq!(story.answer(PeerResponse::RegisterBroker(Err(error))), []);
    assert!(story.broker.standing().refusal.is_some());
    assert!(matches!(story.wait(50).as_slice(), [Effect::Send(_)]));
    story.answer(PeerResponse::RegisterBroker(Ok(EPOCH)));
    assert_eq!(story.broker.standing().refusal, None);
}

#[test]
fn a_leaving_broker_asks_often_until_it_may_stop() {
    let mut story = Story::serving();
    let sent = heartbeat_in(&story.step(Event::Wished(Wish::Leave)));
    assert!(sent.want_shutdown);
    story.answer(beat(false));
    assert!(!story.broker.standing().may_stop);
    assert!(story.holds_lease(), "it serves until it may stop");
    heartbeat_in(&story.wait(50));
    story.answer(PeerResponse::Heartbeat(Ok(HeartbeatAnswer {
        fenced: false,
        should_shut_down: true,
    })));
    assert!(story.broker.standing().may_stop);
}

#[test]
fn a_broker_nobody_knows_may_stop_at_once() {
    let mut story = Story::connected();
    story.step(Event::Wished(Wish::Leave));
    assert!(story.broker.standing().may_stop);
}
