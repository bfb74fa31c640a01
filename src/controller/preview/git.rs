//! What a pull request changes in Git: which applications, from which inputs to which.

use std::collections::{BTreeMap, BTreeSet};

use crate::controller::claims::Read;
use crate::controller::{Configured, configuration};
use crate::domain::catalog::{Approver, FILE, Target};
use crate::domain::codeowners::{self, CodeOwners};
use crate::domain::pull_request::Failure;
use crate::domain::{CommitSha, Invalid, Name};
use crate::git::{Listing, Merged, Mirror, TooLarge, TreeId};
use crate::render::{self, Source};

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
