//! The applications that a commit changed, and those that it removed from Git.

use std::sync::Arc;

use super::CommitAtBase;
use crate::controller::revision::{hash_of, inputs_at};
use crate::controller::{Base, Reader, Result};
use crate::domain::catalog::Target;
use crate::domain::{ApplicationKey, CommitKey, CommitSha, RepoName};
use crate::render::Source;

fn seen_from(base: &Base, repo: &RepoName, commit: &CommitSha) -> CommitAtBase {
    let key = CommitKey {
        repo: repo.clone(),
        commit: commit.clone(),
    };
    (base.commit.clone(), key)
}

/// The applications that a commit removed from Git, with their directory or their rule, and that
/// the base does not have again.
pub async fn retired_by(
    ctx: &Arc<Reader>,
    repo: &RepoName,
    base: &Base,
    commit: &CommitSha,
) -> Result<Arc<Vec<ApplicationKey>>> {
    let cache_key = seen_from(base, repo, commit);
    if let Some(known) = ctx.cache.commits.retired_by.get(&cache_key) {
        return Ok(known);
    }
    let at = commit.clone();
    let removed = ctx
        .mirror(repo, move |mirror| {
            let targets = |commit: &CommitSha| -> anyhow::Result<Vec<Target>> {
                let source = Source::open(mirror, mirror.tree(commit)?)?;
                Ok(crate::controller::configuration(&source)?
                    .and_then(std::result::Result::ok)
                    .map(|all| all.targets)
                    .unwrap_or_default())
            };
            let Some(parent) = mirror.parent(&at)? else {
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
    let at = commit.clone();
    let changed = ctx
        .mirror(repo, move |mirror| {
            let parent = mirror.parent(&at)?;
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
