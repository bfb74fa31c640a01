//! The health of what Flux applied by a Kustomization that does not wait for it (`wait: true`): it
//! is ready as soon as its objects are applied, however their pods are.

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};

use super::super::health::{unless_silent, with_pods};
use crate::cluster;
use crate::controller::dry_run::AppScope;
use crate::controller::{Reader, Result};
use crate::domain::health::{self, Assessment, Health, Workload};
use crate::domain::manifest::{Manifest, is_custom_group};

/// Objects of one application that are read at the same time.
const AT_ONCE: usize = 8;

/// An object, its health, and the workload whose pods may explain it.
type Assessed<'a> = (&'a Manifest, Assessment, Option<Arc<Workload>>);

/// The health of the live objects. Those that do not exist do not count: Flux says whether it
/// applied them.
pub async fn of_objects(
    ctx: &Reader,
    scope: &AppScope<'_>,
    manifests: &[Manifest],
) -> Result<Assessment> {
    let counting = manifests
        .iter()
        .filter(|manifest| health::has_health(&manifest.key.group, &manifest.key.kind));
    let assessed: Vec<_> = counting
        .map(|manifest| of_object(ctx, scope, manifest))
        .collect();
    let assessed = futures::stream::iter(assessed).buffered(AT_ONCE);
    let assessed: Vec<_> = assessed.try_collect().await?;
    let assessed: Vec<_> = assessed.into_iter().flatten().collect();
    let assessed = with_pods(&scope.cluster, scope.owner, assessed, ctx.now());
    Ok(health::aggregate(
        assessed.into_iter().map(|(_, health)| health),
    ))
}

async fn of_object<'a>(
    ctx: &Reader,
    scope: &AppScope<'_>,
    manifest: &'a Manifest,
) -> Result<Option<Assessed<'a>>> {
    let live = match scope.cluster.live(&manifest.key, &manifest.version).await {
        Ok(Some(live)) => live,
        Ok(None) => return Ok(None),
        // The shipped rights read no custom kinds.
        Err(cluster::Error::Forbidden { .. }) if is_custom_group(&manifest.key.group) => {
            return Ok(None);
        }
        Err(cluster::Error::Forbidden { message, .. }) => {
            return Ok(Some((manifest, (Health::Unknown, message), None)));
        }
        Err(error) => return Err(error.into()),
    };
    let health = scope.cluster.index.assess_of(&scope.key.repo, &live);
    let silent = health::silent_since(&live);
    let health = unless_silent(ctx, &scope.cluster, manifest, health, silent).await?;
    Ok(Some((manifest, health, Workload::of(&live).map(Arc::new))))
}
