//! What a change of Git would do to clusters: what the preview of a pull
//! request shows, and what `windlass plan` prints.
//!
//! Nothing here writes, and nothing asks GitHub.

use std::collections::{BTreeMap, BTreeSet};

use super::claims::{self, Claims, Read};
use super::compare::{self, Sides};
use super::dry_run::{self, Asking, Outside};
use super::{Configured, Observer, Result, configuration, facts};
use crate::cluster::home::{Application, Served};
use crate::domain::catalog::{Approver, FILE, Target};
use crate::domain::codeowners::{self, CodeOwners};
use crate::domain::hook::{self, Hook, When};
use crate::domain::manifest::Manifest;
use crate::domain::plan::{Comparison, Plan, Proof, Side};
use crate::domain::pull_request::{ApplicationPreview, Failure, image_changes};
use crate::domain::{ApplicationKey, CommitSha, Invalid, Name, RepoName};
use crate::git::{Listing, Merged, Mirror, TooLarge, TreeId};
use crate::render::{self, Source};
use crate::view;

/// Which files and applications a pull request changes.
#[derive(Clone, Default)]
pub struct Changes {
    pub touched: Vec<Target>,
    /// A changed file that no application reads, or `windlass.yaml`.
    pub unmanaged: Option<String>,
    pub merged: Option<TreeId>,
    /// Every file that differs.
    pub files: Vec<String>,
    /// Applications whose configuration `windlass.yaml` changes, as they were and as they would be.
    pub reconfigured: Vec<Target>,
    /// Of them, those that each touched application reads.
    pub reads: BTreeMap<(Name, Name), Vec<String>>,
    /// Who owns which files, by the base.
    pub owners: CodeOwners,
}

/// An application whose inputs a pull request changes.
pub struct Touched {
    pub target: Target,
    pub before: Read,
    pub after: Read,
    /// The base has it.
    pub in_base: bool,
}

/// What git says of a pull request, before any rendering.
#[derive(Default)]
pub struct GitLook {
    pub failure: Option<Failure>,
    pub changes: Changes,
    pub total: usize,
    pub inputs: Vec<Touched>,
    /// What every application renders from at the head.
    pub heads: Vec<(Target, Read)>,
}

/// Merges the head into the base as GitHub would, and tells what differs. The configuration is the base's.
pub fn look_at_git(
    mirror: &Mirror,
    catalog: Option<&std::result::Result<Configured, Invalid>>,
    base: &CommitSha,
    head: &CommitSha,
) -> anyhow::Result<GitLook> {
    let mut look = GitLook::default();
    let configured = match catalog {
        Some(Ok(configured)) => configured,
        Some(Err(Invalid(why))) => {
            look.failure = Some(Failure::Configuration(format!("on the base branch: {why}")));
            // The pull request may be what mends it: it is read below all the same.
            return mended(mirror, head, look);
        }
        None => return Ok(look),
    };
    // Before it is merged: what is too large to be listed is too large to be compared.
    match mirror.files_of_head(mirror.tree(head)?, mirror.tree(base)?) {
        Err(error) if error.is::<TooLarge>() => {
            look.failure = Some(Failure::TooLarge(error.to_string()));
            return Ok(look);
        }
        other => drop(other?),
    }
    let tree = match mirror.merge(base, head)? {
        Merged::Clean(tree) => tree,
        Merged::Conflicts(files) => {
            look.failure = Some(Failure::Conflict(files));
            return Ok(look);
        }
    };
    look.changes.merged = Some(tree);
    let (before, after) = (
        Source::open(mirror, mirror.tree(base)?)?,
        Source::open(mirror, tree)?,
    );
    let proposed = configuration(&after)?;
    if let Some(Err(Invalid(why))) = proposed {
        look.failure = Some(Failure::Configuration(why));
        return Ok(look);
    }
    if before.listing().get(FILE) != after.listing().get(FILE) {
        look.changes.reconfigured = reconfigured(
            configured,
            proposed
                .as_ref()
                .and_then(|proposed| proposed.as_ref().ok()),
        );
    }
    // Whoever may say who approves, approves: the owners that there are decide about others.
    if codeowners::PLACES
        .iter()
        .any(|place| before.listing().get(*place) != after.listing().get(*place))
    {
        let by_owners = |target: &&Target| target.stage.approvers.contains(&Approver::CodeOwners);
        look.changes
            .reconfigured
            .extend(configured.targets.iter().filter(by_owners).cloned());
    }
    let changed = changes_between(&before, after.listing())?;
    look.changes.owners = changed.owners;
    let targets = targets(configured, &after);
    let targets = match targets {
        Ok(targets) => targets,
        Err(Invalid(why)) => {
            look.failure = Some(Failure::Configuration(why));
            return Ok(look);
        }
    };
    look.total = targets.len();
    let changed_files: BTreeSet<&String> = changed.files.iter().collect();
    let mut managed: BTreeSet<&String> = BTreeSet::new();
    let proposed = match &proposed {
        Some(Ok(proposed)) => proposed.targets.as_slice(),
        _ => &[],
    };
    for target in targets {
        let known = configured
            .targets
            .iter()
            .find(|known| known.is_same(&target));
        let leaves = !look.changes.reconfigured.is_empty()
            && known.is_some()
            && !proposed.iter().any(|other| other.is_same(&target));
        let old = render::inputs(&before, &target.place());
        // By the configuration that is proposed it is no application any more.
        let new = if leaves {
            Ok(None)
        } else {
            render::inputs(&after, &target.place())
        };
        let hash = |read: &Read| {
            read.as_ref().ok().map(|inputs| {
                inputs
                    .as_ref()
                    .map(|inputs| inputs.hash.clone())
                    .unwrap_or_default()
            })
        };
        // What cannot be read before and after is not the same before and after.
        let blind = old.is_err() && new.is_err() && {
            let near = match target.path.rsplit_once('/') {
                Some((parent, _)) if parent.contains('/') => format!("{parent}/"),
                _ => format!("{}/", target.path),
            };
            let mut below = changed_files
                .iter()
                .copied()
                .filter(|path| path.starts_with(&near))
                .peekable();
            let any = below.peek().is_some();
            managed.extend(below);
            any
        };
        let mut reads = BTreeSet::new();
        for inputs in [&old, &new]
            .into_iter()
            .filter_map(|read| read.as_ref().ok()?.as_ref())
        {
            reads.extend(
                changed_files
                    .iter()
                    .copied()
                    .filter(|path| inputs.reads(path)),
            );
        }
        if !reads.is_empty() {
            let name = (target.application.clone(), target.stage.name.clone());
            look.changes
                .reads
                .insert(name, reads.iter().map(|path| path.to_string()).collect());
        }
        managed.extend(reads);
        // What a stage comes after is a part of what is asked of what comes there: its approvals count for a change of that.
        let comes_after_others = known.is_some_and(|known| known.stage.after != target.stage.after);
        if blind || hash(&old) != hash(&new) {
            look.changes.touched.push(target.clone());
            look.inputs.push(Touched {
                target: target.clone(),
                before: old,
                after: new.clone(),
                in_base: known.is_some(),
            });
        } else if comes_after_others {
            look.changes.touched.push(target.clone());
        }
        look.heads.push((target, new));
    }
    // What comes by rules that the pull request brings itself: the base grants it nothing that is live.
    let brought: Vec<_> = proposed
        .iter()
        .filter(|target| !look.heads.iter().any(|(known, _)| known.is_same(target)))
        .cloned()
        .collect();
    look.total += brought.len();
    for target in brought {
        let new = render::inputs(&after, &target.place());
        look.inputs.push(Touched {
            target: target.clone(),
            before: Ok(None),
            after: new.clone(),
            in_base: false,
        });
        look.heads.push((target, new));
    }
    look.changes.unmanaged = changed_files
        .into_iter()
        .find(|path| *path == FILE || !managed.contains(path))
        .cloned();
    look.changes.files = changed.files;
    Ok(look)
}

/// Patterns of the base, or of what is proposed, that match nothing here or there, in words.
pub fn unmatched(
    mirror: &Mirror,
    base: &Source<'_>,
    catalog: &std::result::Result<Configured, Invalid>,
    merged: Option<TreeId>,
) -> anyhow::Result<Vec<String>> {
    let Some(merged) = merged else {
        return Ok(Vec::new());
    };
    let head = Source::open(mirror, merged)?;
    let mut directories = base.directories();
    directories.extend(head.directories());
    let proposed = configuration(&head)?;
    let catalogs = [Some(catalog), proposed.as_ref()]
        .into_iter()
        .flatten()
        .flatten();
    let all = catalogs.flat_map(|configured| configured.catalog.unmatched(&directories));
    Ok(all.collect::<BTreeSet<_>>().into_iter().collect())
}

/// Which files differ between a tree and a later one, and whose they were.
pub fn changes_between(before: &Source<'_>, after: &Listing) -> anyhow::Result<Changes> {
    let mut changes = Changes::default();
    let old = before.listing();
    let differs: BTreeSet<_> = old
        .keys()
        .chain(after.keys())
        .filter(|path| old.get(*path) != after.get(*path))
        .collect();
    changes.files = differs.into_iter().cloned().collect();
    for place in codeowners::PLACES {
        if let Some(text) = before.text(place)? {
            changes.owners = CodeOwners::parse(&text);
            break;
        }
    }
    Ok(changes)
}

/// Every application of which two configurations say something else, as each of them has it.
fn reconfigured(base: &Configured, head: Option<&Configured>) -> Vec<Target> {
    let head_targets = head.map(|head| head.targets.as_slice()).unwrap_or_default();
    // When custom kinds are healthy is everybody's.
    let everything = head.is_none_or(|head| head.catalog.health != base.catalog.health);
    let differ = |all: &[Target], others: &[Target]| -> Vec<Target> {
        all.iter()
            .filter(|target| everything || !others.contains(target))
            .cloned()
            .collect()
    };
    let mut found = [
        differ(&base.targets, head_targets),
        differ(head_targets, &base.targets),
    ]
    .concat();
    // What comes after a stage relies on what that stage says of itself.
    loop {
        let relies = |later: &&Target| {
            !found.contains(later)
                && found.iter().any(|one| {
                    one.application == later.application
                        && later.stage.after.contains(&one.stage.name)
                })
        };
        let more: Vec<_> = base.targets.iter().filter(relies).cloned().collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

/// The applications of the base's patterns in both trees: also those that the pull request adds or removes.
fn targets(
    configured: &Configured,
    after: &Source<'_>,
) -> std::result::Result<Vec<Target>, Invalid> {
    let directories = after.directories();
    let mut targets = configured
        .catalog
        .expand(directories.iter().map(String::as_str))?;
    for target in &configured.targets {
        if !targets.iter().any(|known| known.path == target.path) {
            targets.push(target.clone());
        }
    }
    Ok(targets)
}

fn mended(mirror: &Mirror, head: &CommitSha, mut look: GitLook) -> anyhow::Result<GitLook> {
    let source = Source::open(mirror, mirror.tree(head)?)?;
    if let Some(Ok(configured)) = configuration(&source)? {
        look.failure = None;
        // What the base asks for cannot be read: what it will ask for counts for all of it.
        look.changes.reconfigured = configured.targets;
        look.changes.unmanaged = Some(FILE.into());
    }
    Ok(look)
}

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
    let read = super::revision::inputs_at(mirror, &synced, &target.place())?;
    Ok((super::revision::hash_of(&read) != super::revision::hash_of(base)).then_some(read))
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
    target.fields.take.extend(super::application::taken(object));
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
    facts::find(&asking, &mut found.change).await?;
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

/// The hooks that a sync of the head runs: checked by the server as what they would be, newly created.
async fn hooks_that_run(
    asking: &Asking<'_>,
    before: &[(Manifest, Hook)],
    after: Vec<(Manifest, Hook)>,
    first: bool,
    notes: &mut Vec<String>,
) -> Result<Vec<Comparison>> {
    let mut found = Vec::new();
    for (manifest, hook) in after {
        let Some(when) = hook.when else {
            notes.push(view::not_run(&manifest.key, &hook.words));
            continue;
        };
        if !hook.runs(first) {
            continue;
        }
        let was = before.iter().find(|(old, _)| old.key == manifest.key);
        let before = was.map_or(Side::Absent, |(old, _)| {
            Side::Object(old.value.clone(), Proof::Server)
        });
        let live = if asking.in_base {
            asking
                .cluster
                .live(&manifest.key, &manifest.version)
                .await?
        } else {
            None
        };
        let taken = live.is_some_and(|live| !hook::may_replace(&live, asking.owner));
        let after = match asking
            .cluster
            .probe(&manifest.key, &manifest.version, &manifest.value)
            .await?
        {
            _ if taken => Side::Refused(dry_run::not_a_hook(&manifest.key)),
            Err(refusal) => Side::Refused(crate::domain::mask::Mask::scrub(
                &refusal.message,
                &manifest.value,
            )),
            Ok(_) => Side::Object(manifest.value.clone(), Proof::Server),
        };
        let mut comparison = Comparison::new(manifest.key.clone(), before, after);
        let when = if when == When::Before {
            "before"
        } else {
            "after"
        };
        comparison.notes.hook = Some(format!("runs {when} the rest is synced ({})", hook.words));
        found.push(comparison);
    }
    Ok(found)
}
