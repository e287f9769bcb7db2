//! Directories at start: whose they are, and which the node goes on without.

use std::io;
use std::path::PathBuf;

use drave_log::fs::faulty::FaultyFs;
use drave_log::fs::{read_file, replace_file};
use drave_protocol::ids::{TopicIdPartition, Uuid};

use super::*;

/// A node's disks; its metadata lies in `/one`.
struct Node {
    fs: FaultyFs,
    outside: Outside,
}

impl Node {
    fn new() -> Self {
        let fs = FaultyFs::new();
        let outside = Outside {
            fs: Arc::new(fs.clone()),
            ..Outside::system()
        };
        Self { fs, outside }
    }

    fn start_as(&self, node: &str, log_dirs: &str) -> Result<LogDirs, StartError> {
        let pairs = [
            ("node.id", node),
            ("log.dirs", log_dirs),
            ("metadata.log.dir", "/one"),
            ("log.dirs.reserve.bytes", "1000"),
        ];
        LogDirs::open(&BrokerConfig::from_pairs(pairs).unwrap(), &self.outside)
    }

    fn start(&self, log_dirs: &str) -> Result<LogDirs, StartError> {
        self.start_as("1", log_dirs)
    }

    /// Starts once, with a replica in each directory.
    fn ran_with(&self, log_dirs: &str) {
        let mut found = self.start(log_dirs).unwrap();
        let replica = |(number, home): (i32, &Home)| {
            let partition = TopicIdPartition {
                topic_id: Uuid([1; 16]),
                partition: number,
            };
            (partition, home.directory())
        };
        let placed: Vec<_> = (0..).zip(&found.present).map(replica).collect();
        found.roster.place(&placed).unwrap();
    }
}

fn paths(found: &LogDirs) -> Vec<PathBuf> {
    let paths = found.present.iter().map(|it| it.dir().path().to_owned());
    paths.collect()
}

#[test]
fn each_directory_has_an_id_of_its_own_and_keeps_it() {
    let node = Node::new();
    let ids = |found: &LogDirs| -> Vec<_> { found.present.iter().map(Home::directory).collect() };
    let first = ids(&node.start("/one,/two,/three").unwrap());
    assert!(first[0] != first[1] && first[1] != first[2] && first[0] != first[2]);
    let again = node.start("/one,/two,/three").unwrap();
    assert_eq!(ids(&again), first);
    assert_eq!(again.identity.directory(), first[0]);
    drop(again);
    let moved = node.start("/three,/one").unwrap();
    assert_eq!(ids(&moved), [first[2], first[0]], "in the order configured");
}

#[test]
fn a_metadata_directory_of_its_own_has_an_id_too() {
    let node = Node::new();
    let found = node.start("/two").unwrap();
    assert_ne!(found.identity.directory(), found.present[0].directory());
    assert_eq!(paths(&found), [PathBuf::from("/two")]);
}

#[test]
fn another_nodes_directory_is_refused() {
    let node = Node::new();
    drop(node.start("/one,/two").unwrap());
    let refused = node.start_as("7", "/one").unwrap_err();
    assert!(refused.to_string().contains("node.id=1"), "{refused}");
    let other = Node::new();
    drop(other.start_as("7", "/one,/two").unwrap());
    let theirs = read_file(&other.fs, Path::new("/two/meta.properties")).unwrap();
    replace_file(&node.fs, Path::new("/two/meta.properties"), &theirs).unwrap();
    let refused = node.start("/one,/two").unwrap_err();
    assert!(
        refused.is_foreign() && refused.to_string().contains("/two"),
        "{refused}"
    );
}

#[test]
fn a_directory_of_another_cluster_is_refused() {
    let node = Node::new();
    let mut found = node.start("/one,/two").unwrap();
    found.identity.belongs_to("here").unwrap();
    found.others[0].belongs_to("there").unwrap();
    drop(found);
    let refused = node.start("/one,/two").unwrap_err();
    assert!(
        refused.is_foreign() && refused.to_string().contains("there"),
        "{refused}"
    );
}

#[test]
fn a_copied_directory_is_refused() {
    let node = Node::new();
    drop(node.start("/one,/two").unwrap());
    node.fs.create_dir_all(Path::new("/copy")).unwrap();
    let theirs = read_file(&node.fs, Path::new("/two/meta.properties")).unwrap();
    replace_file(&node.fs, Path::new("/copy/meta.properties"), &theirs).unwrap();
    let refused = node.start("/one,/two,/copy").unwrap_err();
    assert!(refused.to_string().contains("is a copy"), "{refused}");
}

#[test]
fn an_empty_directory_does_not_take_the_place_of_one_that_held_replicas() {
    let node = Node::new();
    node.ran_with("/one,/two");
    node.fs.remove_dir_all(Path::new("/two")).unwrap();
    let found = node.start("/one,/two").unwrap();
    assert_eq!(paths(&found), [PathBuf::from("/one")]);
    let absent = &found.absent[0];
    assert!(
        absent.reason.contains("mount its disk"),
        "{}",
        absent.reason
    );
    assert!(absent.directory.is_some());
    drop(found);
    let found = node.start("/one,/new").unwrap();
    assert_eq!(found.present.len(), 2, "under another path it is welcome");
}

#[test]
fn a_directory_found_under_another_path_frees_the_place_it_was_in() {
    let node = Node::new();
    node.ran_with("/one,/two");
    node.fs
        .rename(Path::new("/two"), Path::new("/moved"))
        .unwrap();
    let found = node.start("/one,/two,/moved").unwrap();
    assert_eq!(found.present.len(), 3);
}

#[test]
fn a_broken_directory_is_gone_without_unless_it_is_the_metadatas() {
    let node = Node::new();
    drop(node.start("/one,/two").unwrap());
    for (broken, starts) in [("/two", true), ("/one", false)] {
        let file = Path::new(broken).join("meta.properties");
        let before = read_file(&node.fs, &file).unwrap();
        replace_file(&node.fs, &file, b"nonsense").unwrap();
        match node.start("/one,/two") {
            Ok(found) => assert!(starts && found.absent.len() == 1, "{broken}"),
            Err(error) => assert!(!starts, "{broken}: {error}"),
        }
        replace_file(&node.fs, &file, &before).unwrap();
    }
}

#[test]
fn no_directory_left_is_no_start() {
    let node = Node::new();
    drop(node.start("/two").unwrap());
    replace_file(&node.fs, Path::new("/two/meta.properties"), b"nonsense").unwrap();
    let refused = node.start("/two").unwrap_err();
    assert!(matches!(refused, StartError::DataDir(_)), "{refused}");
    let file = node.fs.create(Path::new("/file")).unwrap();
    drop::<Arc<dyn drave_log::fs::File>>(file);
    let refused = node.start("/file").unwrap_err();
    assert!(
        matches!(refused, StartError::Log(LogError::Io { ref source, .. })
        if source.kind() == io::ErrorKind::NotADirectory),
        "{refused}"
    );
}

#[test]
fn the_last_run_was_clean_only_if_every_directory_says_the_same() {
    let node = Node::new();
    let epoch = |log_dirs: &str| {
        let mut found = node.start(log_dirs).unwrap();
        found.take_clean_shutdown().unwrap();
        found.previous_epoch
    };
    let end = |path: &str, epoch: i64| {
        let found = node.start("/one,/two").unwrap();
        let home = found
            .present
            .iter()
            .find(|it| it.dir().path() == Path::new(path));
        home.unwrap()
            .dir()
            .mark_clean_shutdown(BrokerEpoch(epoch))
            .unwrap();
    };
    assert_eq!(epoch("/one,/two"), None);
    end("/one", 4);
    end("/two", 4);
    assert_eq!(epoch("/one,/two"), Some(BrokerEpoch(4)));
    end("/one", 6);
    end("/two", 4);
    assert_eq!(epoch("/one,/two"), None);
}
