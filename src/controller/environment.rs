//! Where applications run and how they are rendered. It only reads; it is all that `windlass plan`
//! needs.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use tokio::sync::Semaphore;

use super::Result;
use super::error::Error;
use crate::cluster::store::Served;
use crate::cluster::{self, Cluster};
use crate::controller::dry_run::AppScope;
use crate::domain::catalog::{Destination, FILE, Fleet, Reconciler, Target};
use crate::domain::fence::{Fence, Projects, ServiceAccount};
use crate::domain::manifest::Manifest;
use crate::domain::mask::Mask;
use crate::domain::sops::ProjectKeys;
use crate::domain::{Invalid, RepoName, TargetKey};
use crate::render::{Budget, Inputs, NotRendered, Release, Renderer};

/// The Helm release that a chart is rendered as: name, namespace, and the cluster's capabilities.
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

/// How many applications are rendered and dry-run for previews at once: the memory for the objects
/// of so many is taken. Their renderers and their requests have limits of their own.
pub const APPLICATIONS_AT_ONCE: usize = 16;

/// Does the work on several applications side by side. The results have the order of the work,
/// whichever is done first.
pub async fn side_by_side<T, E>(
    work: impl IntoIterator<Item = impl Future<Output = std::result::Result<T, E>> + Send>,
) -> std::result::Result<Vec<T>, E> {
    // Collected and boxed: a stream of closures' futures is not known to be `Send`.
    let work: Vec<_> = work.into_iter().map(|one| one.boxed()).collect();
    futures::stream::iter(work)
        .buffered(APPLICATIONS_AT_ONCE)
        .try_collect()
        .await
}

/// Reads clusters and renders; it is all that `windlass plan` needs.
#[derive(Clone)]
pub struct Environment {
    pub clusters: Arc<BTreeMap<String, Cluster>>,
    /// Clusters of the settings that cannot be used, each with the reason.
    pub away: Arc<BTreeMap<String, String>>,
    /// The clusters of the settings, with their labels.
    pub fleet: Arc<Fleet>,
    /// What config repositories may do. None: everything, for `windlass plan` without the server's
    /// settings.
    pub projects: Option<Projects>,
    /// What decrypts their Secrets.
    pub keys: ProjectKeys,
    /// The preview account, whose rights it uses instead of windlass's.
    pub previews_as: Option<ServiceAccount>,
    pub renderer: Renderer,
    /// Hides secret values in plans.
    pub mask: Mask,
    /// The reconcilers that are taken to have let go of their objects, by the titles of the
    /// applications that windlass applies in their place: for `windlass import`.
    pub released: Arc<BTreeMap<String, Reconciler>>,
    /// The host of GitHub's repositories. None for `windlass plan`, which knows no GitHub.
    pub github_host: Option<String>,
    /// Of [`APPLICATIONS_AT_ONCE`], for all previews together.
    pub applications: Arc<Semaphore>,
}

impl Environment {
    /// The cluster's capabilities for a chart: the known ones if they are of the same inputs,
    /// otherwise the current ones. None: it is no chart.
    pub async fn served(
        &self,
        target: &Target,
        inputs: &Inputs,
        known: Option<&Served>,
    ) -> Result<Option<Served>> {
        if !inputs.asks_the_cluster() {
            return Ok(None);
        }
        if let Some(known) = known.filter(|known| known.inputs == inputs.hash) {
            return Ok(Some(known.clone()));
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

    /// The template of an application's chart that uses Helm's `lookup`, which finds nothing here.
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

    /// Where an application repeats a key in a mapping. `known`: as of [`Self::render`].
    pub async fn repeated(
        &self,
        target: &Target,
        inputs: &Inputs,
        known: Option<&Served>,
    ) -> Result<Vec<String>> {
        let served = self.served(target, inputs, known).await?;
        let release = served.map(|served| release(target, served));
        let found = self.renderer.repeated(inputs, release).await;
        Ok(found.unwrap_or_default())
    }

    /// Renders an application; the error is for its author. `known`: the cluster's capabilities of
    /// the rendering before.
    pub async fn render(
        &self,
        target: &Target,
        inputs: &Inputs,
        known: Option<&Served>,
    ) -> Result<std::result::Result<Arc<Vec<Manifest>>, Invalid>> {
        self.render_by(&self.renderer, target, inputs, known).await
    }

    /// The same for inputs that are merged, whatever this environment is for.
    pub async fn render_merged(
        &self,
        target: &Target,
        inputs: &Inputs,
        known: Option<&Served>,
    ) -> Result<std::result::Result<Arc<Vec<Manifest>>, Invalid>> {
        self.render_by(&self.renderer.of_merged(), target, inputs, known)
            .await
    }

    async fn render_by(
        &self,
        renderer: &Renderer,
        target: &Target,
        inputs: &Inputs,
        known: Option<&Served>,
    ) -> Result<std::result::Result<Arc<Vec<Manifest>>, Invalid>> {
        let served = self.served(target, inputs, known).await?;
        let release = served.map(|served| release(target, served));
        match renderer.render(inputs, release).await {
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

    /// The scope of one application's dry-runs. `owner`: the value of our label on its objects.
    pub fn scope<'a>(
        &'a self,
        key: &'a TargetKey,
        target: &'a Target,
        owner: &'a str,
    ) -> Result<AppScope<'a>> {
        let fence = self.fence(&key.repo, &target.destination);
        let fence = match target.stage.reconcile {
            Reconciler::Windlass => fence,
            _ => fence.only_previewing(),
        };
        let hub = self.hub(key, target)?;
        let cluster = self.cluster(&target.destination.cluster)?;
        let syncing = |cluster: &Cluster| cluster.writing_as(fence.service_account());
        let reading = |cluster: &Cluster| match &self.previews_as {
            Some(account) => cluster.acting_as(Some(account)),
            None => cluster.writing_as(fence.service_account()),
        };
        Ok(AppScope {
            cluster: reading(cluster),
            syncing: syncing(cluster),
            hub: reading(hub),
            requesting: hub.clone(),
            github_host: self.github_host.as_deref(),
            key,
            target,
            owner,
            renderer: &self.renderer,
            keys: self.keys.of(fence.project()),
            fence,
            shows_live: true,
            adopts: false,
            released: self.released.get(&key.title()),
            theirs: Default::default(),
            source: Default::default(),
            transforms: Default::default(),
            applying: Default::default(),
        })
    }

    /// The cluster of the object of Argo CD or Flux that applies an application. If it is another
    /// one than that of the application, a project has to grant it too.
    fn hub(&self, key: &TargetKey, target: &Target) -> Result<&Cluster> {
        let Some(hub) = target.stage.reconcile.hub() else {
            return self.cluster(&target.destination.cluster);
        };
        let is_granted = |projects: &Projects| projects.grant(&key.repo, hub);
        if !self.projects.as_ref().is_none_or(is_granted) {
            let (by, title) = (target.stage.reconcile.name(), key.title());
            return Err(Error::Invalid(Invalid(format!(
                "{FILE}: the object of {by} for {title} is in the cluster `{hub}`, which no project of the server's settings grants {}",
                key.repo
            ))));
        }
        self.cluster(hub)
    }

    /// The same, with the rights of the preview account.
    pub fn previewing(&self, account: Option<&ServiceAccount>) -> Self {
        Self {
            previews_as: account.cloned(),
            ..self.clone()
        }
    }

    /// The same for a pull request's head, whose renderings share one budget.
    pub fn within(&self, budget: Budget) -> Self {
        Self {
            renderer: self.renderer.within(budget),
            ..self.clone()
        }
    }

    /// Stops the pod watches of an application, except on one cluster.
    pub fn stop_pod_watches_except(&self, owner: &str, except: Option<&str>) {
        for cluster in self
            .clusters
            .values()
            .filter(|cluster| Some(cluster.name.as_str()) != except)
        {
            cluster.pods.wait(owner, Vec::new(), Timestamp::now());
        }
    }

    /// The clusters that a repository's projects grant it: others have no part in what its labels
    /// choose.
    pub fn fleet_of(&self, repo: &RepoName) -> Fleet {
        let mut fleet = (*self.fleet).clone();
        if let Some(projects) = &self.projects {
            fleet.0.retain(|name, _| projects.grant(repo, name));
        }
        fleet
    }

    pub fn cluster(&self, name: &str) -> Result<&Cluster> {
        self.clusters.get(name).ok_or_else(|| {
            if let Some(why) = self.away.get(name) {
                return Error::Cluster(cluster::Error::Unavailable {
                    what: format!("cluster `{name}`"),
                    message: why.clone(),
                });
            }
            let known: Vec<_> = self.clusters.keys().map(String::as_str).collect();
            Error::Invalid(Invalid(format!(
                "{FILE}: the server's settings have no cluster `{name}`; they have: {}",
                known.join(", ")
            )))
        })
    }
}
