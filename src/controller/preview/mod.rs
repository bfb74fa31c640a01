//! What a change of Git would do to clusters: the preview of a pull request,
//! and the output of `windlass plan`.
//!
//! Nothing here writes, and nothing calls GitHub.
//!
//! - `git`: which applications a pull request changes, and their inputs
//! - `rendered`: both sides of an application, rendered, and then normalized for its cluster
//! - `compare`: the change of each object; `hooks`: the hooks that run
//! - `claimed`: objects that another application has too, and those that stay
//! - `unseen`: what another reconciler does not compare
//! - `impact`: what a reviewer would otherwise look up in the cluster

mod claimed;
mod compare;
mod git;
mod hooks;
mod impact;
mod rendered;
mod unseen;

pub use git::{Changes, GitDiff, Touched, changes_between, git_diff, unmatched};

use crate::cluster::store::{Application, ApplicationStatus};
use crate::controller::dry_run::{self, AppScope};
use crate::controller::resource_owners::{self, RenderInputs, ResourceOwners};
use crate::controller::revision::{hash_of, inputs_at};
use crate::controller::{Environment, Result};
use crate::domain::applying::Applying;
use crate::domain::catalog::Target;
use crate::domain::image::ImageRef;
use crate::domain::manifest::{Manifest, ResourceKey};
use crate::domain::mask::Mask;
use crate::domain::plan::{Comparison, Plan};
use crate::domain::pull_request::{ApplicationPreview, image_changes};
use crate::domain::{Invalid, RepoName, TargetKey};
use crate::git::Mirror;
use crate::view;
use claimed::{Left, hand_over, refuse_claimed, withhold};
use compare::{Compared, Sides, compare};
use hooks::hooks_that_run;
use rendered::{Normalized, Rendering, refusals, unreachable};
use unseen::{causes_sync, take_unseen};

/// The inputs that an application was synced from last, if they differ from the base's.
pub fn synced_of(
    mirror: &Mirror,
    object: &Application,
    target: &Target,
    base: &RenderInputs,
) -> anyhow::Result<Option<RenderInputs>> {
    let status = object.status.clone().unwrap_or_default();
    let Some(synced) = status.synced_revision else {
        return Ok(None);
    };
    if !mirror.knows(&synced)? {
        return Ok(None);
    }
    let read = inputs_at(mirror, &synced, &target.render_source())?;
    Ok((hash_of(&read) != hash_of(base)).then_some(read))
}

/// An empty preview, with an error if nothing can be previewed.
pub fn blank(key: TargetKey, cluster: &str, error: Option<String>) -> ApplicationPreview {
    ApplicationPreview {
        after: Vec::new(),
        cluster: cluster.into(),
        wave: 0,
        inputs: Default::default(),
        plan: Plan::default(),
        drift: Plan::default(),
        waiting: Plan::default(),
        unmoved: 0,
        images: vec![],
        error,
        leaves: false,
        notes: vec![],
        key,
    }
}

/// Renders both sides of one application and dry-runs both, when it is its turn.
pub async fn application(
    environment: &Environment,
    repo: &RepoName,
    repository_id: u64,
    touched: Touched,
    claims: &ResourceOwners,
    known: Option<(&Application, Option<RenderInputs>)>,
) -> Result<ApplicationPreview> {
    let Touched {
        mut target,
        before,
        after,
        shows_live,
        forgotten,
        moved_from,
    } = touched;
    let _turn = environment.applications.acquire().await;
    let key = target.key(repo);
    let (object, synced) = known.map_or((None, None), |(object, synced)| (Some(object), synced));
    let takes = crate::controller::application::accepted_takes(object);
    target.fields.take.extend(takes);
    let error = unreachable(environment, repo, &target.destination);
    let mut preview = blank(key.clone(), &target.destination.cluster, error);
    preview.inputs = (hash_of(&before), hash_of(&after));
    preview.after = target.stage.after.clone();
    preview.wave = target.one_of.as_ref().map_or(0, |one| one.wave);
    if preview.error.is_some() {
        return Ok(preview);
    }
    let status = object
        .and_then(|object| object.status.clone())
        .unwrap_or_default();
    let rendering = Rendering {
        environment,
        target: &target,
        known: status.served.as_ref(),
    };
    let rendered = match rendering.all(&before, &after, synced.as_ref()).await? {
        Ok(rendered) => rendered,
        Err(Invalid(why)) => {
            preview.error = Some(why);
            return Ok(preview);
        }
    };
    let ends = matches!(after, Ok(None));
    if ends {
        let before = before.as_ref().ok().and_then(Option::as_ref);
        let deletes = before.and_then(|inputs| inputs.deletes());
        let deletes = deletes.filter(|_| forgotten.is_none());
        preview.leaves = deletes.is_none() && forgotten.is_none();
        let (names, stage) = (rendered.names(), key.stage.as_str());
        preview.notes.push(match (&forgotten, deletes) {
            (Some(why), _) => view::forgotten(why),
            (None, Some(deletes)) => view::declared_no_more(&names, deletes),
            (None, None) => view::leaves_git(&names, stage),
        });
        // What is deleted with the object that declares it is shown as any deletion.
        if deletes != Some(true) {
            return Ok(preview);
        }
    }
    let looks_up = rendered.looks_up.as_deref().map(view::looks_up);
    preview.notes.extend(looks_up);
    for chart in &rendered.former_charts {
        preview.notes.push(view::former_chart(chart));
    }
    if !rendered.repeated.is_empty() {
        preview.notes.push(view::repeated(&rendered.repeated));
    }
    preview.images = image_changes(&containers(&rendered.base), &containers(&rendered.head));
    let owner = key.owner_label(repository_id);
    let scope = AppScope {
        shows_live,
        ..environment.scope(&key, &target, &owner)?
    };
    let mut settled = rendered.settled(&scope).await?;
    if let Some(from) = &moved_from {
        let former = AppScope {
            shows_live,
            ..environment.scope(&key, from, &owner)?
        };
        let former = rendered.settled_base(&former).await?.manifests;
        let note = moves((&scope, from), &mut settled, former).await?;
        preview.notes.push(note);
    } else if !shows_live {
        preview.notes.push(view::new_application(scope.applies()));
    }
    let is_new = matches!(before, Ok(None)) && status.inventory.is_empty();
    let (compared, notes) = compared(&scope, &settled, &after, &status).await?;
    preview.notes.extend(notes);
    let claimant = |object: &ResourceKey| {
        let other = claims.other(&target.destination, object, &key);
        other.map(TargetKey::title)
    };
    let head = &settled.head.manifests;
    let mut preview = planned(
        preview,
        &environment.mask,
        compared,
        head,
        claimant,
        (scope.applying().await?, ends),
    );
    let existing = preview.plan.existing().count();
    if is_new && scope.applies() && existing > 0 {
        preview.notes.push(view::to_adopt(existing, &key.title()));
    }
    Ok(preview)
}

/// What becomes of the former objects of an application whose destination changes. Those that the
/// change does not move are compared as any.
async fn moves(
    (scope, from): (&AppScope<'_>, &Target),
    settled: &mut Normalized,
    former: Vec<Manifest>,
) -> Result<String> {
    let (from, to) = (&from.destination, &scope.target.destination);
    let is_here = from.cluster == to.cluster;
    let head = &settled.head.manifests;
    let stays = |one: &Manifest| is_here && head.iter().any(|other| other.key == one.key);
    let (stay, left): (Vec<_>, Vec<_>) = former.into_iter().partition(stays);
    settled.base.manifests = stay;
    let applying = scope.applying().await?;
    let is_deleted = |one: &&Manifest| {
        let kept = applying.and_then(|applying| applying.keeps(&one.as_live()));
        is_here && kept.is_none()
    };
    let (deleted, kept): (Vec<_>, Vec<_>) = left.iter().partition(is_deleted);
    let names = |all: Vec<&Manifest>| -> Vec<String> {
        all.iter().map(|one| one.key.to_string()).collect()
    };
    Ok(view::moves((from, to), &names(deleted), &names(kept)))
}

fn containers(manifests: &[Manifest]) -> Vec<(String, ImageRef)> {
    manifests.iter().flat_map(Manifest::containers).collect()
}

/// The comparison of each object and the hooks that run; and notes.
async fn compared(
    scope: &AppScope<'_>,
    settled: &Normalized,
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
    let mut compared = compare(scope, sides).await?;
    let applying = scope.applying().await?;
    let syncs = causes_sync(&compared, applying);
    let unseen = take_unseen(&mut compared, applying);
    let (known, added) = refusals(&base.outside, &head.outside);
    compared.change.extend(added);
    compared.waiting.extend(known);
    let first = status.synced_revision.is_none();
    if !unseen.is_empty() {
        notes.push(view::unseen(&unseen));
    } else if syncs {
        let hooks = hooks_that_run(scope, &base.hooks, &head.hooks, first, &mut notes).await?;
        compared.change.extend(hooks);
    }
    let not_automatic = applying.and_then(Applying::not_automatic);
    notes.extend(not_automatic.map(view::not_automatic));
    let pinned = dry_run::pinned(scope).await?;
    notes.extend(pinned.map(|follows| view::pinned(&follows)));
    // The file of each refused object, for whoever has to fix it.
    for comparison in &mut compared.change {
        let Comparison {
            key,
            before,
            after: predicted,
            notes,
        } = comparison;
        resource_owners::locate((predicted, before), key, notes, after);
    }
    impact::find(scope, &mut compared.change).await?;
    let new_kinds = settled.new_kinds().map(|manifest| &manifest.value);
    let unruled = scope.cluster.index.unruled(&scope.key.repo, new_kinds);
    if !unruled.is_empty() {
        notes.push(view::unruled(&unruled));
    }
    Ok((compared, notes))
}

/// The preview with its plans. `claimant`: the other application that has an object. `applying`: how
/// another reconciler applies the stage; `ends`: the object that declares the application is deleted.
fn planned(
    mut preview: ApplicationPreview,
    mask: &Mask,
    compared: Compared,
    head: &[Manifest],
    claimant: impl Fn(&ResourceKey) -> Option<String>,
    (applying, ends): (Option<&Applying>, bool),
) -> ApplicationPreview {
    let left = match (ends, head.is_empty()) {
        (true, _) => Left::NotEvenItself,
        (_, true) => Left::Nothing,
        _ => Left::Others,
    };
    let change = refuse_claimed(compared.change, head, &claimant);
    let (change, handed) = hand_over(change, &claimant);
    let (change, withheld) = withhold(change, applying, left);
    preview.plan = Plan::new(mask, change);
    preview.plan.applied_by_others = applying.is_some();
    preview.drift = Plan::new(mask, compared.drift);
    preview.waiting = Plan::new(mask, compared.waiting);
    preview.unmoved = compared.unmoved;
    let handed = handed.iter().map(|(key, to)| view::hands_over(key, to));
    let withheld = withheld.iter().map(|(key, why)| view::stays(key, why));
    let unclaimed = compared.left.iter().filter(|key| claimant(key).is_none());
    let left = unclaimed.map(|key| view::stays(key, view::NOT_APPLIED));
    preview.notes.extend(handed.chain(withheld).chain(left));
    preview
}
