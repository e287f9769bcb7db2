//! A classic group through joins, syncs, leaves and deadlines: what each may do in each state.

use std::time::Duration;

use bytes::Bytes;
use drave_protocol::ErrorCode;

use super::*;
use crate::coordinator::decision::{Awaited, Decision, TimerKind, Waiter};
use crate::coordinator::error::GroupError;
use crate::coordinator::group::context::Context;
use crate::coordinator::group::scene;
use crate::coordinator::records::GroupRecord;
use crate::coordinator::timers::Timers;

/// A group, its time and its deadlines.
struct Scene {
    group: ClassicGroup,
    cx: Context,
    timers: Timers,
    records: Vec<GroupRecord>,
}

/// Who asks, and how.
#[derive(Clone, Default)]
struct Who {
    id: String,
    instance: Option<String>,
    protocols: Vec<&'static str>,
    abilities: JoinAbilities,
}

impl Scene {
    fn new() -> Self {
        let cx = scene::context();
        Self {
            group: ClassicGroup::new("g", cx.wall_ms),
            cx,
            timers: Timers::default(),
            records: Vec::new(),
        }
    }

    fn carry_out(&mut self, out: Decision<()>) {
        out.timers.into_iter().for_each(|it| self.timers.apply(it));
        out.answers.into_iter().for_each(|it| it.release(Ok(())));
        self.records.extend(out.records);
    }

    fn join(&mut self, who: &Who) -> Awaited<Joined> {
        let protocols = if who.protocols.is_empty() {
            vec!["range"]
        } else {
            who.protocols.clone()
        };
        let protocol = |name: &&str| Protocol {
            name: (*name).to_owned(),
            metadata: Bytes::from_static(b"\x00\x00\x00\x00\x00\x01\x00\x01t"),
        };
        let join = Join {
            group_id: "g".to_owned(),
            member_id: who.id.clone(),
            instance_id: who.instance.clone(),
            client_id: "c".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            protocol_type: CONSUMER.to_owned(),
            protocols: protocols.iter().map(protocol).collect(),
            session_timeout: Duration::from_secs(10),
            rebalance_timeout: Duration::from_mins(1),
            abilities: who.abilities,
        };
        let (waiter, awaited) = Waiter::new();
        let mut out = Decision::default();
        self.group.join(&join, waiter, &self.cx, &mut out);
        self.carry_out(out);
        awaited
    }

    fn sync(&mut self, id: &str, assignments: &[(&str, &'static str)]) -> Awaited<Synced> {
        let sync = Sync {
            member: self.presence(id),
            assignments: assignments
                .iter()
                .map(|(id, what)| ((*id).to_owned(), Bytes::from_static(what.as_bytes())))
                .collect(),
            ..Sync::default()
        };
        let (waiter, awaited) = Waiter::new();
        let mut out = Decision::default();
        self.group.sync(sync, waiter, &self.cx, &mut out);
        self.carry_out(out);
        awaited
    }

    fn presence(&self, id: &str) -> Presence {
        Presence {
            member_id: id.to_owned(),
            instance_id: None,
            generation: self.group.generation(),
        }
    }

    fn heartbeat(&mut self, id: &str) -> Result<(), GroupError> {
        let presence = self.presence(id);
        let decision = self.group.heartbeat(&presence, &self.cx)?;
        let answer = decision.response.clone();
        self.carry_out(decision.map(drop));
        answer
    }

    fn leave(&mut self, id: &str, instance: Option<&str>) -> Result<(), GroupError> {
        let leaver = Leaver {
            member_id: id.to_owned(),
            instance_id: instance.map(str::to_owned),
            reason: None,
        };
        let mut out = Decision::default();
        let outcome = self.group.leave(&leaver, &self.cx, &mut out);
        self.carry_out(out);
        outcome
    }

    /// Lets time pass and deadlines with it.
    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            scene::pass(&mut self.cx, Duration::from_secs(1));
            while let Some(key) = self.timers.take_due(self.cx.now) {
                let out = self.group.expire(&key.member_id, key.kind, &self.cx);
                self.carry_out(out);
            }
        }
    }

    /// A stable group of that many members, and their ids.
    fn stable(n_members: usize) -> (Self, Vec<String>) {
        let mut scene = Self::new();
        let mut joining: Vec<Awaited<Joined>> = (0..n_members)
            .map(|_| scene.join(&Who::default()))
            .collect();
        scene.pass(6);
        let ids: Vec<String> = joining.iter_mut().map(|it| joined(it).member_id).collect();
        scene.sync_all(&ids);
        assert_eq!(scene.group.state(), State::Stable);
        (scene, ids)
    }

    fn sync_all(&mut self, ids: &[String]) {
        let leader = self.group.leader.clone().unwrap();
        for id in ids.iter().filter(|it| **it != leader).chain([&leader]) {
            let assignments: Vec<(&str, &str)> = ids.iter().map(|it| (it.as_str(), "p")).collect();
            drop(self.sync(id, &assignments));
        }
    }

    fn as_member(id: &str) -> Who {
        Who {
            id: id.to_owned(),
            ..Who::default()
        }
    }

    fn as_instance(name: &str) -> Who {
        Who {
            instance: Some(name.to_owned()),
            ..Who::default()
        }
    }
}

fn joined(awaited: &mut Awaited<Joined>) -> Joined {
    awaited.poll().expect("an answer").unwrap()
}

fn code<T>(awaited: &mut Awaited<T>) -> Option<ErrorCode> {
    awaited.poll()?.err().map(ErrorCode::from)
}

fn code_of<T>(outcome: Result<T, GroupError>) -> Option<ErrorCode> {
    outcome.err().map(ErrorCode::from)
}

#[test]
fn members_that_come_together_are_one_generation() {
    let mut scene = Scene::new();
    let mut first = scene.join(&Who::default());
    scene.pass(2);
    let mut second = scene.join(&Who::default());
    scene.pass(2);
    assert!(
        first.poll().is_none(),
        "somebody came: the delay begins anew"
    );
    scene.pass(2);
    let (first, second) = (joined(&mut first), joined(&mut second));
    assert_eq!((first.generation, second.generation), (1, 1));
    assert_eq!(first.leader, second.leader);
    let (leader, other) = if first.leader == first.member_id {
        (first, second)
    } else {
        (second, first)
    };
    assert_eq!((leader.members.len(), other.members.len()), (2, 0));
    assert_eq!(leader.protocol_name.as_deref(), Some("range"));

    let mut waits = scene.sync(&other.member_id, &[]);
    assert!(waits.poll().is_none(), "the leader has not assigned");
    let assigned = [(leader.member_id.as_str(), "a"), (&other.member_id, "b")];
    let mut own = scene.sync(&leader.member_id, &assigned);
    assert_eq!(own.poll().unwrap().unwrap().assignment, "a");
    assert_eq!(waits.poll().unwrap().unwrap().assignment, "b");
    assert_eq!(scene.records.len(), 1, "recorded when assigned");
    assert_eq!(scene.group.state(), State::Stable);
}

#[test]
fn a_member_that_joins_makes_the_others_join_again() {
    let (mut scene, ids) = Scene::stable(1);
    let mut new = scene.join(&Who::default());
    assert!(new.poll().is_none());
    assert_eq!(
        code_of(scene.heartbeat(&ids[0])),
        Some(ErrorCode::RebalanceInProgress)
    );
    assert_eq!(
        code(&mut scene.sync(&ids[0], &[])),
        Some(ErrorCode::RebalanceInProgress)
    );
    let mut old = scene.join(&Scene::as_member(&ids[0]));
    assert_eq!(
        (joined(&mut new).generation, joined(&mut old).generation),
        (2, 2)
    );
}

#[test]
fn who_does_not_come_in_time_is_out() {
    let (mut scene, ids) = Scene::stable(2);
    let mut first = scene.join(&Scene::as_member(&ids[0]));
    let mut waits = scene.join(&Scene::as_member(&ids[0]));
    assert_eq!(code(&mut first), Some(ErrorCode::RebalanceInProgress));
    for _ in 0..59 {
        scene.pass(1);
        drop(scene.heartbeat(&ids[1]));
    }
    assert_eq!(scene.group.n_members(), 2);
    assert!(waits.poll().is_none());
    scene.pass(1);
    assert_eq!(joined(&mut waits).generation, 2);
    assert_eq!(
        scene.group.n_members(),
        1,
        "it said that it lives, and did not join"
    );
}

#[test]
fn a_silent_member_is_out_and_one_that_waits_is_not() {
    let (mut scene, ids) = Scene::stable(2);
    for _ in 0..12 {
        scene.pass(1);
        drop(scene.heartbeat(&ids[0]));
    }
    assert_eq!(scene.group.n_members(), 1);
    assert_eq!(scene.group.state(), State::PreparingRebalance);
    let mut waits = scene.join(&Scene::as_member(&ids[0]));
    assert_eq!(
        joined(&mut waits).generation,
        2,
        "nobody else is waited for"
    );
    let mut syncing = scene.sync(&ids[0], &[(&ids[0], "all")]);
    assert_eq!(syncing.poll().unwrap().unwrap().assignment, "all");
}

#[test]
fn who_joined_and_never_asks_for_its_assignment_is_given_up() {
    let mut scene = Scene::new();
    let mut joining = [scene.join(&Who::default()), scene.join(&Who::default())];
    scene.pass(6);
    let joined: Vec<Joined> = joining.iter_mut().map(joined).collect();
    let leader = joined[0].leader.clone();
    let other = joined.iter().find(|it| it.member_id != leader).unwrap();
    for _ in 0..58 {
        scene.pass(1);
        assert_eq!(scene.heartbeat(&leader), Ok(()));
        assert_eq!(scene.heartbeat(&other.member_id), Ok(()));
    }
    drop(scene.sync(&leader, &[]));
    for _ in 0..2 {
        scene.pass(1);
        drop(scene.heartbeat(&leader));
        drop(scene.heartbeat(&other.member_id));
    }
    assert_eq!(scene.group.n_members(), 1);
    assert_eq!(scene.group.state(), State::PreparingRebalance);
}

#[test]
fn each_request_is_refused_in_the_states_it_does_not_belong_to() {
    let mut scene = Scene::new();
    let unknown = Some(ErrorCode::UnknownMemberId);
    assert_eq!(code_of(scene.heartbeat("m")), unknown);
    assert_eq!(code(&mut scene.sync("m", &[])), unknown);
    assert_eq!(code(&mut scene.join(&Scene::as_member("m"))), unknown);
    assert_eq!(code_of(scene.leave("m", None)), unknown);

    let (mut scene, ids) = Scene::stable(1);
    scene.group.generation += 1;
    let late = Presence {
        generation: 1,
        ..scene.presence(&ids[0])
    };
    let refused = scene.group.heartbeat(&late, &scene.cx);
    assert_eq!(code_of(refused), Some(ErrorCode::IllegalGeneration));
    let refused = scene.group.may_commit(&late, &scene.cx);
    assert_eq!(code_of(refused), Some(ErrorCode::IllegalGeneration));
    let nobody = Presence {
        generation: -1,
        ..Presence::default()
    };
    let refused = scene.group.may_commit(&nobody, &scene.cx);
    assert_eq!(
        code_of(refused),
        unknown,
        "a group with members takes none of nobody"
    );
    assert!(
        scene
            .group
            .may_commit(&scene.presence(&ids[0]), &scene.cx)
            .is_ok()
    );

    let mut again = scene.join(&Scene::as_member(&ids[0]));
    drop(joined(&mut again));
    assert_eq!(scene.group.state(), State::CompletingRebalance);
    let refused = scene.group.may_commit(&scene.presence(&ids[0]), &scene.cx);
    assert_eq!(code_of(refused), Some(ErrorCode::RebalanceInProgress));
    assert_eq!(scene.heartbeat(&ids[0]), Ok(()));
}

#[test]
fn a_lost_answer_is_given_again_and_a_leader_that_comes_again_rebalances() {
    let (mut scene, ids) = Scene::stable(2);
    let leader = scene.group.leader.clone().unwrap();
    let other = ids.iter().find(|it| **it != leader).unwrap();
    let mut again = scene.join(&Scene::as_member(other));
    assert_eq!(
        joined(&mut again).generation,
        1,
        "nothing changed: the answer as it was"
    );
    let mut again = scene.join(&Scene::as_member(&leader));
    assert!(again.poll().is_none());
    assert_eq!(scene.group.state(), State::PreparingRebalance);
}

#[test]
fn who_can_come_again_gets_an_id_first_and_counts_as_soon_as_it_does() {
    let mut scene = Scene::new();
    let polite = Who {
        abilities: JoinAbilities {
            comes_again: true,
            ..JoinAbilities::default()
        },
        ..Who::default()
    };
    let Some(Err(GroupError::MemberIdRequired(id))) = scene.join(&polite).poll() else {
        panic!("an id first");
    };
    assert_eq!(
        code_of(scene.heartbeat(&id)),
        Some(ErrorCode::UnknownMemberId)
    );
    assert_eq!(scene.group.n_members(), 0);
    let mut waits = scene.join(&Who {
        id: id.clone(),
        ..polite.clone()
    });
    scene.pass(3);
    assert_eq!(joined(&mut waits).member_id, id);

    let Some(Err(GroupError::MemberIdRequired(id))) = scene.join(&polite).poll() else {
        panic!("an id first");
    };
    scene.pass(11);
    assert!(
        !scene.group.pending_members.contains(&id),
        "nobody came back with it"
    );
}

#[test]
fn an_instance_that_restarts_takes_up_what_it_had() {
    let mut scene = Scene::new();
    let mut first = scene.join(&Scene::as_instance("one"));
    let mut other = scene.join(&Scene::as_instance("two"));
    scene.pass(6);
    let (first, other) = (joined(&mut first).member_id, joined(&mut other).member_id);
    scene.sync_all(&[first.clone(), other.clone()]);

    let mut back = scene.join(&Scene::as_instance("two"));
    let back = joined(&mut back);
    assert_ne!(back.member_id, other);
    assert_eq!(
        (back.generation, scene.group.state()),
        (1, State::Stable),
        "no rebalance"
    );
    assert_eq!(scene.records.len(), 2, "the new id is recorded");
    let mut synced = scene.sync(&back.member_id, &[]);
    assert_eq!(synced.poll().unwrap().unwrap().assignment, "p");

    let ghost = Presence {
        instance_id: Some("two".to_owned()),
        ..scene.presence(&other)
    };
    let refused = scene.group.heartbeat(&ghost, &scene.cx);
    assert_eq!(code_of(refused), Some(ErrorCode::FencedInstanceId));
    assert_eq!(scene.leave("", Some("two")), Ok(()));
    assert_eq!(scene.group.state(), State::PreparingRebalance);
}

#[test]
fn a_leader_that_is_an_instance_is_told_to_skip_assigning() {
    let mut scene = Scene::new();
    let mut first = scene.join(&Scene::as_instance("one"));
    scene.pass(6);
    let first = joined(&mut first).member_id;
    scene.sync_all(std::slice::from_ref(&first));
    let knows = Who {
        abilities: JoinAbilities {
            skips_assignment: true,
            ..JoinAbilities::default()
        },
        ..Scene::as_instance("one")
    };
    let back = joined(&mut scene.join(&knows));
    assert!(back.skip_assignment && back.leader == back.member_id && back.members.len() == 1);
    let old = joined(&mut scene.join(&Scene::as_instance("one")));
    assert!(!old.skip_assignment && old.leader == back.member_id && old.members.is_empty());
}

#[test]
fn the_protocol_is_one_all_know_and_most_prefer() {
    let mut scene = Scene::new();
    let knows = |protocols: &[&'static str]| Who {
        protocols: protocols.to_vec(),
        ..Who::default()
    };
    let mut joining = [
        scene.join(&knows(&["range", "sticky"])),
        scene.join(&knows(&["sticky", "range"])),
        scene.join(&knows(&["own", "sticky", "range"])),
    ];
    let mut stranger = scene.join(&knows(&["own"]));
    assert_eq!(
        code(&mut stranger),
        Some(ErrorCode::InconsistentGroupProtocol)
    );
    scene.pass(6);
    let chosen = joined(&mut joining[0]).protocol_name;
    assert_eq!(chosen.as_deref(), Some("sticky"));
}

#[test]
fn a_full_group_takes_no_more() {
    let mut scene = Scene::new();
    let mut config = (*scene.cx.config).clone();
    config.group_max_size = 1;
    scene.cx.config = std::sync::Arc::new(config);
    let mut first = scene.join(&Who::default());
    let mut second = scene.join(&Who::default());
    assert_eq!(code(&mut second), Some(ErrorCode::GroupMaxSizeReached));
    scene.pass(6);
    drop(joined(&mut first));
    assert_eq!(scene.group.n_members(), 1);
}

#[test]
fn the_last_one_out_leaves_an_empty_generation_that_is_recorded() {
    let (mut scene, ids) = Scene::stable(2);
    assert_eq!(scene.leave(&ids[0], None), Ok(()));
    assert_eq!(scene.leave(&ids[1], None), Ok(()));
    assert_eq!(
        (scene.group.state(), scene.group.generation()),
        (State::Empty, 2)
    );
    let Some(GroupRecord::GroupMetadata(_, Some(value))) = scene.records.last() else {
        panic!("recorded");
    };
    assert!(value.members.is_empty() && value.protocol_type == CONSUMER);
}

#[test]
fn a_group_comes_back_from_its_record_as_it_was() {
    let (scene, ids) = Scene::stable(3);
    let Some(GroupRecord::GroupMetadata(_, Some(value))) = scene.records.last() else {
        panic!("recorded");
    };
    let group = ClassicGroup::from_record("g", value);
    assert_eq!((group.state(), group.generation()), (State::Stable, 1));
    assert_eq!(group.describe(), scene.group.describe());
    assert_eq!(group.begin_sessions(scene.cx.now).len(), 3);
    assert!(group.may_read("t") && !group.may_read("u"));
    assert_eq!(group.record(), scene.group.record());
    assert!(group.heartbeat(&scene.presence(&ids[0]), &scene.cx).is_ok());
}

#[test]
fn a_deadline_that_comes_too_late_changes_nothing() {
    let (mut scene, ids) = Scene::stable(1);
    for kind in [TimerKind::Join, TimerKind::InitialDelay, TimerKind::Sync] {
        let out = scene.group.expire("", kind, &scene.cx);
        assert!(out.records.is_empty() && out.answers.is_empty() && out.timers.is_empty());
    }
    assert_eq!(scene.group.state(), State::Stable);
    assert_eq!(scene.heartbeat(&ids[0]), Ok(()));
}
