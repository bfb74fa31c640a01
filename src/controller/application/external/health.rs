//! The health of what Flux applied by a Kustomization that does not wait for it (`wait: true`): it
//! is ready as soon as its objects are applied, however their pods are.

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;

use super::super::health::with_pods;
use crate::cluster;
use crate::controller::Result;
use crate::controller::dry_run::AppScope;
use crate::domain::health::{self, Assessment, Workload};
use crate::domain::manifest::Manifest;

/// Objects of one application that are read at the same time.
const AT_ONCE: usize = 8;

/// The health of the live objects. Those that do not exist do not count: Flux says whether it
/// applied them. Those that cannot be read do not either.
pub async fn of_objects(
    scope: &AppScope<'_>,
    manifests: &[Manifest],
    now: Timestamp,
) -> Result<Assessment> {
    let counting = manifests
        .iter()
        .filter(|manifest| health::has_health(&manifest.key.group, &manifest.key.kind));
    let reads: Vec<_> = counting
        .map(async |manifest| {
            let read = scope.cluster.live(&manifest.key, &manifest.version).await;
            (manifest, read)
        })
        .collect();
    let assessed =
        futures::stream::iter(reads)
            .buffered(AT_ONCE)
            .map(|(manifest, read)| match read {
                Ok(Some(live)) => {
                    let workload = Workload::of(&live).map(Arc::new);
                    Ok(Some((
                        manifest,
                        scope.cluster.index.assess(&live),
                        workload,
                    )))
                }
                Ok(None) | Err(cluster::Error::Forbidden { .. }) => Ok(None),
                Err(error) => Err(error),
            });
    let assessed: Vec<_> = assessed.try_collect().await?;
    let assessed: Vec<_> = assessed.into_iter().flatten().collect();
    let assessed = with_pods(&scope.cluster, scope.owner, assessed, now);
    Ok(health::aggregate(
        assessed.into_iter().map(|(_, health)| health),
    ))
}
