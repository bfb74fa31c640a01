//! What a cluster serves, and what we may do there.

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Api;
use kube::api::{ApiResource, GroupVersionKind, PostParams};
use kube::discovery::{Discovery, Scope};
use serde_json::Value;

use super::connect::MISSED_FOR;
use super::objects::Found;
use super::{Cluster, Error, Result, call, refused};
use crate::domain::manifest::ResourceKey;

impl Cluster {
    /// What a chart may ask about the cluster: its version, and what it serves as `apps/v1` and `apps/v1/Deployment`.
    pub async fn capabilities(&self) -> Result<(String, Vec<String>)> {
        let what = "read the cluster's version";
        let version = self
            .call(what, self.client.apiserver_version())
            .await?
            .map_err(|status| refused(what, &status))?;
        let discovery = self.discovery(false).await?;
        let mut apis = std::collections::BTreeSet::new();
        for group in discovery.groups() {
            for version in group.versions() {
                for (resource, _) in group.versioned_resources(version) {
                    apis.insert(format!("{}/{}", resource.api_version, resource.kind));
                    apis.insert(resource.api_version);
                }
            }
        }
        Ok((version.git_version, apis.into_iter().collect()))
    }

    /// What is served may have changed: a definition was applied.
    pub fn forget_kinds(&self) {
        *self.kinds.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.missed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        self.index.retry_refused();
    }

    /// What the cluster serves, asked once and again when a kind is missing.
    pub(super) async fn discovery(&self, anew: bool) -> Result<Arc<Discovery>> {
        if !anew
            && let Some(known) = self
                .kinds
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone()
        {
            return Ok(known);
        }
        let what = "discover kinds";
        let mut found = call(what, Discovery::new(self.client.clone()).run_aggregated())
            .await?
            .map_err(|status| refused(what, &status))?;
        // A server without aggregated discovery answers with nothing at all.
        if !found.has_group("") {
            found = call(what, Discovery::new(self.client.clone()).run())
                .await?
                .map_err(|status| refused(what, &status))?;
        }
        let found = Arc::new(found);
        *self.kinds.lock().unwrap_or_else(PoisonError::into_inner) = Some(found.clone());
        Ok(found)
    }

    /// The resource of a kind and whether it is namespaced; None: it is not served.
    pub async fn kind(
        &self,
        group: &str,
        version: &str,
        kind: &str,
    ) -> Result<Option<(ApiResource, bool)>> {
        let gvk = GroupVersionKind::gvk(group, version, kind);
        let missed = |of: &GroupVersionKind| {
            self.missed
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get(of)
                .is_some_and(|at| at.elapsed() < MISSED_FOR)
        };
        for anew in [false, true] {
            // What is served is megabytes on a cluster with many definitions: not asked for again for each object.
            if anew && missed(&gvk) {
                return Ok(None);
            }
            if let Some((resource, capabilities)) = self.discovery(anew).await?.resolve_gvk(&gvk) {
                return Ok(Some((resource, capabilities.scope == Scope::Namespaced)));
            }
        }
        let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        missed.retain(|_, at| at.elapsed() < MISSED_FOR);
        missed.insert(gvk, Instant::now());
        Ok(None)
    }

    /// Whether objects of a kind have a status that a controller writes.
    pub async fn has_status(&self, group: &str, version: &str, kind: &str) -> Result<bool> {
        let found = self
            .discovery(false)
            .await?
            .resolve_gvk(&GroupVersionKind::gvk(group, version, kind));
        Ok(found.is_some_and(|(_, capabilities)| {
            capabilities.subresources.iter().any(|(resource, _)| {
                resource.plural == "status" || resource.plural.ends_with("/status")
            })
        }))
    }

    /// Whether whoever writes here may apply objects of a resource: asked of the cluster.
    pub async fn may_apply(
        &self,
        group: &str,
        plural: &str,
        namespace: Option<&str>,
    ) -> Result<bool> {
        let reviews: Api<SelfSubjectAccessReview> = Api::all(self.writer.clone());
        for verb in ["patch", "create"] {
            let attributes = ResourceAttributes {
                group: Some(group.into()),
                resource: Some(plural.into()),
                namespace: namespace.map(str::to_string),
                verb: Some(verb.into()),
                ..ResourceAttributes::default()
            };
            let spec = SelfSubjectAccessReviewSpec {
                resource_attributes: Some(attributes),
                ..Default::default()
            };
            let review = SelfSubjectAccessReview {
                spec,
                ..Default::default()
            };
            let what = format!("ask whether it may {verb} {plural}.{group}");
            let answer = self
                .call(&what, reviews.create(&PostParams::default(), &review))
                .await?
                .map_err(|status| refused(&what, &status))?;
            if !answer.status.is_some_and(|status| status.allowed) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the cluster serves a kind just now: asked anew.
    pub async fn serves(&self, group: &str, version: &str, kind: &str) -> Result<bool> {
        Ok(self
            .discovery(true)
            .await?
            .resolve_gvk(&GroupVersionKind::gvk(group, version, kind))
            .is_some())
    }

    /// The API version that a kind is served under here, when it is not the one that somebody wrote: of the same group, or
    /// of the group that the kind has moved to.
    pub async fn served_as(&self, group: &str, kind: &str) -> Result<Option<String>> {
        // kubernetes.io/docs/reference/using-api/deprecation-guide.
        let moved = match (group, kind) {
            ("extensions", "Ingress" | "NetworkPolicy") => "networking.k8s.io",
            ("extensions", "PodDisruptionBudget") => "policy",
            ("extensions", _) => "apps",
            (same, _) => same,
        };
        let discovery = self.discovery(false).await?;
        Ok(discovery
            .get(moved)
            .and_then(|group| group.recommended_kind(kind))
            .map(|(resource, _)| resource.api_version))
    }

    /// What a kind is that no version is served of: gone with its definition, or out of order for a while.
    pub(super) async fn unserved(&self, key: &ResourceKey) -> Result<Found> {
        let unknown = |why: &str| Ok(Found::Unknown(why.to_string()));
        let definitions = match self
            .all(
                "apiextensions.k8s.io",
                "v1",
                "CustomResourceDefinition",
                None,
            )
            .await
        {
            Err(Error::Forbidden { message, .. }) => return Ok(Found::Unknown(message)),
            other => other?,
        };
        let defines = |one: &&Value| {
            one["spec"]["group"] == key.group.as_str()
                && one["spec"]["names"]["kind"] == key.kind.as_str()
        };
        if definitions.iter().any(|one| defines(&one)) {
            return unknown("the cluster serves no version of its kind just now");
        }
        let services = match self
            .all("apiregistration.k8s.io", "v1", "APIService", None)
            .await
        {
            Err(Error::Forbidden { .. }) => Vec::new(),
            other => other?,
        };
        if services.iter().any(|one| {
            one["spec"]["group"] == key.group.as_str() && one["spec"]["service"].is_object()
        }) {
            return unknown("the API server of its kind does not answer just now");
        }
        Ok(Found::Gone)
    }
}
