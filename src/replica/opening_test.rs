//! Which directory a replica's log is opened in, and when it is not opened at all.

use std::path::Path;

use drave_log::fs::FileSystem;
use drave_log::fs::faulty::{CrashLoss, FaultyFs};
use drave_log::{Checkpoint, LogDir};
use drave_protocol::ids::{LeaderEpoch, Offset, Uuid};
use drave_protocol::record::builder::BatchBuilder;

use super::*;
use crate::replica::homes::AbsentHome;
use crate::replica::roster::Roster;

const ONE: DirectoryId = DirectoryId(1);
const TWO: DirectoryId = DirectoryId(2);

/// A node with two directories, `/one` (its metadata's) and `/two`.
struct Disk(FaultyFs);

impl Disk {
    fn new() -> Self {
        Self(FaultyFs::new())
    }

    fn homes(&self, present: &[(&str, DirectoryId)], absent: Vec<AbsentHome>) -> Homes {
        let fs: Arc<dyn FileSystem> = Arc::new(self.0.clone());
        let home = |(path, directory): &(&str, DirectoryId)| {
            let dir = LogDir::open(Arc::clone(&fs), Path::new(path)).unwrap();
            Home::open(dir, *directory, 0).unwrap()
        };
        let present = present.iter().map(home).collect();
        let roster = Roster::open(fs, Path::new("/one")).unwrap();
        Homes::new(present, absent, roster)
    }

    fn both(&self) -> Homes {
        self.homes(&[("/one", ONE), ("/two", TWO)], Vec::new())
    }
}

fn id(number: i32) -> TopicIdPartition {
    TopicIdPartition {
        topic_id: Uuid([5; 16]),
        partition: number,
    }
}

fn name(number: i32) -> TopicPartition {
    TopicPartition {
        topic: "orders".to_owned(),
        partition: number,
    }
}

fn open(homes: &Homes, number: i32) -> Result<Option<OpenLog>, OpenError> {
    Opening::new(homes, true).open(id(number), &name(number), LogConfig::default())
}

/// Opens and notes, as a pass does.
fn placed(homes: &Homes, number: i32) -> DirectoryId {
    let directory = open(homes, number).unwrap().unwrap().home.directory();
    homes
        .roster
        .lock()
        .place(&[(id(number), directory)])
        .unwrap();
    directory
}

#[test]
fn a_new_replica_goes_to_the_directory_with_the_fewest() {
    let homes = Disk::new().both();
    let spread: Vec<_> = (0..4).map(|number| placed(&homes, number)).collect();
    assert_eq!(spread, [ONE, TWO, ONE, TWO]);
    let opening = Opening::new(&homes, true);
    let together: Vec<_> = (4..8)
        .map(|it| opening.open(id(it), &name(it), LogConfig::default()))
        .map(|it| it.unwrap().unwrap().home.directory())
        .collect();
    assert_eq!(together, [ONE, TWO, ONE, TWO], "opened in one pass");
}

#[test]
fn a_replica_is_found_where_it_was_placed_though_another_directory_has_fewer() {
    let disk = Disk::new();
    let homes = disk.both();
    placed(&homes, 0);
    placed(&homes, 1);
    placed(&homes, 2);
    homes.roster.lock().forget(id(1));
    drop(homes);
    let homes = disk.both();
    assert_eq!(open(&homes, 2).unwrap().unwrap().home.directory(), ONE);
}

#[test]
fn a_log_that_was_never_noted_is_taken_where_it_lies() {
    let disk = Disk::new();
    let homes = disk.both();
    open(&homes, 0).unwrap();
    homes
        .roster
        .lock()
        .place(&[(id(9), ONE), (id(8), ONE)])
        .unwrap();
    assert_eq!(open(&homes, 0).unwrap().unwrap().home.directory(), ONE);
}

#[test]
fn an_old_image_makes_no_new_log() {
    let homes = Disk::new().both();
    let before = Opening::new(&homes, false);
    let opened = before.open(id(0), &name(0), LogConfig::default());
    assert!(opened.unwrap().is_none());
    placed(&homes, 0);
    let opened = before.open(id(0), &name(0), LogConfig::default());
    assert!(opened.unwrap().is_some(), "what is there is opened");
}

#[test]
fn a_log_that_is_gone_is_never_begun_anew_in_silence() {
    let disk = Disk::new();
    let homes = disk.both();
    placed(&homes, 0);
    disk.0.remove_dir_all(Path::new("/one/orders-0")).unwrap();
    let error = open(&homes, 0).unwrap_err();
    assert!(matches!(&error, OpenError::Lost { folder } if folder == Path::new("/one/orders-0")));
    assert_eq!(error.cure(), Cure::Refetch);

    let anew = Opening::new(&homes, true)
        .begin_anew(id(0), &name(0), LogConfig::default())
        .unwrap();
    assert_eq!(
        (anew.home.directory(), anew.log.log_end_offset()),
        (ONE, Offset(0))
    );
}

#[test]
fn a_replica_in_an_absent_directory_waits_for_it() {
    let disk = Disk::new();
    let homes = disk.both();
    placed(&homes, 0);
    placed(&homes, 1);
    drop(homes);
    let absent = AbsentHome {
        path: "/two".into(),
        directory: Some(TWO),
        reason: "no such device".to_owned(),
    };
    let homes = disk.homes(&[("/one", ONE)], vec![absent]);
    let error = open(&homes, 1).unwrap_err();
    assert!(error.to_string().contains("no such device"), "{error}");
    assert_eq!(error.cure(), Cure::None);
    assert!(open(&homes, 0).unwrap().is_some());
    assert_eq!(placed(&homes, 2), ONE, "new ones go where there is room");

    let homes = disk.homes(&[], Vec::new());
    let error = open(&homes, 1).unwrap_err();
    assert!(error.to_string().contains("0000000000000002"), "{error}");
}

#[test]
fn a_directory_that_failed_takes_no_new_replica_and_opens_none() {
    let homes = Disk::new().both();
    placed(&homes, 0);
    homes.by_id(ONE).unwrap().fail("input/output error");
    assert!(matches!(
        open(&homes, 0),
        Err(OpenError::DirectoryOffline { .. })
    ));
    assert_eq!(placed(&homes, 1), TWO);
    assert_eq!(homes.fatal(Path::new("/elsewhere")), None);
    assert!(homes.fatal(Path::new("/one")).is_some(), "the metadata's");
    homes.by_id(TWO).unwrap().fail("gone");
    let reason = homes.fatal(Path::new("/elsewhere")).unwrap();
    assert!(
        reason.contains("input/output error") && reason.contains("/two: gone"),
        "{reason}"
    );
    assert!(matches!(open(&homes, 2), Err(OpenError::Nowhere)));
}

#[test]
fn a_log_in_two_directories_is_neither() {
    let disk = Disk::new();
    let homes = disk.both();
    for path in ["/one/orders-0", "/two/orders-0"] {
        disk.0.create_dir_all(Path::new(path)).unwrap();
    }
    assert!(matches!(open(&homes, 0), Err(OpenError::Twice { .. })));
}

#[test]
fn a_damaged_log_is_put_aside_when_it_begins_anew() {
    let disk = Disk::new();
    let homes = disk.both();
    placed(&homes, 0);
    let home = homes.home_of(id(0)).unwrap();
    home.dir.mark_corrupt(&name(0), "byte 7 rots").unwrap();
    let error = open(&homes, 0).unwrap_err();
    assert_eq!(error.cure(), Cure::Refetch);
    for _ in 0..2 {
        let anew = Opening::new(&homes, true).begin_anew(id(0), &name(0), LogConfig::default());
        anew.unwrap();
    }
    assert!(disk.0.exists(Path::new("/one/orders-0.corrupt")).unwrap());
    homes.forget(id(0), &name(0));
    assert!(!disk.0.exists(Path::new("/one/orders-0.corrupt")).unwrap());
}

/// The checkpoints know names only, and are written every few seconds.
#[test]
fn a_log_begun_under_an_old_name_does_not_start_where_the_old_one_did() {
    let append = |open: &mut OpenLog| {
        let batch = BatchBuilder::new().value(0, "v").build();
        open.log.append_as_leader(batch, LeaderEpoch(0), 0).unwrap();
        open.log.flush().unwrap();
    };
    let begin = |homes: &Homes, topic: u8| {
        let id = TopicIdPartition {
            topic_id: Uuid([topic; 16]),
            partition: 0,
        };
        let opened = Opening::new(homes, true).open(id, &name(0), LogConfig::default());
        opened.unwrap().unwrap()
    };
    for is_deleted_while_away in [true, false] {
        let disk = Disk::new();
        let homes = disk.both();
        let mut old = begin(&homes, 1);
        append(&mut old);
        let starts = BTreeMap::from([(name(0), Offset(1))]);
        let dir = &old.home.dir;
        dir.write_checkpoint(Checkpoint::LogStartOffset, &starts)
            .unwrap();
        drop((old, homes));
        let homes = disk.both();
        if !is_deleted_while_away {
            let old = begin(&homes, 1);
            assert_eq!(old.log.log_start_offset(), Offset(1));
            old.home.delete(&name(0)).unwrap();
        }
        let mut new = begin(&homes, 2);
        append(&mut new);
        drop((new, homes));
        disk.0.crash(CrashLoss::EverythingUnsynced);
        let log = begin(&disk.both(), 2).log;
        let range = (log.log_start_offset(), log.log_end_offset());
        assert_eq!(range, (Offset(0), Offset(1)), "{is_deleted_while_away}");
    }
}

#[test]
fn many_new_logs_are_made_with_few_syncs_and_a_power_cut_takes_none_of_their_names() {
    let disk = Disk::new();
    let homes = disk.both();
    disk.0.sync_dir(Path::new("/")).unwrap();
    let names: Vec<TopicPartition> = (0..40).map(name).collect();
    let wanted: Vec<_> = (0..).map(id).zip(&names).collect();
    Opening::new(&homes, true).prepare(&wanted);
    disk.0.crash(CrashLoss::EverythingUnsynced);
    let homes = disk.both();
    let mut n_by_path = BTreeMap::new();
    for (number, name) in (0..).zip(&names) {
        let open = open(&homes, number).unwrap().unwrap();
        assert_eq!(open.log.topic_id(), Some(id(number).topic_id), "{name}");
        *n_by_path.entry(open.home.directory()).or_insert(0) += 1;
    }
    assert_eq!(n_by_path, BTreeMap::from([(ONE, 20), (TWO, 20)]));
}

#[test]
fn a_power_cut_while_many_logs_are_made_leaves_none_that_cannot_be_opened() {
    let n_changes = {
        let disk = Disk::new();
        let homes = disk.both();
        let before = disk.0.n_changes();
        let names: Vec<TopicPartition> = (0..33).map(name).collect();
        let wanted: Vec<_> = (0..).map(id).zip(&names).collect();
        Opening::new(&homes, true).prepare(&wanted);
        disk.0.n_changes() - before
    };
    for n in (0..n_changes).step_by(3) {
        let disk = Disk::new();
        let homes = disk.both();
        disk.0.sync_dir(Path::new("/")).unwrap();
        let names: Vec<TopicPartition> = (0..33).map(name).collect();
        let wanted: Vec<_> = (0..).map(id).zip(&names).collect();
        disk.0.stop_after(n);
        Opening::new(&homes, true).prepare(&wanted);
        disk.0.crash(CrashLoss::ByChance { seed: n });
        let homes = disk.both();
        for number in 0..33 {
            let open = open(&homes, number).unwrap().unwrap();
            assert_eq!(open.log.topic_id(), Some(id(number).topic_id));
        }
    }
}

#[test]
fn a_replica_for_which_no_file_is_left_is_refused_and_those_there_are_stay() {
    let disk = Disk::new();
    let homes = disk.both();
    placed(&homes, 0);
    placed(&homes, 1);
    drop(homes);
    let homes = disk.both().of_at_most(2);
    assert!(open(&homes, 0).unwrap().is_some());
    let refused = open(&homes, 2).unwrap_err();
    assert_eq!(refused.cure(), Cure::None);
    assert!(refused.to_string().contains("2 logs are open"), "{refused}");
}
