//! The working copy with its uncommitted changes, as a commit in memory.

use std::path::Path;

use anyhow::Context as _;
use gix::objs::tree::EntryKind;

use super::commits::{object, sha};
use super::{EntryMode, Listing, Mirror, TreeId, is_lfs_pointer};
use crate::domain::CommitSha;

/// A file of the working copy that differs from the checked-out commit.
struct Difference {
    path: String,
    /// None: it is deleted.
    content: Option<(EntryKind, Vec<u8>)>,
}

impl Mirror {
    /// The working copy as a commit on top of `head`, in memory, and the files that differ. None:
    /// there is no working copy, or no uncommitted change. Ignored files that are not tracked are
    /// left out.
    pub fn working_copy(
        &self,
        head: &CommitSha,
    ) -> anyhow::Result<Option<(CommitSha, Vec<String>)>> {
        let Some(folder) = self.repo.workdir() else {
            return Ok(None);
        };
        let tree = self.tree(head)?;
        let tracked = self.files(tree)?;
        let mut differences = self.tracked_differences(folder, tree, &tracked)?;
        differences.extend(untracked_files(folder, &tracked)?);
        if differences.is_empty() {
            return Ok(None);
        }
        let mut changed: Vec<_> = differences.iter().map(|one| one.path.clone()).collect();
        changed.sort();
        let commit = self.with(head, differences, "The working copy")?;
        Ok(Some((commit, changed)))
    }

    /// A commit with more files on top of `head`, in memory.
    pub fn with_files(
        &self,
        head: &CommitSha,
        files: Vec<(String, String)>,
    ) -> anyhow::Result<CommitSha> {
        let added = files.into_iter().map(|(path, text)| Difference {
            path,
            content: Some((EntryKind::Blob, text.into_bytes())),
        });
        self.with(head, added.collect(), "More files")
    }

    /// The folder of the working copy. None: the repository is bare.
    pub fn folder(&self) -> Option<&Path> {
        self.repo.workdir()
    }

    fn with(
        &self,
        head: &CommitSha,
        differences: Vec<Difference>,
        title: &str,
    ) -> anyhow::Result<CommitSha> {
        let mut editor = self.repo.edit_tree(self.tree(head)?.0)?;
        for Difference { path, content } in differences {
            match content {
                Some((kind, text)) => {
                    let blob = self.repo.write_blob(text)?.detach();
                    editor.upsert(path.as_str(), kind, blob)?;
                }
                None => {
                    editor.remove(path.as_str())?;
                }
            }
        }
        let who = gix::actor::SignatureRef {
            name: "windlass".into(),
            email: "windlass@localhost".into(),
            time: "0 +0000",
        };
        let tree = editor.write()?.detach();
        let commit = self
            .repo
            .new_commit_as(who, who, title, tree, [object(head)?])?;
        Ok(sha(commit.id))
    }

    /// The tracked files that were changed or deleted.
    fn tracked_differences(
        &self,
        folder: &Path,
        tree: TreeId,
        tracked: &Listing,
    ) -> anyhow::Result<Vec<Difference>> {
        let mut differences = Vec::new();
        // A submodule is a commit of another repository; and of what is in Git LFS, a working copy has
        // the content, of which the server has only the pointer.
        let files = tracked.all().into_iter();
        for (path, _, id) in files.filter(|(_, mode, _)| *mode != EntryMode::Submodule) {
            let known = self.repo.find_object(id)?;
            let content = match read_file(folder, &path)? {
                None => None,
                Some((_, text)) if known.data == text || is_lfs_pointer(&known.data) => continue,
                Some((EntryKind::Link, text)) => Some((EntryKind::Link, text)),
                Some((_, text)) => Some((self.kind_of_file(tree, &path)?, text)),
            };
            differences.push(Difference { path, content });
        }
        Ok(differences)
    }
}

/// The files that Git neither tracks nor ignores.
fn untracked_files(folder: &Path, tracked: &Listing) -> anyhow::Result<Vec<Difference>> {
    let walk = ignore::WalkBuilder::new(folder)
        .hidden(false)
        .filter_entry(|entry| entry.file_name() != ".git")
        .build();
    let mut found = Vec::new();
    for entry in walk.filter_map(Result::ok) {
        let Some(path) = entry
            .path()
            .strip_prefix(folder)
            .ok()
            .and_then(|path| path.to_str())
            .map(str::to_string)
        else {
            continue;
        };
        if tracked.get(&path).is_some() {
            continue;
        }
        if let Some(content) = read_file(folder, &path)? {
            found.push(Difference {
                path,
                content: Some(content),
            });
        }
    }
    Ok(found)
}

/// A file as Git would store it; None: there is none.
fn read_file(folder: &Path, path: &str) -> anyhow::Result<Option<(EntryKind, Vec<u8>)>> {
    let at = folder.join(path);
    let Ok(found) = std::fs::symlink_metadata(&at) else {
        return Ok(None);
    };
    if found.is_symlink() {
        return Ok(Some((
            EntryKind::Link,
            std::fs::read_link(&at)?
                .into_os_string()
                .into_encoded_bytes(),
        )));
    }
    if !found.is_file() {
        return Ok(None);
    }
    Ok(Some((
        EntryKind::Blob,
        std::fs::read(&at).with_context(|| format!("cannot read {}", at.display()))?,
    )))
}
