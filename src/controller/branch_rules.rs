//! What GitHub's rules demand of a merge into a base branch, as last read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::cache::{Recent, locked};
use super::{Base, Reader, Result};
use crate::domain::RepoName;
use crate::domain::pull_request::GATE_CONTEXT;
use crate::domain::rules::{BranchRules, MergeMethod, RequiredCheck};
use crate::github;

/// No event tells an App without administration rights that rules changed.
const READ_AGAIN: Duration = Duration::from_secs(3600);

#[derive(Default)]
pub struct Cache {
    known: Mutex<HashMap<RepoName, (Instant, Arc<BranchRules>)>>,
    /// Methods that GitHub refused in a repository, whatever its answers say of them.
    refused: Recent<(RepoName, MergeMethod), Instant>,
}

/// The rules of a repository's base branch.
pub async fn of(ctx: &Reader, base: &Base) -> Result<Arc<BranchRules>> {
    let repo = &base.repo.name;
    let known = locked(&ctx.cache.rules.known).get(repo).cloned();
    if let Some((at, rules)) = known
        && at.elapsed() < READ_AGAIN
    {
        return Ok(rules);
    }
    let rules = Arc::new(read(ctx, base).await?);
    locked(&ctx.cache.rules.known).insert(repo.clone(), (Instant::now(), rules.clone()));
    Ok(rules)
}

async fn read(ctx: &Reader, base: &Base) -> Result<BranchRules> {
    let (repo, branch) = (&base.repo.name, &base.repo.default_branch);
    match ctx.github.rules(repo, branch).await {
        Ok(rules) => Ok(rules),
        Err(error @ (github::Error::NotFound { .. } | github::Error::Refused { .. })) => {
            tracing::warn!(%repo, %error, "the rules of the branch cannot be read: what GitHub demands is only known once it refuses");
            Ok(BranchRules::default())
        }
        Err(error) => Err(error.into()),
    }
}

/// The rules may have changed: they are read again.
pub fn forget(ctx: &Reader, repo: &RepoName) {
    locked(&ctx.cache.rules.known).remove(repo);
}

/// Whether the rules require our verdict before anybody may merge.
pub async fn require_our_gate(ctx: &Reader, base: &Base) -> Result<bool> {
    has_our_gate(ctx, &*of(ctx, base).await?).await
}

/// The same of the rules as they are now. They are not kept: the hour begins with the first pull
/// request that needs them.
pub async fn require_our_gate_now(ctx: &Reader, base: &Base) -> Result<bool> {
    has_our_gate(ctx, &read(ctx, base).await?).await
}

async fn has_our_gate(ctx: &Reader, rules: &BranchRules) -> Result<bool> {
    let gate = RequiredCheck {
        name: GATE_CONTEXT.into(),
        app: Some(ctx.github.identity().await?.id),
    };
    Ok(rules.checks.contains(&gate))
}

/// The methods of merging that are left, best first.
pub fn methods(ctx: &Reader, base: &Base, rules: &BranchRules) -> Vec<MergeMethod> {
    let refused = &ctx.cache.rules.refused;
    rules.methods(|method| {
        let refusal = refused.get(&(base.repo.name.clone(), method));
        let is_refused = refusal.is_some_and(|at| at.elapsed() < READ_AGAIN);
        base.repo.allows(method) && !is_refused
    })
}

/// GitHub refused a method of merging in a repository.
pub fn refuse(ctx: &Reader, repo: &RepoName, method: MergeMethod) {
    let refused = &ctx.cache.rules.refused;
    refused.insert((repo.clone(), method), Instant::now());
}
