//! Notes on commits, as `git notes --ref=windlass` reads them, and the push that adds some.
//!
//! A note is a file in the tree of `refs/notes/windlass`, named by its commit. New
//! ones are in a directory of the first two digits, as git itself does with many
//! notes: one more note is then two small trees, however many there are.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use gix::ObjectId;
use gix::actor::Signature;
use gix::objs::tree::EntryKind;
use gix::refs::Target;
use gix::refs::transaction::{Change, LogChange, PreviousValue, RefEdit};
use gix::zlib::Compression;
use gix::zlib::stream::deflate;
use jiff::Timestamp;

use super::commits::{object, sha};
use super::mirrors::open_or_init;
use super::{Mirror, Mirrors};
use crate::domain::{CommitSha, RepoName};

/// The ref of our notes.
pub const NOTES: &str = "refs/notes/windlass";

/// A commit that adds notes, and what a push of it needs.
pub struct NewNotes {
    /// Where the ref is, as of the last fetch or push. None: there is none yet.
    pub before: Option<CommitSha>,
    pub after: CommitSha,
    /// The new objects, as a pack file.
    pub pack: Vec<u8>,
}

impl Mirror {
    /// Our note on a commit, as of the last fetch or push.
    pub fn note(&self, commit: &CommitSha) -> anyhow::Result<Option<Vec<u8>>> {
        let Some(notes) = self.resolve(NOTES)? else {
            return Ok(None);
        };
        let tree = self.tree(&notes)?;
        match self.read(tree, &path_of(commit))? {
            // One from an earlier windlass.
            None => self.read(tree, commit.as_str()),
            found => Ok(found),
        }
    }
}

impl Mirrors {
    /// Writes a commit that adds notes. The ref stays where it is until the push has succeeded.
    pub fn write_notes(
        &self,
        repo: &RepoName,
        notes: &BTreeMap<CommitSha, String>,
        author: &str,
        at: Timestamp,
    ) -> anyhow::Result<NewNotes> {
        let before = self.open(repo, None)?.resolve(NOTES)?;
        let repo = open_or_init(&self.path(repo))?;
        let tree = match &before {
            Some(commit) => repo.find_commit(object(commit)?)?.tree_id()?.detach(),
            None => ObjectId::empty_tree(repo.object_hash()),
        };
        let mut new = BTreeSet::new();
        let mut editor = repo.edit_tree(tree)?;
        for (commit, text) in notes {
            let blob = repo.write_blob(text.as_bytes())?.detach();
            new.insert(blob);
            editor.upsert(path_of(commit), EntryKind::Blob, blob)?;
        }
        let tree = editor.write()?.detach();
        new.insert(tree);
        for commit in notes.keys() {
            let entry = repo.find_tree(tree)?.lookup_entry_by_path(prefix(commit))?;
            new.extend(entry.map(|entry| entry.object_id()));
        }
        let signature = Signature {
            name: author.into(),
            email: format!("{author}@users.noreply.github.com").into(),
            time: gix::date::Time::new(at.as_second(), 0),
        };
        let parents = before.iter().map(object).collect::<anyhow::Result<_>>()?;
        let of: Vec<_> = notes.keys().map(CommitSha::short).collect();
        let commit = repo.write_object(&gix::objs::Commit {
            tree,
            parents,
            author: signature.clone(),
            committer: signature,
            encoding: None,
            message: format!("Receipt of {}\n", of.join(", ")).into(),
            extra_headers: Vec::new(),
        })?;
        new.insert(commit.detach());
        Ok(NewNotes {
            before,
            after: sha(commit.detach()),
            pack: pack(&repo, &new)?,
        })
    }

    /// The push of notes has succeeded: the next ones follow them.
    pub fn notes_pushed(&self, repo: &RepoName, notes: &NewNotes) -> anyhow::Result<()> {
        let repo = open_or_init(&self.path(repo))?;
        let after = object(&notes.after)?;
        // The mirror may have been cloned again meanwhile.
        if repo.has_object(after) {
            repo.edit_reference(RefEdit {
                change: Change::Update {
                    log: LogChange::default(),
                    expected: PreviousValue::Any,
                    new: Target::Object(after),
                },
                name: NOTES.try_into()?,
                deref: false,
            })?;
        }
        Ok(())
    }
}

fn prefix(commit: &CommitSha) -> &str {
    commit.as_str().split_at(2).0
}

fn path_of(commit: &CommitSha) -> String {
    let (prefix, rest) = commit.as_str().split_at(2);
    format!("{prefix}/{rest}")
}

/// A pack file of whole objects (git's gitformat-pack).
fn pack(repo: &gix::Repository, objects: &BTreeSet<ObjectId>) -> anyhow::Result<Vec<u8>> {
    let mut pack = b"PACK".to_vec();
    pack.extend(2_u32.to_be_bytes());
    pack.extend(u32::try_from(objects.len())?.to_be_bytes());
    for id in objects {
        let object = repo.find_object(*id)?;
        let kind = match object.kind {
            gix::objs::Kind::Commit => 1,
            gix::objs::Kind::Tree => 2,
            gix::objs::Kind::Blob => 3,
            gix::objs::Kind::Tag => 4,
        };
        pack.extend(entry_header(kind, object.data.len()));
        let mut deflated = deflate::Write::new(&mut pack, Compression::DEFAULT);
        deflated.write_all(&object.data)?;
        deflated.flush()?;
    }
    let mut hasher = gix::hash::hasher(repo.object_hash());
    hasher.update(&pack);
    pack.extend(hasher.try_finalize()?.as_slice());
    Ok(pack)
}

/// An object's kind, and its size in groups of seven bits, of which the first has four.
fn entry_header(kind: u8, size: usize) -> Vec<u8> {
    let mut header = vec![];
    let (mut byte, mut rest) = (kind << 4 | (size & 15) as u8, size >> 4);
    while rest > 0 {
        header.push(byte | 128);
        (byte, rest) = ((rest & 127) as u8, rest >> 7);
    }
    header.push(byte);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_in_groups_of_seven_bits() {
        assert_eq!(entry_header(3, 5), [0x35]);
        assert_eq!(entry_header(1, 16), [0x90, 0x01]);
        assert_eq!(entry_header(2, 0x1234), [0xa4, 0xa3, 0x02]);
    }
}
