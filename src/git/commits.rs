//! Commits: resolving names, the relation of two commits, and their merge.

use std::collections::BTreeSet;

use gix::ObjectId;
use gix::bstr::ByteSlice as _;
use gix::merge::blob::builtin_driver::text::Labels;
use gix::merge::tree::TreatAsUnresolved;

use super::{Mirror, TreeId};
use crate::domain::CommitSha;

/// A merge of two commits, as GitHub would make it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merged {
    Clean(TreeId),
    Conflicts(Vec<String>),
}

/// Commits of a branch that are looked through for one that was its tip.
const MOST_TIPS: usize = 10_000;

impl Mirror {
    /// Resolves a revision as people write it: `main`, `HEAD~1`, `origin/main`, a commit's digits.
    pub fn revision(&self, text: &str) -> anyhow::Result<CommitSha> {
        Ok(sha(self
            .repo
            .rev_parse_single(text)?
            .object()?
            .peel_to_commit()?
            .id))
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

    pub fn has(&self, commit: &CommitSha) -> bool {
        object(commit).is_ok_and(|id| self.repo.has_object(id))
    }

    pub fn tree(&self, commit: &CommitSha) -> anyhow::Result<TreeId> {
        Ok(TreeId(
            self.repo.find_commit(object(commit)?)?.tree_id()?.detach(),
        ))
    }

    /// The parents of a commit.
    pub fn parents(&self, commit: &CommitSha) -> anyhow::Result<Vec<CommitSha>> {
        let commit = self.repo.find_commit(object(commit)?)?;
        Ok(commit.parent_ids().map(|id| sha(id.detach())).collect())
    }

    /// The first parent, if there is one.
    pub fn parent(&self, commit: &CommitSha) -> anyhow::Result<Option<CommitSha>> {
        Ok(self
            .repo
            .find_commit(object(commit)?)?
            .parent_ids()
            .next()
            .map(|id| sha(id.detach())))
    }

    /// Whether a commit was the tip of a branch that is at `tip` now, as far as the last
    /// [`MOST_TIPS`] show: what came with a merge commit was none.
    pub fn was_tip(&self, commit: &CommitSha, tip: &CommitSha) -> anyhow::Result<bool> {
        let mut at = Some(tip.clone());
        for _ in 0..MOST_TIPS {
            match at {
                Some(known) if known == *commit => return Ok(true),
                Some(known) => at = self.parent(&known)?,
                None => break,
            }
        }
        Ok(false)
    }

    /// Whether a commit is there, and in the history of another or that one itself.
    pub fn has_in(&self, commit: &CommitSha, of: &CommitSha) -> anyhow::Result<bool> {
        Ok(self.has(commit) && self.is_ancestor(commit, of)?)
    }

    pub fn is_ancestor(&self, ancestor: &CommitSha, of: &CommitSha) -> anyhow::Result<bool> {
        let (ancestor, of) = (object(ancestor)?, object(of)?);
        if ancestor == of {
            return Ok(true);
        }
        match self.repo.merge_base(ancestor, of) {
            Ok(base) => Ok(base.is_some_and(|base| base.detach() == ancestor)),
            // The histories are unrelated: somebody force-pushed a new one.
            Err(error) if error.to_string().contains("No common ancestor") => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// How many commits `of` has that `than` lacks; at most a thousand are counted.
    pub fn ahead(&self, of: &CommitSha, than: &CommitSha) -> anyhow::Result<usize> {
        Ok(self
            .repo
            .rev_walk([object(of)?])
            .with_hidden([object(than)?])
            .all()?
            .take(1_000)
            .count())
    }

    /// The authors' addresses of the commits that `head` has and `base` lacks.
    pub fn authors(&self, base: &CommitSha, head: &CommitSha) -> anyhow::Result<BTreeSet<String>> {
        let mut authors = BTreeSet::new();
        for info in self
            .repo
            .rev_walk([object(head)?])
            .with_hidden([object(base)?])
            .all()?
        {
            let info = info.map_err(|error| anyhow::anyhow!("{error}"))?;
            let commit = self.repo.find_commit(info.id)?;
            authors.insert(commit.author()?.email.to_str_lossy().into_owned());
        }
        Ok(authors)
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
        let options: gix::merge::commit::Options = self.repo.tree_merge_options()?.into();
        let mut outcome = self
            .repo
            .merge_commits(object(base)?, object(head)?, labels, options)?;
        let how = TreatAsUnresolved::git();
        if !outcome.tree_merge.has_unresolved_conflicts(how) {
            let tree = outcome.tree_merge.tree.write()?.detach();
            return Ok(Merged::Clean(TreeId(tree)));
        }
        let mut paths = BTreeSet::new();
        for conflict in outcome
            .tree_merge
            .conflicts
            .iter()
            .filter(|conflict| conflict.is_unresolved(how))
        {
            let (ours, _) = conflict.changes_in_resolution();
            paths.insert(ours.location().to_str_lossy().into_owned());
        }
        Ok(Merged::Conflicts(paths.into_iter().collect()))
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
