//! A log seen by a bystander: right when it is, and each wrong byte named where it lies.

use std::path::Path;

use drave_log::PartitionLog;
use drave_log::fs::faulty::FaultyFs;
use drave_log::fs::{File, FileSystem, RealFs};
use drave_log::inspect::batches::Batches;
use drave_log::inspect::place::{FileKind, PartitionFolder, Place};
use drave_log::inspect::verify::{self, Holes, Verified};
use drave_log::inspect::{epochs, stat};
use drave_protocol::ids::{LeaderEpoch, Offset};

use crate::support::*;

/// Some segments, two epochs, everything on the disk.
fn filled() -> (FaultyFs, PartitionLog) {
    let fs = disk();
    let mut log = open(&fs);
    for i in 0..30 {
        append_in(&mut log, 3, i / 12);
    }
    log.flush().unwrap();
    (fs, log)
}

fn verified(fs: &FaultyFs) -> Verified {
    let folder = PartitionFolder::list(fs, &dir()).unwrap();
    verify::partition(fs, &folder, Holes::WhereMarked).unwrap()
}

/// File name, position, kind and text of each flaw.
fn flaws(fs: &FaultyFs) -> Vec<(String, u64, &'static str, String)> {
    let flaws = verified(fs).flaws.found;
    let told = flaws.into_iter().map(|it| {
        let name = it.file.file_name().unwrap().to_str().unwrap().to_owned();
        (name, it.position, it.wrong.of(), it.wrong.to_string())
    });
    told.collect()
}

fn file(fs: &FaultyFs, name: &str) -> std::sync::Arc<dyn File> {
    fs.open(&dir().join(name)).unwrap()
}

fn second_segment(fs: &FaultyFs) -> (Offset, String) {
    let folder = PartitionFolder::list(fs, &dir()).unwrap();
    let (base, file) = folder.segments().nth(1).unwrap();
    (base, file.name.clone())
}

#[test]
fn a_sound_log_is_flawless_and_counted() {
    let (fs, log) = filled();
    let verified = verified(&fs);
    assert!(verified.is_flawless(), "{:?}", verified.flaws);
    assert_eq!((verified.n_batches, verified.n_records), (30, 90));
    assert_eq!(verified.n_bytes, log.size_bytes());
    assert!(verified.n_segments > 3);
}

#[test]
fn looking_changes_nothing() {
    let (fs, _log) = filled();
    let before = fs.n_changes();
    verified(&fs);
    let folder = PartitionFolder::list(&fs, &dir()).unwrap();
    stat::partition(&fs, &folder).unwrap();
    epochs::entries(&fs, &dir().join("leader-epoch-checkpoint")).unwrap();
    assert_eq!(fs.n_changes(), before);
}

#[test]
fn a_log_in_numbers() {
    let (fs, log) = filled();
    let folder = PartitionFolder::list(&fs, &dir()).unwrap();
    let stat = stat::partition(&fs, &folder).unwrap();
    assert_eq!((stat.n_batches, stat.n_records), (30, 90));
    assert_eq!(stat.log_bytes, log.size_bytes());
    assert_eq!(
        (stat.first_offset, stat.end_offset),
        (Some(Offset(0)), Some(Offset(90)))
    );
    assert_eq!(
        (stat.min_timestamp_ms, stat.max_timestamp_ms),
        (Some(NOW), Some(NOW + 2))
    );
    assert_eq!(stat.last_leader_epoch, Some(LeaderEpoch(2)));
    assert_eq!((stat.holes.n_holes, stat.producers.len()), (0, 0));
    assert_eq!(stat.by_codec[&0].n_batches, 30);
    assert_eq!(stat.unreadable, None);
}

#[test]
fn a_flipped_bit_is_found_in_its_batch() {
    let (fs, _log) = filled();
    let (_, name) = second_segment(&fs);
    let batches = Batches::headers(&fs, &dir().join(&name)).unwrap();
    let second = batches.map(Result::unwrap).nth(1).unwrap();
    fs.flip_bit(&dir().join(&name), second.position + 70);
    let found = flaws(&fs);
    assert_eq!(
        found,
        [(
            name,
            second.position,
            "batch",
            "the checksum is wrong".to_owned()
        )]
    );
}

#[test]
fn a_torn_tail_and_a_missing_segment_are_found() {
    let (fs, log) = filled();
    let folder = PartitionFolder::list(&fs, &dir()).unwrap();
    let (_, last) = folder.segments().last().unwrap();
    file(&fs, &last.name).set_size(last.size - 1).unwrap();
    let (base, name) = second_segment(&fs);
    fs.remove_file(&dir().join(&name)).unwrap();
    let found = flaws(&fs);
    let texts: Vec<&str> = found.iter().map(|it| it.3.as_str()).collect();
    let [(first, first_at, ..), (torn, torn_at, ..)] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(*first, format!("{:020}.log", 0));
    assert!(
        texts[0].starts_with("the next segment starts at"),
        "{texts:?}"
    );
    assert!(*first_at > 0 && base > Offset(0));
    assert_eq!(*torn, last.name);
    assert!(
        *torn_at < last.size && texts[1].contains("bytes"),
        "{texts:?}"
    );
    drop(log);
}

#[test]
fn an_index_entry_that_lies_is_found() {
    let (fs, _log) = filled();
    let (_, name) = second_segment(&fs);
    let index = name.replace(".log", ".index");
    // The last byte of the first entry's position, then of the second entry's offset.
    fs.flip_bit(&dir().join(&index), 7);
    fs.flip_bit(&dir().join(&index), 11);
    let found = flaws(&fs);
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(
        (found[0].0.as_str(), found[0].1, found[0].2),
        (index.as_str(), 0, "offset_index")
    );
    assert!(found[0].3.contains("where no batch starts"), "{found:?}");
    assert_eq!((found[1].0.as_str(), found[1].1), (index.as_str(), 8));
    assert!(found[1].3.contains("ends at"), "{found:?}");
}

#[test]
fn a_file_of_rubbish_has_many_flaws_and_few_are_kept() {
    let (fs, _log) = filled();
    let (_, name) = second_segment(&fs);
    let index = file(&fs, &name.replace(".log", ".index"));
    index.write_all_at(&[0xab; 8 * 1000 + 3], 0).unwrap();
    let verified = verified(&fs);
    assert_eq!(verified.flaws.found.len(), 16);
    assert!(
        verified.flaws.n_not_kept > 900,
        "{}",
        verified.flaws.n_not_kept
    );
    assert!(!verified.is_flawless());
}

#[test]
fn epochs_must_be_those_of_the_batches() {
    let (fs, _log) = filled();
    let path = dir().join("leader-epoch-checkpoint");
    drave_log::fs::replace_file(&fs, &path, b"0\n2\n0 0\n2 36\n").unwrap();
    let found = flaws(&fs);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].2, "leader_epochs");
    assert!(found[0].3.contains("batch 36 is of epoch 1"), "{found:?}");

    drave_log::fs::replace_file(&fs, &path, b"0\n2\n2 0\n1 36\n").unwrap();
    let found = flaws(&fs);
    assert!(found[0].3.contains("epoch 1 at 36 does not"), "{found:?}");
}

#[test]
fn holes_are_a_matter_of_what_is_allowed() {
    let (fs, _log) = filled();
    let (_, name) = second_segment(&fs);
    fs.remove_file(&dir().join(&name)).unwrap();
    fs.remove_file(&dir().join(name.replace(".log", ".index")))
        .unwrap();
    let folder = PartitionFolder::list(&fs, &dir()).unwrap();
    let allowed = verify::partition(&fs, &folder, Holes::Anywhere).unwrap();
    assert!(allowed.is_flawless(), "{:?}", allowed.flaws);
    let refused = verify::partition(&fs, &folder, Holes::WhereMarked).unwrap();
    assert_eq!(refused.flaws.found.len(), 1);
    assert_eq!(stat::partition(&fs, &folder).unwrap().holes.n_holes, 1);
}

#[test]
fn what_was_not_wrong_before_does_not_count() {
    let (fs, _log) = filled();
    let sound = verified(&fs);
    let (_, name) = second_segment(&fs);
    fs.flip_bit(&dir().join(&name), 70);
    let flawed = verified(&fs);
    assert!(flawed.clone().confirming(&sound).is_flawless());
    assert!(!flawed.clone().confirming(&flawed).is_flawless());
}

#[test]
fn a_path_is_told_by_its_names() {
    let (fs, _log) = filled();
    let Place::Partition(folder) = Place::of(&fs, &dir()).unwrap() else {
        panic!("a partition's folder");
    };
    let Place::Directory { partitions, .. } = Place::of(&fs, Path::new("/data")).unwrap() else {
        panic!("a directory of folders");
    };
    assert_eq!(partitions, [folder]);
    let (_, name) = second_segment(&fs);
    let path = dir().join(&name);
    assert_eq!(Place::of(&fs, &path).unwrap(), Place::File(path.clone()));
    let around = PartitionFolder::around(&fs, &path).unwrap();
    assert_eq!(
        around.files.len(),
        4,
        "a segment, its indexes, a snapshot of producers"
    );
    assert_eq!(
        FileKind::of_any(&format!("{name}.deleted")),
        FileKind::of(&name)
    );
    assert!(Place::of(&fs, Path::new("/nowhere")).is_err());
}

#[test]
fn partitions_that_kafka_wrote_are_flawless() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kafka-4");
    let Place::Directory { partitions, .. } = Place::of(&RealFs, &fixtures).unwrap() else {
        panic!("a directory of partitions");
    };
    assert!(partitions.len() >= 4);
    for folder in partitions {
        let verified = verify::partition(&RealFs, &folder, Holes::Anywhere).unwrap();
        assert!(verified.is_flawless(), "{:?}", verified.flaws);
        assert!(verified.n_records > 0, "{}", folder.path.display());
    }
}
