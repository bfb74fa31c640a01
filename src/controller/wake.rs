//! Which event wakes which keys: the one table of wake-ups, and the only way to fill a queue.
//!
//! A key that is woken too often finds nothing to do; one that is not woken waits for the next
//! resync.

use std::sync::Arc;

use super::cache::locked;
use super::{Base, Reader};
use crate::domain::catalog::Target;
use crate::domain::manifest::ResourceKey;
use crate::domain::{
    CommitKey, CommitSha, MergeGroup, PullRequestKey, RepoName, StageKey, TargetKey,
};

/// Something happened that keys may wait for.
#[derive(Clone)]
pub enum Event {
    /// A pull request changed, or is to be reconciled again.
    PullRequest(PullRequestKey),
    /// A commit of the base: a pull request was merged as it, or one of its applications failed to
    /// reconcile.
    Commit(CommitKey),
    /// A merge queue asks for the checks of a group.
    MergeGroup(MergeGroup),
    /// The base branch of a repository moved, or may have.
    Repository(RepoName),
    /// A branch moved that is not the default branch.
    Branch { repo: RepoName, branch: String },
    /// A repository's base moved, or is resynced: with the existing `Application` and `Promotion`
    /// objects, also of those that it no longer has, and with pull requests.
    Base {
        base: Arc<Base>,
        applications: Vec<TargetKey>,
        promotions: Vec<StageKey>,
        pulls: Vec<u64>,
    },
    /// An image was announced for an application and stage, or the pull request that proposes one
    /// was closed or opened again.
    Candidate(StageKey),
    /// Somebody annotated an application with a request.
    Request(TargetKey),
    /// Somebody holds or resumes an application of the repository: its open pull requests may have
    /// another verdict.
    Holds(RepoName),
    /// A freeze of the repository was given or ended: its open pull requests may have another
    /// verdict.
    Freezes(RepoName),
    /// A live object with this owner label changed.
    Object { owner: String },
    /// An object of Argo CD or Flux in a cluster changed.
    Reconciler {
        cluster: String,
        object: ResourceKey,
    },
    /// An `Application` object changed.
    Application(TargetKey),
    /// A `Promotion` object changed.
    Promotion(StageKey),
    /// An application's status changed, which concerns the commits that it is at or was at.
    /// `later_stages`: also wake the promotions of later stages, since it is, or was, ready for them.
    Status {
        key: TargetKey,
        commits: Vec<CommitSha>,
        later_stages: bool,
    },
    /// The progress of a repository's unfinished commits may have changed: a retired application's
    /// status changed, or the commit that changed an application was found.
    Rollouts(RepoName),
    /// The progress of a commit changed; with the pull requests that merged it.
    Rollout { commit: CommitKey, pulls: Vec<u64> },
    /// The base has the images that were proposed for a stage.
    Promoted(StageKey),
}

/// The key that an event wakes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    Repository(RepoName),
    MergeGroup(MergeGroup),
    Promotion(StageKey),
    PullRequest(PullRequestKey),
    Application(TargetKey),
    Commit(CommitKey),
}

/// The state that the table reads.
pub struct World<'a> {
    pub bases: &'a [Arc<Base>],
    /// The application of an owner label.
    pub owner: &'a dyn Fn(&str) -> Option<TargetKey>,
    /// The commits of a repository whose rollout is not finished.
    pub unfinished: &'a dyn Fn(&RepoName) -> Vec<CommitKey>,
    /// The open pull requests of a repository, as far as they are known.
    pub open_pulls: &'a dyn Fn(&RepoName) -> Vec<PullRequestKey>,
}

pub fn wakes(event: &Event, world: &World<'_>) -> Vec<Key> {
    match event {
        Event::PullRequest(key) => vec![Key::PullRequest(key.clone())],
        Event::Commit(commit) => vec![Key::Commit(commit.clone())],
        Event::MergeGroup(group) => vec![Key::MergeGroup(group.clone())],
        Event::Repository(repo) => vec![Key::Repository(repo.clone())],
        Event::Branch { repo, branch } => {
            Vec::from_iter(StageKey::of_branch(repo, branch).map(Key::Promotion))
        }
        Event::Base {
            base,
            applications,
            promotions,
            pulls,
        } => {
            let mut keys = configured(base);
            keys.extend(applications.iter().cloned().map(Key::Application));
            keys.extend(promotions.iter().cloned().map(Key::Promotion));
            keys.extend(pulls.iter().map(|number| pull(&base.repo.name, *number)));
            keys
        }
        Event::Candidate(key) | Event::Promotion(key) => vec![Key::Promotion(key.clone())],
        Event::Request(key) => vec![Key::Application(key.clone())],
        Event::Holds(repo) | Event::Freezes(repo) => world.open_pulls(repo),
        Event::Object { owner } => {
            let key = (world.owner)(owner).into_iter();
            key.map(Key::Application).collect()
        }
        Event::Reconciler { cluster, object } => world.reconciled_by(cluster, object),
        Event::Application(key) => {
            // Somebody may have held it, or ended a hold.
            let mut keys = world.open_pulls(&key.repo);
            keys.extend(world.dependents(key));
            // Or rolled it back.
            let promotion = Key::Promotion(key.of_stage());
            keys.extend([Key::Application(key.clone()), promotion]);
            keys
        }
        Event::Status {
            key,
            commits,
            later_stages,
        } => {
            let mut keys: Vec<_> = commits.iter().map(|sha| commit(&key.repo, sha)).collect();
            keys.extend(world.unfinished_commits(&key.repo));
            keys.extend(world.dependents(key));
            keys.extend(world.rolls_back(key));
            if *later_stages {
                keys.extend(world.later_stages(&key.of_stage()));
            }
            keys
        }
        Event::Rollouts(repo) => world.unfinished_commits(repo),
        Event::Rollout { commit, pulls } => pulls
            .iter()
            .map(|number| pull(&commit.repo, *number))
            .collect(),
        Event::Promoted(key) => world.later_stages(key),
    }
}

/// A base's commit, and the applications of its configuration.
fn configured(base: &Base) -> Vec<Key> {
    let repo = &base.repo.name;
    let mut keys = vec![commit(repo, &base.commit)];
    for target in base
        .configured()
        .into_iter()
        .flat_map(|configured| &configured.targets)
    {
        keys.push(Key::Application(target.key(repo)));
        // The earlier stage may have been healthy before this stage existed, and a rollback may have
        // been asked for before it had an object.
        keys.push(Key::Promotion(target.key(repo).of_stage()));
    }
    keys
}

fn commit(repo: &RepoName, commit: &CommitSha) -> Key {
    Key::Commit(CommitKey {
        repo: repo.clone(),
        commit: commit.clone(),
    })
}

fn pull(repo: &RepoName, number: u64) -> Key {
    Key::PullRequest(PullRequestKey {
        repo: repo.clone(),
        number,
    })
}

impl World<'_> {
    fn targets<'a>(&'a self, repo: &'a RepoName) -> impl Iterator<Item = &'a Target> {
        let bases = self
            .bases
            .iter()
            .filter(move |base| base.repo.name == *repo);
        let configured = bases.filter_map(|base| base.configured());
        configured.flat_map(|configured| &configured.targets)
    }

    /// The applications that an object of Argo CD or Flux reconciles.
    fn reconciled_by(&self, cluster: &str, object: &ResourceKey) -> Vec<Key> {
        let configured = self.bases.iter().filter_map(|base| {
            let configured = base.configured()?;
            Some((&base.repo.name, configured))
        });
        let targets = configured.flat_map(|(repo, configured)| {
            let targets = configured.targets.iter();
            targets.map(move |target| (repo, target))
        });
        let is_by = |target: &Target| {
            let by = target.reconciled_by();
            by.is_some_and(|(home, key)| home == cluster && key == *object)
        };
        targets
            .filter(|(_, target)| is_by(target))
            .map(|(repo, target)| Key::Application(target.key(repo)))
            .collect()
    }

    /// The commits of a repository whose rollout is not finished.
    fn unfinished_commits(&self, repo: &RepoName) -> Vec<Key> {
        (self.unfinished)(repo)
            .into_iter()
            .map(Key::Commit)
            .collect()
    }

    fn open_pulls(&self, repo: &RepoName) -> Vec<Key> {
        (self.open_pulls)(repo)
            .into_iter()
            .map(Key::PullRequest)
            .collect()
    }

    /// The promotions of the stages after one: they are proposed once it is healthy with the same
    /// digest.
    fn later_stages(&self, key: &StageKey) -> Vec<Key> {
        let later = self.targets(&key.repo).filter(|target| {
            target.application == key.application && target.stage.after.contains(&key.stage)
        });
        let mut later: Vec<_> = later
            .map(|target| Key::Promotion(target.key(&key.repo).of_stage()))
            .collect();
        later.dedup();
        later
    }

    /// The promotion of an application that is rolled back by itself if it fails.
    fn rolls_back(&self, key: &TargetKey) -> Option<Key> {
        let mut targets = self.targets(&key.repo);
        let target = targets.find(|target| target.names() == key.names())?;
        let rolls_back = target.stage.rollback.is_some();
        rolls_back.then(|| Key::Promotion(key.of_stage()))
    }

    /// Applications of the same stage that depend on one; and the application itself in the clusters
    /// of later waves.
    fn dependents(&self, key: &TargetKey) -> Vec<Key> {
        let of_stage = || {
            let targets = self.targets(&key.repo);
            targets.filter(|target| target.stage.name == key.stage)
        };
        let depends = |target: &&Target| {
            let (_, _, cluster) = target.names();
            cluster == key.cluster.as_ref() && target.depends_on.contains(&key.application)
        };
        let wave = |target: &Target| target.one_of.as_ref().map_or(0, |one| one.wave);
        let own = of_stage().find(|target| target.names() == key.names());
        let later = |target: &&Target| {
            target.application == key.application && own.is_some_and(|own| wave(target) > wave(own))
        };
        let dependents = of_stage().filter(depends);
        dependents
            .chain(of_stage().filter(later))
            .map(|target| Key::Application(target.key(&key.repo)))
            .collect()
    }
}

impl Reader {
    /// Wakes the keys that wait for the event.
    pub fn emit(&self, event: &Event) {
        let bases = self.bases();
        let unfinished = |repo: &RepoName| {
            let all = self
                .cache
                .commits
                .unfinished
                .iter()
                .map(|(key, ())| (*key).clone());
            all.filter(|key| key.repo == *repo).collect()
        };
        let world = World {
            bases: &bases,
            owner: &|label| locked(&self.cache.repositories.owners).get(label).cloned(),
            unfinished: &unfinished,
            open_pulls: &|repo| self.cache.pulls.snapshots.open(repo),
        };
        if let Event::Status { .. } | Event::Application(_) | Event::Promotion(_) = event {
            self.activities.note_change();
        }
        for key in wakes(event, &world) {
            match key {
                Key::Repository(repo) => self.repositories.put(repo),
                Key::PullRequest(key) => self.pulls.put(key),
                // Nobody works on the others.
                _ if self.preview_only => {}
                Key::MergeGroup(group) => self.groups.put(group),
                Key::Promotion(key) => self.promotions.put(key),
                Key::Application(key) => self.applications.put(key),
                Key::Commit(key) => self.commits.put(key),
            }
        }
    }
}

#[cfg(test)]
mod tests;
