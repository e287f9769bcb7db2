//! The folder of a run: gone when the run is over, unless it is worth keeping.

use std::path::{Path, PathBuf};

use anyhow::Context;

#[derive(Debug)]
pub(super) struct Home {
    path: PathBuf,
    is_kept: bool,
}

impl Home {
    #[allow(clippy::disallowed_methods, reason = "a folder of this run")]
    pub(super) fn create(name: &str) -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path)
            .with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self {
            path,
            is_kept: false,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn keep(&mut self) {
        self.is_kept = true;
    }
}

impl Drop for Home {
    #[allow(clippy::disallowed_methods, reason = "a folder of this run")]
    fn drop(&mut self) {
        if !self.is_kept {
            // What cannot be removed lies where temporary things do.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
