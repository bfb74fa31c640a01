//! Reads of live objects.

use std::collections::BTreeMap;

use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams};
use serde_json::Value;

use super::{Cluster, Error, Result, live_of, refused};
use crate::domain::Live;
use crate::domain::OWNER_LABEL;
use crate::domain::manifest::ResourceKey;
use crate::domain::ownership::ManagedBy;

/// The live state of an object in the inventory.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    Live(Live),
    Missing,
    /// It cannot be read now, for this reason.
    Unknown(String),
}

/// Whether the Flux, Argo CD or Helm object that manages a live object still exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    Still,
    NoMore,
    /// Its kind is not served here, or windlass may not read it.
    Unknown,
}

/// Replaces a name in all values that the server derived from it, such as the labels of a Job's
/// pods.
pub(super) fn renamed(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::String(text) if text.contains(from) => *text = text.replace(from, to),
        Value::Object(map) => map.values_mut().for_each(|value| renamed(value, from, to)),
        Value::Array(items) => items.iter_mut().for_each(|item| renamed(item, from, to)),
        _ => {}
    }
}

impl Cluster {
    /// A live object; None if it, its namespace or its kind does not exist.
    pub async fn live(&self, key: &ResourceKey, version: &str) -> Result<Option<Live>> {
        let Some((resource, _)) = self.kind(&key.group, version, &key.kind).await? else {
            return Ok(None);
        };
        let what = format!("read {key}");
        match self
            .call(&what, self.api(&resource, key).get(&key.name))
            .await?
        {
            Ok(object) => Ok(Some(live_of(object, &resource))),
            Err(status) if status.is_not_found() => Ok(None),
            Err(status) => Err(refused(&what, &status)),
        }
    }

    /// An object of the inventory, read by the version that it was applied by, or else by the
    /// version that the cluster recommends. Returns that version too.
    pub async fn find(&self, key: &ResourceKey, version: &str) -> Result<(String, Found)> {
        let served = match self.kind(&key.group, version, &key.kind).await? {
            Some(_) => Some(version.to_string()),
            None => {
                let discovery = self.discovery(false).await?;
                let group = discovery.get(&key.group);
                group
                    .and_then(|group| group.recommended_kind(&key.kind))
                    .map(|(resource, _)| resource.version)
            }
        };
        let Some(served) = served else {
            return Ok((version.into(), self.of_unserved_kind(key).await?));
        };
        let found = match self.live(key, &served).await {
            Ok(Some(live)) => Found::Live(live),
            Ok(None) => Found::Missing,
            Err(Error::Forbidden { message, .. }) => Found::Unknown(message),
            Err(error) => return Err(error),
        };
        Ok((served, found))
    }

    /// Live objects of one kind in one namespace that carry our label with this value, in one
    /// request.
    pub async fn owned(
        &self,
        group: &str,
        version: &str,
        kind: &str,
        namespace: Option<&str>,
        owner: &str,
    ) -> Result<Vec<Live>> {
        let Some((resource, _)) = self.kind(group, version, kind).await? else {
            return Ok(Vec::new());
        };
        let api = self.api_in(&resource, namespace);
        let what = format!("list {kind}");
        let parameters = ListParams::default().labels(&format!("{OWNER_LABEL}={owner}"));
        let found = self
            .call(&what, api.list(&parameters))
            .await?
            .map_err(|status| refused(&what, &status))?;
        Ok(found
            .items
            .into_iter()
            .map(|object| live_of(object, &resource))
            .collect())
    }

    /// Live objects of one kind, whoever owns them; at most one page (500).
    pub async fn all(
        &self,
        group: &str,
        version: &str,
        kind: &str,
        namespace: Option<&str>,
    ) -> Result<Vec<Live>> {
        let Some((resource, _)) = self.kind(group, version, kind).await? else {
            return Ok(Vec::new());
        };
        let api = self.api_in(&resource, namespace);
        let what = format!("list {kind}");
        let found = self
            .call(&what, api.list(&ListParams::default().limit(500)))
            .await?
            .map_err(|status| refused(&what, &status))?;
        Ok(found
            .items
            .into_iter()
            .map(|object| live_of(object, &resource))
            .collect())
    }

    /// Whether the object that `manager` names still exists.
    pub async fn keeps(&self, manager: &ManagedBy) -> Result<Keeps> {
        let (group, version, kind, name, namespace) = match manager {
            ManagedBy::Flux {
                kind: "HelmRelease",
                name,
                namespace,
            } => (
                "helm.toolkit.fluxcd.io",
                "v2",
                "HelmRelease",
                name,
                Some(namespace),
            ),
            ManagedBy::Flux {
                kind,
                name,
                namespace,
            } => (
                "kustomize.toolkit.fluxcd.io",
                "v1",
                *kind,
                name,
                Some(namespace),
            ),
            ManagedBy::ArgoCd {
                application,
                namespace,
            } => (
                "argoproj.io",
                "v1alpha1",
                "Application",
                application,
                namespace.as_ref(),
            ),
            ManagedBy::Helm { release, namespace } => {
                ("", "v1", "Secret", release, Some(namespace))
            }
        };
        // The manager may run in another cluster.
        let Some((resource, _)) = self.kind(group, version, kind).await? else {
            return Ok(Keeps::Unknown);
        };
        let api = self.api_in(&resource, namespace.map(String::as_str));
        let parameters = match manager {
            // Helm keeps a Secret for each revision of a release.
            ManagedBy::Helm { .. } => ListParams::default()
                .labels(&format!("owner=helm,name={name}"))
                .limit(1),
            _ => ListParams::default()
                .fields(&format!("metadata.name={name}"))
                .limit(1),
        };
        let what = format!("look for {manager}");
        Ok(
            match self.call(&what, api.list_metadata(&parameters)).await? {
                Ok(found) if found.items.is_empty() => Keeps::NoMore,
                Ok(_) => Keeps::Still,
                Err(status) if status.is_not_found() => Keeps::NoMore,
                Err(_) => Keeps::Unknown,
            },
        )
    }

    /// The pods that a workload's selector matches.
    pub async fn pods_of(&self, workload: &Value) -> Result<Vec<Live>> {
        let labels = workload["spec"]["selector"]["matchLabels"].as_object();
        let (Some(labels), Some(namespace)) = (labels, workload["metadata"]["namespace"].as_str())
        else {
            return Ok(Vec::new());
        };
        let selector: BTreeMap<_, _> = labels
            .iter()
            .filter_map(|(name, value)| Some((name, value.as_str()?)))
            .collect();
        let selector = selector
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join(",");
        let resource = ApiResource::erase::<k8s_openapi::api::core::v1::Pod>(&());
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), namespace, &resource);
        let what = "list pods";
        let found = self
            .call(what, api.list(&ListParams::default().labels(&selector)))
            .await?
            .map_err(|status| refused(what, &status))?;
        Ok(found
            .items
            .into_iter()
            .map(|pod| live_of(pod, &resource))
            .collect())
    }
}
