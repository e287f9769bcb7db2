use super::*;

fn path(name: &str) -> PathBuf {
    Path::new("/d").join(name)
}

fn with_folder() -> FaultyFs {
    let fs = FaultyFs::new();
    fs.create_dir_all(Path::new("/d")).unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    fs
}

fn read(fs: &FaultyFs, name: &str) -> io::Result<Vec<u8>> {
    crate::fs::read_file(fs, &path(name))
}

#[test]
fn unsynced_bytes_and_names_die_with_the_power_only() {
    let fs = with_folder();
    let file = fs.create(&path("a")).unwrap();
    file.write_all_at(b"synced", 0).unwrap();
    file.sync_data().unwrap();
    fs.sync_dir(Path::new("/d")).unwrap();
    file.write_all_at(b" and not", 6).unwrap();
    fs.create(&path("b")).unwrap().sync_data().unwrap();

    fs.crash(CrashLoss::Nothing);
    assert_eq!(read(&fs, "a").unwrap(), b"synced and not");
    assert!(
        file.size().is_err(),
        "handles from before the crash are dead"
    );
    let file = fs.open(&path("a")).unwrap();
    file.write_all_at(b"!", 14).unwrap();

    let fs_lost = with_folder();
    let file = fs_lost.create(&path("a")).unwrap();
    file.write_all_at(b"synced", 0).unwrap();
    file.sync_data().unwrap();
    fs_lost.sync_dir(Path::new("/d")).unwrap();
    file.write_all_at(b" and not", 6).unwrap();
    fs_lost.create(&path("b")).unwrap().sync_data().unwrap();
    fs_lost.crash(CrashLoss::EverythingUnsynced);
    assert_eq!(read(&fs_lost, "a").unwrap(), b"synced");
    assert_eq!(
        read(&fs_lost, "b").unwrap_err().kind(),
        io::ErrorKind::NotFound
    );
}

#[test]
fn what_a_folder_held_is_not_found_in_the_next_of_its_name() {
    for loss in [
        CrashLoss::Nothing,
        CrashLoss::EverythingUnsynced,
        CrashLoss::ByChance { seed: 1 },
    ] {
        let fs = with_folder();
        let folder = Path::new("/d/log");
        let file = folder.join("a");
        fs.create_dir_all(folder).unwrap();
        fs.sync_dir(Path::new("/d")).unwrap();
        fs.create(&file).unwrap();
        fs.rename(folder, Path::new("/d/gone")).unwrap();
        fs.create_dir_all(folder).unwrap();
        fs.sync_dir(Path::new("/d")).unwrap();
        fs.crash(loss);
        assert!(!fs.exists(&file).unwrap(), "{loss:?}");
    }
}

#[test]
fn by_chance_a_long_write_can_tear() {
    let mut torn = 0;
    for seed in 0..50 {
        let fs = with_folder();
        let file = fs.create(&path("a")).unwrap();
        fs.sync_dir(Path::new("/d")).unwrap();
        file.write_all_at(&[7; 300], 0).unwrap();
        fs.crash(CrashLoss::ByChance { seed });
        let found = read(&fs, "a").unwrap();
        let sevens: usize = found.iter().map(|byte| usize::from(*byte == 7)).sum();
        torn += usize::from(found.len() == 300 && (1..300).contains(&sevens));
    }
    assert!(torn > 10, "{torn} of 50 seeds tore the write");
}

#[test]
fn a_rename_is_whole_and_waits_for_the_folder() {
    let fs = with_folder();
    crate::fs::replace_file(&fs, &path("a"), b"old").unwrap();
    crate::fs::replace_file(&fs, &path("a"), b"new").unwrap();
    fs.crash(CrashLoss::EverythingUnsynced);
    assert_eq!(read(&fs, "a").unwrap(), b"new");

    fs.create(&path("b")).unwrap().sync_data().unwrap();
    fs.rename(&path("b"), &path("a")).unwrap();
    fs.crash(CrashLoss::EverythingUnsynced);
    assert_eq!(read(&fs, "a").unwrap(), b"new");
}

#[test]
fn a_failed_sync_loses_its_pages_for_good() {
    let fs = with_folder();
    let file = fs.create(&path("a")).unwrap();
    fs.sync_dir(Path::new("/d")).unwrap();
    file.write_all_at(b"lost", 0).unwrap();
    fs.fail_syncs(1);
    assert!(file.sync_data().is_err());
    file.sync_data().unwrap();
    assert_ne!(read(&fs, "a").unwrap()[0], 0, "the cache still has it");
    fs.crash(CrashLoss::EverythingUnsynced);
    let found = read(&fs, "a").unwrap();
    assert!(found.iter().all(|byte| *byte == 0), "{found:?}");
}

#[test]
fn a_full_disk_takes_what_fits() {
    let fs = with_folder();
    fs.set_capacity(10);
    let file = fs.create(&path("a")).unwrap();
    assert_eq!(file.write_at(b"12345678", 0).unwrap(), 8);
    let refused = file.write_all_at(b"9abc", 8).unwrap_err();
    assert!(crate::fs::is_full(&refused));
    assert_eq!(file.size().unwrap(), 10);
    file.write_all_at(b"over", 0).unwrap();
}

#[test]
fn a_stopped_machine_answers_nothing_more() {
    let fs = with_folder();
    let file = fs.create(&path("a")).unwrap();
    fs.stop_after(1);
    file.write_all_at(b"1", 0).unwrap();
    assert!(file.write_all_at(b"2", 1).is_err());
    assert!(file.size().is_err());
    fs.crash(CrashLoss::Nothing);
    assert_eq!(read(&fs, "a").unwrap(), b"1");
}

#[test]
fn a_lock_has_one_holder_until_dropped_or_crashed() {
    let fs = with_folder();
    let held = fs.lock(&path(".lock")).unwrap();
    assert_eq!(
        fs.lock(&path(".lock")).unwrap_err().kind(),
        io::ErrorKind::WouldBlock
    );
    drop(held);
    let _held = fs.lock(&path(".lock")).unwrap();
    fs.crash(CrashLoss::Nothing);
    assert!(fs.lock(&path(".lock")).is_ok());
}

#[test]
fn trouble_befalls_one_change() {
    let fs = with_folder();
    let file = fs.create(&path("a")).unwrap();
    fs.sync_dir(Path::new("/d")).unwrap();
    fs.trouble_after(1, Trouble::IoError);
    file.write_all_at(b"whole", 0).unwrap();
    assert!(file.write_all_at(b"torn", 5).is_err());
    assert_eq!(read(&fs, "a").unwrap(), b"wholeto");
    fs.trouble_after(0, Trouble::IoError);
    assert!(file.sync_data().is_err());
    file.sync_data().unwrap();
    assert_ne!(read(&fs, "a").unwrap()[0], 0, "the cache still has it");
    fs.crash(CrashLoss::EverythingUnsynced);
    let found = read(&fs, "a").unwrap();
    assert!(found.iter().all(|byte| *byte == 0), "{found:?}");
}

#[test]
fn a_disk_that_fills_up_stays_full_until_it_is_given_space() {
    let fs = with_folder();
    let file = fs.create(&path("a")).unwrap();
    fs.trouble_after(1, Trouble::FullDisk);
    file.write_all_at(b"1", 0).unwrap();
    for _ in 0..2 {
        let refused = file.write_all_at(b"2", 1).unwrap_err();
        assert!(crate::fs::is_full(&refused));
        assert!(crate::fs::is_full(&fs.create(&path("b")).unwrap_err()));
    }
    file.sync_data().unwrap();
    fs.set_capacity(u64::MAX);
    file.write_all_at(b"2", 1).unwrap();
    fs.create(&path("b")).unwrap();
}

#[test]
fn what_the_disk_does_not_have_can_be_found_out() {
    let fs = with_folder();
    let file = fs.create(&path("a")).unwrap();
    file.write_all_at(&[1; 64], 0).unwrap();
    file.sync_data().unwrap();
    file.write_all_at(&[2; 64], 64).unwrap();
    fs.fail_syncs(1);
    assert!(file.sync_data().is_err());
    file.write_all_at(&[3; 64], 128).unwrap();
    file.read_anew(0).unwrap();
    let expected = [[1; 64], [0; 64], [3; 64]].concat();
    assert_eq!(read(&fs, "a").unwrap(), expected);
}
