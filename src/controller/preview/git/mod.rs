//! What a pull request changes in Git: which applications, and their inputs before and after.
//!
//! - `configuration`: `windlass.yaml` before and after, and whose configuration differs
//! - `inputs`: the inputs of one application before and after, and which changed files it reads

mod configuration;
mod inputs;

pub use configuration::unmatched;

use std::collections::{BTreeMap, BTreeSet};

use crate::controller::resource_owners::RenderInputs;
use crate::controller::revision::hash_of;
use crate::controller::{Configured, configuration, drafted};
use crate::domain::catalog::{FILE, Fleet, PolicyChange, Reconciler, Target};
use crate::domain::codeowners::{self, CodeOwners};
use crate::domain::pull_request::{Failure, Forgotten};
use crate::domain::{CommitSha, Invalid, RepoName};
use crate::git::{Listing, Merged, Mirror, TooLarge, TreeId};
use crate::render::{self, Source};
use configuration::{policy, reconfigured, targets};
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
    /// What that makes of the policy of applications, by their titles.
    pub policy: Vec<(String, PolicyChange)>,
    /// The changed files that each touched application reads, by its title.
    pub reads: BTreeMap<String, Vec<String>>,
    /// The `CODEOWNERS` of the base.
    pub owners: CodeOwners,
}

/// An application whose inputs a pull request changes.
pub struct Touched {
    pub target: Target,
    pub before: RenderInputs,
    pub after: RenderInputs,
    /// Whether its live objects may be shown: see
    /// [`AppScope::shows_live`](crate::controller::dry_run::AppScope::shows_live).
    pub shows_live: bool,
    /// Why it is none of windlass's any more, though the object of Argo CD or Flux that declares it
    /// stays in Git.
    pub forgotten: Option<Forgotten>,
    /// The application as it was, if that object names another place now.
    pub moved_from: Option<Target>,
}

impl Touched {
    /// Whether the change leaves it as it is.
    pub fn is_unchanged(&self) -> bool {
        hash_of(&self.before) == hash_of(&self.after)
    }
}

/// The difference in Git, before any rendering.
#[derive(Default)]
pub struct GitDiff {
    pub failure: Option<Failure>,
    pub changes: Changes,
    pub total: usize,
    pub inputs: Vec<Touched>,
    /// The inputs of every application at the head.
    pub heads: Vec<(Target, RenderInputs)>,
}

/// Merges the head into the base as GitHub would, and finds what differs. The configuration is the
/// base's.
pub fn git_diff(
    mirror: &Mirror,
    (repo, fleet): (&RepoName, &Fleet),
    catalog: Option<&std::result::Result<Configured, Invalid>>,
    base: &CommitSha,
    head: &CommitSha,
) -> anyhow::Result<GitDiff> {
    let configured = match catalog {
        Some(Ok(configured)) => configured,
        Some(Err(Invalid(why))) => {
            let failure = Failure::Configuration(format!("on the base branch: {why}"));
            // The pull request may repair it.
            return repaired(mirror, (repo, fleet), head, failure);
        }
        None => return Ok(GitDiff::default()),
    };
    let tree = match merge(mirror, base, head)? {
        Ok(tree) => tree,
        Err(failure) => return Ok(GitDiff::failed(failure)),
    };
    let (before, after) = (
        Source::open(mirror, mirror.tree(base)?)?,
        Source::open(mirror, tree)?,
    );
    let mut proposed = configuration(&after, repo, fleet)?;
    if proposed.is_none() && configured.is_drafted {
        proposed = drafted(&after, repo)?.map(Ok);
    }
    let mut diff = match proposed.transpose() {
        Ok(proposed) => compared(repo, configured, proposed.as_ref(), &before, &after)?,
        Err(Invalid(why)) => GitDiff::failed(Failure::Configuration(why)),
    };
    diff.changes.merged = Some(tree);
    Ok(diff)
}

/// The difference if the base's configuration is invalid: the pull request may repair it.
fn repaired(
    mirror: &Mirror,
    (repo, fleet): (&RepoName, &Fleet),
    head: &CommitSha,
    failure: Failure,
) -> anyhow::Result<GitDiff> {
    let source = Source::open(mirror, mirror.tree(head)?)?;
    let Some(Ok(configured)) = configuration(&source, repo, fleet)? else {
        return Ok(GitDiff::failed(failure));
    };
    let mut diff = GitDiff::default();
    // The base's policies cannot be read: the policies of the head count, for every application.
    diff.changes.reconfigured = configured.targets;
    diff.changes.unmanaged = Some(FILE.into());
    Ok(diff)
}

/// The tree of the head merged into the base, or why there is none.
fn merge(
    mirror: &Mirror,
    base: &CommitSha,
    head: &CommitSha,
) -> anyhow::Result<std::result::Result<TreeId, Failure>> {
    // Before the merge: a tree that is too large to list is too large to compare.
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

/// The difference between the base and the merge. `proposed`: the configuration of the merge.
fn compared(
    repo: &RepoName,
    configured: &Configured,
    proposed: Option<&Configured>,
    before: &Source<'_>,
    after: &Source<'_>,
) -> anyhow::Result<GitDiff> {
    let mut diff = GitDiff::default();
    diff.changes.reconfigured =
        reconfigured(configured, proposed, before.listing(), after.listing());
    if before.listing().get(FILE) != after.listing().get(FILE) {
        diff.changes.policy = policy(repo, configured, proposed);
    }
    let changed = changes_between(before, after.listing())?;
    diff.changes.owners = changed.owners;
    let targets = match targets(configured, after, repo)? {
        Ok(targets) => targets,
        Err(Invalid(why)) => {
            diff.failure = Some(Failure::Configuration(why));
            return Ok(diff);
        }
    };
    diff.total = targets.all().count();
    let changed_files: BTreeSet<&String> = changed.files.iter().collect();
    let mut managed: BTreeSet<&String> = BTreeSet::new();
    let proposed = proposed.map_or(&[][..], |proposed| proposed.targets.as_slice());
    for (target, is_gone) in targets.all() {
        let same = |other: &&Target| other.is_same(target);
        let known = configured.targets.iter().find(same);
        let leaves = !diff.changes.reconfigured.is_empty()
            && known.is_some()
            && !proposed.iter().any(|other| same(&other));
        let forgotten = targets.forgotten((target, is_gone), after, leaves)?;
        // The proposed configuration no longer has this application.
        let read = (!leaves && forgotten.is_none()).then_some(after);
        let place = target.render_source();
        let place_before = known
            .filter(|known| known.declared.is_some())
            .map_or_else(|| place.clone(), Target::render_source);
        let inputs = InputChange::of((&place_before, before), (&place, read), &changed_files);
        managed.extend(inputs.files());
        diff.add(target.clone(), inputs, (known, forgotten));
    }
    for target in diff.new_of(proposed, configured.is_drafted) {
        let inputs = render::inputs(after, &target.render_source());
        diff.add_new(target, inputs);
    }
    let mut unmanaged = changed_files.clone();
    unmanaged.retain(|path| !managed.contains(path));
    let dormant = dormant(configured, &unmanaged);
    diff.changes.reconfigured.extend(dormant);
    diff.changes.unmanaged = changed_files
        .into_iter()
        .find(|path| *path == FILE || !managed.contains(path))
        .cloned();
    diff.changes.files = changed.files;
    Ok(diff)
}

/// The applications that files would be of, if their stage had the cluster that their directory
/// names: a label is enough to bring them to life, so they need what the stage asks for now.
fn dormant(configured: &Configured, files: &BTreeSet<&String>) -> Vec<Target> {
    let files = files.iter();
    let found = files.filter_map(|file| configured.catalog.dormant(file));
    let by_title: BTreeMap<_, _> = found.map(|target| (target.title(), target)).collect();
    by_title.into_values().collect()
}

impl GitDiff {
    fn failed(failure: Failure) -> Self {
        Self {
            failure: Some(failure),
            ..Self::default()
        }
    }

    /// The proposed applications that are not among those of the base's patterns. `is_drafted`: with
    /// one more directory, a draft may call the others otherwise.
    fn new_of(&self, proposed: &[Target], is_drafted: bool) -> Vec<Target> {
        let is_new = |target: &&Target| {
            let is_known =
                |known: &Target| known.is_same(target) || is_drafted && known.path == target.path;
            !self.heads.iter().any(|(known, _)| is_known(known))
        };
        proposed.iter().filter(is_new).cloned().collect()
    }

    /// Adds an application of the base's patterns. `known`: as the base's configuration has it.
    fn add(
        &mut self,
        target: Target,
        inputs: InputChange<'_>,
        (known, forgotten): (Option<&Target>, Option<Forgotten>),
    ) {
        if !inputs.reads.is_empty() {
            let reads = inputs.reads.iter().map(|path| path.to_string()).collect();
            self.changes.reads.insert(target.title(), reads);
        }
        // `after` is a part of a stage's policy: a change of it needs the stage's approvals.
        let comes_after_others = known.is_some_and(|known| known.stage.after != target.stage.after);
        let moved_from = known.filter(|known| {
            let (from, to) = (&known.destination, &target.destination);
            let is_argo_cd = matches!(target.stage.reconcile, Reconciler::ArgoCd(_));
            // The namespace of a Kustomization is a part of what it renders to.
            target.declared.is_some() && (from.cluster != to.cluster || is_argo_cd && from != to)
        });
        if inputs.differs() || moved_from.is_some() {
            self.changes.touched.push(target.clone());
            self.inputs.push(Touched {
                target: target.clone(),
                before: inputs.before,
                after: inputs.after.clone(),
                // Where another object or another namespace is named, the head's author may see
                // nothing that is live there.
                shows_live: known.is_some_and(|known| {
                    known.destination == target.destination
                        && known.stage.reconcile == target.stage.reconcile
                }),
                forgotten,
                moved_from: moved_from.cloned(),
            });
        } else if comes_after_others {
            self.changes.touched.push(target.clone());
        }
        self.heads.push((target, inputs.after));
    }

    /// Adds an application that only the head's configuration declares: the base lets it see no
    /// live objects.
    fn add_new(&mut self, target: Target, after: RenderInputs) {
        self.total += 1;
        self.inputs.push(Touched {
            target: target.clone(),
            before: Ok(None),
            after: after.clone(),
            shows_live: false,
            forgotten: None,
            moved_from: None,
        });
        self.heads.push((target, after));
    }
}

/// The files that differ between a tree and a later one, and their owners before.
pub fn changes_between(before: &Source<'_>, after: &Listing) -> anyhow::Result<Changes> {
    let mut changes = Changes::default();
    let differing = before.listing().differing(after);
    changes.files = differing.into_iter().collect();
    for place in codeowners::PLACES {
        if let Some(text) = before.text(place)? {
            changes.owners = CodeOwners::parse(&text);
            break;
        }
    }
    Ok(changes)
}
