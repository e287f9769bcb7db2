//! The newest snapshot, in one file: written aside, synced, renamed, the folder synced.
//!
//! ```text
//! magic 8 | format u32 | meta length u32 | image length u64 | crc u32 | meta | image   (little-endian)
//! ```
//!
//! Invariants: a crash leaves the older snapshot or the newer, whole; an older one never replaces a
//! newer. A snapshot is durable before raft purges the entries it stands for, so one that does not
//! check is damage, and the node refuses to start.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use thiserror::Error;

use crate::codec::{self, CodecError, checksum, take, take_u32, take_u64};
use crate::disk::{Disk, read_whole, replace_file};
use crate::image::MetadataImage;
use crate::stored::{AppliedV1, LogIdV1};

const MAGIC: &[u8; 8] = b"dravesnp";
/// Version of the layout. Since 2 the image inside names its own; what came before is still read.
const FORMAT: u32 = 2;
const NAME: &str = "metadata.snapshot";

/// The encoded image, as sent to a follower that is far behind.
#[derive(Clone, Debug, Default)]
pub struct SnapshotBytes(pub Bytes);

#[derive(Debug, Error)]
pub enum SnapshotError {
    #[error("metadata snapshot {path}: {cause}")]
    Io { path: PathBuf, cause: io::Error },
    #[error(
        "metadata snapshot {path} is damaged: {what}. The log before it is gone, so this node must \
         not continue under its identity: move the metadata directory away and start again, it will \
         join as a new member"
    )]
    Corrupt { path: PathBuf, what: String },
}

#[derive(Clone, Debug)]
pub(crate) struct SnapshotStore {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    /// Up to where the file reaches; held while the file changes.
    newest: Arc<Mutex<Option<LogIdV1>>>,
}

impl SnapshotStore {
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        folder: &Path,
    ) -> Result<(Self, Option<(AppliedV1, SnapshotBytes)>), SnapshotError> {
        let store = Self {
            disk,
            folder: folder.to_path_buf(),
            newest: Arc::default(),
        };
        let create = store.disk.create_dir_all(folder);
        create.map_err(|cause| SnapshotError::Io {
            path: folder.to_path_buf(),
            cause,
        })?;
        let found = store.load()?;
        *store.newest.lock() = found.as_ref().and_then(|(applied, _)| applied.last);
        Ok((store, found))
    }

    /// Keeps what is there if that is newer.
    pub(crate) fn save(&self, applied: &AppliedV1, image: &SnapshotBytes) -> io::Result<()> {
        let mut newest = self.newest.lock();
        if *newest > applied.last {
            return Ok(());
        }
        let meta = codec::encode(applied).map_err(io::Error::other)?;
        let mut head = Vec::new();
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&FORMAT.to_le_bytes());
        let meta_length = u32::try_from(meta.len()).map_err(io::Error::other)?;
        head.extend_from_slice(&meta_length.to_le_bytes());
        let image_length = u64::try_from(image.0.len()).map_err(io::Error::other)?;
        head.extend_from_slice(&image_length.to_le_bytes());
        let crc = checksum(0, &[&head, &meta, &image.0]);
        head.extend_from_slice(&crc.to_le_bytes());
        replace_file(
            self.disk.as_ref(),
            &self.folder,
            NAME,
            &[&head, &meta, &image.0],
        )?;
        *newest = applied.last;
        Ok(())
    }

    pub(crate) fn load(&self) -> Result<Option<(AppliedV1, SnapshotBytes)>, SnapshotError> {
        // Held so that a replacement cannot come between finding the file and reading it.
        let _newest = self.newest.lock();
        let path = self.folder.join(NAME);
        let bytes = match read_whole(self.disk.as_ref(), &path) {
            Ok(bytes) => bytes,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(SnapshotError::Io { path, cause }),
        };
        decode(&bytes)
            .map(Some)
            .map_err(|error| SnapshotError::Corrupt {
                path,
                what: error.to_string(),
            })
    }
}

fn decode(bytes: &[u8]) -> Result<(AppliedV1, SnapshotBytes), CodecError> {
    let mut rest = bytes;
    let head = bytes.get(..24).unwrap_or_default();
    if take(&mut rest, 8)? != MAGIC {
        return Err(CodecError::Body("not a metadata snapshot".to_owned()));
    }
    let format = take_u32(&mut rest)?;
    if !(1..=FORMAT).contains(&format) {
        let what = format!("format {format} is unknown to this node, it knows 1 to {FORMAT}");
        return Err(CodecError::Body(what));
    }
    let meta_length = usize::try_from(take_u32(&mut rest)?).unwrap_or(usize::MAX);
    let image_length = usize::try_from(take_u64(&mut rest)?).unwrap_or(usize::MAX);
    let crc = take_u32(&mut rest)?;
    let meta = take(&mut rest, meta_length)?;
    let image = take(&mut rest, image_length)?;
    if !rest.is_empty() || crc != checksum(0, &[head, meta, image]) {
        return Err(CodecError::Body("its checksum does not match".to_owned()));
    }
    Ok((
        codec::decode(meta)?,
        SnapshotBytes(Bytes::copy_from_slice(image)),
    ))
}

impl SnapshotBytes {
    pub(crate) fn of(image: &MetadataImage) -> Result<Self, CodecError> {
        Ok(Self(image.to_bytes()?.into()))
    }

    pub(crate) fn to_image(&self) -> Result<MetadataImage, CodecError> {
        MetadataImage::from_bytes(&self.0)
    }
}
