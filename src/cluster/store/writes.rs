//! Writes of our own objects. Each is conditional on the resourceVersion that it was decided from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::conditions::conditions;
use super::promotion::EARLIER;
use super::watched::Watched;
use super::{
    Application, ApplicationSpec, ApplicationStatus, Promotion, PromotionSpec, PromotionStatus,
    Store,
};
use crate::cluster::{Error, Result, call, refused};
use crate::domain::image::{Candidate, same_image};
use crate::domain::{RepoName, StageKey, TargetKey};

/// The methods that write our own objects.
pub struct Writer<'a>(pub(super) &'a Store);

impl std::ops::Deref for Writer<'_> {
    type Target = Store;

    fn deref(&self) -> &Store {
        self.0
    }
}

impl Writer<'_> {
    /// Creates the object, or updates its spec.
    pub async fn declare_application(
        &self,
        key: &TargetKey,
        spec: ApplicationSpec,
        existing: Option<Application>,
    ) -> Result<Application> {
        let what = format!("declare Application {}", key.object_name());
        let object = match existing {
            Some(existing) if existing.spec == spec => return Ok(existing),
            Some(existing) => Application { spec, ..existing },
            None => Application::new(&key.object_name(), spec),
        };
        self.applications.write(&what, &object).await
    }

    /// Writes the status if it changed. Returns the object as it is then.
    pub async fn report_application(
        &self,
        existing: &Application,
        mut status: ApplicationStatus,
        now: Timestamp,
    ) -> Result<Application> {
        let before = existing.status.clone().unwrap_or_default();
        let generation = existing.metadata.generation;
        status.observed_generation = generation;
        status.inventory.sort();
        status.conditions = conditions(&before.conditions, &status, generation, now);
        if before == status {
            return Ok(existing.clone());
        }
        let what = format!("report on Application {}", existing.name_any());
        let object = Application {
            status: Some(status),
            ..existing.clone()
        };
        self.applications.replace_status(&what, &object).await
    }

    /// Sets annotations of an `Application`, or removes those without a value, if nobody changed it
    /// since it was read.
    pub async fn annotate(
        &self,
        observed: &Application,
        annotations: &[(&str, Option<&str>)],
    ) -> Result<()> {
        let name = observed.name_any();
        let what = format!("annotate Application {name}");
        let annotations: BTreeMap<_, _> = annotations.iter().copied().collect();
        let version = observed.resource_version();
        let patch = serde_json::json!({
            "metadata": {"annotations": annotations, "resourceVersion": version},
        });
        let (api, parameters) = (&self.applications.api, PatchParams::default());
        let patch = Patch::Merge(&patch);
        match call(&what, api.patch(&name, &parameters, &patch)).await? {
            Ok(object) => {
                self.applications.note(&object);
                Ok(())
            }
            Err(status) if status.is_not_found() || status.is_conflict() => {
                Err(Error::Stale { what })
            }
            Err(status) => Err(refused(&what, &status)),
        }
    }

    /// Gives the objects of a repository its new name, if the settings have it: by the repository's
    /// number, which survives renames.
    pub async fn adopt_name(&self, id: u64, name: &RepoName) -> Result<()> {
        let id = i64::try_from(id).unwrap_or_default();
        let mut applications = self.applications().await?;
        applications
            .retain(|object| object.spec.repository_id == id && object.spec.repository != *name);
        let old: BTreeSet<_> = applications
            .iter()
            .map(|object| object.spec.repository.clone())
            .collect();
        // The promotions first: only the applications tell which ones they are.
        for object in self.promotions().await? {
            if old.contains(&object.spec.repository) {
                self.promotions.rename_repository(&object, name).await?;
            }
        }
        for object in &applications {
            self.applications.rename_repository(object, name).await?;
        }
        Ok(())
    }

    /// Stores candidates in the `Promotion`: the newest of each image.
    pub async fn propose(&self, key: &StageKey, candidates: &[Candidate]) -> Result<Promotion> {
        let what = format!("keep the candidate of {}", key.title());
        let existing = self.promotion(key).await?;
        let spec = existing.as_ref().map(|existing| existing.spec.clone());
        let (mut newest, mut earlier) = spec
            .map(|spec| (spec.candidates, spec.earlier))
            .unwrap_or_default();
        for candidate in candidates {
            let is_replaced = |known: &&Candidate| {
                same_image(&known.image, &candidate.image) && known.digest != candidate.digest
            };
            earlier.extend(newest.iter().filter(is_replaced).cloned());
            newest.retain(|known| !same_image(&known.image, &candidate.image));
            newest.push(candidate.clone());
        }
        newest.sort_by(|a, b| a.image.cmp(&b.image));
        earlier.drain(..earlier.len().saturating_sub(EARLIER));
        let object = match existing {
            Some(existing) if existing.spec.candidates == newest => return Ok(existing),
            Some(mut existing) => {
                existing.spec.candidates = newest;
                existing.spec.earlier = earlier;
                existing
            }
            None => Promotion::new(
                &key.object_name(),
                PromotionSpec {
                    repository: key.repo.clone(),
                    application: key.application.clone(),
                    stage: key.stage.clone(),
                    candidates: newest,
                    earlier,
                },
            ),
        };
        self.promotions.write(&what, &object).await
    }

    /// Moves candidates from the current ones to those that were announced earlier.
    pub async fn drop_candidates(&self, existing: &Promotion, dropped: &[Candidate]) -> Result<()> {
        let name = existing.name_any();
        let what = format!("drop candidates of Promotion {name}");
        let mut object = existing.clone();
        object
            .spec
            .candidates
            .retain(|candidate| !dropped.contains(candidate));
        object.spec.earlier.extend(dropped.iter().cloned());
        object
            .spec
            .earlier
            .drain(..object.spec.earlier.len().saturating_sub(EARLIER));
        self.promotions.write(&what, &object).await.map(drop)
    }

    /// Deletes the object of an application that was removed from Git and has no live objects any
    /// more.
    pub async fn forget_application(&self, existing: &Application) -> Result<()> {
        let name = existing.name_any();
        let what = format!("delete Application {name}");
        self.applications.delete(&what, existing).await
    }

    /// Writes the status if it changed. Returns the object as it is then.
    pub async fn report_promotion(
        &self,
        existing: &Promotion,
        status: PromotionStatus,
    ) -> Result<Promotion> {
        if existing.status.as_ref() == Some(&status) {
            return Ok(existing.clone());
        }
        let what = format!("report on Promotion {}", existing.name_any());
        let object = Promotion {
            status: Some(status),
            ..existing.clone()
        };
        self.promotions.replace_status(&what, &object).await
    }
}

impl<K> Watched<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Serialize + Send + Sync + 'static,
{
    /// Changes the name of the repository in an object, if nobody changed the object since it was
    /// read.
    async fn rename_repository(&self, object: &K, repository: &RepoName) -> Result<()> {
        let name = object.name_any();
        let what = format!("give {name} the new name of its repository");
        let patch = serde_json::json!({
            "metadata": {"resourceVersion": object.resource_version()},
            "spec": {"repository": repository},
        });
        let (patch, parameters) = (Patch::Merge(&patch), PatchParams::default());
        match call(&what, self.api.patch(&name, &parameters, &patch)).await? {
            Ok(object) => {
                self.note(&object);
                Ok(())
            }
            Err(status) if status.is_not_found() || status.is_conflict() => {
                Err(Error::Stale { what })
            }
            Err(status) => Err(refused(&what, &status)),
        }
    }

    /// Deletes an object, if nobody changed it since it was read; it may be gone already.
    pub(super) async fn delete(&self, what: &str, existing: &K) -> Result<()> {
        let name = existing.name_any();
        let parameters = kube::api::DeleteParams {
            preconditions: Some(kube::api::Preconditions {
                uid: existing.uid(),
                resource_version: existing.resource_version(),
            }),
            ..Default::default()
        };
        match call(what, self.api.delete(&name, &parameters)).await? {
            Ok(_) => {}
            Err(status) if status.is_not_found() => {}
            Err(status) => return Err(refused(what, &status)),
        }
        self.objects().remove(&name);
        Ok(())
    }

    /// Creates an object, or replaces it if nobody changed it since it was read.
    pub(super) async fn write(&self, what: &str, object: &K) -> Result<K> {
        let parameters = parameters();
        let request = match object.resource_version() {
            Some(_) => {
                call(
                    what,
                    self.api.replace(&object.name_any(), &parameters, object),
                )
                .await?
            }
            None => call(what, self.api.create(&parameters, object)).await?,
        };
        let object = request.map_err(|status| refused(what, &status))?;
        self.note(&object);
        Ok(object)
    }

    /// Writes the status of an object, if nobody changed the object since it was read.
    async fn replace_status(&self, what: &str, object: &K) -> Result<K> {
        let (name, parameters) = (object.name_any(), parameters());
        let request = self.api.replace_status(&name, &parameters, object);
        let object = call(what, request)
            .await?
            .map_err(|status| refused(what, &status))?;
        self.note(&object);
        Ok(object)
    }
}

fn parameters() -> PostParams {
    PostParams {
        field_manager: Some("windlass".into()),
        dry_run: false,
    }
}
