//! People's permissions, read no earlier than what is decided by them.

use tokio::time::Instant;

use crate::controller::cache::Recent;
use crate::controller::{Reader, Result};
use crate::domain::RepoName;
use crate::domain::command::Permission;

/// With the time of the read.
pub type Permissions = Recent<(RepoName, String), (Instant, Permission)>;

/// A user's permission on a repository, as it was at `since` or later: a decision reads it no
/// earlier than the pull request that it is about.
pub async fn permission(
    ctx: &Reader,
    repo: &RepoName,
    user: &str,
    since: Instant,
) -> Result<Permission> {
    let (name, permissions) = ((repo.clone(), user.to_string()), &ctx.cache.permissions);
    if let Some((read, permission)) = permissions.get(&name)
        && read >= since
    {
        return Ok(permission);
    }
    let read = Instant::now();
    let permission = ctx.github.permission(repo, user).await?;
    permissions.insert(name, (read, permission));
    Ok(permission)
}
