//! A config repository: its mirror, and the configuration at the tip of its base branch.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::cache::{Recent, locked};
use super::error::Error;
use super::{Reader, Result};
use crate::cluster::store::Application;
use crate::domain::catalog::{self, Catalog, FILE, Fleet, Target};
use crate::domain::{CommitKey, CommitSha, Invalid, RepoName, StageKey, TargetKey};
use crate::git::{Mirror, Mirrors, Older, Remote};
use crate::github::{Repository, Session};
use crate::render::{Source, check_pointer};

/// The cache of config repositories.
#[derive(Default)]
pub struct Cache {
    /// Each base, with the time when its read began.
    pub bases: Mutex<HashMap<RepoName, (Instant, Arc<Base>)>>,
    fetched: Recent<(RepoName, Option<u64>), Instant>,
    /// When a repository's branches last moved: by a webhook, a resync, or a write of ours.
    moved: Mutex<HashMap<RepoName, Instant>>,
    /// Owner label → its application.
    pub owners: Mutex<HashMap<String, TargetKey>>,
    /// What each application renders from, at the base of its last reconcile.
    pub changes: Mutex<HashMap<TargetKey, Arc<super::revision::CurrentInputs>>>,
    /// The owners of the objects of a base.
    pub claims: Mutex<HashMap<(RepoName, CommitSha), Arc<super::resource_owners::ResourceOwners>>>,
}

/// An empty repository has no default branch yet.
#[derive(Debug, thiserror::Error)]
#[error("{repo} has no branch {branch} yet")]
pub struct NoBranch {
    repo: RepoName,
    branch: String,
}

/// A config repository's base branch at one commit.
pub struct Base {
    pub repo: Repository,
    pub commit: CommitSha,
    /// None: the repository has no `windlass.yaml`, so it is not a config repository.
    pub configuration: Option<std::result::Result<Configured, Invalid>>,
}

pub struct Configured {
    pub catalog: Catalog,
    pub targets: Vec<Target>,
    /// The repository has no `windlass.yaml`: see [`drafted`].
    pub is_drafted: bool,
}

impl Base {
    /// The configuration, if it exists and is valid.
    pub fn configured(&self) -> Option<&Configured> {
        self.configuration
            .as_ref()
            .and_then(|catalog| catalog.as_ref().ok())
    }

    pub fn target(&self, key: &TargetKey) -> Option<&Target> {
        let mut targets = self.targets();
        targets.find(|target| target.names() == key.names() && self.repo.name == key.repo)
    }

    /// The applications of a valid configuration.
    fn targets(&self) -> impl Iterator<Item = &Target> {
        let configured = self.configured().into_iter();
        configured.flat_map(|configured| &configured.targets)
    }

    /// The targets of an application in a stage: one for each of the stage's clusters, the first
    /// wave first.
    pub fn targets_of(&self, key: &StageKey) -> Vec<&Target> {
        let of_key = |target: &&Target| {
            let (application, stage, _) = target.names();
            (application, stage, &self.repo.name) == (&key.application, &key.stage, &key.repo)
        };
        self.targets().filter(of_key).collect()
    }

    /// The first of them.
    pub fn lead(&self, key: &StageKey) -> Option<&Target> {
        self.targets_of(key).into_iter().next()
    }
}

/// The applications of a configuration in a tree of a repository.
pub fn targets_in(
    catalog: &Catalog,
    source: &Source<'_>,
    repo: &RepoName,
) -> anyhow::Result<std::result::Result<Vec<Target>, Invalid>> {
    if !catalog.discovers() {
        return Ok(catalog.expand(source.places()));
    }
    Ok(catalog.expand_with(source.places(), source.objects()?, repo))
}

/// Reads the configuration of a tree of a repository, for a server with these clusters.
pub fn configuration(
    source: &Source<'_>,
    repo: &RepoName,
    fleet: &Fleet,
) -> anyhow::Result<Option<std::result::Result<Configured, Invalid>>> {
    let Some(text) = source.text(FILE)? else {
        return Ok(None);
    };
    if let Err(why) = check_pointer(FILE, text.as_bytes()) {
        return Ok(Some(Err(why)));
    }
    let catalog = match Catalog::parse(&text).and_then(|catalog| catalog.on(fleet)) {
        Ok(catalog) => catalog,
        Err(why) => return Ok(Some(Err(why))),
    };
    let targets = targets_in(&catalog, source, repo)?;
    Ok(Some(targets.map(|targets| Configured {
        catalog,
        targets,
        is_drafted: false,
    })))
}

/// The configuration of a tree without `windlass.yaml`: the one that `windlass init` would write.
/// None: nothing in it can be deployed.
pub fn drafted(source: &Source<'_>, repo: &RepoName) -> anyhow::Result<Option<Configured>> {
    let Ok(draft) = catalog::draft(&source.contents()?, source.objects()?, repo) else {
        return Ok(None);
    };
    let catalog = Catalog::parse(&draft.text)?;
    let targets = targets_in(&catalog, source, repo)?;
    Ok(targets.ok().map(|targets| Configured {
        catalog,
        targets,
        is_drafted: true,
    }))
}

impl Reader {
    /// Runs a job on a repository's mirror, off the async threads.
    pub async fn mirror<T: Send + 'static>(
        self: &Arc<Self>,
        repo: &RepoName,
        job: impl FnOnce(&Mirror) -> anyhow::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (repo, older) = (repo.clone(), self.older(repo));
        self.mirrors(move |mirrors| job(&mirrors.open(&repo, Some(older))?))
            .await
    }

    /// Fetches older commits of a repository, for a job on its mirror that needs them. The fetch runs
    /// on the job's own thread: jobs that wait for another one could use up all threads.
    fn older(self: &Arc<Self>, repo: &RepoName) -> Older {
        let (ctx, repo, runtime) = (self.clone(), repo.clone(), Handle::current());
        Box::new(move |commits, asked| {
            let (url, session) = runtime.block_on(ctx.remote(&repo))?;
            let remote = Remote {
                url: &url,
                token: session.token(),
            };
            let fetched = ctx.mirrors.fetch_older(&repo, &remote, commits, asked);
            if fetched.is_err() {
                runtime.block_on(ctx.github.forget_session(&repo));
            }
            fetched
        })
    }

    /// From where a repository is fetched, and with which token.
    async fn remote(&self, repo: &RepoName) -> Result<(String, Session)> {
        let url = self.github.repository(repo)?.clone_url;
        Ok((url, self.github.session_to_fetch(repo).await?))
    }

    /// Runs a job on the mirrors, off the async threads.
    pub async fn mirrors<T: Send + 'static>(
        self: &Arc<Self>,
        job: impl FnOnce(&Mirrors) -> anyhow::Result<T> + Send + 'static,
    ) -> Result<T> {
        let ctx = self.clone();
        tokio::task::spawn_blocking(move || job(&ctx.mirrors))
            .await
            .map_err(|error| Error::Git(error.into()))?
            .map_err(Error::Git)
    }

    /// A repository's branches moved, or may have: an older fetch no longer counts.
    pub fn touch(&self, repo: &RepoName) {
        locked(&self.cache.repositories.moved).insert(repo.clone(), Instant::now());
    }

    /// The base branch as of its last known move. Events of clusters and running rollouts say
    /// nothing about Git, so they cause no fetch.
    pub async fn known_base(self: &Arc<Self>, repo: &RepoName) -> Result<Arc<Base>> {
        let moved = locked(&self.cache.repositories.moved)
            .get(repo)
            .copied()
            .unwrap_or_else(Instant::now);
        // Read after the last move: nothing to read again.
        let known = locked(&self.cache.repositories.bases)
            .get(repo)
            .filter(|(read, _)| *read >= moved)
            .map(|(_, base)| base.clone());
        match known {
            Some(base) => Ok(base),
            None => self.base(repo, moved).await,
        }
    }

    /// Fetches, unless there was a fetch since `not_before`.
    pub async fn fetch(
        self: &Arc<Self>,
        repo: &RepoName,
        pull: Option<u64>,
        not_before: Instant,
    ) -> Result<()> {
        if self
            .cache
            .repositories
            .fetched
            .get(&(repo.clone(), pull))
            .is_some_and(|at| at >= not_before)
        {
            return Ok(());
        }
        let started = Instant::now();
        let base = self.github.repository(repo)?.default_branch;
        let name = repo.clone();
        self.from_remote(repo, move |mirrors, remote| match pull {
            Some(number) => mirrors.fetch_head(&name, remote, number),
            None => mirrors.fetch(&name, remote, &base),
        })
        .await?;
        self.cache
            .repositories
            .fetched
            .insert((repo.clone(), pull), started);
        Ok(())
    }

    /// Runs a fetch from a repository on GitHub, off the async threads.
    pub async fn from_remote<T: Send + 'static>(
        self: &Arc<Self>,
        repo: &RepoName,
        fetch: impl FnOnce(&Mirrors, &Remote<'_>) -> anyhow::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (url, session) = self.remote(repo).await?;
        let (ctx, span) = (self.clone(), tracing::Span::current());
        let run = move || {
            let remote = Remote {
                url: &url,
                token: session.token(),
            };
            span.in_scope(|| fetch(&ctx.mirrors, &remote))
        };
        let fetched = tokio::task::spawn_blocking(run)
            .await
            .map_err(|error| Error::Git(error.into()))?;
        if fetched.is_err() {
            // The token may have been revoked: the next fetch requests a new one.
            self.github.forget_session(repo).await;
        }
        fetched.map_err(Error::Git)
    }

    /// The base branch, fetched unless there was a fetch since `not_before`.
    pub async fn base(self: &Arc<Self>, repo: &RepoName, not_before: Instant) -> Result<Arc<Base>> {
        let started = Instant::now();
        self.fetch(repo, None, not_before).await?;
        let repository = self.github.repository(repo)?;
        let known = locked(&self.cache.repositories.bases)
            .get(repo)
            .map(|(_, base)| base.clone());
        let (drafts, fleet) = (self.preview_only, self.environment.fleet_of(repo));
        let base = self
            .mirror(repo, move |mirror| {
                let branch = &repository.default_branch;
                let Some(commit) = mirror.branch(branch)? else {
                    return Err(NoBranch {
                        repo: repository.name,
                        branch: branch.clone(),
                    }
                    .into());
                };
                if let Some(known) =
                    known.filter(|known| known.commit == commit && known.repo == repository)
                {
                    return Ok(known);
                }
                let source = Source::open(mirror, mirror.tree(&commit)?)?;
                let mut configuration = configuration(&source, &repository.name, &fleet)?;
                if configuration.is_none() && drafts {
                    configuration = drafted(&source, &repository.name)?.map(Ok);
                }
                Ok(Arc::new(Base {
                    configuration,
                    repo: repository,
                    commit,
                }))
            })
            .await?;
        self.note_owners(repo, &base).await;
        let before =
            locked(&self.cache.repositories.bases).insert(repo.clone(), (started, base.clone()));
        if let Some((_, before)) = before.filter(|(_, before)| before.commit != base.commit) {
            let key = CommitKey {
                repo: repo.clone(),
                commit: base.commit.clone(),
            };
            self.cache
                .commits
                .tip_before
                .insert(key, before.commit.clone());
        }
        Ok(base)
    }

    /// Notes the owners of a base's objects, and its rules of health.
    async fn note_owners(&self, repo: &RepoName, base: &Base) {
        {
            let mut owners = locked(&self.cache.repositories.owners);
            for target in base
                .configured()
                .into_iter()
                .flat_map(|configured| &configured.targets)
            {
                let key = target.key(repo);
                owners.insert(key.owner_label(base.repo.id), key);
            }
        }
        let health = base
            .configured()
            .map(|configured| configured.catalog.health.as_slice())
            .unwrap_or_default();
        let owners = base
            .configured()
            .into_iter()
            .flat_map(|configured| &configured.targets)
            .map(|target| target.key(repo).owner_label(base.repo.id));
        let owners: HashSet<_> = owners.collect();
        for cluster in self.environment.clusters.values() {
            cluster.index.set_rules(repo, health, &owners).await;
        }
    }

    /// The config repositories, as last read.
    pub fn bases(&self) -> Vec<Arc<Base>> {
        locked(&self.cache.repositories.bases)
            .values()
            .map(|(_, base)| base.clone())
            .collect()
    }

    /// The `Application` objects of a stage's clusters, the first wave first. What one of them says
    /// about the stage (a hold, a rollback, a stage to pass over) is said of all. Also the object that
    /// the stage had before it got several clusters, as long as there is one.
    pub async fn applications_of(self: &Arc<Self>, key: &StageKey) -> Result<Vec<Application>> {
        let base = self.known_base(&key.repo).await?;
        let targets = base.targets_of(key);
        let mut keys: Vec<_> = targets.iter().map(|target| target.key(&key.repo)).collect();
        keys.push(key.alone());
        keys.dedup();
        let mut all = Vec::new();
        for key in keys {
            all.extend(self.store.application(&key).await?);
        }
        Ok(all)
    }

    /// Whether the server's settings name a repository as a config repository. All others only
    /// receive statuses.
    pub fn is_config(&self, repo: &RepoName) -> bool {
        self.environment
            .projects
            .as_ref()
            .is_some_and(|projects| projects.names(repo))
    }
}
