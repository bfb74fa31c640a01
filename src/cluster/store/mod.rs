//! Our own objects, `Application`, `Promotion` and `Freeze`, in windlass's namespace of the
//! cluster that it runs in: tenants cannot edit the inventories that we prune by.
//!
//! Every write is a compare-and-set on the resourceVersion that was read.

mod application;
mod conditions;
mod freeze;
mod inventory;
mod promotion;
mod unmanaged;
mod watched;
mod writes;

pub use application::{
    Application, ApplicationSpec, ApplicationStatus, DriftLoop, HookRun, LastSync, Pause, Served,
    Waiting,
};
pub use freeze::{Freeze, FreezeSpec};
pub use inventory::InventoryEntry;
use kube::{Api, Client, CustomResourceExt as _};
pub use promotion::{Promotion, PromotionSpec, PromotionStatus};
use tokio::sync::mpsc;
pub use unmanaged::Unmanaged;
use watched::Watched;
pub use writes::Writer;

use crate::cluster::{Error, Result, WatchEvent};
pub use crate::domain::labels::{
    ADOPT, APPLY, CONFIRM_PRUNE, HANDLED, HOLD, PAUSE, ROLLBACK, ROLLBACK_DECLINED, SAID, SKIP,
    SYNC_REQUEST, TAKE,
};
use crate::domain::permit::WritePermit;
use crate::domain::pull_request::ApplicationSummary;
use crate::domain::{StageKey, TargetKey};

/// The custom resource definitions, as YAML documents.
pub fn definitions() -> String {
    [Application::crd(), Promotion::crd(), Freeze::crd()]
        .iter()
        .map(|crd| format!("---\n{}", serde_yaml::to_string(crd).unwrap_or_default()))
        .collect()
}

/// Our objects, kept by watches: reading one costs no request. Our own writes are stored at once.
#[derive(Clone)]
pub struct Store {
    applications: Watched<Application>,
    promotions: Watched<Promotion>,
    freezes: Watched<Freeze>,
}

impl Store {
    pub fn writer<'a>(&'a self, _: &'a WritePermit) -> Writer<'a> {
        Writer(self)
    }

    /// Changes that others make to our objects are sent to `moved`.
    pub fn new(client: Client, namespace: &str, moved: &mpsc::Sender<WatchEvent>) -> Self {
        let application = |object: &Application| WatchEvent::Application(object.key());
        let promotion = |object: &Promotion| WatchEvent::Promotion(object.key());
        let freeze = |object: &Freeze| WatchEvent::Freeze(object.clone().into());
        Self {
            applications: Watched::new(
                Api::namespaced(client.clone(), namespace),
                moved.clone(),
                application,
            ),
            promotions: Watched::new(
                Api::namespaced(client.clone(), namespace),
                moved.clone(),
                promotion,
            ),
            freezes: Watched::new(Api::namespaced(client, namespace), moved.clone(), freeze),
        }
    }

    /// The store of a server that only previews: it has no objects, and reads none.
    pub fn none(client: Client, namespace: &str) -> Self {
        Self {
            applications: Watched::none(Api::namespaced(client.clone(), namespace)),
            promotions: Watched::none(Api::namespaced(client.clone(), namespace)),
            freezes: Watched::none(Api::namespaced(client, namespace)),
        }
    }

    /// The client of the cluster that windlass runs in.
    pub(in crate::cluster) fn client(&self) -> Client {
        self.applications.api.clone().into_client()
    }

    /// The namespace that windlass runs in.
    pub fn namespace(&self) -> &str {
        self.applications.api.namespace().unwrap_or_default()
    }

    /// None: it does not exist yet. It is an error if the object of that name belongs to another
    /// repository.
    pub async fn application(&self, key: &TargetKey) -> Result<Option<Application>> {
        match self.applications.get(&key.object_name()).await? {
            Some(object) if object.spec.repository != key.repo => {
                let what = format!("read Application {}", key.object_name());
                let message = format!(
                    "{} declares the same application in the same stage: give one of them another name",
                    object.spec.repository
                );
                Err(Error::Refused { what, message })
            }
            other => Ok(other),
        }
    }

    /// The status of an application without its inventory, which is large: a commit of two hundred
    /// applications reads all of them at each reconcile.
    pub async fn summary(&self, key: &TargetKey) -> Result<ApplicationSummary> {
        self.applications.wait().await?;
        let objects = self.applications.objects();
        let status = objects
            .get(&key.object_name())
            .filter(|object| object.spec.repository == key.repo)
            .and_then(|object| object.status.as_ref());
        Ok(status.map(ApplicationStatus::summary).unwrap_or_default())
    }

    pub async fn applications(&self) -> Result<Vec<Application>> {
        self.applications.all().await
    }

    pub async fn promotion(&self, key: &StageKey) -> Result<Option<Promotion>> {
        match self.promotions.get(&key.object_name()).await? {
            Some(object) if object.spec.repository != key.repo => {
                let what = format!("read Promotion {}", key.object_name());
                Err(Error::Refused {
                    what,
                    message: format!("it belongs to {}", object.spec.repository),
                })
            }
            other => Ok(other),
        }
    }

    pub async fn promotions(&self) -> Result<Vec<Promotion>> {
        self.promotions.all().await
    }
}
