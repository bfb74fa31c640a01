//! Fetching what no branch of a mirror follows: heads of pull requests, merge groups,
//! older commits. Such a fetch may take long, and must not delay one of the base.
//!
//! It runs in a Git directory of its own inside the mirror, with the same objects and
//! with the mirror's branches as of now, so that what is here is not fetched again.
//! What it fetches is found by its id; the directory is made anew each time.

use std::path::{Path, PathBuf};

/// What is fetched aside; one fetch of a kind runs at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Side {
    /// What anybody may have pushed.
    Heads,
    /// Older commits, for a question about history.
    Older,
}

impl Side {
    fn folder(self) -> &'static str {
        match self {
            Self::Heads => "heads",
            Self::Older => "older",
        }
    }

    /// Makes the directory inside the mirror at `path`.
    pub(super) fn make(self, mirror: &gix::Repository, path: &Path) -> anyhow::Result<PathBuf> {
        let folder = path.join("side").join(self.folder());
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(folder.join("refs"))?;
        std::os::unix::fs::symlink("../../objects", folder.join("objects"))?;
        for file in ["config", "HEAD"] {
            std::fs::copy(path.join(file), folder.join(file))?;
        }
        let mut branches = Vec::new();
        for reference in mirror.references()?.prefixed("refs/heads/")? {
            let reference = reference.map_err(|error| anyhow::anyhow!("{error}"))?;
            if let Some(id) = reference.try_id() {
                branches.push(format!("{id} {}\n", reference.name().as_bstr()));
            }
        }
        let header = "# pack-refs with: peeled fully-peeled sorted \n";
        std::fs::write(
            folder.join("packed-refs"),
            format!("{header}{}", branches.concat()),
        )?;
        Ok(folder)
    }
}
