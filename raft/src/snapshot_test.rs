use std::path::Path;
use std::sync::Arc;

use drave_protocol::ids::MetadataOffset;

use crate::codec;
use crate::disk::faulty::FaultyDisk;
use crate::disk::{Disk, replace_file};
use crate::image::MetadataImage;
use crate::record::{ConfigChangedV1, ConfigResource, MetadataRecord};
use crate::snapshot::{SnapshotBytes, SnapshotError, SnapshotStore};
use crate::stored::{AppliedV1, LogIdV1};

const FOLDER: &str = "/snapshot";
const FILE: &str = "/snapshot/metadata.snapshot";

fn open(disk: &FaultyDisk) -> Result<(SnapshotStore, Option<u64>), SnapshotError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let (store, found) = SnapshotStore::open(disk, Path::new(FOLDER))?;
    let reached = found.map(|(applied, bytes)| {
        let reached = applied.last.unwrap().index;
        assert_eq!(bytes.to_image().unwrap(), image(reached));
        reached
    });
    Ok((store, reached))
}

fn image(at: u64) -> MetadataImage {
    let record = MetadataRecord::ConfigChanged(ConfigChangedV1 {
        resource: ConfigResource::Cluster,
        key: "k".repeat(700),
        value: Some(at.to_string()),
    });
    let applied = MetadataImage::default().apply(MetadataOffset(at), 1, &[record]);
    applied.unwrap().0
}

fn save(store: &SnapshotStore, at: u64) -> std::io::Result<()> {
    let applied = AppliedV1 {
        last: Some(LogIdV1 { term: 1, index: at }),
        ..AppliedV1::default()
    };
    store.save(&applied, &SnapshotBytes::of(&image(at)).unwrap())
}

#[test]
fn a_newer_snapshot_replaces_an_older_and_never_the_other_way() {
    let disk = FaultyDisk::default();
    let (store, found) = open(&disk).unwrap();
    assert_eq!(found, None);
    save(&store, 10).unwrap();
    save(&store, 20).unwrap();
    save(&store, 15).unwrap();
    assert_eq!(open(&disk).unwrap().1, Some(20));
}

#[test]
fn a_power_cut_at_any_operation_leaves_the_older_or_the_newer() {
    for cut in 1..=24 {
        let mut dice: u64 = cut;
        let mut roll = || {
            dice = dice
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            dice >> 33
        };
        let disk = FaultyDisk::default();
        disk.cut_at(cut);
        let (store, _) = open(&disk).unwrap();
        let mut answered = None;
        let mut began = None;
        for at in 1..=4 {
            began = Some(at);
            if save(&store, at).is_err() {
                break;
            }
            answered = Some(at);
        }
        let (_, found) = open(&disk.after_power_cut(&mut roll)).unwrap();
        let answered_or_begun = [answered, began].contains(&found);
        assert!(answered_or_begun, "cut {cut}: {found:?} of {answered:?}");
    }
}

#[test]
fn a_damaged_snapshot_refuses_to_open_and_says_how_to_go_on() {
    let pristine = FaultyDisk::default();
    let (store, _) = open(&pristine).unwrap();
    save(&store, 10).unwrap();
    let length = pristine.bytes(Path::new(FILE)).len();
    for byte in (0..length).step_by(7) {
        let disk = pristine.after_power_cut(&mut || 1);
        disk.corrupt(Path::new(FILE), byte);
        match open(&disk) {
            Err(error @ SnapshotError::Corrupt { .. }) => {
                assert!(error.to_string().contains("join as a new member"));
            }
            other => panic!("byte {byte}: {other:?}"),
        }
    }
}

#[test]
fn a_snapshot_of_format_1_is_read() {
    let applied = AppliedV1 {
        last: Some(LogIdV1 { term: 1, index: 10 }),
        ..AppliedV1::default()
    };
    let meta = codec::encode(&applied).unwrap();
    // Without the version in front, and without offline replicas, producer ids and drained nodes, none,
    // behind.
    let versioned = SnapshotBytes::of(&image(10)).unwrap().0;
    let body = &versioned[2..versioned.len() - 3];
    let mut head = b"dravesnp".to_vec();
    head.extend_from_slice(&1_u32.to_le_bytes());
    head.extend_from_slice(&u32::try_from(meta.len()).unwrap().to_le_bytes());
    head.extend_from_slice(&u64::try_from(body.len()).unwrap().to_le_bytes());
    let crc = codec::checksum(0, &[&head, &meta, body]);
    head.extend_from_slice(&crc.to_le_bytes());
    let disk = FaultyDisk::default();
    disk.create_dir_all(Path::new(FOLDER)).unwrap();
    let parts: [&[u8]; 3] = [&head, &meta, body];
    replace_file(&disk, Path::new(FOLDER), "metadata.snapshot", &parts).unwrap();
    assert_eq!(open(&disk).unwrap().1, Some(10));
}
