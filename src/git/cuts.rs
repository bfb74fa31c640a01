//! Where the history in a mirror ends: the commits here with a parent that is not.
//!
//! Every pack that a fetch writes is complete but for what is behind these commits,
//! so they and the refs tell the remote exactly what is here. They are found by
//! looking, before each fetch: git's file `shallow` is only how they are told, so a
//! process that is killed between a pack and that file leaves nothing wrong.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use gix::ObjectId;

use super::mirrors::options;

/// What is known of a mirror's history. Commits never leave a mirror, so each is looked at once.
#[derive(Default)]
pub(super) struct Cuts {
    seen: HashSet<ObjectId>,
    /// Commits with a parent that was not here.
    ends: BTreeSet<ObjectId>,
}

impl Cuts {
    /// Opens a Git directory of the mirror, looks at what is reachable from its refs and was not
    /// seen before, and writes its file `shallow`. What others fetch meanwhile is not seen by the
    /// fetch that uses the result, so that it claims no more than the file does.
    pub(super) fn open(&mut self, path: &Path) -> anyhow::Result<gix::Repository> {
        let opened = gix::open_opts(path, options())?;
        // One view of what is here, newer than those of all looks before.
        let mut repo = opened.clone();
        repo.objects.refresh_never();
        let mut next = Vec::new();
        for reference in repo.references()?.all()? {
            let reference = reference.map_err(|error| anyhow::anyhow!("{error}"))?;
            next.extend(reference.try_id().map(gix::Id::detach));
        }
        if next.is_empty() {
            // It is new, or was cloned again.
            *self = Self::default();
        }
        // A ref to nothing tells the remote nothing either.
        next.retain(|id| repo.has_object(*id));
        // Older commits may have come since.
        let before = std::mem::take(&mut self.ends);
        for end in &before {
            self.seen.remove(end);
        }
        next.extend(before);
        while let Some(id) = next.pop() {
            if !self.seen.insert(id) {
                continue;
            }
            for parent in repo.find_commit(id)?.parent_ids() {
                if repo.has_object(parent) {
                    next.push(parent.detach());
                } else {
                    self.ends.insert(id);
                }
            }
        }
        write(&repo.shallow_file()?, &self.ends)?;
        Ok(opened)
    }
}

fn write(path: &Path, ends: &BTreeSet<ObjectId>) -> anyhow::Result<()> {
    if ends.is_empty() {
        return match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        };
    }
    let text: String = ends.iter().map(|id| format!("{id}\n")).collect();
    let new = path.with_extension("new");
    std::fs::write(&new, text)?;
    Ok(std::fs::rename(new, path)?)
}
