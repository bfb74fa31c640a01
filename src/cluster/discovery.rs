//! The kinds that a cluster serves, and what windlass may do there.

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Api;
use kube::api::{ApiResource, GroupVersionKind, PostParams};
use kube::discovery::{Discovery, Scope};

use super::connect::UNSERVED_FOR;
use super::objects::Found;
use super::{Cluster, Error, Result, call, refused};
use crate::domain::Live;
use crate::domain::manifest::ResourceKey;

impl Cluster {
    /// Helm's `.Capabilities`: the Kubernetes version, and the APIs served, as `apps/v1` and
    /// `apps/v1/Deployment`.
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

    /// The kinds served may have changed: a definition was applied.
    pub fn forget_kinds(&self) {
        *self.kinds.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.unserved
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        self.index.retry_refused();
    }

    /// The cluster's discovery: the known one, or read again if `refresh`.
    pub(super) async fn discovery(&self, refresh: bool) -> Result<Arc<Discovery>> {
        if !refresh
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
        // A server without aggregated discovery answers with an empty list.
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
        let is_known_unserved = |gvk: &GroupVersionKind| {
            self.unserved
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get(gvk)
                .is_some_and(|at| at.elapsed() < UNSERVED_FOR)
        };
        for refresh in [false, true] {
            // On a cluster with many definitions discovery is megabytes: it is not read again for
            // each object.
            if refresh && is_known_unserved(&gvk) {
                return Ok(None);
            }
            if let Some((resource, capabilities)) = self.discovery(refresh).await?.resolve_gvk(&gvk)
            {
                return Ok(Some((resource, capabilities.scope == Scope::Namespaced)));
            }
        }
        let mut unserved = self.unserved.lock().unwrap_or_else(PoisonError::into_inner);
        unserved.retain(|_, at| at.elapsed() < UNSERVED_FOR);
        unserved.insert(gvk, Instant::now());
        Ok(None)
    }

    /// Whether a kind has a status subresource.
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

    /// Whether this cluster's writer may apply objects of a resource (a SelfSubjectAccessReview).
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

    /// Whether the cluster serves a kind now, by a new read of its discovery.
    pub async fn serves(&self, group: &str, version: &str, kind: &str) -> Result<bool> {
        Ok(self
            .discovery(true)
            .await?
            .resolve_gvk(&GroupVersionKind::gvk(group, version, kind))
            .is_some())
    }

    /// The API version that the cluster recommends for a kind whose written version it does not
    /// serve: in the same group, or in the group that the kind moved to.
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

    /// The state of an object whose kind is not served: missing if the kind's definition was
    /// deleted, unknown if its definition or its API server is only out of order.
    pub(super) async fn of_unserved_kind(&self, key: &ResourceKey) -> Result<Found> {
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
        let defines = |definition: &Live| {
            definition["spec"]["group"] == key.group.as_str()
                && definition["spec"]["names"]["kind"] == key.kind.as_str()
        };
        if definitions.iter().any(defines) {
            return unknown("the cluster serves no version of its kind just now");
        }
        let services = match self
            .all("apiregistration.k8s.io", "v1", "APIService", None)
            .await
        {
            Err(Error::Forbidden { .. }) => Vec::new(),
            other => other?,
        };
        if services.iter().any(|service| {
            service["spec"]["group"] == key.group.as_str() && service["spec"]["service"].is_object()
        }) {
            return unknown("the API server of its kind does not answer just now");
        }
        Ok(Found::Missing)
    }
}
