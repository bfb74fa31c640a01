//! Reading a tree: its listing (bounded for pull requests' heads) and its files.
//! Editing files of a tree in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use gix::ObjectId;
use gix::bstr::ByteSlice as _;
use gix::objs::tree::EntryKind;

use super::{Mirror, TreeId};
use crate::domain::edit::FileEdit;

/// Bounds on a tree's entries and depth: by reuse of subtrees, a few objects can make a tree of
/// millions of files.
const MOST_ENTRIES: usize = 200_000;
const MOST_DEPTH: usize = 64;
/// How many entries the cached listings may have together.
const MOST_LISTED: u64 = 500_000;

/// Path → mode and object id of every entry that is not a directory.
pub type Listing = BTreeMap<String, (EntryMode, String)>;

/// The kind of a tree's entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryMode {
    File,
    Symlink,
    Directory,
    Submodule,
}

/// Whether a file's content is in Git LFS, and only a pointer to it in Git. Its first line says so, and
/// it is short (github.com/git-lfs/git-lfs, docs/spec.md).
pub fn is_lfs_pointer(content: &[u8]) -> bool {
    content.len() < 1024 && content.starts_with(b"version https://git-lfs.github.com/spec/v1\n")
}

/// A tree that is not listed, since it is too large.
#[derive(Debug, thiserror::Error)]
#[error("it has more than {MOST_ENTRIES} files, or directories nested deeper than {MOST_DEPTH}")]
pub struct TooLarge;

/// The cache of listings: trees are immutable, and all applications of a commit read the same one.
pub(super) type Listings = moka::sync::Cache<TreeId, Arc<Listing>>;

pub(super) fn listings() -> Listings {
    let weight = |_: &TreeId, listing: &Arc<Listing>| {
        u32::try_from(listing.len()).unwrap_or(u32::MAX).max(1)
    };
    moka::sync::Cache::builder()
        .weigher(weight)
        .max_capacity(MOST_LISTED)
        .build()
}

impl Mirror {
    /// Every entry that is not a directory.
    pub fn files(&self, tree: TreeId) -> anyhow::Result<Arc<Listing>> {
        self.files_within(tree, usize::MAX, usize::MAX)
    }

    /// The entries of a pull request's head, within bounds. If the base is large itself, the bound
    /// is twice its size.
    pub fn files_of_head(&self, tree: TreeId, base: TreeId) -> anyhow::Result<Arc<Listing>> {
        self.files_within(
            tree,
            MOST_ENTRIES.max(2 * self.files(base)?.len()),
            MOST_DEPTH,
        )
    }

    fn files_within(
        &self,
        tree: TreeId,
        most: usize,
        deepest: usize,
    ) -> anyhow::Result<Arc<Listing>> {
        if let Some(known) = self.listings.get(&tree) {
            return Ok(known);
        }
        let mut files = Listing::new();
        let mut trees = vec![(String::new(), tree.0, 0)];
        let mut count = 0;
        while let Some((path, id, depth)) = trees.pop() {
            if depth > deepest {
                return Err(TooLarge.into());
            }
            for entry in self.repo.find_tree(id)?.iter() {
                let entry = entry?;
                count += 1;
                if count > most {
                    return Err(TooLarge.into());
                }
                let path = format!("{path}{}", entry.filename().to_str_lossy());
                match mode(entry.mode().kind()) {
                    EntryMode::Directory => trees.push((path + "/", entry.object_id(), depth + 1)),
                    mode => drop(files.insert(path, (mode, entry.object_id().to_string()))),
                }
            }
        }
        let listing = Arc::new(files);
        self.listings.insert(tree, listing.clone());
        Ok(listing)
    }

    /// A file's content; None: there is no such file.
    pub fn read(&self, tree: TreeId, path: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let entry = self
            .repo
            .find_tree(tree.0)?
            .lookup_entry(path.split('/').map(str::as_bytes))?;
        match entry {
            Some(entry) if mode(entry.mode().kind()) == EntryMode::File => {
                Ok(Some(self.repo.find_blob(entry.object_id())?.take_data()))
            }
            _ => Ok(None),
        }
    }

    /// A blob by its id.
    pub fn blob(&self, id: &str) -> anyhow::Result<Vec<u8>> {
        Ok(self
            .repo
            .find_blob(ObjectId::from_hex(id.as_bytes())?)?
            .take_data())
    }

    /// The tree with some files' texts replaced or files deleted, in memory.
    pub fn edited(&self, tree: TreeId, edits: &[FileEdit]) -> anyhow::Result<TreeId> {
        let mut editor = self.repo.edit_tree(tree.0)?;
        for edit in edits {
            let Some(text) = &edit.text else {
                editor.remove(edit.path.as_str())?;
                continue;
            };
            let blob = self.repo.write_blob(text.as_bytes())?.detach();
            editor.upsert(
                edit.path.as_str(),
                self.kind_of_file(tree, &edit.path)?,
                blob,
            )?;
        }
        Ok(TreeId(editor.write()?.detach()))
    }

    /// The mode that a file is written with: an executable file stays executable.
    pub(super) fn kind_of_file(&self, tree: TreeId, path: &str) -> anyhow::Result<EntryKind> {
        let known = self
            .repo
            .find_tree(tree.0)?
            .lookup_entry_by_path(path)?
            .map(|entry| entry.mode().kind());
        Ok(known
            .filter(|kind| *kind == EntryKind::BlobExecutable)
            .unwrap_or(EntryKind::Blob))
    }
}

fn mode(kind: EntryKind) -> EntryMode {
    match kind {
        EntryKind::Tree => EntryMode::Directory,
        EntryKind::Blob | EntryKind::BlobExecutable => EntryMode::File,
        EntryKind::Link => EntryMode::Symlink,
        EntryKind::Commit => EntryMode::Submodule,
    }
}
