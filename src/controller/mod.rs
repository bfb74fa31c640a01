//! The imperative shell: the only place that sequences effects.
//!
//! Loops over keys, each the same three lines: observe (only reads),
//! decide (pure), act (only writes, each conditional on what it was decided
//! from). A webhook, a watch or a timer only puts a key into a [`Queue`].
//!
//! - [`promotion`]: candidate → branch → pull request
//! - [`pull_request`]: preview, commands, verdict, merge, progress
//! - [`application`]: revision → plan → apply → health
//! - [`commit`]: where its applications stand → commit status

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::cluster::home::{Home, Served};
use crate::cluster::{self, Cluster, Moved};
use crate::domain::catalog::{Catalog, Destination, FILE, Target};
use crate::domain::fence::{Fence, Projects, ServiceAccount};
use crate::domain::manifest::{Manifest, ResourceKey};
use crate::domain::mask::Mask;
use crate::domain::permit::WritePermit;
use crate::domain::pull_request::{GATE_CONTEXT, Progress};
use crate::domain::seal::Seal;
use crate::domain::{
    ApplicationKey, CommitKey, CommitSha, Hint, Invalid, Name, PullRequestKey, RepoName,
};
use crate::git::{Mirror, Mirrors, Remote};
use crate::github::{self, GitHub, Pull, Repository};
use crate::registry::Registry;
use crate::render::{Budget, Inputs, NotRendered, Release, Renderer, Source};
use crate::telemetry::Metrics;

pub mod application;
pub mod authority;
pub mod claims;
pub mod commands;
pub mod commit;
pub mod compare;
pub mod deployment;
pub mod dry_run;
pub mod facts;
pub mod heads;
pub mod preview;
pub mod promotion;
pub mod pull_request;
pub mod queue;
pub mod receipt;
pub mod revision;
pub mod wake;

pub use queue::{Queue, Requeue};

use dry_run::Asking;
use heads::Heads;
pub use wake::Event;

/// What a reconcile may fail with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    GitHub(#[from] github::Error),
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error("{0:#}")]
    Git(anyhow::Error),
    /// Nobody could render it just now.
    #[error("{0}")]
    Render(String),
}

/// Who has to do something about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The world moved: look again at once.
    Stale,
    /// It may pass by itself.
    Transient,
    /// Not before a time.
    RateLimited(Timestamp),
    /// Somebody has to change something; looked at again at the next event or resync.
    User,
}

impl Error {
    pub fn kind(&self) -> Kind {
        match self {
            Self::GitHub(github::Error::Stale { .. })
            | Self::Cluster(cluster::Error::Stale { .. }) => Kind::Stale,
            Self::GitHub(github::Error::RateLimited { until, .. }) => Kind::RateLimited(*until),
            // GitHub answers 404 and 422 for a while after something was made.
            // A right that an administrator grants is told by no event.
            Self::GitHub(_) | Self::Cluster(_) | Self::Git(_) | Self::Render(_) => Kind::Transient,
            Self::Invalid(_) => Kind::User,
        }
    }
}

pub type Result<T> = std::result::Result<T, Error>;

/// Under which name a chart is rendered, and what it is told.
fn release(
    target: &Target,
    Served {
        kubernetes, apis, ..
    }: Served,
) -> Release {
    Release {
        name: target.application.to_string(),
        namespace: target.destination.namespace.clone(),
        kubernetes,
        apis,
    }
}

/// What only looks: `windlass plan` has nothing else.
#[derive(Clone)]
pub struct Observer {
    pub clusters: Arc<BTreeMap<String, Cluster>>,
    /// What config repositories may do; None: everything, for `windlass plan` without the server's settings.
    pub projects: Option<Projects>,
    /// Whose rights it has instead of windlass's: that of previews.
    pub previews_as: Option<ServiceAccount>,
    pub renderer: Renderer,
    /// Hides secret values in plans.
    pub mask: Mask,
}

impl Observer {
    /// What a chart is told of its cluster: what was kept of these very inputs, or else what the cluster serves now. None: it
    /// is no chart.
    pub async fn served(
        &self,
        target: &Target,
        inputs: &Inputs,
        kept: Option<&Served>,
    ) -> Result<Option<Served>> {
        if !inputs.asks_the_cluster() {
            return Ok(None);
        }
        if let Some(kept) = kept.filter(|kept| kept.inputs == inputs.hash) {
            return Ok(Some(kept.clone()));
        }
        let (kubernetes, apis) = self
            .cluster(&target.destination.cluster)?
            .capabilities()
            .await?;
        Ok(Some(Served {
            inputs: inputs.hash.clone(),
            kubernetes,
            apis,
        }))
    }

    /// What of an application's chart asks the cluster while it is rendered, which finds nothing here.
    pub async fn looks_up(&self, target: &Target, inputs: &Inputs) -> Result<Option<String>> {
        let Some(served) = self.served(target, inputs, None).await? else {
            return Ok(None);
        };
        Ok(self
            .renderer
            .looks_up(inputs, release(target, served))
            .await
            .unwrap_or_default())
    }

    /// Renders an application; the error is in words for its author. `kept`: what was kept of what its chart is told.
    pub async fn render(
        &self,
        target: &Target,
        inputs: &Inputs,
        kept: Option<&Served>,
    ) -> Result<std::result::Result<Arc<Vec<Manifest>>, Invalid>> {
        let served = self.served(target, inputs, kept).await?;
        match self
            .renderer
            .render(inputs, served.map(|served| release(target, served)))
            .await
        {
            Ok(manifests) => Ok(Ok(manifests)),
            Err(NotRendered::Invalid(why)) => Ok(Err(why)),
            Err(why @ NotRendered::UsedUp(_)) => Ok(Err(Invalid(why.to_string()))),
            Err(why @ NotRendered::Passing(_)) => Err(Error::Render(why.to_string())),
        }
    }

    /// What an application may touch.
    pub fn fence(&self, repo: &RepoName, destination: &Destination) -> Fence {
        self.projects.as_ref().map_or_else(
            || Fence::open(destination),
            |projects| projects.fence(repo, destination),
        )
    }

    /// One application, to be asked about. `owner`: the value of our label on its objects.
    pub fn asking<'a>(
        &'a self,
        key: &'a ApplicationKey,
        target: &'a Target,
        owner: &'a str,
    ) -> Result<Asking<'a>> {
        let fence = self.fence(&key.repo, &target.destination);
        let cluster = self.cluster(&target.destination.cluster)?;
        let syncing = cluster.writing_as(fence.service_account());
        let cluster = match &self.previews_as {
            Some(account) => cluster.acting_as(Some(account)),
            None => cluster.writing_as(fence.service_account()),
        };
        Ok(Asking {
            cluster,
            syncing,
            key,
            target,
            owner,
            renderer: &self.renderer,
            fence,
            in_base: true,
            adopts: false,
            transforms: Default::default(),
        })
    }

    /// The same, which acts as an identity that can only look.
    pub fn previewing(&self, account: Option<&ServiceAccount>) -> Self {
        Self {
            previews_as: account.cloned(),
            ..self.clone()
        }
    }

    /// The same, whose renderings take from one budget.
    pub fn within(&self, budget: Budget) -> Self {
        Self {
            renderer: self.renderer.within(budget),
            ..self.clone()
        }
    }

    /// Ends waiting for an application's pods, but on one cluster.
    pub fn waits_nowhere(&self, owner: &str, but: Option<&str>) {
        for cluster in self
            .clusters
            .values()
            .filter(|cluster| Some(cluster.name.as_str()) != but)
        {
            cluster.pods.wait(owner, Vec::new(), Timestamp::now());
        }
    }

    pub fn cluster(&self, name: &str) -> Result<&Cluster> {
        self.clusters.get(name).ok_or_else(|| {
            let known: Vec<_> = self.clusters.keys().map(String::as_str).collect();
            Error::Invalid(Invalid(format!(
                "{FILE}: the server's settings know no cluster `{name}`; they know: {}",
                known.join(", ")
            )))
        })
    }
}

/// What the loops read by, and what they share. Nothing in it is a truth of its own: it is rebuilt after a restart.
pub struct Reader {
    pub github: GitHub,
    pub mirrors: Mirrors,
    pub observer: Observer,
    pub registry: Registry,
    pub home: Home,
    pub metrics: Arc<Metrics>,
    pub promotions: Arc<Queue<ApplicationKey>>,
    pub pulls: Arc<Queue<PullRequestKey>>,
    pub applications: Arc<Queue<ApplicationKey>>,
    pub commits: Arc<Queue<CommitKey>>,
    pub memory: Memory,
    pub heads: Heads,
    /// Previews that are made at once.
    pub previewing: tokio::sync::Semaphore,
    /// The identity of previews; None: windlass's own.
    pub preview_account: Option<ServiceAccount>,
    /// On comments, which others can edit.
    pub seal: Seal,
}

/// What acts has it: a reader, and the right to write.
pub struct Writer {
    reader: Arc<Reader>,
    permit: WritePermit,
}

impl std::ops::Deref for Writer {
    type Target = Arc<Reader>;

    fn deref(&self) -> &Arc<Reader> {
        &self.reader
    }
}

impl Writer {
    pub fn new(reader: Reader, permit: WritePermit) -> Self {
        Self {
            reader: Arc::new(reader),
            permit,
        }
    }

    pub fn to_github(&self) -> github::Writer<'_> {
        self.github.writer(&self.permit)
    }

    pub fn to_home(&self) -> cluster::home::Writer<'_> {
        self.home.writer(&self.permit)
    }

    pub fn to_cluster<'a>(&'a self, cluster: &'a Cluster) -> cluster::Writer<'a> {
        cluster.writer(&self.permit)
    }
}

/// What is remembered to save requests.
#[derive(Default)]
pub struct Memory {
    /// Each base, with when it began to be read.
    bases: Mutex<HashMap<RepoName, (Instant, Arc<Base>)>>,
    fetched: Recent<(RepoName, Option<u64>), Instant>,
    /// When something was last said, or done by us, to move a repository's branches.
    moved: Mutex<HashMap<RepoName, Instant>>,
    /// Owner label → whose it is.
    owners: Mutex<HashMap<String, ApplicationKey>>,
    /// How we left each object of an application.
    left: Mutex<HashMap<ApplicationKey, HashMap<ResourceKey, application::Left>>>,
    /// What each application renders from, at the base that it was last looked at.
    changes: Mutex<HashMap<ApplicationKey, Arc<revision::Change>>>,
    /// The version of each `Application` object that was told to GitHub.
    told: Mutex<HashMap<ApplicationKey, Option<String>>>,
    /// Whose the objects of a base are.
    claims: Mutex<HashMap<(RepoName, CommitSha), Arc<claims::Claims>>>,
    /// When each object was set back.
    heals: Mutex<HashMap<(ApplicationKey, ResourceKey), VecDeque<Instant>>>,
    /// What each application's pods were asked to prove, when next, and after which pause.
    proofs: Mutex<HashMap<ApplicationKey, application::AskedOfPods>>,
    /// Commits whose deletions GitHub knows no approval of, with when it is asked again and the pause before.
    unapproved: Recent<(ApplicationKey, CommitSha), (Instant, Duration)>,
    /// How long each application that others keep is left alone.
    polls: Mutex<HashMap<ApplicationKey, Duration>>,
    /// What was told last in deployments and on source commits.
    elsewhere: Recent<deployment::Told, String>,
    /// Commits that have their receipt.
    receipts: Recent<CommitKey, ()>,
    /// Since when each application's cluster cannot be reached.
    unreachable: Mutex<HashMap<ApplicationKey, Instant>>,
    previews: Previews,
    /// When something last became different of an application that previews tell of: see [`pull_request::anew`].
    renewed: Mutex<HashMap<ApplicationKey, Instant>>,
    /// Commits that have not come to their end.
    unfinished: Recent<CommitKey, ()>,
    /// Heads that are not fetched, with the reason.
    too_large: Recent<(PullRequestKey, CommitSha), String>,
    /// Comments whose commands we have answered.
    answered: Recent<u64, ()>,
    /// Why GitHub refused to merge a head.
    refusals: Recent<PullRequestKey, (CommitSha, String)>,
    /// What branch rules lack to make the verdict count.
    advice: Mutex<HashMap<RepoName, String>>,
    /// The last commit status that we posted, with how many; and the pull requests of a commit.
    statuses: Recent<CommitKey, ((String, String), u32)>,
    pulls_of: Recent<CommitKey, (Instant, Vec<u64>)>,
    /// Where each commit stood when its pull requests were looked at last.
    progress: Recent<CommitKey, Arc<Vec<Progress>>>,
    /// Whether the second commit has the first in its past: once known, that stays so.
    newer: Recent<(CommitSha, CommitSha), bool>,
    /// The applications that a commit changed, by the base whose configuration names them.
    changed_by: Recent<CommitAtBase, Arc<Vec<Target>>>,
    /// Those that it took out of Git, and that are not back.
    retired_by: Recent<CommitAtBase, Arc<Vec<ApplicationKey>>>,
}

/// What is remembered by commit or by pull request, of which there are ever more: the last ones, so many of each kind. What
/// is forgotten is asked for again.
struct Recent<K, V>(moka::sync::Cache<K, V>);

const MOST_RECENT: u64 = 10_000;

impl<K: std::hash::Hash + Eq + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Default
    for Recent<K, V>
{
    fn default() -> Self {
        Self(moka::sync::Cache::new(MOST_RECENT))
    }
}

impl<K, V> std::ops::Deref for Recent<K, V> {
    type Target = moka::sync::Cache<K, V>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// Previews, by their size: as text they are what takes memory.
struct Previews(moka::sync::Cache<PullRequestKey, Arc<pull_request::Shown>>);

/// Bytes of previews that are remembered.
const MOST_PREVIEWED: u64 = 64 << 20;

impl Default for Previews {
    fn default() -> Self {
        let weight = |_: &PullRequestKey, shown: &Arc<pull_request::Shown>| {
            u32::try_from(shown.size()).unwrap_or(u32::MAX)
        };
        Self(
            moka::sync::Cache::builder()
                .weigher(weight)
                .max_capacity(MOST_PREVIEWED)
                .build(),
        )
    }
}

impl std::ops::Deref for Previews {
    type Target = moka::sync::Cache<PullRequestKey, Arc<pull_request::Shown>>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// A commit, seen from a base.
type CommitAtBase = (CommitSha, CommitKey);

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A config repository's base branch at one commit.
pub struct Base {
    pub repo: Repository,
    pub commit: CommitSha,
    /// None: the repository has no `windlass.yaml`, so it is not a config repository.
    pub catalog: Option<std::result::Result<Configured, Invalid>>,
}

pub struct Configured {
    pub catalog: Catalog,
    pub targets: Vec<Target>,
}

impl Base {
    /// The configuration, if there is one that can be read.
    pub fn configured(&self) -> Option<&Configured> {
        self.catalog
            .as_ref()
            .and_then(|catalog| catalog.as_ref().ok())
    }

    pub fn target(&self, key: &ApplicationKey) -> Option<&Target> {
        self.configured()?
            .targets
            .iter()
            .find(|target| target.key(&self.repo.name) == *key)
    }
}

/// Reads the configuration of a tree.
pub fn configuration(
    source: &Source<'_>,
) -> anyhow::Result<Option<std::result::Result<Configured, Invalid>>> {
    let Some(text) = source.text(FILE)? else {
        return Ok(None);
    };
    let directories = source.directories();
    Ok(Some(Catalog::parse(&text).and_then(|catalog| {
        let targets = catalog.expand(directories.iter().map(String::as_str))?;
        Ok(Configured { catalog, targets })
    })))
}

impl Reader {
    pub fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    /// Runs a job on a repository's mirror, off the async threads.
    pub async fn mirror<T: Send + 'static>(
        self: &Arc<Self>,
        repo: &RepoName,
        job: impl FnOnce(&Mirror) -> anyhow::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (ctx, repo) = (self.clone(), repo.clone());
        let run = move || job(&ctx.mirrors.open(&repo)?);
        tokio::task::spawn_blocking(run)
            .await
            .map_err(|error| Error::Git(error.into()))?
            .map_err(Error::Git)
    }

    /// A repository's branches moved, or may have: what was fetched before is not believed any more.
    pub fn touch(&self, repo: &RepoName) {
        locked(&self.memory.moved).insert(repo.clone(), Instant::now());
    }

    /// The base branch as it was when something last moved: an event of the cluster's, or a rollout that is waited
    /// for, says nothing about Git.
    pub async fn known_base(self: &Arc<Self>, repo: &RepoName) -> Result<Arc<Base>> {
        let moved = locked(&self.memory.moved)
            .get(repo)
            .copied()
            .unwrap_or_else(Instant::now);
        // Read since then: there is nothing to read again.
        let known = locked(&self.memory.bases)
            .get(repo)
            .filter(|(read, _)| *read >= moved)
            .map(|(_, base)| base.clone());
        match known {
            Some(base) => Ok(base),
            None => self.base(repo, moved).await,
        }
    }

    /// Fetches, unless that was done since `not_before` already.
    pub async fn fetch(
        self: &Arc<Self>,
        repo: &RepoName,
        pull: Option<u64>,
        not_before: Instant,
    ) -> Result<()> {
        if self
            .memory
            .fetched
            .get(&(repo.clone(), pull))
            .is_some_and(|at| at >= not_before)
        {
            return Ok(());
        }
        let started = Instant::now();
        let Repository {
            clone_url: url,
            default_branch: base,
            ..
        } = self.github.repository(repo)?;
        let session = self.github.session_to_fetch(repo).await?;
        let (ctx, name) = (self.clone(), repo.clone());
        let run = move || {
            let remote = Remote {
                url: &url,
                token: session.token(),
            };
            match pull {
                Some(number) => ctx.mirrors.fetch_head(&name, &remote, number),
                None => ctx.mirrors.fetch(&name, &remote, &base),
            }
        };
        if let Err(error) = tokio::task::spawn_blocking(run)
            .await
            .map_err(|error| Error::Git(error.into()))?
        {
            // The token may have been taken back: the next one is asked for.
            self.github.forget_session(repo).await;
            return Err(Error::Git(error));
        }
        self.memory.fetched.insert((repo.clone(), pull), started);
        Ok(())
    }

    /// The base branch as it is now.
    pub async fn base(self: &Arc<Self>, repo: &RepoName, not_before: Instant) -> Result<Arc<Base>> {
        let started = Instant::now();
        self.fetch(repo, None, not_before).await?;
        let repository = self.github.repository(repo)?;
        let known = locked(&self.memory.bases)
            .get(repo)
            .map(|(_, base)| base.clone());
        let base = self
            .mirror(repo, move |mirror| {
                let branch = &repository.default_branch;
                let Some(commit) = mirror.branch(branch)? else {
                    anyhow::bail!("{} has no branch {branch} yet", repository.name)
                };
                if let Some(known) = known.filter(|known| known.commit == commit) {
                    return Ok(known);
                }
                let source = Source::open(mirror, mirror.tree(&commit)?)?;
                Ok(Arc::new(Base {
                    catalog: configuration(&source)?,
                    repo: repository,
                    commit,
                }))
            })
            .await?;
        {
            let mut owners = locked(&self.memory.owners);
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
            .map(|one| one.key(repo).owner_label(base.repo.id));
        let owners: HashSet<_> = owners.collect();
        for cluster in self.observer.clusters.values() {
            cluster.index.set_rules(repo, health, &owners).await;
        }
        locked(&self.memory.bases).insert(repo.clone(), (started, base.clone()));
        Ok(base)
    }

    /// The config repositories, as last read.
    pub fn bases(&self) -> Vec<Arc<Base>> {
        locked(&self.memory.bases)
            .values()
            .map(|(_, base)| base.clone())
            .collect()
    }

    pub fn cluster(&self, name: &str) -> Result<&Cluster> {
        self.observer.cluster(name)
    }

    /// Looks at everything anew: at start, and from time to time.
    pub async fn resync(self: &Arc<Self>) -> Result<()> {
        locked(&self.memory.told).clear();
        // A right may have been granted meanwhile.
        self.observer
            .clusters
            .values()
            .for_each(|cluster| cluster.index.retry_refused());
        let found = self.github.discover().await?;
        let config: Vec<_> = found
            .into_iter()
            .map(|repository| repository.name)
            .filter(|repo| self.is_config(repo))
            .collect();
        // What the App does not see any more says nothing either.
        locked(&self.memory.bases).retain(|repo, _| config.contains(repo));
        for repo in config {
            match self.resync_repository(&repo).await {
                Ok(()) => {}
                Err(error) => tracing::warn!(%repo, %error, "a repository could not be read"),
            }
        }
        Ok(())
    }

    /// Whether the server's settings name a repository as one that steers clusters. All others only receive statuses.
    pub fn is_config(&self, repo: &RepoName) -> bool {
        self.observer
            .projects
            .as_ref()
            .is_some_and(|projects| projects.names(repo))
    }

    async fn resync_repository(self: &Arc<Self>, repo: &RepoName) -> Result<()> {
        self.touch(repo);
        let base = match self.known_base(repo).await {
            Ok(base) => base,
            // An empty repository is no config repository yet.
            Err(Error::Git(error)) if error.to_string().contains("has no branch") => return Ok(()),
            Err(error) => return Err(error),
        };
        if base.catalog.is_none() {
            return Ok(());
        }
        self.read_rules(&base).await;
        let pulls = self.github.recent_pulls(repo).await?;
        self.look_at_repository(base, pulls).await?;
        Ok(())
    }

    /// Whether the branch's rules make our verdict count.
    async fn read_rules(&self, base: &Base) {
        let (repo, branch) = (&base.repo.name, &base.repo.default_branch);
        let required = async {
            let app = self.github.identity().await?.id;
            Ok::<_, github::Error>((app, self.github.required_checks(repo, branch).await?))
        };
        match required.await {
            Ok((app, checks)) => {
                let counts = checks.contains(&(GATE_CONTEXT.to_string(), Some(app)));
                if !counts {
                    tracing::warn!(%repo, branch, "the rules of the branch do not require the check `{GATE_CONTEXT}` from this App");
                }
                let advice = if counts {
                    String::new()
                } else {
                    crate::view::unprotected(branch)
                };
                locked(&self.memory.advice).insert(repo.clone(), advice);
            }
            Err(error) => tracing::debug!(%repo, %error, "the rules of the branch cannot be read"),
        }
    }

    /// Has everything of a repository looked at, also what it has no more.
    async fn look_at_repository(self: &Arc<Self>, base: Arc<Base>, pulls: Vec<Pull>) -> Result<()> {
        let repo = &base.repo.name;
        if let Some(Err(Invalid(why))) = &base.catalog {
            tracing::warn!(%repo, why, "the configuration cannot be read: everything stays as it is");
        }
        let key = |repository: &RepoName, application: &Name, stage: &Name| {
            (repository == repo).then(|| ApplicationKey {
                repo: repo.clone(),
                application: application.clone(),
                stage: stage.clone(),
            })
        };
        let (applications, promotions) = (
            self.home.applications().await?,
            self.home.promotions().await?,
        );
        let applications = applications.iter().map(|object| &object.spec);
        let promotions = promotions.iter().map(|object| &object.spec);
        let event = Event::Base {
            applications: applications
                .filter_map(|spec| key(&spec.repository, &spec.application, &spec.stage))
                .collect(),
            promotions: promotions
                .filter_map(|spec| key(&spec.repository, &spec.application, &spec.stage))
                .collect(),
            pulls: pulls.into_iter().map(|pull| pull.number).collect(),
            base: base.clone(),
        };
        self.emit(&event);
        Ok(())
    }

    /// Follows a hint: puts keys into queues, nothing else.
    pub async fn follow(self: &Arc<Self>, hint: Hint) -> Result<()> {
        match hint {
            Hint::PullRequest(PullRequestKey { repo, .. }) | Hint::Branch { repo, .. }
                if !self.is_config(&repo) => {}
            Hint::PullRequest(key) => self.emit(&Event::PullRequest(key)),
            Hint::Installations => self.resync().await?,
            Hint::Branch { repo, branch } => {
                let Ok(repository) = self.github.repository(&repo) else {
                    return self.resync().await;
                };
                self.touch(&repo);
                if branch != repository.default_branch {
                    self.emit(&Event::Branch { repo, branch });
                    return Ok(());
                }
                let base = self.known_base(&repo).await?;
                if base.catalog.is_some() {
                    let pulls = self.github.open_pulls(&repo).await?;
                    self.look_at_repository(base, pulls).await?;
                }
            }
        }
        Ok(())
    }

    /// A watch saw something: whether there is anything to do is found out by looking, which costs no request.
    pub fn saw(&self, moved: Moved) {
        self.emit(&match moved {
            Moved::Object(owner) => Event::Object { owner },
            Moved::Application(key) => Event::Application(key),
            Moved::Promotion(key) => Event::Promotion(key),
        });
    }
}

/// The application and stage that one of our branches is for.
pub fn key_of_branch(repo: &RepoName, branch: &str) -> Option<ApplicationKey> {
    let (application, stage) = branch.strip_prefix("windlass/")?.split_once('/')?;
    Some(ApplicationKey {
        repo: repo.clone(),
        application: application.parse().ok()?,
        stage: stage.parse().ok()?,
    })
}

/// How long a key waits before it is looked at, so that a burst of events is one look.
pub const DEBOUNCE: Duration = Duration::from_millis(150);
