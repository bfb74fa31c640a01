//! Which application an object belongs to, if more than one has it. An object
//! that moves from one application to another is handed over without deletion.
//! An object that two have at the same time is an error of both.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::cache::locked;
use super::{Base, Environment, Reader, Result, dry_run, revision, side_by_side};
use crate::domain::catalog::{Destination, Target};
use crate::domain::manifest::ResourceKey;
use crate::domain::plan::{self, Notes, Side};
use crate::domain::{CommitSha, RepoName, TargetKey};
use crate::render::{Inputs, Unreadable};

/// The objects of each destination that several applications share, with the applications that have
/// each.
#[derive(Debug, Default)]
pub struct ResourceOwners(BTreeMap<Destination, BTreeMap<ResourceKey, Vec<TargetKey>>>);

impl ResourceOwners {
    /// The other application that has an object.
    pub fn other(
        &self,
        destination: &Destination,
        object: &ResourceKey,
        than: &TargetKey,
    ) -> Option<&TargetKey> {
        self.0
            .get(destination)?
            .get(object)?
            .iter()
            .find(|claimant| *claimant != than)
    }
}

/// The inputs of a target, or why they cannot be read.
pub type RenderInputs = std::result::Result<Option<Inputs>, Unreadable>;

/// Adds to a refusal where Git has the object or the field, and which field was probably meant, for
/// whoever has to fix it.
pub fn locate(
    (after, before): (&mut Side, &Side),
    key: &ResourceKey,
    notes: &mut Notes,
    read: &RenderInputs,
) {
    let (Side::Refused(why), Ok(Some(inputs))) = (after, read) else {
        return;
    };
    let unknown = plan::unknown_field(why);
    if let (Side::Object(known, _), Some(field)) = (before, &unknown) {
        let meant = plan::nearest_field(known, field);
        notes.meant = meant.map(|field| field.to_string());
    }
    if let Some(place) = inputs.locate(key, unknown.as_ref()) {
        why.push_str(&format!(" ({place})"));
        notes.place = Some(place);
    }
}

/// The claims of a whole tree. An application that cannot be rendered claims nothing.
/// `environment_of`: the environment that renders a target; a head's own renderings take from its budget.
pub async fn of<'o>(
    environment_of: impl Fn(&Target) -> &'o Environment,
    repo: &RepoName,
    repository_id: u64,
    all: &[(Target, RenderInputs)],
) -> Result<ResourceOwners> {
    let mut applications: BTreeMap<&Destination, usize> = BTreeMap::new();
    for (target, _) in all {
        *applications.entry(&target.destination).or_default() += 1;
    }
    let shared = all.iter().filter_map(|(target, inputs)| {
        let inputs = inputs.as_ref().ok()?.as_ref()?;
        (applications[&target.destination] > 1).then_some((target, inputs))
    });
    let claimed = shared.map(|(target, inputs)| {
        let environment = environment_of(target);
        claimed(environment, target.key(repo), repository_id, target, inputs)
    });
    let mut claims = ResourceOwners::default();
    for (destination, key, objects) in side_by_side(claimed).await? {
        let claimed = claims.0.entry(destination.clone()).or_default();
        for object in objects {
            claimed.entry(object).or_default().push(key.clone());
        }
    }
    Ok(claims)
}

/// The objects that one application has at its destination.
async fn claimed<'t>(
    environment: &Environment,
    key: TargetKey,
    repository_id: u64,
    target: &'t Target,
    inputs: &Inputs,
) -> Result<(&'t Destination, TargetKey, Vec<ResourceKey>)> {
    let _turn = environment.applications.acquire().await;
    let Ok(manifests) = environment.render(target, inputs, None).await? else {
        return Ok((&target.destination, key, Vec::new()));
    };
    let owner = key.owner_label(repository_id);
    let scope = environment.scope(&key, target, &owner)?;
    let manifests = dry_run::normalize(&scope, &manifests).await?.manifests;
    let objects = manifests.into_iter().map(|manifest| manifest.key).collect();
    Ok((&target.destination, key, objects))
}

/// The claims of a base, computed once.
pub async fn of_base(ctx: &Arc<Reader>, base: &Base) -> Result<Arc<ResourceOwners>> {
    let cache_key: (RepoName, CommitSha) = (base.repo.name.clone(), base.commit.clone());
    let known = locked(&ctx.cache.repositories.claims)
        .get(&cache_key)
        .cloned();
    if let Some(known) = known {
        return Ok(known);
    }
    let mut all = Vec::new();
    for target in base
        .configured()
        .into_iter()
        .flat_map(|configured| &configured.targets)
    {
        all.push((
            target.clone(),
            revision::inputs_of(ctx, base, target).await?,
        ));
    }
    let claims = Arc::new(of(|_| &ctx.environment, &cache_key.0, base.repo.id, &all).await?);
    let mut cache = locked(&ctx.cache.repositories.claims);
    // Older bases are not needed again.
    cache.retain(|(repo, _), _| *repo != cache_key.0);
    cache.insert(cache_key, claims.clone());
    Ok(claims)
}

/// Every object that any of the base's applications has on a cluster. An application that cannot be
/// rendered is an error: its objects are unknown.
pub async fn on_cluster(
    ctx: &Arc<Reader>,
    base: &Base,
    cluster: &str,
) -> Result<BTreeSet<ResourceKey>> {
    let mut found = BTreeSet::new();
    for target in base
        .configured()
        .into_iter()
        .flat_map(|configured| &configured.targets)
        .filter(|target| target.destination.cluster == cluster)
    {
        let key = target.key(&base.repo.name);
        let owner = key.owner_label(base.repo.id);
        let scope = ctx.environment.scope(&key, target, &owner)?;
        let served = ctx
            .store
            .application(&key)
            .await?
            .and_then(|object| object.status?.served);
        let manifests = match revision::inputs_of(ctx, base, target).await? {
            Ok(Some(inputs)) => {
                ctx.environment
                    .render(target, &inputs, served.as_ref())
                    .await??
            }
            Ok(None) => continue,
            Err(unreadable) => return Err(unreadable.why.into()),
        };
        found.extend(
            dry_run::normalize(&scope, &manifests)
                .await?
                .manifests
                .into_iter()
                .map(|manifest| manifest.key),
        );
    }
    Ok(found)
}
