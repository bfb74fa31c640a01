//! What a pull request changes in Git: which applications, from which inputs to which.
//!
//! - `configuration`: what `windlass.yaml` says before and after, and whose configuration that changes
//! - `inputs`: what one application renders from before and after, and which changed files it reads

mod configuration;
mod inputs;

pub use configuration::unmatched;

use std::collections::{BTreeMap, BTreeSet};

use crate::controller::resource_owners::RenderInputs;
use crate::controller::{Configured, configuration};
use crate::domain::catalog::{FILE, Target};
use crate::domain::codeowners::{self, CodeOwners};
use crate::domain::pull_request::Failure;
use crate::domain::{CommitSha, Invalid, Name};
use crate::git::{Listing, Merged, Mirror, TooLarge, TreeId};
use crate::render::{self, Source};
use configuration::{reconfigured, targets};
use inputs::InputChange;

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
    pub before: RenderInputs,
    pub after: RenderInputs,
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
    pub heads: Vec<(Target, RenderInputs)>,
}

/// Merges the head into the base as GitHub would, and tells what differs. The configuration is the base's.
pub fn look_at_git(
    mirror: &Mirror,
    catalog: Option<&std::result::Result<Configured, Invalid>>,
    base: &CommitSha,
    head: &CommitSha,
) -> anyhow::Result<GitLook> {
    let configured = match catalog {
        Some(Ok(configured)) => configured,
        Some(Err(Invalid(why))) => {
            let failure = Failure::Configuration(format!("on the base branch: {why}"));
            // The pull request may be what mends it: it is read below all the same.
            return mended(mirror, head, failure);
        }
        None => return Ok(GitLook::default()),
    };
    let tree = match merge(mirror, base, head)? {
        Ok(tree) => tree,
        Err(failure) => return Ok(GitLook::failed(failure)),
    };
    let (before, after) = (
        Source::open(mirror, mirror.tree(base)?)?,
        Source::open(mirror, tree)?,
    );
    let mut look = match configuration(&after)?.transpose() {
        Ok(proposed) => compared(configured, proposed.as_ref(), &before, &after)?,
        Err(Invalid(why)) => GitLook::failed(Failure::Configuration(why)),
    };
    look.changes.merged = Some(tree);
    Ok(look)
}

/// What a pull request changes where the base's configuration cannot be read: its own may be what mends that.
fn mended(mirror: &Mirror, head: &CommitSha, failure: Failure) -> anyhow::Result<GitLook> {
    let source = Source::open(mirror, mirror.tree(head)?)?;
    let Some(Ok(configured)) = configuration(&source)? else {
        return Ok(GitLook::failed(failure));
    };
    let mut look = GitLook::default();
    // What the base asks for cannot be read: what it will ask for counts for all of it.
    look.changes.reconfigured = configured.targets;
    look.changes.unmanaged = Some(FILE.into());
    Ok(look)
}

/// The tree of the head merged into the base, or why there is none.
fn merge(
    mirror: &Mirror,
    base: &CommitSha,
    head: &CommitSha,
) -> anyhow::Result<std::result::Result<TreeId, Failure>> {
    // Before it is merged: what is too large to be listed is too large to be compared.
    match mirror.files_of_head(mirror.tree(head)?, mirror.tree(base)?) {
        Err(error) if error.is::<TooLarge>() => {
            return Ok(Err(Failure::TooLarge(error.to_string())));
        }
        other => drop(other?),
    }
    Ok(match mirror.merge(base, head)? {
        Merged::Clean(tree) => Ok(tree),
        Merged::Conflicts(files) => Err(Failure::Conflict(files)),
    })
}

/// What differs between the base and what is merged. `proposed`: the configuration that is merged.
fn compared(
    configured: &Configured,
    proposed: Option<&Configured>,
    before: &Source<'_>,
    after: &Source<'_>,
) -> anyhow::Result<GitLook> {
    let mut look = GitLook::default();
    look.changes.reconfigured =
        reconfigured(configured, proposed, before.listing(), after.listing());
    let changed = changes_between(before, after.listing())?;
    look.changes.owners = changed.owners;
    let targets = match targets(configured, after) {
        Ok(targets) => targets,
        Err(Invalid(why)) => {
            look.failure = Some(Failure::Configuration(why));
            return Ok(look);
        }
    };
    look.total = targets.len();
    let changed_files: BTreeSet<&String> = changed.files.iter().collect();
    let mut managed: BTreeSet<&String> = BTreeSet::new();
    let proposed = proposed.map_or(&[][..], |proposed| proposed.targets.as_slice());
    for target in targets {
        let same = |other: &&Target| other.is_same(&target);
        let known = configured.targets.iter().find(same);
        let leaves = !look.changes.reconfigured.is_empty()
            && known.is_some()
            && !proposed.iter().any(|other| same(&other));
        // By the configuration that is proposed it is no application any more.
        let after = (!leaves).then_some(after);
        let inputs = InputChange::of(&target.render_source(), before, after, &changed_files);
        managed.extend(inputs.files());
        look.add(target, inputs, known);
    }
    let brought: Vec<_> = proposed
        .iter()
        .filter(|target| !look.heads.iter().any(|(known, _)| known.is_same(target)))
        .cloned()
        .collect();
    for target in brought {
        let inputs = render::inputs(after, &target.render_source());
        look.add_brought(target, inputs);
    }
    look.changes.unmanaged = changed_files
        .into_iter()
        .find(|path| *path == FILE || !managed.contains(path))
        .cloned();
    look.changes.files = changed.files;
    Ok(look)
}

impl GitLook {
    fn failed(failure: Failure) -> Self {
        Self {
            failure: Some(failure),
            ..Self::default()
        }
    }

    /// Adds an application of the base's patterns. `known`: as the base's configuration has it.
    fn add(&mut self, target: Target, inputs: InputChange<'_>, known: Option<&Target>) {
        if !inputs.reads.is_empty() {
            let name = (target.application.clone(), target.stage.name.clone());
            let reads = inputs.reads.iter().map(|path| path.to_string()).collect();
            self.changes.reads.insert(name, reads);
        }
        // What a stage comes after is a part of what is asked of what comes there: its approvals count for a change of that.
        let comes_after_others = known.is_some_and(|known| known.stage.after != target.stage.after);
        if inputs.differs() {
            self.changes.touched.push(target.clone());
            self.inputs.push(Touched {
                target: target.clone(),
                before: inputs.before,
                after: inputs.after.clone(),
                in_base: known.is_some(),
            });
        } else if comes_after_others {
            self.changes.touched.push(target.clone());
        }
        self.heads.push((target, inputs.after));
    }

    /// Adds an application that comes by rules which the pull request brings itself: the base grants it nothing that is live.
    fn add_brought(&mut self, target: Target, after: RenderInputs) {
        self.total += 1;
        self.inputs.push(Touched {
            target: target.clone(),
            before: Ok(None),
            after: after.clone(),
            in_base: false,
        });
        self.heads.push((target, after));
    }
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
