//! The pinned Kubernetes programs and renderers: where they are.
//!
//! `make tools` builds them from `src/sandbox/control_plane/` (Go modules with
//! pinned sums) into the user's cache, in a folder named by a digest of what
//! they are built from. `KUBEBUILDER_ASSETS` comes first where it is set.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};

/// What the folder's name is made of; the `Makefile` computes the same.
const SOURCES: [&[u8]; 6] = [
    include_bytes!("control_plane/go.mod"),
    include_bytes!("control_plane/go.sum"),
    include_bytes!("control_plane/main.go"),
    include_bytes!("control_plane/windlass-renderer/main.go"),
    include_bytes!("control_plane/windlass-renderer/render.go"),
    include_bytes!("control_plane/windlass-renderer/serve.go"),
];

/// Finds programs by name.
#[derive(Debug, Clone)]
pub struct Tools {
    folders: Vec<PathBuf>,
}

impl Tools {
    /// `KUBEBUILDER_ASSETS`, then the cache.
    pub fn locate() -> anyhow::Result<Self> {
        let mut folders: Vec<PathBuf> = std::env::var_os("KUBEBUILDER_ASSETS")
            .map(PathBuf::from)
            .into_iter()
            .collect();
        folders.push(built()?);
        Ok(Self { folders })
    }

    pub fn program(&self, name: &str) -> anyhow::Result<PathBuf> {
        for folder in &self.folders {
            let path = folder.join(name);
            if path.is_file() {
                return Ok(path);
            }
        }
        bail!(
            "`{name}` is not built yet: run `make tools` in windlass's checkout (8 minutes, once), or set KUBEBUILDER_ASSETS"
        )
    }

    /// The folder that holds `kubectl`.
    pub fn assets(&self) -> anyhow::Result<PathBuf> {
        Ok(self
            .program("kubectl")?
            .parent()
            .context("a program has a folder")?
            .to_path_buf())
    }
}

/// The folder that `make tools` builds into.
pub fn built() -> anyhow::Result<PathBuf> {
    let mut hash = Sha256::new();
    SOURCES.iter().for_each(|source| hash.update(source));
    Ok(cache()?
        .join("tools")
        .join(&hex::encode(hash.finalize())[..16]))
}

/// `~/.cache/windlass`, or where XDG_CACHE_HOME says.
pub fn cache() -> anyhow::Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME") {
        Some(folder) if Path::new(&folder).is_absolute() => PathBuf::from(folder),
        _ => PathBuf::from(
            std::env::var_os("HOME").context("HOME is not set: the cache folder is unknown")?,
        )
        .join(".cache"),
    };
    Ok(base.join("windlass"))
}
