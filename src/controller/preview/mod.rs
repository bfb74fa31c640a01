//! What a change of Git would do to clusters: what the preview of a pull
//! request shows, and what `windlass plan` prints.
//!
//! Nothing here writes, and nothing asks GitHub.
//!
//! - `git`: which applications a pull request changes, and their inputs
//! - `rendered`: both sides of an application, rendered, and then settled for its cluster
//! - `compare`: what that does to each object; `hooks`: what runs
//! - `claimed`: objects that another application has too, and those that stay
//! - `impact`: what a reviewer would otherwise look up in the cluster

mod claimed;
mod compare;
mod git;
mod hooks;
mod impact;
mod rendered;

pub use git::{Changes, GitLook, Touched, changes_between, look_at_git, unmatched};

use crate::cluster::store::{Application, ApplicationStatus};
use crate::controller::dry_run::AppScope;
use crate::controller::resource_owners::{self, RenderInputs, ResourceOwners};
use crate::controller::{Environment, Result};
use crate::domain::catalog::Target;
use crate::domain::image::ImageRef;
use crate::domain::manifest::{Manifest, ResourceKey};
use crate::domain::mask::Mask;
use crate::domain::plan::Plan;
use crate::domain::pull_request::{ApplicationPreview, image_changes};
use crate::domain::{ApplicationKey, Invalid, RepoName};
use crate::git::Mirror;
use crate::view;
use claimed::{hand_over, refuse_claimed, withhold};
use compare::{Compared, Sides, compare};
use hooks::hooks_that_run;
use rendered::{Rendering, Settled, refusals, unreachable};

/// What an application was synced to last, where its inputs were others than the base's. Ask with the mirror at hand.
pub fn synced_of(
    mirror: &Mirror,
    object: &Application,
    target: &Target,
    base: &RenderInputs,
) -> anyhow::Result<Option<RenderInputs>> {
    let status = object.status.clone().unwrap_or_default();
    let Some(synced) = status.synced_revision.filter(|synced| mirror.has(synced)) else {
        return Ok(None);
    };
    let read = crate::controller::revision::inputs_at(mirror, &synced, &target.render_source())?;
    Ok(
        (crate::controller::revision::hash_of(&read) != crate::controller::revision::hash_of(base))
            .then_some(read),
    )
}

/// A preview of which nothing is told yet, or why nothing can be.
pub fn blank(key: ApplicationKey, cluster: &str, error: Option<String>) -> ApplicationPreview {
    ApplicationPreview {
        cluster: cluster.into(),
        plan: Plan::default(),
        drift: Plan::default(),
        waiting: Plan::default(),
        unmoved: 0,
        images: vec![],
        error,
        notes: vec![],
        key,
    }
}

/// Renders both sides of one application and has the server dry-run both. `in_base`: the base has it.
pub async fn application(
    environment: &Environment,
    repo: &RepoName,
    repository_id: u64,
    (mut target, in_base): (Target, bool),
    (before, after): (RenderInputs, RenderInputs),
    claims: &ResourceOwners,
    known: Option<(&Application, Option<RenderInputs>)>,
) -> Result<ApplicationPreview> {
    let key = target.key(repo);
    let (object, synced) = known.map_or((None, None), |(object, synced)| (Some(object), synced));
    let taken = crate::controller::application::taken(object);
    target.fields.take.extend(taken);
    let error = unreachable(environment, repo, &target.destination);
    let mut preview = blank(key.clone(), &target.destination.cluster, error);
    if preview.error.is_some() {
        return Ok(preview);
    }
    let status = object
        .and_then(|object| object.status.clone())
        .unwrap_or_default();
    let rendering = Rendering {
        environment,
        target: &target,
        kept: status.served.as_ref(),
    };
    let rendered = match rendering.all(&before, &after, synced.as_ref()).await? {
        Ok(rendered) => rendered,
        Err(Invalid(why)) => {
            preview.error = Some(why);
            return Ok(preview);
        }
    };
    if matches!(after, Ok(None)) {
        preview.notes.push(view::leaves_git(&rendered.names()));
        return Ok(preview);
    }
    let looks_up = rendered.looks_up.as_deref().map(view::looks_up);
    preview.notes.extend(looks_up);
    preview.images = image_changes(&containers(&rendered.base), &containers(&rendered.head));
    let owner = key.owner_label(repository_id);
    let scope = AppScope {
        in_base,
        ..environment.scope(&key, &target, &owner)?
    };
    let settled = rendered.settled(&scope).await?;
    if !in_base {
        preview.notes.push(view::NEW_APPLICATION.into());
    }
    let (found, notes) = found(&scope, &settled, &after, &status).await?;
    preview.notes.extend(notes);
    let claimant = |object: &ResourceKey| {
        let other = claims.other(&target.destination, object, &key);
        other.map(ApplicationKey::title)
    };
    let head = &settled.head.manifests;
    Ok(planned(preview, &environment.mask, found, head, claimant))
}

fn containers(manifests: &[Manifest]) -> Vec<(String, ImageRef)> {
    manifests.iter().flat_map(Manifest::containers).collect()
}

/// What becomes of each object and which hooks run, with what is to be noted beside.
async fn found(
    scope: &AppScope<'_>,
    settled: &Settled,
    after: &RenderInputs,
    status: &ApplicationStatus,
) -> Result<(Compared, Vec<String>)> {
    let (base, head, mut notes) = (&settled.base, &settled.head, Vec::new());
    let sides = Sides {
        base: &base.manifests,
        head: &head.manifests,
        synced: settled.synced.as_deref(),
        inventory: &status.inventory,
    };
    let mut found = compare(scope, sides).await?;
    let (known, brought) = refusals(&base.outside, &head.outside);
    found.change.extend(brought);
    found.waiting.extend(known);
    let first = status.synced_revision.is_none();
    let hooks = hooks_that_run(scope, &base.hooks, &head.hooks, first, &mut notes).await?;
    found.change.extend(hooks);
    // Where each object stands, for whoever has to mend it.
    for comparison in &mut found.change {
        resource_owners::locate(&mut comparison.after, &comparison.key, after);
    }
    impact::find(scope, &mut found.change).await?;
    let new_kinds = settled.new_kinds().map(|manifest| &manifest.value);
    let unruled = scope.cluster.index.unruled(&scope.key.repo, new_kinds);
    if !unruled.is_empty() {
        notes.push(view::unruled(&unruled));
    }
    Ok((found, notes))
}

/// The preview with the plans of what was found. `claimant`: the other application that has an object.
fn planned(
    mut preview: ApplicationPreview,
    mask: &Mask,
    found: Compared,
    head: &[Manifest],
    claimant: impl Fn(&ResourceKey) -> Option<String>,
) -> ApplicationPreview {
    let change = refuse_claimed(found.change, head, &claimant);
    let (change, handed) = hand_over(change, &claimant);
    let (change, withheld) = withhold(change);
    preview.plan = Plan::new(mask, change);
    preview.drift = Plan::new(mask, found.drift);
    preview.waiting = Plan::new(mask, found.waiting);
    preview.unmoved = found.unmoved;
    let handed = handed.iter().map(|(key, to)| view::hands_over(key, to));
    let withheld = withheld.iter().map(|(key, why)| view::stays(key, why));
    preview.notes.extend(handed.chain(withheld));
    preview
}
