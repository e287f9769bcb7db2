//! `partition.metadata`: which topic the bytes in a folder belong to. A name may be used again
//! after its topic was deleted; the id never is.

use std::io;
use std::path::{Path, PathBuf};

use drave_protocol::ids::{TopicId, Uuid};

use crate::error::{During, LogError};
use crate::fs::{self, FileSystem};

const FILE_NAME: &str = "partition.metadata";
const UNFINISHED: &str = "metadata.tmp";

fn path_in(dir: &Path) -> PathBuf {
    dir.join(FILE_NAME)
}

/// The topic id noted in a folder, `None` when none is.
pub(crate) fn read(fs: &dyn FileSystem, dir: &Path) -> Result<Option<TopicId>, LogError> {
    let path = path_in(dir);
    let bytes = match fs::read_file(fs, &path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).during("read", &path),
    };
    let text = String::from_utf8(bytes).unwrap_or_default();
    let mut lines = text.lines();
    let version = lines.next();
    let topic_id = lines
        .next()
        .and_then(|line| line.strip_prefix("topic_id: "));
    match (version, topic_id.and_then(Uuid::parse)) {
        (Some("version: 0"), Some(topic_id)) => Ok(Some(topic_id)),
        (Some("version: 0"), None) => Err(LogError::BadFile {
            path,
            line: 2,
            fault: "a topic id is expected",
        }),
        (_, _) => Err(LogError::BadFile {
            path,
            line: 1,
            fault: "only version 0 is known",
        }),
    }
}

pub(crate) fn write(fs: &dyn FileSystem, dir: &Path, topic_id: TopicId) -> Result<(), LogError> {
    let path = path_in(dir);
    fs::replace_file(fs, &path, text(topic_id).as_bytes()).during("replace", &path)
}

fn text(topic_id: TopicId) -> String {
    format!("version: 0\ntopic_id: {topic_id}")
}

/// The first half of [`write`]: to be made durable before [`put_in_place`]. Like that it ends in a name that
/// is swept away when nobody finishes it.
pub(crate) fn prepare(fs: &dyn FileSystem, dir: &Path, topic_id: TopicId) -> Result<(), LogError> {
    let path = path_in(dir).with_extension(UNFINISHED);
    let file = fs.create(&path).during("create", &path)?;
    let written = file.write_all_at(text(topic_id).as_bytes(), 0);
    written.during("write", &path)
}

/// The second half, undurable.
pub(crate) fn put_in_place(fs: &dyn FileSystem, dir: &Path) -> Result<(), LogError> {
    let path = path_in(dir);
    let unfinished = path.with_extension(UNFINISHED);
    fs.rename(&unfinished, &path).during("rename", &unfinished)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::faulty::FaultyFs;

    #[test]
    fn the_topic_id_survives_in_kafkas_format() {
        let fs = FaultyFs::new();
        let dir = Path::new("/orders-0");
        fs.create_dir_all(dir).unwrap();
        assert_eq!(read(&fs, dir).unwrap(), None);
        let id = Uuid::from_random([9; 16]);
        write(&fs, dir, id).unwrap();
        assert_eq!(read(&fs, dir).unwrap(), Some(id));
        let text = fs::read_file(&fs, &path_in(dir)).unwrap();
        assert_eq!(text, format!("version: 0\ntopic_id: {id}").into_bytes());
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let fs = FaultyFs::new();
        let dir = Path::new("/orders-0");
        fs.create_dir_all(dir).unwrap();
        for text in [
            "",
            "version: 1\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA",
            "version: 0\ntopic_id: !",
        ] {
            fs::replace_file(&fs, &path_in(dir), text.as_bytes()).unwrap();
            assert!(
                matches!(read(&fs, dir), Err(LogError::BadFile { .. })),
                "{text}"
            );
        }
    }
}
