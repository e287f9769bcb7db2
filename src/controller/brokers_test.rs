//! Registration, heartbeats, fences and polite leaves, decided on paper.

use drave_protocol::ids::{DirectoryId, LeaderEpoch, Uuid};

use super::*;
use crate::controller::test_cluster::{
    add_topic, change_broker, change_of, cluster, epoch_of, incarnation_of, listener, name_of,
    nodes, partition, policy, set_topic_config,
};

fn registration(id: i32, incarnation: Uuid) -> RegisterBroker {
    RegisterBroker {
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
    }
}

fn alive(id: i32) -> Heartbeat {
    Heartbeat {
        broker: NodeId(id),
        broker_epoch: epoch_of(id),
        applied: MetadataOffset(100),
        want_fence: false,
        want_shutdown: false,
    }
}

/// Two partitions on 1, 2, 3: led by 1 and by 2.
fn image() -> MetadataImage {
    let mut image = cluster(&[1, 2, 3]);
    let partitions = vec![
        partition(&[1, 2, 3], &[1, 2, 3], &[]),
        partition(&[2, 3, 1], &[2, 3, 1], &[]),
    ];
    add_topic(&mut image, "t", partitions);
    image
}

const RESTARTED: Uuid = Uuid([0xaa; 16]);

#[test]
fn a_broker_never_seen_is_registered() {
    let decision = register(
        &cluster(&[]),
        &policy(),
        Predecessor::Gone,
        &registration(1, RESTARTED),
    );
    assert_eq!(decision.response, Ok(()));
    assert!(
        matches!(decision.records.as_slice(), [MetadataRecord::BrokerRegistered(it)] if it.broker == NodeId(1)),
        "{:?}",
        decision.records
    );
}

#[test]
fn a_retried_registration_of_the_same_process_changes_nothing() {
    let again = registration(1, incarnation_of(1));
    let decision = register(&image(), &policy(), Predecessor::Alive, &again);
    assert_eq!(decision, Decision::answer(Ok(())));
}

#[test]
fn a_second_process_is_refused_while_the_first_one_lives() {
    let decision = register(
        &image(),
        &policy(),
        Predecessor::Alive,
        &registration(1, RESTARTED),
    );
    let running = incarnation_of(1);
    assert_eq!(
        decision,
        Decision::answer(Err(RegisterError::Duplicate {
            broker: NodeId(1),
            running
        }))
    );
}

#[test]
fn a_new_incarnation_leaves_the_isrs_of_the_old_one() {
    let decision = register(
        &image(),
        &policy(),
        Predecessor::Gone,
        &registration(1, RESTARTED),
    );
    let (isr, elr, leader, epoch) = change_of(&decision.records, name_of("t", 0)).unwrap();
    assert_eq!((isr, elr), (nodes(&[2, 3]), nodes(&[])));
    assert_eq!((leader, epoch), (Some(NodeId(2)), LeaderEpoch(6)));
    let (isr, _, leader, epoch) = change_of(&decision.records, name_of("t", 1)).unwrap();
    assert_eq!(
        (isr, leader, epoch),
        (nodes(&[2, 3]), Some(NodeId(2)), LeaderEpoch(5))
    );
    let last = decision.records.last().unwrap();
    assert!(
        matches!(last, MetadataRecord::BrokerRegistered(_)),
        "registered last: {last:?}"
    );
}

#[test]
fn another_directory_is_refused_and_both_are_named() {
    let mut wiped = registration(1, RESTARTED);
    wiped.directory = DirectoryId(101);
    let decision = register(&image(), &policy(), Predecessor::Gone, &wiped);
    let message = decision.response.unwrap_err().to_string();
    assert!(
        message.contains("0000000000000064") && message.contains("0000000000000065"),
        "{message}"
    );
}

#[test]
fn a_broker_of_another_cluster_is_refused() {
    let mut stranger = registration(4, RESTARTED);
    stranger.cluster_id = Some("rock".to_owned());
    let decision = register(&image(), &policy(), Predecessor::Gone, &stranger);
    assert!(matches!(
        decision.response,
        Err(RegisterError::ClusterMismatch { .. })
    ));
}

/// The last two replicas of a partition die one after the other and come back.
fn after_crash(topic_flush_mode: Option<&str>) -> (Vec<NodeId>, Vec<NodeId>) {
    let mut image = cluster(&[1, 2]);
    add_topic(&mut image, "t", vec![partition(&[1, 2], &[1, 2], &[])]);
    if let Some(mode) = topic_flush_mode {
        set_topic_config(&mut image, "t", "flush.mode", mode);
    }
    let decision = register(
        &image,
        &policy(),
        Predecessor::Gone,
        &registration(1, RESTARTED),
    );
    let (isr, elr, _, _) = change_of(&decision.records, name_of("t", 0)).unwrap();
    (isr, elr)
}

#[test]
fn a_crashed_broker_that_flushes_on_commit_stays_eligible() {
    assert_eq!(after_crash(None), (nodes(&[2]), nodes(&[1])));
}

#[test]
fn a_crashed_broker_may_not_lead_a_topic_that_is_not_flushed() {
    assert_eq!(after_crash(Some("async")), (nodes(&[2]), nodes(&[])));
}

#[test]
fn a_clean_restart_of_an_unflushed_broker_stays_eligible() {
    let mut image = cluster(&[1, 2]);
    add_topic(&mut image, "t", vec![partition(&[1, 2], &[1, 2], &[])]);
    let mut clean = registration(1, RESTARTED);
    clean.flushes_on_commit = false;
    clean.previous_broker_epoch = Some(epoch_of(1));
    let decision = register(&image, &policy(), Predecessor::Gone, &clean);
    let (_, elr, _, _) = change_of(&decision.records, name_of("t", 0)).unwrap();
    assert_eq!(elr, nodes(&[1]));
    clean.previous_broker_epoch = Some(epoch_of(2));
    let decision = register(&image, &policy(), Predecessor::Gone, &clean);
    let (_, elr, _, _) = change_of(&decision.records, name_of("t", 0)).unwrap();
    assert_eq!(elr, nodes(&[]), "the marker is of another registration");
}

#[test]
fn fenced_broker_leaves_every_isr_it_can() {
    let records = fence(&image(), &policy(), NodeId(1), epoch_of(1));
    assert!(matches!(
        records.first(),
        Some(MetadataRecord::BrokerFenced(_))
    ));
    for partition in 0..2 {
        let (isr, _, leader, _) = change_of(&records, name_of("t", partition)).unwrap();
        assert_eq!((isr, leader), (nodes(&[2, 3]), Some(NodeId(2))));
    }
}

#[test]
fn the_last_isr_member_is_kept() {
    let mut image = cluster(&[1, 2]);
    add_topic(&mut image, "t", vec![partition(&[1, 2], &[1], &[])]);
    let records = fence(&image, &policy(), NodeId(1), epoch_of(1));
    let (isr, elr, leader, _) = change_of(&records, name_of("t", 0)).unwrap();
    assert_eq!(
        (isr, elr, leader),
        (nodes(&[]), nodes(&[1]), None),
        "it alone is awaited"
    );
}

#[test]
fn a_broker_is_unfenced_once_its_image_shows_its_registration() {
    let mut image = image();
    change_broker(&mut image, 1, |it| it.fenced = true);
    let mut behind = alive(1);
    behind.applied = MetadataOffset(9);
    assert_eq!(heartbeat(&image, &policy(), &behind).records, vec![]);
    let decision = heartbeat(&image, &policy(), &alive(1));
    assert!(matches!(
        decision.records.as_slice(),
        [MetadataRecord::BrokerUnfenced(_)]
    ));
    let mut unwilling = alive(1);
    unwilling.want_fence = true;
    assert_eq!(heartbeat(&image, &policy(), &unwilling).records, vec![]);
}

#[test]
fn an_unfenced_broker_leads_what_waited_for_it() {
    let mut image = cluster(&[1, 2]);
    change_broker(&mut image, 1, |it| it.fenced = true);
    let mut waiting = partition(&[1, 2], &[], &[1]);
    waiting.leader_epoch = LeaderEpoch(6);
    add_topic(&mut image, "t", vec![waiting]);
    let records = heartbeat(&image, &policy(), &alive(1)).records;
    let (isr, _, leader, epoch) = change_of(&records, name_of("t", 0)).unwrap();
    assert_eq!(
        (isr, leader, epoch),
        (nodes(&[1]), Some(NodeId(1)), LeaderEpoch(7))
    );
}

#[test]
fn a_leaving_broker_hands_over_before_it_goes() {
    let mut wish = alive(2);
    wish.want_shutdown = true;
    let mut image = image();
    let records = heartbeat(&image, &policy(), &wish).records;
    assert!(matches!(
        records.first(),
        Some(MetadataRecord::BrokerShuttingDown(_))
    ));
    let (isr, _, leader, _) = change_of(&records, name_of("t", 1)).unwrap();
    assert_eq!((isr, leader), (nodes(&[3, 1]), Some(NodeId(3))));
    change_broker(&mut image, 2, |it| it.shutting_down = true);
    assert_eq!(
        heartbeat(&image, &policy(), &wish).records,
        vec![],
        "asked once"
    );
}

#[test]
fn heartbeats_of_strangers_and_of_the_past_are_told_apart() {
    let unknown = heartbeat(&image(), &policy(), &alive(9)).response;
    assert_eq!(unknown, Err(HeartbeatError::NotRegistered(NodeId(9))));
    let mut old = alive(1);
    old.broker_epoch = BrokerEpoch(3);
    let stale = heartbeat(&image(), &policy(), &old).response;
    assert!(matches!(stale, Err(HeartbeatError::Stale(_))), "{stale:?}");
}
