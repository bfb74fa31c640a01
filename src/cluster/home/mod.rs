//! Our own objects: `Application` and `Promotion`, in windlass's namespace of
//! the cluster that it runs in. Tenants cannot edit what we prune by.
//!
//! Every write is a compare-and-set on the resourceVersion that was read.

mod annotations;
mod application;
mod conditions;
mod inventory;
mod kept;
mod promotion;

pub use annotations::{ADOPT, CONFIRM_PRUNE, HANDLED, PAUSE, SAID, SYNC_REQUEST, TAKE};
pub use application::{
    Application, ApplicationSpec, ApplicationStatus, Fight, HookRun, LastSync, Pause, Served,
    Waiting,
};
use conditions::conditions;
pub use inventory::InventoryEntry;
use jiff::Timestamp;
use kept::Kept;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, CustomResourceExt as _, ResourceExt as _};
use promotion::EARLIER;
pub use promotion::{Promotion, PromotionSpec, PromotionStatus};
use tokio::sync::mpsc;

use crate::cluster::{Error, Moved, Result, call, refused};
use crate::domain::ApplicationKey;
use crate::domain::image::{Candidate, same_image};
use crate::domain::pull_request::Stand;

/// The custom resource definitions, as YAML documents.
pub fn definitions() -> String {
    [Application::crd(), Promotion::crd()]
        .iter()
        .map(|crd| format!("---\n{}", serde_yaml::to_string(crd).unwrap_or_default()))
        .collect()
}

/// Our objects in our namespace, kept by a watch: reading one costs no request. Our own writes are put in at once.
#[derive(Clone)]
pub struct Home {
    applications: Kept<Application>,
    promotions: Kept<Promotion>,
}

impl Home {
    /// What others change in our objects is told to `moved`.
    pub fn new(client: Client, namespace: &str, moved: &mpsc::Sender<Moved>) -> Self {
        let application = |object: &Application| {
            let spec = object.spec.clone();
            Moved::Application(ApplicationKey {
                repo: spec.repository,
                application: spec.application,
                stage: spec.stage,
            })
        };
        let promotion = |object: &Promotion| {
            let spec = object.spec.clone();
            Moved::Promotion(ApplicationKey {
                repo: spec.repository,
                application: spec.application,
                stage: spec.stage,
            })
        };
        Self {
            applications: Kept::new(
                Api::namespaced(client.clone(), namespace),
                moved.clone(),
                application,
            ),
            promotions: Kept::new(Api::namespaced(client, namespace), moved.clone(), promotion),
        }
    }

    /// None: not made yet. An object of that name that is another repository's is an error.
    pub async fn application(&self, key: &ApplicationKey) -> Result<Option<Application>> {
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

    /// How an application stands, without its inventory: a commit of two hundred applications asks this of each at each
    /// look.
    pub async fn stand(&self, key: &ApplicationKey) -> Result<Stand> {
        self.applications.wait().await?;
        let objects = self.applications.objects();
        let status = objects
            .get(&key.object_name())
            .filter(|object| object.spec.repository == key.repo)
            .and_then(|object| object.status.as_ref());
        Ok(status.map_or_else(Stand::default, |status| Stand {
            revision: status.revision.clone(),
            inputs: status.inputs.clone(),
            sync: status.sync,
            health: status.health,
            blocked: status.blocked,
            message: status.message.clone(),
            reason: status.reason.clone(),
            confirm: status.confirm.is_some(),
            unproven: status.unproven.clone(),
            images: status.images.clone(),
            failures: status.failures.clone(),
        }))
    }

    pub async fn applications(&self) -> Result<Vec<Application>> {
        self.applications.all().await
    }

    /// Makes the object, or brings its spec up to date.
    pub async fn declare_application(
        &self,
        key: &ApplicationKey,
        spec: ApplicationSpec,
        seen: Option<Application>,
    ) -> Result<Application> {
        let what = format!("declare Application {}", key.object_name());
        let request = match seen {
            Some(seen) if seen.spec == spec => return Ok(seen),
            Some(seen) => {
                call(
                    &what,
                    self.applications.api.replace(
                        &key.object_name(),
                        &parameters(),
                        &Application { spec, ..seen },
                    ),
                )
                .await?
            }
            None => {
                call(
                    &what,
                    self.applications
                        .api
                        .create(&parameters(), &Application::new(&key.object_name(), spec)),
                )
                .await?
            }
        };
        let object = request.map_err(|status| refused(&what, &status))?;
        self.applications.note(&object);
        Ok(object)
    }

    /// Writes the status if it says something new; the object as it is afterwards.
    pub async fn report_application(
        &self,
        seen: &Application,
        mut status: ApplicationStatus,
        now: Timestamp,
    ) -> Result<Application> {
        let before = seen.status.clone().unwrap_or_default();
        status.observed_generation = seen.metadata.generation;
        status.inventory.sort();
        status.conditions = conditions(&before.conditions, &status, seen.metadata.generation, now);
        if before == status {
            return Ok(seen.clone());
        }
        let what = format!("report on Application {}", seen.name_any());
        let object = Application {
            status: Some(status),
            ..seen.clone()
        };
        let (name, parameters) = (seen.name_any(), parameters());
        let request = self
            .applications
            .api
            .replace_status(&name, &parameters, &object);
        let object = call(&what, request)
            .await?
            .map_err(|status| refused(&what, &status))?;
        self.applications.note(&object);
        Ok(object)
    }

    /// Leaves a wish in an annotation; None takes it back. False: there is no such object.
    pub async fn annotate(
        &self,
        key: &ApplicationKey,
        annotation: &str,
        value: Option<&str>,
    ) -> Result<bool> {
        self.annotate_all(key, &[(annotation, value)]).await
    }

    /// The same for several, at once.
    pub async fn annotate_all(
        &self,
        key: &ApplicationKey,
        annotations: &[(&str, Option<&str>)],
    ) -> Result<bool> {
        let what = format!("annotate Application {}", key.object_name());
        let annotations: std::collections::BTreeMap<_, _> = annotations.iter().copied().collect();
        let patch = serde_json::json!({"metadata": {"annotations": annotations}});
        match call(
            &what,
            self.applications.api.patch(
                &key.object_name(),
                &PatchParams::default(),
                &Patch::Merge(&patch),
            ),
        )
        .await?
        {
            Ok(object) => {
                self.applications.note(&object);
                Ok(true)
            }
            Err(status) if status.is_not_found() => Ok(false),
            Err(status) => Err(refused(&what, &status)),
        }
    }

    pub async fn promotion(&self, key: &ApplicationKey) -> Result<Option<Promotion>> {
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

    /// Keeps candidates: the newest of each image name.
    pub async fn propose(
        &self,
        key: &ApplicationKey,
        candidates: &[Candidate],
    ) -> Result<Promotion> {
        let what = format!("keep the candidate of {}", key.title());
        let seen = self.promotion(key).await?;
        let mut wanted = seen
            .as_ref()
            .map(|seen| seen.spec.candidates.clone())
            .unwrap_or_default();
        let mut earlier = seen
            .as_ref()
            .map(|seen| seen.spec.earlier.clone())
            .unwrap_or_default();
        for candidate in candidates {
            let is_replaced = |known: &&Candidate| {
                same_image(&known.image, &candidate.image) && known.digest != candidate.digest
            };
            earlier.extend(wanted.iter().filter(is_replaced).cloned());
            wanted.retain(|known| !same_image(&known.image, &candidate.image));
            wanted.push(candidate.clone());
        }
        wanted.sort_by(|a, b| a.image.cmp(&b.image));
        earlier.drain(..earlier.len().saturating_sub(EARLIER));
        let request = match seen {
            Some(seen) if seen.spec.candidates == wanted => return Ok(seen),
            Some(mut seen) => {
                seen.spec.candidates = wanted;
                seen.spec.earlier = earlier;
                call(
                    &what,
                    self.promotions
                        .api
                        .replace(&key.object_name(), &parameters(), &seen),
                )
                .await?
            }
            None => {
                let spec = PromotionSpec {
                    repository: key.repo.clone(),
                    application: key.application.clone(),
                    stage: key.stage.clone(),
                    candidates: wanted,
                    earlier,
                };
                call(
                    &what,
                    self.promotions
                        .api
                        .create(&parameters(), &Promotion::new(&key.object_name(), spec)),
                )
                .await?
            }
        };
        let object = request.map_err(|status| refused(&what, &status))?;
        self.promotions.note(&object);
        Ok(object)
    }

    /// Keeps some candidates no more, but as images that were announced once.
    pub async fn drop_candidates(&self, seen: &Promotion, dropped: &[Candidate]) -> Result<()> {
        let name = seen.name_any();
        let what = format!("drop candidates of Promotion {name}");
        let mut object = seen.clone();
        object
            .spec
            .candidates
            .retain(|candidate| !dropped.contains(candidate));
        object.spec.earlier.extend(dropped.iter().cloned());
        object
            .spec
            .earlier
            .drain(..object.spec.earlier.len().saturating_sub(EARLIER));
        let request = call(
            &what,
            self.promotions.api.replace(&name, &parameters(), &object),
        )
        .await?;
        self.promotions
            .note(&request.map_err(|status| refused(&what, &status))?);
        Ok(())
    }

    /// Forgets an application that Git has no more and of which nothing is left.
    pub async fn forget_application(&self, seen: &Application) -> Result<()> {
        let name = seen.name_any();
        let what = format!("delete Application {name}");
        let preconditions = kube::api::Preconditions {
            uid: seen.uid(),
            resource_version: seen.resource_version(),
        };
        let parameters = kube::api::DeleteParams {
            preconditions: Some(preconditions),
            ..Default::default()
        };
        match call(&what, self.applications.api.delete(&name, &parameters)).await? {
            Ok(_) => {}
            Err(status) if status.is_not_found() => {}
            Err(status) => return Err(refused(&what, &status)),
        }
        self.applications.objects().remove(&name);
        Ok(())
    }

    /// Writes the status if it says something new; the object as it is afterwards.
    pub async fn report_promotion(
        &self,
        seen: &Promotion,
        status: PromotionStatus,
    ) -> Result<Promotion> {
        if seen.status.as_ref() == Some(&status) {
            return Ok(seen.clone());
        }
        let what = format!("report on Promotion {}", seen.name_any());
        let object = Promotion {
            status: Some(status),
            ..seen.clone()
        };
        let (name, parameters) = (seen.name_any(), parameters());
        let request = self
            .promotions
            .api
            .replace_status(&name, &parameters, &object);
        let object = call(&what, request)
            .await?
            .map_err(|status| refused(&what, &status))?;
        self.promotions.note(&object);
        Ok(object)
    }
}

fn parameters() -> PostParams {
    PostParams {
        field_manager: Some("windlass".into()),
        dry_run: false,
    }
}
