//! The files of a tree, directory by directory. Directories are immutable and
//! shared: the listing of the next commit reads only those that it changed.

use std::collections::BTreeSet;
use std::sync::Arc;

use gix::ObjectId;
use gix::bstr::ByteSlice as _;
use gix::objs::tree::EntryKind;

use super::{Mirror, TreeId};

/// Bounds on a tree's entries and depth: by reuse of subtrees, a few objects can make a tree of
/// millions of files.
const MOST_ENTRIES: usize = 200_000;
const MOST_DEPTH: usize = 64;
/// The depth of trees that people with the right to push made; a path has at most 4,096 bytes.
const MOST_DEPTH_OF_BASE: usize = 1_000;
/// How many entries the cached directories may have together, each with all that is below it. An
/// entry takes about 100 bytes.
const MOST_LISTED: u64 = 1_000_000;

/// Every entry of a tree that is not a directory.
#[derive(Clone)]
pub struct Listing {
    id: ObjectId,
    root: Arc<Directory>,
}

/// The kind of a tree's entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryMode {
    File,
    Symlink,
    Directory,
    Submodule,
}

/// A tree that is not listed, since it is too large.
#[derive(Debug, thiserror::Error)]
#[error("it has more than {MOST_ENTRIES} files, or directories nested deeper than {MOST_DEPTH}")]
pub struct TooLarge;

pub(super) struct Directory {
    /// By name.
    entries: Vec<Entry>,
    /// Entries here and below.
    total: usize,
    /// Levels of directories below.
    depth: usize,
}

struct Entry {
    name: Box<str>,
    mode: EntryMode,
    id: ObjectId,
    below: Option<Arc<Directory>>,
}

pub(super) type Directories = moka::sync::Cache<ObjectId, Arc<Directory>>;

pub(super) fn directories() -> Directories {
    let weight = |_: &ObjectId, directory: &Arc<Directory>| {
        u32::try_from(directory.total).unwrap_or(u32::MAX).max(1)
    };
    moka::sync::Cache::builder()
        .weigher(weight)
        .max_capacity(MOST_LISTED)
        .build()
}

/// What may still be read.
struct Budget {
    entries: usize,
    depth: usize,
}

impl Mirror {
    /// Every entry that is not a directory.
    pub fn files(&self, tree: TreeId) -> anyhow::Result<Listing> {
        self.listing(tree, usize::MAX, MOST_DEPTH_OF_BASE)
    }

    /// The entries of a pull request's head, within bounds. If the base is large itself, the bound
    /// is twice its size.
    pub fn files_of_head(&self, tree: TreeId, base: TreeId) -> anyhow::Result<Listing> {
        let most = MOST_ENTRIES.max(2 * self.files(base)?.root.total);
        self.listing(tree, most, MOST_DEPTH)
    }

    fn listing(&self, tree: TreeId, entries: usize, depth: usize) -> anyhow::Result<Listing> {
        let mut budget = Budget { entries, depth };
        Ok(Listing {
            id: tree.0,
            root: self.directory(tree.0, &mut budget)?,
        })
    }

    fn directory(&self, id: ObjectId, budget: &mut Budget) -> anyhow::Result<Arc<Directory>> {
        if let Some(known) = self.directories.get(&id) {
            budget.entries = budget.entries.checked_sub(known.total).ok_or(TooLarge)?;
            anyhow::ensure!(known.depth <= budget.depth, TooLarge);
            return Ok(known);
        }
        let mut directory = Directory {
            entries: Vec::new(),
            total: 0,
            depth: 0,
        };
        // The bytes are copied: a tree of the object database is only lent.
        let tree = self.repo.find_tree(id)?;
        for entry in tree.iter() {
            let entry = entry?;
            budget.entries = budget.entries.checked_sub(1).ok_or(TooLarge)?;
            let mode = mode(entry.mode().kind());
            let below = match mode {
                EntryMode::Directory => {
                    budget.depth = budget.depth.checked_sub(1).ok_or(TooLarge)?;
                    let below = self.directory(entry.object_id(), budget)?;
                    budget.depth += 1;
                    directory.depth = directory.depth.max(below.depth + 1);
                    directory.total = directory.total.saturating_add(below.total);
                    Some(below)
                }
                _ => None,
            };
            directory.total = directory.total.saturating_add(1);
            directory.entries.push(Entry {
                name: entry.filename().to_str_lossy().into(),
                mode,
                id: entry.object_id(),
                below,
            });
        }
        // Git sorts a directory as if its name ended with a slash.
        directory
            .entries
            .sort_by(|one, other| one.name.cmp(&other.name));
        directory.entries.shrink_to_fit();
        let directory = Arc::new(directory);
        self.directories.insert(id, directory.clone());
        Ok(directory)
    }
}

impl Listing {
    /// A file's mode and object id; None: there is no such entry, or it is a directory.
    pub fn get(&self, path: &str) -> Option<(EntryMode, ObjectId)> {
        let entry = self.root.find(path)?;
        (entry.below.is_none()).then_some((entry.mode, entry.id))
    }

    pub fn has_directory(&self, path: &str) -> bool {
        self.root
            .find(path)
            .is_some_and(|entry| entry.below.is_some())
    }

    /// The files under a directory, in the order of their paths.
    pub fn under(&self, path: &str) -> Vec<String> {
        let below = self
            .root
            .find(path)
            .and_then(|entry| entry.below.as_deref());
        let mut found = Vec::new();
        if let Some(below) = below {
            below.walk(&format!("{path}/"), &mut |path, entry| {
                if entry.below.is_none() {
                    found.push(path);
                }
            });
        }
        found.sort();
        found
    }

    /// Every file with its mode and object id.
    pub fn all(&self) -> Vec<(String, EntryMode, ObjectId)> {
        let mut found = Vec::new();
        self.root.walk("", &mut |path, entry| {
            if entry.below.is_none() {
                found.push((path, entry.mode, entry.id));
            }
        });
        found
    }

    /// The paths of the files that another listing has otherwise, or not, or more than this one.
    pub fn differing(&self, other: &Self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        if self.id != other.id {
            differing("", Some(&self.root), Some(&other.root), &mut found);
        }
        found
    }
}

impl Directory {
    fn find(&self, path: &str) -> Option<&Entry> {
        let (name, rest) = match path.split_once('/') {
            Some((name, rest)) => (name, Some(rest)),
            None => (path, None),
        };
        let entry = self.entry(name)?;
        match rest {
            Some(rest) => entry.below.as_deref()?.find(rest),
            None => Some(entry),
        }
    }

    fn entry(&self, name: &str) -> Option<&Entry> {
        let at = self
            .entries
            .binary_search_by(|entry| (*entry.name).cmp(name));
        at.ok().map(|at| &self.entries[at])
    }

    /// Visits everything here and below, with its path.
    fn walk(&self, path: &str, visit: &mut impl FnMut(String, &Entry)) {
        for entry in &self.entries {
            let path = format!("{path}{}", entry.name);
            if let Some(below) = &entry.below {
                below.walk(&format!("{path}/"), visit);
            }
            visit(path, entry);
        }
    }
}

fn differing(
    path: &str,
    before: Option<&Directory>,
    after: Option<&Directory>,
    found: &mut BTreeSet<String>,
) {
    let names = |directory: Option<&Directory>| -> BTreeSet<Box<str>> {
        let entries = directory.map(|it| it.entries.iter()).into_iter().flatten();
        entries.map(|entry| entry.name.clone()).collect()
    };
    for name in &names(before) | &names(after) {
        let one = before.and_then(|it| it.entry(&name));
        let other = after.and_then(|it| it.entry(&name));
        let content = |entry: Option<&Entry>| entry.map(|entry| (entry.mode, entry.id));
        if content(one) == content(other) {
            continue;
        }
        let below = |entry: Option<&Entry>| entry.and_then(|entry| entry.below.clone());
        let path = format!("{path}{name}");
        let is_file = |entry: Option<&Entry>| entry.is_some_and(|entry| entry.below.is_none());
        let (before, after) = (below(one), below(other));
        if before.is_some() || after.is_some() {
            let inner = format!("{path}/");
            differing(&inner, before.as_deref(), after.as_deref(), found);
        }
        if is_file(one) || is_file(other) {
            found.insert(path);
        }
    }
}

pub(super) fn mode(kind: EntryKind) -> EntryMode {
    match kind {
        EntryKind::Tree => EntryMode::Directory,
        EntryKind::Blob | EntryKind::BlobExecutable => EntryMode::File,
        EntryKind::Link => EntryMode::Symlink,
        EntryKind::Commit => EntryMode::Submodule,
    }
}

#[cfg(test)]
mod tests;
