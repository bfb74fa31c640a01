//! Applies and deletions, and their dry-runs.

use kube::Resource as _;
use kube::api::{
    DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy,
};
use kube::core::Status;
use serde_json::Value;
use sha2::Digest as _;

use super::objects::renamed;
use super::{Cluster, Error, Result, live_of, refused};
use crate::domain::Live;
use crate::domain::manifest::ResourceKey;
use crate::domain::ownership::Conflict;
use crate::domain::permit::WritePermit;
use crate::domain::plan;

/// The server's answer to an apply or its dry-run.
#[derive(Debug, Clone)]
pub enum Applied {
    /// The object as the server stored it, or would store it.
    Object(Live),
    NamespaceMissing,
    /// No such kind is served.
    KindMissing,
    /// Other field managers own fields, with other values.
    Conflicts(Vec<Conflict>),
    Refused(Refusal),
}

/// Why the API server refused an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Refusal {
    /// The server's message, without secrets.
    pub message: String,
    /// 422: the object is invalid, or changes an immutable field.
    pub invalid: bool,
    /// An admission webhook does not support dry-runs: nothing is known of the object.
    pub no_dry_run: bool,
    /// An admission webhook cannot be called.
    pub no_webhook: bool,
    /// Its namespace does not exist.
    pub no_namespace: bool,
    /// 403 of RBAC: the requesting account lacks the right.
    pub no_right: bool,
}

/// The fields that a 409 of server-side apply names.
pub(super) fn conflicts(status: &Status) -> Vec<Conflict> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes
        .filter(|cause| cause.reason == "FieldManagerConflict")
        .filter_map(|cause| Conflict::parse(&cause.message, &cause.field))
        .collect()
}

pub(super) fn refusal(key: &ResourceKey, status: &Status) -> Refusal {
    let fields: Vec<_> = status
        .details
        .iter()
        .flat_map(|details| &details.causes)
        .map(|cause| cause.field.clone())
        .collect();
    Refusal {
        message: plan::refusal(key, &status.reason, &status.message, &fields),
        invalid: status.code == 422,
        // The API server's message: apiserver pkg/endpoints/handlers/responsewriters,
        // forbiddenMessage.
        no_right: status.code == 403
            && status.message.contains("User \"")
            && status.message.contains("\" cannot "),
        no_namespace: namespace_missing(status, key),
        // The API server's message: apiserver pkg/admission/plugin/webhook/errors.
        no_webhook: status.code >= 500 && status.message.contains("failed calling webhook"),
        // The API server's message: pkg/admission, "does not support dry run". A webhook that
        // declares no side effects and still refuses dry-runs has a message of its own.
        no_dry_run: status.code == 400 && status.message.contains("does not support dry run")
            || refuses_dry_run(&status.message),
    }
}

pub(super) fn refuses_dry_run(message: &str) -> bool {
    let lower = message.to_ascii_lowercase();
    lower.contains("admission webhook")
        && lower.contains("denied the request")
        && ["dry run", "dry-run", "dryrun"]
            .iter()
            .any(|word| lower.contains(word))
}

pub(super) fn namespace_missing(status: &Status, key: &ResourceKey) -> bool {
    let Some(namespace) = &key.namespace else {
        return false;
    };
    status.is_not_found()
        && status
            .details
            .as_ref()
            .is_some_and(|details| details.kind == "namespaces" && details.name == *namespace)
}

impl Cluster {
    /// Why the server would refuse to delete an object. None: it would delete it, or the kind is
    /// not served.
    pub async fn would_refuse_deletion(
        &self,
        key: &ResourceKey,
        live: &Live,
    ) -> Result<Option<Refusal>> {
        let version = live["apiVersion"]
            .as_str()
            .and_then(|text| text.rsplit('/').next())
            .unwrap_or_default();
        let Some((resource, _)) = self.kind(&key.group, version, &key.kind).await? else {
            return Ok(None);
        };
        let parameters = DeleteParams {
            dry_run: true,
            preconditions: Some(Preconditions {
                uid: live.uid().map(str::to_string),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let what = format!("dry-run the deletion of {key}");
        let answer = self
            .call(
                &what,
                self.writes(&resource, key).delete(&key.name, &parameters),
            )
            .await?;
        Ok(answer
            .err()
            .filter(|status| !status.is_not_found() && !status.is_conflict())
            .map(|status| refusal(key, &status)))
    }

    /// Dry-runs the server-side apply of a payload. `force`: takes over fields that others own.
    pub async fn dry_run(
        &self,
        key: &ResourceKey,
        version: &str,
        payload: &Value,
        manager: &str,
        force: bool,
    ) -> Result<Applied> {
        let mut parameters = PatchParams::apply(manager);
        parameters.force = force;
        parameters.dry_run = true;
        let what = format!("dry-run {key}");
        self.server_side_apply(&what, key, version, payload, parameters)
            .await
    }

    async fn server_side_apply(
        &self,
        what: &str,
        key: &ResourceKey,
        version: &str,
        payload: &Value,
        parameters: PatchParams,
    ) -> Result<Applied> {
        let Some((resource, _)) = self.kind(&key.group, version, &key.kind).await? else {
            return Ok(Applied::KindMissing);
        };
        // As plain JSON: the object is not parsed into a typed one and serialized again.
        let url = DynamicObject::url_path(&resource, key.namespace.as_deref());
        let parameters = parameters.validation_strict();
        let request = async {
            let request =
                kube::core::Request::new(url).patch(&key.name, &parameters, &Patch::Apply(payload));
            self.writer
                .request::<Value>(request.map_err(kube::Error::BuildRequest)?)
                .await
        };
        match self.call(what, request).await? {
            Ok(object) => {
                let object = Live::new(object);
                if !parameters.dry_run {
                    self.index.note(&resource, key, &object).await;
                }
                Ok(Applied::Object(object))
            }
            Err(status) if namespace_missing(&status, key) => Ok(Applied::NamespaceMissing),
            Err(status) if status.is_not_found() => Ok(Applied::KindMissing),
            Err(status) if status.is_conflict() => match conflicts(&status) {
                // No field conflict: the resourceVersion is outdated, somebody wrote in between.
                found if found.is_empty() => Err(Error::Stale { what: what.into() }),
                found => Ok(Applied::Conflicts(found)),
            },
            Err(status) => Ok(Applied::Refused(refusal(key, &status))),
        }
    }

    /// Dry-runs the creation of an object under an unused name: an error is then about the object
    /// itself, not about the live one. The answer has the object's own name.
    pub async fn probe(
        &self,
        key: &ResourceKey,
        version: &str,
        payload: &Value,
    ) -> Result<std::result::Result<Live, Refusal>> {
        let Some((resource, _)) = self.kind(&key.group, version, &key.kind).await? else {
            return Ok(Ok(Live::new(payload.clone())));
        };
        let mut payload = payload.clone();
        let name = format!(
            "windlass-probe-{}",
            &hex::encode(sha2::Sha256::digest(key.to_string()))[..12]
        );
        // The name of a CustomResourceDefinition is fixed by its content.
        if key.kind != "CustomResourceDefinition" {
            payload["metadata"]["name"] = name.clone().into();
        }
        let object: DynamicObject = match serde_json::from_value(payload) {
            Ok(object) => object,
            Err(error) => {
                return Ok(Err(Refusal {
                    message: error.to_string(),
                    invalid: true,
                    ..Refusal::default()
                }));
            }
        };
        let parameters = PostParams {
            dry_run: true,
            field_manager: Some("windlass".into()),
        };
        let what = format!("dry-run the creation of {key}");
        let answer = self
            .call(
                &what,
                self.writes(&resource, key).create(&parameters, &object),
            )
            .await?;
        Ok(match answer {
            Ok(object) => {
                let mut object = live_of(object, &resource);
                renamed(&mut object, &name, &key.name);
                Ok(object)
            }
            Err(status) => {
                let refusal = refusal(key, &status);
                Err(Refusal {
                    message: refusal.message.replace(&name, &key.name),
                    ..refusal
                })
            }
        })
    }

    /// Dry-runs a merge patch (RFC 7386) of the live object.
    pub async fn dry_run_merge(
        &self,
        key: &ResourceKey,
        version: &str,
        patch: &Value,
        manager: &str,
    ) -> Result<Applied> {
        let Some((resource, _)) = self.kind(&key.group, version, &key.kind).await? else {
            return Ok(Applied::KindMissing);
        };
        let what = format!("dry-run {key}");
        let mut parameters = PatchParams {
            field_manager: Some(manager.into()),
            ..PatchParams::default()
        };
        parameters.dry_run = true;
        match self
            .call(
                &what,
                self.writes(&resource, key)
                    .patch(&key.name, &parameters, &Patch::Merge(patch)),
            )
            .await?
        {
            Ok(object) => Ok(Applied::Object(live_of(object, &resource))),
            Err(status) if status.is_conflict() => Err(Error::Stale { what }),
            Err(status) => Ok(Applied::Refused(refusal(key, &status))),
        }
    }
}

/// The methods that write to a cluster.
pub struct Writer<'a>(&'a Cluster);

impl std::ops::Deref for Writer<'_> {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        self.0
    }
}

impl Cluster {
    pub fn writer<'a>(&'a self, _: &'a WritePermit) -> Writer<'a> {
        Writer(self)
    }
}

impl Writer<'_> {
    /// Server-side apply of a payload. `force`: takes over fields that others own; if the payload
    /// has a resourceVersion, only while that is current.
    pub async fn apply(
        &self,
        key: &ResourceKey,
        version: &str,
        payload: &Value,
        manager: &str,
        force: bool,
    ) -> Result<Applied> {
        let mut parameters = PatchParams::apply(manager);
        parameters.force = force;
        let what = format!("apply {key}");
        self.server_side_apply(&what, key, version, payload, parameters)
            .await
    }

    /// Replaces `managedFields`, unless somebody wrote the object since. Returns the new
    /// resourceVersion.
    pub async fn set_managed_fields(
        &self,
        key: &ResourceKey,
        version: &str,
        resource_version: &str,
        fields: &Value,
    ) -> Result<String> {
        let Some((resource, _)) = self.kind(&key.group, version, &key.kind).await? else {
            return Ok(String::new());
        };
        let what = format!("take over {key}");
        let patch = serde_json::json!({"metadata": {"resourceVersion": resource_version, "managedFields": fields}});
        let request = self.writes(&resource, key);
        match self
            .call(
                &what,
                request.patch(&key.name, &PatchParams::default(), &Patch::Merge(&patch)),
            )
            .await?
        {
            Ok(object) => Ok(object.metadata.resource_version.unwrap_or_default()),
            Err(status) if status.is_conflict() => Err(Error::Stale { what }),
            Err(status) => Err(refused(&what, &status)),
        }
    }

    /// Deletes the object with this uid. True: it no longer exists.
    pub async fn delete(&self, key: &ResourceKey, version: &str, uid: &str) -> Result<bool> {
        self.delete_with(key, version, uid, PropagationPolicy::Background)
            .await
    }

    /// The same, and its dependents stay: the pods of a StatefulSet.
    pub async fn delete_alone(&self, key: &ResourceKey, version: &str, uid: &str) -> Result<bool> {
        self.delete_with(key, version, uid, PropagationPolicy::Orphan)
            .await
    }

    async fn delete_with(
        &self,
        key: &ResourceKey,
        version: &str,
        uid: &str,
        policy: PropagationPolicy,
    ) -> Result<bool> {
        let Some((resource, _)) = self.kind(&key.group, version, &key.kind).await? else {
            return Ok(true);
        };
        let parameters = DeleteParams {
            propagation_policy: Some(policy),
            preconditions: Some(Preconditions {
                uid: Some(uid.into()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let what = format!("delete {key}");
        match self
            .call(
                &what,
                self.writes(&resource, key).delete(&key.name, &parameters),
            )
            .await?
        {
            Ok(outcome) => Ok(outcome.is_right()),
            Err(status) if status.is_not_found() => Ok(true),
            Err(status) => Err(refused(&what, &status)),
        }
    }
}
