//! The applications that a commit changed, and those that it removed from Git.

use std::sync::Arc;

use super::CommitAtBase;
use crate::controller::revision::{hash_of, inputs_at};
use crate::controller::{Base, Reader, Result};
use crate::domain::catalog::Target;
use crate::domain::{CommitKey, CommitSha, RepoName, TargetKey};
use crate::github;
use crate::render::Source;

fn seen_from(base: &Base, repo: &RepoName, commit: &CommitSha) -> CommitAtBase {
    let key = CommitKey {
        repo: repo.clone(),
        commit: commit.clone(),
    };
    (base.commit.clone(), key)
}

/// What a commit of the base branch changed is the difference to this one: its first parent; or,
/// since one push or a rebase can bring many commits, the tip before its push.
async fn start_of(ctx: &Arc<Reader>, base: &Base, commit: &CommitSha) -> Result<Option<CommitSha>> {
    let key = CommitKey {
        repo: base.repo.name.clone(),
        commit: commit.clone(),
    };
    let starts = &ctx.cache.commits.starts;
    if let Some(known) = starts.get(&key) {
        return Ok(known);
    }
    let start = find_start(ctx, base, &key).await?;
    starts.insert(key, start.clone());
    Ok(start)
}

async fn find_start(ctx: &Arc<Reader>, base: &Base, key: &CommitKey) -> Result<Option<CommitSha>> {
    let CommitKey { repo, commit } = key;
    let at = commit.clone();
    let parents = ctx.mirror(repo, move |mirror| mirror.parents(&at)).await?;
    // A merge commit comes alone. And so does a commit on top of the tip that we knew.
    let Some(parent) = parents.first() else {
        return Ok(None);
    };
    let before = ctx.cache.commits.tip_before.get(key);
    if parents.len() > 1 || before.as_ref() == Some(parent) {
        return Ok(Some(parent.clone()));
    }
    let pushed = match ctx.github.pushes(repo, &base.repo.default_branch).await {
        Ok(pushes) => pushes
            .into_iter()
            .find(|push| push.after == commit.as_str())
            .and_then(|push| push.before.parse().ok()),
        Err(error @ (github::Error::NotFound { .. } | github::Error::Refused { .. })) => {
            tracing::debug!(%repo, %error, "who pushed is not known");
            None
        }
        Err(error) => return Err(error.into()),
    };
    let Some(start): Option<CommitSha> = pushed.or(before) else {
        return Ok(Some(parent.clone()));
    };
    // Only if it was no forced push.
    let (from, to) = (start.clone(), commit.clone());
    let is_before = ctx
        .mirror(repo, move |mirror| mirror.has_in(&from, &to))
        .await?;
    Ok(Some(if is_before { start } else { parent.clone() }))
}

/// The applications that a commit removed from Git, with their directory or their rule, and that
/// the base does not have again.
pub async fn retired_by(
    ctx: &Arc<Reader>,
    repo: &RepoName,
    base: &Base,
    commit: &CommitSha,
) -> Result<Arc<Vec<TargetKey>>> {
    let cache_key = seen_from(base, repo, commit);
    if let Some(known) = ctx.cache.commits.retired_by.get(&cache_key) {
        return Ok(known);
    }
    let (at, start) = (commit.clone(), start_of(ctx, base, commit).await?);
    let (name, fleet) = (repo.clone(), ctx.environment.fleet_of(repo));
    let removed = ctx
        .mirror(repo, move |mirror| {
            let targets = |commit: &CommitSha| -> anyhow::Result<Vec<Target>> {
                let source = Source::open(mirror, mirror.tree(commit)?)?;
                Ok(crate::controller::configuration(&source, &name, &fleet)?
                    .and_then(std::result::Result::ok)
                    .map(|all| all.targets)
                    .unwrap_or_default())
            };
            let Some(parent) = start else {
                return Ok(Vec::new());
            };
            let after = targets(&at)?;
            Ok(targets(&parent)?
                .into_iter()
                .filter(|before| !after.iter().any(|other| other.is_same(before)))
                .collect())
        })
        .await?;
    let retired = removed
        .iter()
        .map(|target: &Target| target.key(repo))
        .filter(|key| base.target(key).is_none());
    let retired: Arc<Vec<_>> = Arc::new(retired.collect());
    ctx.cache
        .commits
        .retired_by
        .insert(cache_key, retired.clone());
    Ok(retired)
}

/// The applications whose inputs a commit changed.
pub async fn changed_by(
    ctx: &Arc<Reader>,
    repo: &RepoName,
    base: &Base,
    commit: &CommitSha,
) -> Result<Arc<Vec<Target>>> {
    let cache_key = seen_from(base, repo, commit);
    let known = ctx.cache.commits.changed_by.get(&cache_key);
    if let Some(known) = known {
        return Ok(known);
    }
    let targets: Vec<Target> = base
        .configured()
        .map(|configured| configured.targets.clone())
        .unwrap_or_default();
    let (at, parent) = (commit.clone(), start_of(ctx, base, commit).await?);
    let changed = ctx
        .mirror(repo, move |mirror| {
            let mut changed = Vec::new();
            for target in targets {
                let before = parent
                    .as_ref()
                    .map(|parent| inputs_at(mirror, parent, &target.render_source()))
                    .transpose()?;
                let before = before.map_or("absent".to_string(), |inputs| hash_of(&inputs));
                if before != hash_of(&inputs_at(mirror, &at, &target.render_source())?) {
                    changed.push(target);
                }
            }
            Ok(changed)
        })
        .await?;
    let changed = Arc::new(changed);
    ctx.cache
        .commits
        .changed_by
        .insert(cache_key, changed.clone());
    Ok(changed)
}
