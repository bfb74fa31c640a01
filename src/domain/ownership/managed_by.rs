//! The tool that manages an object: Helm, Argo CD or Flux, by their labels and annotations.

use std::borrow::Cow;
use std::fmt;

use super::Writer;
use super::managed::entries_where;
use serde_json::Value;

use crate::domain::fieldset::{Element, FieldPath};
use crate::domain::manifest::without_metadata;
use crate::domain::{APPLICATION_ANNOTATION, Live, OWNER_LABEL};

/// The object of a tool that manages a live object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManagedBy {
    /// A Helm release: its name and namespace.
    Helm { release: String, namespace: String },
    /// An Argo CD Application: its name, and its namespace if the tracking label or annotation has
    /// it.
    ArgoCd {
        application: String,
        namespace: Option<String>,
    },
    /// A Flux Kustomization or HelmRelease.
    Flux {
        kind: &'static str,
        name: String,
        namespace: String,
    },
}

/// The label by which Argo CD tracked objects before version 3.
pub const ARGO_LABEL: &str = "app.kubernetes.io/instance";

impl ManagedBy {
    /// Parses an application's name. `namespace_name` is one outside Argo CD's own namespace.
    fn argo_cd(id: &str) -> Self {
        match id.split_once('_') {
            Some((namespace, name)) => Self::ArgoCd {
                application: name.into(),
                namespace: Some(namespace.into()),
            },
            None => Self::ArgoCd {
                application: id.into(),
                namespace: None,
            },
        }
    }
}

impl fmt::Display for ManagedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Helm { release, namespace } => {
                write!(f, "the Helm release {namespace}/{release}")
            }
            Self::ArgoCd {
                application,
                namespace: None,
            } => write!(f, "the Argo CD Application {application}"),
            Self::ArgoCd {
                application,
                namespace: Some(namespace),
            } => write!(f, "the Argo CD Application {namespace}/{application}"),
            Self::Flux {
                kind,
                name,
                namespace,
            } => write!(f, "the Flux {kind} {namespace}/{name}"),
        }
    }
}

/// The tool that manages an object, by its labels and annotations. They may be outdated:
/// `Cluster::keeps` checks that.
pub fn managed_by(live: &Live) -> Option<ManagedBy> {
    let text = |map: &str, name: &str| live["metadata"][map][name].as_str().map(str::to_string);
    if let Some(tracking) = text("annotations", "argocd.argoproj.io/tracking-id") {
        return Some(ManagedBy::argo_cd(
            tracking.split(':').next().unwrap_or_default(),
        ));
    }
    for (kind, prefix) in [
        ("Kustomization", "kustomize.toolkit.fluxcd.io"),
        ("HelmRelease", "helm.toolkit.fluxcd.io"),
    ] {
        if let (Some(name), Some(namespace)) = (
            text("labels", &format!("{prefix}/name")),
            text("labels", &format!("{prefix}/namespace")),
        ) {
            return Some(ManagedBy::Flux {
                kind,
                name,
                namespace,
            });
        }
    }
    // Charts set this label too. It counts only if Argo CD wrote it (its default before version 3).
    let instance = FieldPath(
        ["metadata", "labels", ARGO_LABEL]
            .map(|name| Element::Field(name.into()))
            .into(),
    );
    if let Some(name) = text("labels", ARGO_LABEL)
        && entries_where(live, |entry| entry.manager.starts_with("argocd-"))
            .iter()
            .any(|entry| entry.fields.contains(&instance))
    {
        return Some(ManagedBy::argo_cd(&name));
    }
    let release = text("annotations", "meta.helm.sh/release-name")
        .filter(|_| text("labels", "app.kubernetes.io/managed-by").as_deref() == Some("Helm"))?;
    let namespace = text("annotations", "meta.helm.sh/release-namespace")
        .or_else(|| live["metadata"]["namespace"].as_str().map(str::to_string))?;
    Some(ManagedBy::Helm { release, namespace })
}

/// The labels and annotations by which Argo CD, Flux and windlass know their objects.
const MARKS: [(&str, &str); 7] = [
    ("labels", OWNER_LABEL),
    ("annotations", APPLICATION_ANNOTATION),
    ("labels", ARGO_LABEL),
    ("labels", "kustomize.toolkit.fluxcd.io/name"),
    ("labels", "kustomize.toolkit.fluxcd.io/namespace"),
    ("annotations", "argocd.argoproj.io/tracking-id"),
    ("annotations", "argocd.argoproj.io/installation-id"),
];

/// An object without the marks of who keeps it.
pub fn without_marks(object: &Value) -> Cow<'_, Value> {
    without_metadata(object, &MARKS)
}

/// Whether Helm, Argo CD or Flux ever wrote an object.
pub fn was_reconciled(live: &Live) -> bool {
    !entries_where(live, |entry| entry.writer() == Writer::Reconciler).is_empty()
}
