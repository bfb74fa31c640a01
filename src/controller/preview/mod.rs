//! What a change of Git would do to clusters: what the preview of a pull
//! request shows, and what `windlass plan` prints.
//!
//! Nothing here writes, and nothing asks GitHub.

mod compare;
mod git;
mod hooks;
mod impact;

pub use git::{Changes, GitLook, Touched, changes_between, look_at_git, unmatched};

use crate::cluster::home::{Application, Served};
use crate::controller::claims::{self, Claims, Read};
use crate::controller::dry_run::{self, Asking, Outside};
use crate::controller::preview::compare::Sides;
use crate::controller::{Observer, Result};
use crate::domain::catalog::Target;
use crate::domain::hook;
use crate::domain::manifest::Manifest;
use crate::domain::plan::{Comparison, Plan, Side};
use crate::domain::pull_request::{ApplicationPreview, image_changes};
use crate::domain::{ApplicationKey, Invalid, RepoName};
use crate::git::Mirror;
use crate::view;
use hooks::hooks_that_run;

/// What an application was synced to last, where its inputs were others than the base's. Ask with the mirror at hand.
pub fn synced_of(
    mirror: &Mirror,
    object: &Application,
    target: &Target,
    base: &Read,
) -> anyhow::Result<Option<Read>> {
    let status = object.status.clone().unwrap_or_default();
    let Some(synced) = status.synced_revision.filter(|synced| mirror.has(synced)) else {
        return Ok(None);
    };
    let read = crate::controller::revision::inputs_at(mirror, &synced, &target.place())?;
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
    observer: &Observer,
    repo: &RepoName,
    repository_id: u64,
    (mut target, in_base): (Target, bool),
    (before, after): (Read, Read),
    claims: &Claims,
    known: Option<(&Application, Option<Read>)>,
) -> Result<ApplicationPreview> {
    let key = target.key(repo);
    let (object, synced) = known.map_or((None, None), |(object, synced)| (Some(object), synced));
    target
        .fields
        .take
        .extend(crate::controller::application::taken(object));
    let mut preview = blank(key.clone(), &target.destination.cluster, None);
    if let Err(error) = observer.cluster(&target.destination.cluster) {
        preview.error = Some(error.to_string());
        return Ok(preview);
    }
    if let Err(why) = observer.fence(repo, &target.destination).destination() {
        preview.error = Some(why.to_string());
        return Ok(preview);
    }
    let gone = matches!(after, Ok(None));
    let status = object
        .and_then(|object| object.status.clone())
        .unwrap_or_default();
    let kept = status.served.as_ref();
    let old = manifests(observer, &target, &before, kept)
        .await?
        .unwrap_or_default();
    let new = match manifests(observer, &target, &after, kept).await? {
        Ok(new) => new,
        Err(Invalid(why)) => {
            preview.error = Some(why);
            return Ok(preview);
        }
    };
    if gone {
        let names: Vec<_> = old
            .iter()
            .map(|manifest| manifest.key.to_string())
            .collect();
        preview.notes.push(view::leaves_git(&names));
        return Ok(preview);
    }
    if new.is_empty() {
        preview.error = Some("it renders to nothing: nothing would be pruned, and the sync would stop with that message".into());
        return Ok(preview);
    }
    if let Ok(Some(inputs)) = &after
        && let Some(template) = observer.looks_up(&target, inputs).await?
    {
        preview.notes.push(view::looks_up(&template));
    }
    let owner = key.owner_label(repository_id);
    let images = |manifests: &[Manifest]| {
        manifests
            .iter()
            .flat_map(Manifest::containers)
            .collect::<Vec<_>>()
    };
    preview.images = image_changes(&images(&old), &images(&new));
    let asking = Asking {
        in_base,
        ..observer.asking(&key, &target, &owner)?
    };
    let (old, new) = (
        dry_run::settle(&asking, &old).await?,
        dry_run::settle(&asking, &new).await?,
    );
    if !in_base {
        preview.notes.push(view::NEW_APPLICATION.into());
    }
    // What the base has just so is not this change's doing.
    let is_known = |one: &&Outside| {
        old.outside
            .iter()
            .any(|other| other.manifest == one.manifest)
    };
    let (known, brought): (Vec<_>, Vec<_>) = new.outside.iter().partition(is_known);
    let (known, brought) = (dry_run::refusals(known), dry_run::refusals(brought));
    let (old, new) = (old.manifests, new.manifests);
    let ((old_hooks, old), (new_hooks, new)) = (hook::split(old), hook::split(new));
    let synced = match &synced {
        Some(read) => Some(
            dry_run::settle(
                &asking,
                &manifests(observer, &target, read, kept)
                    .await?
                    .unwrap_or_default(),
            )
            .await?
            .manifests,
        ),
        None => None,
    };
    let sides = Sides {
        base: &old,
        head: &new,
        synced: synced.as_deref(),
        inventory: &status.inventory,
    };
    let mut found = compare::compare(&asking, sides).await?;
    found.change.extend(brought);
    found.waiting.extend(known);
    found.change.extend(
        hooks_that_run(
            &asking,
            &old_hooks,
            new_hooks,
            status.synced_revision.is_none(),
            &mut preview.notes,
        )
        .await?,
    );
    // Where each object stands, for whoever has to mend it.
    for comparison in &mut found.change {
        claims::locate(&mut comparison.after, &comparison.key, &after);
    }
    impact::find(&asking, &mut found.change).await?;
    let comes = new.iter().filter(|manifest| {
        !old.iter().any(|known| {
            known.key.kind == manifest.key.kind && known.key.group == manifest.key.group
        })
    });
    let unruled = asking
        .cluster
        .index
        .unruled(repo, comes.map(|manifest| &manifest.value));
    if !unruled.is_empty() {
        preview.notes.push(view::unruled(&unruled));
    }
    for manifest in &new {
        if let Some(other) = claims.other(&target.destination, &manifest.key, &key) {
            let why = format!(
                "{} is an object of {} too: one of them has to leave it out",
                manifest.key,
                other.title()
            );
            found
                .change
                .retain(|comparison| comparison.key != manifest.key);
            found.change.push(Comparison::new(
                manifest.key.clone(),
                Side::Absent,
                Side::Refused(why),
            ));
        }
    }
    let handed: Vec<_> = found
        .change
        .iter()
        .filter(|one| matches!(one.after, Side::Absent))
        .filter_map(|one| {
            Some((
                one.key.clone(),
                claims.other(&target.destination, &one.key, &key)?.title(),
            ))
        })
        .collect();
    found
        .change
        .retain(|comparison| !handed.iter().any(|(key, _)| *key == comparison.key));
    let notes = handed.iter().map(|(key, to)| view::hands_over(key, to));
    preview.notes.extend(notes);
    let withheld: Vec<_> = found
        .change
        .iter()
        .filter(|comparison| matches!(comparison.after, Side::Absent))
        .filter_map(|comparison| match &comparison.before {
            Side::Object(live, _) => Some((
                comparison.key.clone(),
                crate::domain::sync::protected(live)?,
            )),
            _ => None,
        })
        .collect();
    let done = |comparison: &Comparison| !withheld.iter().any(|(key, _)| *key == comparison.key);
    preview.plan = Plan::new(&observer.mask, found.change.into_iter().filter(done));
    preview.drift = Plan::new(&observer.mask, found.drift);
    preview.waiting = Plan::new(&observer.mask, found.waiting);
    preview.unmoved = found.unmoved;
    let notes = withheld.iter().map(|(key, why)| view::stays(key, why));
    preview.notes.extend(notes);
    Ok(preview)
}

async fn manifests(
    observer: &Observer,
    target: &Target,
    read: &Read,
    kept: Option<&Served>,
) -> Result<std::result::Result<Vec<Manifest>, Invalid>> {
    Ok(match read {
        Ok(Some(inputs)) => observer
            .render(target, inputs, kept)
            .await?
            .map(|manifests| manifests.to_vec()),
        Ok(None) => Ok(Vec::new()),
        Err(unreadable) => Err(unreadable.why.clone()),
    })
}
