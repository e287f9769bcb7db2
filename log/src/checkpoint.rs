//! Small text files in Kafka's checkpoint format, replaced whole or not at all.
//!
//! ```text
//! 0                      format version
//! 2                      number of lines that follow
//! orders 0 4711          one fact a line, fields separated by one blank
//! orders 1 4712
//! ```
//! Invariants: a reader sees the old file or the new one; a file whose count and lines disagree is
//! refused, never half believed.

use std::io;
use std::path::Path;

use crate::error::{During, LogError};
use crate::fs::{self, FileSystem};

const VERSION: &str = "0";

/// The lines of a checkpoint file, `None` when there is no such file.
pub fn read(fs: &dyn FileSystem, path: &Path) -> Result<Option<Vec<String>>, LogError> {
    let bytes = match fs::read_file(fs, path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).during("read", path),
    };
    let bad = |line, fault| LogError::BadFile {
        path: path.to_owned(),
        line,
        fault,
    };
    let text = String::from_utf8(bytes).map_err(|_| bad(1, "this is not text"))?;
    let mut lines = text.lines();
    if lines.next() != Some(VERSION) {
        return Err(bad(1, "only format version 0 is known"));
    }
    let count: Option<usize> = lines.next().and_then(|line| line.parse().ok());
    let count = count.ok_or_else(|| bad(2, "a number of lines is expected"))?;
    let facts: Vec<String> = lines.map(str::to_owned).collect();
    if facts.len() != count {
        return Err(bad(2, "the number of lines is wrong"));
    }
    Ok(Some(facts))
}

pub fn write(fs: &dyn FileSystem, path: &Path, facts: &[String]) -> Result<(), LogError> {
    let mut text = format!("{VERSION}\n{}\n", facts.len());
    for fact in facts {
        text.push_str(fact);
        text.push('\n');
    }
    fs::replace_file(fs, path, text.as_bytes()).during("replace", path)
}

/// Parses each line, naming the file and line of the first that does not parse.
pub fn parse<T>(
    path: &Path,
    facts: &[String],
    parse_fact: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, LogError> {
    let parsed = facts.iter().zip(3..).map(|(fact, line)| {
        let fault = "this line is not understood";
        parse_fact(fact).ok_or_else(|| LogError::BadFile {
            path: path.to_owned(),
            line,
            fault,
        })
    });
    parsed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::faulty::FaultyFs;

    #[test]
    fn what_was_written_is_read() {
        let fs = FaultyFs::new();
        fs.create_dir_all(Path::new("/d")).unwrap();
        let path = Path::new("/d/checkpoint");
        assert_eq!(read(&fs, path).unwrap(), None);
        let facts = vec!["a 0 1".to_owned(), "b 1 2".to_owned()];
        write(&fs, path, &facts).unwrap();
        assert_eq!(read(&fs, path).unwrap(), Some(facts));
        assert_eq!(fs::read_file(&fs, path).unwrap(), b"0\n2\na 0 1\nb 1 2\n");
    }

    #[test]
    fn a_damaged_file_is_named_with_its_line() {
        let fs = FaultyFs::new();
        fs.create_dir_all(Path::new("/d")).unwrap();
        let path = Path::new("/d/checkpoint");
        for (text, at) in [("", 1), ("1\n0\n", 1), ("0\nx\n", 2), ("0\n2\na 0 1\n", 2)] {
            fs::replace_file(&fs, path, text.as_bytes()).unwrap();
            let refused = read(&fs, path);
            assert!(
                matches!(refused, Err(LogError::BadFile { line, .. }) if line == at),
                "{text}"
            );
        }
    }
}
