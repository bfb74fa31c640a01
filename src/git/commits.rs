//! Commits: resolving names, and the merge of two. How two commits relate is in
//! [`super::history`].

use std::collections::BTreeSet;

use gix::ObjectId;
use gix::bstr::ByteSlice as _;
use gix::merge::blob::builtin_driver::text::Labels;
use gix::merge::tree::TreatAsUnresolved;

use super::{Mirror, Shallow, TreeId};
use crate::domain::CommitSha;

/// A merge of two commits, as GitHub would make it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merged {
    Clean(TreeId),
    Conflicts(Vec<String>),
}

impl Mirror {
    /// Resolves a revision as people write it: `main`, `HEAD~1`, `origin/main`, a commit's digits.
    pub fn revision(&self, text: &str) -> anyhow::Result<CommitSha> {
        let resolve = || -> anyhow::Result<_> {
            let object = self.repo.rev_parse_single(text)?.object()?;
            Ok(sha(object.peel_to_commit()?.id))
        };
        let is_digits = text.len() >= 7 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        resolve().or_else(|error| {
            let may_be_older = is_digits || text.contains(['~', '^']);
            anyhow::ensure!(!may_be_older || !self.repo.is_shallow()?, Shallow);
            Err(error)
        })
    }

    pub fn branch(&self, branch: &str) -> anyhow::Result<Option<CommitSha>> {
        self.resolve(&format!("refs/heads/{branch}"))
    }

    pub(super) fn resolve(&self, name: &str) -> anyhow::Result<Option<CommitSha>> {
        let Some(mut reference) = self.repo.try_find_reference(name)? else {
            return Ok(None);
        };
        if reference.name().as_bstr() != name {
            return Ok(None);
        }
        let id = reference.peel_to_commit()?.id;
        Ok(Some(sha(id)))
    }

    /// Whether the mirror has a commit by now. [`Mirror::knows`] also asks the remote.
    pub fn has(&self, commit: &CommitSha) -> bool {
        object(commit).is_ok_and(|id| self.repo.has_object(id))
    }

    pub fn tree(&self, commit: &CommitSha) -> anyhow::Result<TreeId> {
        Ok(TreeId(self.commit(commit)?.tree_id()?.detach()))
    }

    /// The parents of a commit.
    pub fn parents(&self, commit: &CommitSha) -> anyhow::Result<Vec<CommitSha>> {
        let commit = self.commit(commit)?;
        Ok(commit.parent_ids().map(|id| sha(id.detach())).collect())
    }

    /// The first parent, if there is one.
    pub fn parent(&self, commit: &CommitSha) -> anyhow::Result<Option<CommitSha>> {
        Ok(self.parents(commit)?.into_iter().next())
    }

    fn commit(&self, commit: &CommitSha) -> anyhow::Result<gix::Commit<'_>> {
        let id = object(commit)?;
        anyhow::ensure!(self.find_or_fetch(id)?, "there is no commit {commit}");
        Ok(self.repo.find_commit(id)?)
    }

    /// `head` merged into `base`, in memory.
    pub fn merge(&self, base: &CommitSha, head: &CommitSha) -> anyhow::Result<Merged> {
        if self.is_ancestor(base, head)? {
            return Ok(Merged::Clean(self.tree(head)?));
        }
        let labels = Labels {
            ancestor: None,
            current: Some("base".into()),
            other: Some("head".into()),
        };
        let mut outcome = self.repo.merge_trees(
            self.common_tree(base, head)?,
            self.tree(base)?.0,
            self.tree(head)?.0,
            labels,
            self.repo.tree_merge_options()?,
        )?;
        let how = TreatAsUnresolved::git();
        if !outcome.has_unresolved_conflicts(how) {
            return Ok(Merged::Clean(TreeId(outcome.tree.write()?.detach())));
        }
        let mut paths = BTreeSet::new();
        for conflict in outcome
            .conflicts
            .iter()
            .filter(|conflict| conflict.is_unresolved(how))
        {
            let (ours, _) = conflict.changes_in_resolution();
            paths.insert(ours.location().to_str_lossy().into_owned());
        }
        Ok(Merged::Conflicts(paths.into_iter().collect()))
    }

    /// The tree that two commits are compared with: of their newest common commit, or the merge of
    /// several such.
    fn common_tree(&self, base: &CommitSha, head: &CommitSha) -> anyhow::Result<ObjectId> {
        let bases = self.merge_bases(object(base)?, object(head)?)?;
        anyhow::ensure!(!bases.is_empty(), "{base} and {head} have no common commit");
        // The merge of several looks at their history, and does not fetch.
        for (at, one) in bases.iter().enumerate() {
            for other in &bases[..at] {
                self.merge_bases(*one, *other)?;
            }
        }
        let options = self.repo.tree_merge_options()?;
        let merged = self.repo.virtual_merge_base(bases, options)?;
        Ok(merged.tree_id.detach())
    }
}

pub(super) fn object(commit: &CommitSha) -> anyhow::Result<ObjectId> {
    Ok(ObjectId::from_hex(commit.as_str().as_bytes())?)
}

pub(super) fn sha(id: ObjectId) -> CommitSha {
    id.to_string()
        .parse()
        .expect("gix prints a SHA-1 as 40 hexadecimal digits")
}
