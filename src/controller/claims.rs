//! Which application an object belongs to, where more than one has it: an
//! object that moves from one to another is handed over without deletion, and
//! one that two have at the same time is an error of both.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::live::{self, Asking};
use super::{Ctx, Result};
use crate::domain::catalog::Target;
use crate::domain::manifest::ResourceKey;
use crate::domain::{ApplicationKey, Invalid, RepoName};
use crate::render::Inputs;

/// The objects of other applications that go to the same namespace of the same cluster, each with whose it is. One that
/// cannot be rendered claims nothing.
pub async fn of_neighbours(
    ctx: &Arc<Ctx>,
    repo: &RepoName,
    repository_id: u64,
    target: &Target,
    others: &[(Target, std::result::Result<Option<Inputs>, Invalid>)],
) -> Result<BTreeMap<ResourceKey, ApplicationKey>> {
    let mut claims = BTreeMap::new();
    for (other, inputs) in others {
        if other.destination != target.destination || (other.application == target.application && other.stage.name == target.stage.name) {
            continue;
        }
        let Ok(Some(inputs)) = inputs else { continue };
        let Ok(manifests) = ctx.render(other, inputs).await? else { continue };
        let key = other.key(repo);
        let asking =
            Asking { cluster: ctx.cluster(&other.destination.cluster)?, key: &key, target: other, owner: &key.owner_label(repository_id) };
        for manifest in live::settle(&asking, &manifests).await? {
            claims.insert(manifest.key, key.clone());
        }
    }
    Ok(claims)
}
