//! "Rebase and merge": the commits of a head, one by one on top of a base.

use std::path::Path;

use jiff::Timestamp;

use super::commits::{commit_tree, commit_tree_at, merge_tree, resolve};
use super::program::git;
use super::{Identity, web_flow};

/// Puts each commit of `base..head` but merges on top of `base`, by its author and at its time;
/// what `base` has already is left out. The last of them. None: there is a conflict, or nothing
/// to be put there.
pub fn rebase(repo: &Path, base: &str, head: &str) -> anyhow::Result<Option<String>> {
    let mut tip = base.to_string();
    for commit in landed(repo, base, head)? {
        match pick(repo, &tip, &commit)? {
            Some(next) => tip = next,
            None => return Ok(None),
        }
    }
    Ok((tip != base).then_some(tip))
}

/// The commits of `base..head` but merges, oldest first.
pub fn landed(repo: &Path, base: &str, head: &str) -> anyhow::Result<Vec<String>> {
    let range = format!("{base}..{head}");
    let listing = git(
        repo,
        &[
            "rev-list",
            "--reverse",
            "--topo-order",
            "--no-merges",
            &range,
        ],
    )?;
    Ok(listing.lines().map(str::to_string).collect())
}

/// The commit as one on top of `tip`, or `tip` itself where it changes nothing there. None: it
/// conflicts.
fn pick(repo: &Path, tip: &str, commit: &str) -> anyhow::Result<Option<String>> {
    let Some(parent) = resolve(repo, &format!("{commit}^")) else {
        return Ok(None);
    };
    let tree_of = |of: &str| git(repo, &["rev-parse", &format!("{of}^{{tree}}")]);
    let tree = tree_of(tip)?;
    // What the tip holds as a child of the commit's parent: so a merge of the two has that parent
    // as its base, which is what picking a commit is.
    let by = web_flow();
    let stand_in = commit_tree(repo, &tree, &[&parent], "stand-in", &by, &by)?;
    let Some(merged) = merge_tree(repo, &stand_in, commit) else {
        return Ok(None);
    };
    if merged == tree {
        return Ok(Some(tip.to_string()));
    }
    let facts = git(
        repo,
        &["show", "-s", "--format=%an%x00%ae%x00%at%x00%B", commit],
    )?;
    let parts: Vec<&str> = facts.splitn(4, '\0').collect();
    let part = |index: usize| parts.get(index).copied().unwrap_or_default();
    let author = Identity {
        name: part(0).into(),
        email: part(1).into(),
    };
    let authored = Timestamp::from_second(part(2).parse()?)?;
    commit_tree_at(
        repo,
        &merged,
        &[tip],
        part(3),
        (&author, Some(authored)),
        (&by, None),
    )
    .map(Some)
}
