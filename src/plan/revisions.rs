//! The compared revisions: the base, and the head or the working copy.

use anyhow::Context as _;

use super::flags::PlanArgs;
use crate::domain::CommitSha;
use crate::git::Mirror;
use crate::view;

/// The two commits that are compared, and notes about them.
pub(super) struct Revisions {
    /// The name of the base.
    pub(super) onto: String,
    pub(super) base: CommitSha,
    pub(super) head: CommitSha,
    pub(super) notes: Vec<String>,
}

/// The bases that are looked for, by their whole names: a tag may have the short one.
const BASES: [&str; 5] = [
    "refs/remotes/origin/HEAD",
    "refs/remotes/origin/main",
    "refs/remotes/origin/master",
    "refs/heads/main",
    "refs/heads/master",
];

/// How many uncommitted files are listed.
const MOST_FILES: usize = 10;

/// A reference as people write it.
fn short(reference: &str) -> &str {
    let prefixes = ["refs/remotes/", "refs/heads/"];
    let mut short = prefixes.iter().filter_map(|of| reference.strip_prefix(of));
    short.next().unwrap_or(reference)
}

pub(super) fn revisions(args: &PlanArgs, mirror: &Mirror) -> anyhow::Result<Revisions> {
    let resolve = |revision: &str| {
        mirror.revision(revision).with_context(|| {
            format!(
                "`{revision}` is not a branch or commit of {}",
                args.place.repo.display()
            )
        })
    };
    let onto = match &args.base {
        Some(base) => base.clone(),
        None => BASES
            .iter()
            .find(|name| mirror.revision(name).is_ok())
            .map_or("HEAD", |name| name)
            .to_string(),
    };
    let name = short(&onto).to_string();
    let what = args.head.as_deref().unwrap_or("HEAD");
    let (base, mut head) = (resolve(&onto)?, resolve(what)?);
    let mut notes = Vec::new();
    let behind = mirror.ahead(&base, &head)?;
    if behind > 0 {
        notes.push(format!(
            "`{what}` is {behind} commit{} behind `{name}`: the plan merges them, as GitHub would",
            if behind == 1 { "" } else { "s" }
        ));
    }
    if args.head.is_none()
        && let Some((commit, files)) = mirror.working_copy(&head)?
    {
        notes.push(format!(
            "the plan includes uncommitted changes: {}",
            view::first_of(MOST_FILES, files.iter())
        ));
        head = commit;
    }
    Ok(Revisions {
        onto: name,
        base,
        head,
        notes,
    })
}

/// The commit of the working copy as it is.
pub(super) fn working_copy(mirror: &Mirror) -> anyhow::Result<CommitSha> {
    let head = mirror
        .revision("HEAD")
        .context("this repository has no commit yet: make the first one by `git commit`")?;
    let changed = mirror.working_copy(&head)?;
    Ok(changed.map_or(head, |(commit, _)| commit))
}
