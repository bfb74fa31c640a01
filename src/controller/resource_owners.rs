//! Which application an object belongs to, where more than one has it: an
//! object that moves from one to another is handed over without deletion, and
//! one that two have at the same time is an error of both.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::cache::locked;
use super::{Base, Environment, Reader, Result, dry_run, revision};
use crate::domain::catalog::{Destination, Target};
use crate::domain::manifest::ResourceKey;
use crate::domain::plan::Side;
use crate::domain::{ApplicationKey, CommitSha, RepoName};
use crate::render::{Inputs, Unreadable};

/// The objects of each destination that more than one application goes to, with whose they are.
#[derive(Debug, Default)]
pub struct ResourceOwners(BTreeMap<Destination, BTreeMap<ResourceKey, Vec<ApplicationKey>>>);

impl ResourceOwners {
    /// The other application that has an object.
    pub fn other(
        &self,
        destination: &Destination,
        object: &ResourceKey,
        than: &ApplicationKey,
    ) -> Option<&ApplicationKey> {
        self.0
            .get(destination)?
            .get(object)?
            .iter()
            .find(|claimant| *claimant != than)
    }
}

/// What a target renders from.
pub type RenderInputs = std::result::Result<Option<Inputs>, Unreadable>;

/// Says in a refusal where in Git the object stands, for whoever has to mend it.
pub fn locate(after: &mut Side, key: &ResourceKey, read: &RenderInputs) {
    if let (Side::Refused(why), Ok(Some(inputs))) = (after, read)
        && let Some(place) = inputs.locate(key)
    {
        why.push_str(&format!(" ({place})"));
    }
}

/// The claims of a whole tree. An application that cannot be rendered claims nothing.
/// `observer_of`: who renders a target; a head's own renderings take from its budget.
pub async fn of<'o>(
    observer_of: impl Fn(&Target) -> &'o Environment,
    repo: &RepoName,
    repository_id: u64,
    all: &[(Target, RenderInputs)],
) -> Result<ResourceOwners> {
    let mut claims = ResourceOwners::default();
    for (target, inputs) in all {
        let shared = all
            .iter()
            .filter(|(other, _)| other.destination == target.destination)
            .count()
            > 1;
        let (true, Ok(Some(inputs))) = (shared, inputs) else {
            continue;
        };
        let environment = observer_of(target);
        let Ok(manifests) = environment.render(target, inputs, None).await? else {
            continue;
        };
        let key = target.key(repo);
        let owner = key.owner_label(repository_id);
        let scope = environment.scope(&key, target, &owner)?;
        let objects = claims.0.entry(target.destination.clone()).or_default();
        for manifest in dry_run::normalize(&scope, &manifests).await?.manifests {
            objects.entry(manifest.key).or_default().push(key.clone());
        }
    }
    Ok(claims)
}

/// The claims of a base, worked out once.
pub async fn of_base(ctx: &Arc<Reader>, base: &Base) -> Result<Arc<ResourceOwners>> {
    let name: (RepoName, CommitSha) = (base.repo.name.clone(), base.commit.clone());
    let known = locked(&ctx.cache.repositories.claims).get(&name).cloned();
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
    let claims = Arc::new(of(|_| &ctx.environment, &name.0, base.repo.id, &all).await?);
    let mut memory = locked(&ctx.cache.repositories.claims);
    // Of older bases nobody asks again.
    memory.retain(|(repo, _), _| *repo != name.0);
    memory.insert(name, claims.clone());
    Ok(claims)
}

/// Every object that the base's applications have on a cluster, whoever's it is. An application that cannot be rendered
/// is an error: what it has is not known.
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
        .filter(|one| one.destination.cluster == cluster)
    {
        let key = target.key(&base.repo.name);
        let owner = key.owner_label(base.repo.id);
        let scope = ctx.environment.scope(&key, target, &owner)?;
        let kept = ctx
            .store
            .application(&key)
            .await?
            .and_then(|object| object.status?.served);
        let manifests = match revision::inputs_of(ctx, base, target).await? {
            Ok(Some(inputs)) => {
                ctx.environment
                    .render(target, &inputs, kept.as_ref())
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
