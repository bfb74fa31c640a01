//! Where applications run and how they are rendered: what only reads. `windlass plan` has nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::Result;
use super::error::Error;
use crate::cluster::Cluster;
use crate::cluster::store::Served;
use crate::controller::dry_run::AppScope;
use crate::domain::catalog::{Destination, FILE, Target};
use crate::domain::fence::{Fence, Projects, ServiceAccount};
use crate::domain::manifest::Manifest;
use crate::domain::mask::Mask;
use crate::domain::{ApplicationKey, Invalid, RepoName};
use crate::render::{Budget, Inputs, NotRendered, Release, Renderer};

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
pub struct Environment {
    pub clusters: Arc<BTreeMap<String, Cluster>>,
    /// What config repositories may do; None: everything, for `windlass plan` without the server's settings.
    pub projects: Option<Projects>,
    /// Whose rights it has instead of windlass's: that of previews.
    pub previews_as: Option<ServiceAccount>,
    pub renderer: Renderer,
    /// Hides secret values in plans.
    pub mask: Mask,
}

impl Environment {
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
    pub fn scope<'a>(
        &'a self,
        key: &'a ApplicationKey,
        target: &'a Target,
        owner: &'a str,
    ) -> Result<AppScope<'a>> {
        let fence = self.fence(&key.repo, &target.destination);
        let cluster = self.cluster(&target.destination.cluster)?;
        let syncing = cluster.writing_as(fence.service_account());
        let cluster = match &self.previews_as {
            Some(account) => cluster.acting_as(Some(account)),
            None => cluster.writing_as(fence.service_account()),
        };
        Ok(AppScope {
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
    pub fn stop_pod_watches_except(&self, owner: &str, but: Option<&str>) {
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
                "{FILE}: the server's settings have no cluster `{name}`; they have: {}",
                known.join(", ")
            )))
        })
    }
}
