//! The folder of what was fetched: archives by their digest, and for every version of a chart the
//! digest that it was first used with. Archives that were not used for long go when the folder is
//! full; digests stay.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

use super::ChartVersion;

/// The most bytes of all archives.
const MOST_KEPT: u64 = 1 << 30;

pub(super) struct Store {
    folder: PathBuf,
}

impl Store {
    pub(super) fn new(folder: PathBuf) -> io::Result<Self> {
        for part in ["archives", "versions"] {
            fs::create_dir_all(folder.join(part))?;
        }
        Ok(Self { folder })
    }

    /// Where the digest of a version is kept.
    pub(super) fn pin_path(&self, of: &ChartVersion) -> PathBuf {
        let name = format!("{}\n{}\n{}", of.repository, of.name, of.version);
        let file = hex::encode(Sha256::digest(name));
        self.folder.join("versions").join(file)
    }

    /// The digest that a version was first used with.
    pub(super) fn pin(&self, of: &ChartVersion) -> Option<String> {
        let text = fs::read_to_string(self.pin_path(of)).ok()?;
        let digest = text.trim().to_string();
        let is_digest = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_digest.then_some(digest)
    }

    /// An archive by its digest, if it is there as it was.
    pub(super) fn archive(&self, digest: &str) -> Option<Vec<u8>> {
        let path = self.archive_path(digest);
        let archive = fs::read(&path).ok()?;
        if hex::encode(Sha256::digest(&archive)) != digest {
            let _ = fs::remove_file(&path);
            return None;
        }
        // So that it goes last when room is made.
        if let Ok(file) = fs::File::options().append(true).open(&path) {
            let _ = file.set_modified(SystemTime::now());
        }
        Some(archive)
    }

    pub(super) fn keep(&self, of: &ChartVersion, digest: &str, archive: &[u8]) -> io::Result<()> {
        self.make_room(archive.len() as u64)?;
        self.write(&self.archive_path(digest), archive)?;
        self.write(&self.pin_path(of), digest.as_bytes())
    }

    fn archive_path(&self, digest: &str) -> PathBuf {
        self.folder.join("archives").join(digest)
    }

    /// Whole or not at all.
    fn write(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    }

    /// Removes what was not used for longest, until there is room for so many bytes.
    fn make_room(&self, bytes: u64) -> io::Result<()> {
        let mut kept = Vec::new();
        for entry in fs::read_dir(self.folder.join("archives"))? {
            let entry = entry?;
            let about = entry.metadata()?;
            kept.push((about.modified()?, about.len(), entry.path()));
        }
        kept.sort();
        let mut total: u64 = kept.iter().map(|(_, length, _)| length).sum();
        for (_, length, path) in kept {
            if total + bytes <= MOST_KEPT {
                break;
            }
            fs::remove_file(path)?;
            total -= length;
        }
        Ok(())
    }
}
