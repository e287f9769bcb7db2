//! Sessions and suspicions, with time as an argument.

use super::*;
use crate::clock::Clock;
use crate::controller::test_cluster::{change_broker, cluster, epoch_of};

const TIMEOUT: Duration = Duration::from_secs(2);
const A: ConnectionId = ConnectionId(1);
const B: ConnectionId = ConnectionId(2);

/// Brokers 1 and 2 unfenced, 3 fenced; all as a new controller finds them.
fn sessions(now: Instant) -> Sessions {
    let mut image = cluster(&[1, 2, 3]);
    change_broker(&mut image, 3, |it| it.fenced = true);
    Sessions::new(&image, TIMEOUT, None, now)
}

fn beat(sessions: &mut Sessions, id: i32, connection: ConnectionId, applied: u64, now: Instant) {
    sessions.heard(
        NodeId(id),
        epoch_of(id),
        connection,
        MetadataOffset(applied),
        now,
    );
}

fn start() -> Instant {
    Clock::system().now()
}

/// Lets time pass as a controller that runs sees it: in small steps.
fn expired_after(sessions: &mut Sessions, from: Instant, seconds: f64) -> Vec<NodeId> {
    let end = from + Duration::from_secs_f64(seconds);
    let mut now = from;
    let mut expired = Vec::new();
    while now < end {
        now += Duration::from_millis(100);
        expired = sessions.expired(now).iter().map(|it| it.0).collect();
    }
    expired
}

#[test]
fn a_new_controller_gives_every_unfenced_broker_a_whole_session() {
    let now = start();
    assert_eq!(expired_after(&mut sessions(now), now, 1.9), vec![]);
    assert_eq!(
        expired_after(&mut sessions(now), now, 2.0),
        [NodeId(1), NodeId(2)]
    );
}

#[test]
fn the_former_controller_gets_what_its_lease_may_still_last_and_no_more() {
    let now = start();
    let mut image = cluster(&[1, 2]);
    change_broker(&mut image, 2, |it| it.fenced = false);
    let begin = || Sessions::new(&image, TIMEOUT, Some(NodeId(2)), now);
    // Its lease: three quarters of two seconds.
    assert_eq!(expired_after(&mut begin(), now, 1.6), vec![]);
    assert_eq!(expired_after(&mut begin(), now, 1.7), [NodeId(2)]);
    let mut heard = begin();
    beat(&mut heard, 2, A, 5, now);
    assert_eq!(expired_after(&mut heard, now, 1.9), vec![]);
}

#[test]
fn a_heartbeat_starts_the_session_anew() {
    let now = start();
    let mut sessions = sessions(now);
    assert_eq!(expired_after(&mut sessions, now, 1.5), vec![]);
    let later = now + Duration::from_millis(1500);
    beat(&mut sessions, 1, A, 5, later);
    assert_eq!(expired_after(&mut sessions, later, 1.0), [NodeId(2)]);
}

#[test]
fn a_controller_that_slept_blames_nobody() {
    let now = start();
    let mut sessions = sessions(now);
    let woken = now + Duration::from_mins(1);
    assert_eq!(sessions.expired(woken), vec![]);
    assert_eq!(expired_after(&mut sessions, woken, 1.9), vec![]);
}

#[test]
fn a_closed_connection_makes_suspect_until_the_broker_is_back_on_another() {
    let now = start();
    let mut sessions = sessions(now);
    beat(&mut sessions, 1, A, 5, now);
    assert_eq!(sessions.predecessor(NodeId(1), now), Predecessor::Alive);
    assert_eq!(sessions.closed(B), None, "nobody speaks over it");
    assert_eq!(sessions.closed(A), Some((NodeId(1), epoch_of(1))));
    assert!(sessions.is_suspect(NodeId(1), epoch_of(1)));
    assert_eq!(sessions.predecessor(NodeId(1), now), Predecessor::Gone);
    beat(&mut sessions, 1, B, 5, now);
    assert!(!sessions.is_suspect(NodeId(1), epoch_of(1)));
}

#[test]
fn the_close_of_an_abandoned_connection_accuses_nobody() {
    let now = start();
    let mut sessions = sessions(now);
    beat(&mut sessions, 1, A, 5, now);
    beat(&mut sessions, 1, B, 5, now);
    assert_eq!(sessions.closed(A), None);
}

#[test]
fn what_comes_late_over_an_older_connection_is_from_before_though_the_newer_closed() {
    let now = start();
    let mut sessions = sessions(now);
    beat(&mut sessions, 1, B, 5, now);
    let is_late = |it: &Sessions| it.is_overtaken(NodeId(1), epoch_of(1), A);
    assert!(is_late(&sessions));
    assert_eq!(sessions.closed(B), Some((NodeId(1), epoch_of(1))));
    assert!(is_late(&sessions));
    assert_eq!(sessions.closed(B), None, "once");
}

#[test]
fn only_two_refusals_in_a_row_prove_a_death() {
    let mut suspicion = Suspicion::default();
    assert_eq!(suspicion.met(Probe::Refused), Verdict::DialAgain);
    assert_eq!(suspicion.met(Probe::Refused), Verdict::Dead);
}

#[test]
fn a_dying_process_that_still_accepts_is_dialled_again() {
    let mut suspicion = Suspicion::default();
    assert_eq!(suspicion.met(Probe::Refused), Verdict::DialAgain);
    assert_eq!(suspicion.met(Probe::Alive), Verdict::DialAgain);
    assert_eq!(
        suspicion.met(Probe::Refused),
        Verdict::DialAgain,
        "not in a row"
    );
    assert_eq!(suspicion.met(Probe::Refused), Verdict::Dead);
}

#[test]
fn silence_proves_nothing() {
    assert_eq!(Suspicion::default().met(Probe::Silent), Verdict::Unproven);
}

#[test]
fn a_leaving_broker_may_go_when_all_others_saw_it_leave() {
    let now = start();
    let mut sessions = sessions(now);
    beat(&mut sessions, 1, A, 50, now);
    beat(&mut sessions, 2, B, 50, now);
    assert!(!sessions.all_saw_shutdown(NodeId(1)), "it did not ask");
    sessions.began_shutdown(NodeId(1), MetadataOffset(60));
    beat(&mut sessions, 1, A, 70, now);
    assert!(!sessions.all_saw_shutdown(NodeId(1)));
    beat(&mut sessions, 2, B, 60, now);
    assert!(sessions.all_saw_shutdown(NodeId(1)));
}
