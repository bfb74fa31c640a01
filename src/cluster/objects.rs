//! Reads of live objects.

use std::collections::BTreeMap;

use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams};
use serde_json::Value;

use super::{Cluster, Error, Result, refused, value_of};
use crate::domain::OWNER_LABEL;
use crate::domain::manifest::ResourceKey;
use crate::domain::ownership::ManagedBy;

/// What became of an object that we own.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    Live(Value),
    Gone,
    /// It cannot be looked at just now, for this reason.
    Unknown(String),
}

/// Whether a tool still keeps what it made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    Still,
    NoMore,
    /// Its kind is not served here, or windlass may not read it.
    Unknown,
}

/// A name in whatever values the server put it into: labels of a Job's pods, say.
pub(super) fn renamed(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::String(text) if text.contains(from) => *text = text.replace(from, to),
        Value::Object(map) => map.values_mut().for_each(|value| renamed(value, from, to)),
        Value::Array(items) => items.iter_mut().for_each(|item| renamed(item, from, to)),
        _ => {}
    }
}

impl Cluster {
    /// A live object; None where it is not (also where its namespace or kind is not).
    pub async fn live(&self, key: &ResourceKey, version: &str) -> Result<Option<Value>> {
        let Some((resource, _)) = self.kind(&key.group, version, &key.kind).await? else {
            return Ok(None);
        };
        let what = format!("read {key}");
        match self
            .call(&what, self.api(&resource, key).get(&key.name))
            .await?
        {
            Ok(object) => Ok(Some(value_of(object, &resource))),
            Err(status) if status.is_not_found() => Ok(None),
            Err(status) => Err(refused(&what, &status)),
        }
    }

    /// An object of the inventory, under the version that it was applied by or any other that is served; with that version.
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
            return Ok((version.into(), self.unserved(key).await?));
        };
        let found = match self.live(key, &served).await {
            Ok(Some(live)) => Found::Live(live),
            Ok(None) => Found::Gone,
            Err(Error::Forbidden { message, .. }) => Found::Unknown(message),
            Err(error) => return Err(error),
        };
        Ok((served, found))
    }

    /// Live objects of one kind in one namespace that carry our label with this value, whole, in one request.
    pub async fn owned(
        &self,
        group: &str,
        version: &str,
        kind: &str,
        namespace: Option<&str>,
        owner: &str,
    ) -> Result<Vec<Value>> {
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
            .map(|object| value_of(object, &resource))
            .collect())
    }

    /// Live objects of one kind, whoever's they are, as many as one page holds.
    pub async fn all(
        &self,
        group: &str,
        version: &str,
        kind: &str,
        namespace: Option<&str>,
    ) -> Result<Vec<Value>> {
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
            .map(|object| value_of(object, &resource))
            .collect())
    }

    /// Whether what the marks on an object name is still there to keep it.
    pub async fn keeps(&self, keeper: &ManagedBy) -> Result<Keeps> {
        let (group, version, kind, name, namespace) = match keeper {
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
        // It may run in another cluster.
        let Some((resource, _)) = self.kind(group, version, kind).await? else {
            return Ok(Keeps::Unknown);
        };
        let api = self.api_in(&resource, namespace.map(String::as_str));
        let parameters = match keeper {
            // Helm keeps a Secret for each revision of a release.
            ManagedBy::Helm { .. } => ListParams::default()
                .labels(&format!("owner=helm,name={name}"))
                .limit(1),
            _ => ListParams::default()
                .fields(&format!("metadata.name={name}"))
                .limit(1),
        };
        let what = format!("look for {keeper}");
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
    pub async fn pods_of(&self, workload: &Value) -> Result<Vec<Value>> {
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
            .map(|pod| value_of(pod, &resource))
            .collect())
    }
}
