//! Reading files of a tree, and editing them in memory.

use gix::ObjectId;
use gix::objs::tree::EntryKind;

use super::listing::{EntryMode, mode};
use super::{Mirror, TreeId};
use crate::domain::edit::FileEdit;

/// Whether a file's content is in Git LFS, and only a pointer to it in Git. Its first line says so, and
/// it is short (github.com/git-lfs/git-lfs, docs/spec.md).
pub fn is_lfs_pointer(content: &[u8]) -> bool {
    content.len() < 1024 && content.starts_with(b"version https://git-lfs.github.com/spec/v1\n")
}

impl Mirror {
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
    pub fn blob(&self, id: ObjectId) -> anyhow::Result<Vec<u8>> {
        Ok(self.repo.find_blob(id)?.take_data())
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
