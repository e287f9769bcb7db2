//! Names of the files beside a segment: `<offset>.<what>`, twenty digits, so that names sort as
//! offsets do.

use std::path::{Path, PathBuf};

use drave_protocol::ids::Offset;

pub(crate) fn path_of(dir: &Path, offset: Offset, extension: &str) -> PathBuf {
    dir.join(format!("{:020}.{extension}", offset.0))
}

/// The offset a file name says, `None` for other names.
pub(crate) fn offset_in(name: &str, extension: &str) -> Option<Offset> {
    let digits = name.strip_suffix(extension)?.strip_suffix('.')?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().map(Offset)
}
