//! What is written to our own objects, each write conditional on what it was decided from.

use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams, PostParams};

use super::conditions::conditions;
use super::promotion::EARLIER;
use super::{
    Application, ApplicationSpec, ApplicationStatus, Promotion, PromotionSpec, PromotionStatus,
    Store,
};
use crate::cluster::{Result, call, refused};
use crate::domain::ApplicationKey;
use crate::domain::image::{Candidate, same_image};

/// What writes our own objects.
pub struct Writer<'a>(pub(super) &'a Store);

impl std::ops::Deref for Writer<'_> {
    type Target = Store;

    fn deref(&self) -> &Store {
        self.0
    }
}

impl Writer<'_> {
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
