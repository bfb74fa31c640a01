//! What applies a stage's manifests.

use super::invalid;
use crate::domain::Invalid;
use crate::domain::manifest::{ResourceKey, is_label};

/// What applies a stage's manifests.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Reconciler {
    #[default]
    Windlass,
    /// An Argo CD `Application`.
    ArgoCd(Named),
    /// A Flux `Kustomization`.
    Flux(Named),
}

/// The object of another reconciler. Its name may contain `{application}` and `{stage}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The cluster that it is in. None: the one that it applies to.
    pub cluster: Option<String>,
    pub namespace: String,
    pub name: String,
}

impl Reconciler {
    /// The object of another reconciler, and its API version; None: windlass applies the stage.
    pub fn object(&self) -> Option<(ResourceKey, &'static str)> {
        let (group, version, kind, named) = match self {
            Self::ArgoCd(named) => ("argoproj.io", "v1alpha1", "Application", named),
            Self::Flux(named) => ("kustomize.toolkit.fluxcd.io", "v1", "Kustomization", named),
            Self::Windlass => return None,
        };
        let namespace = Some(named.namespace.clone());
        Some((
            ResourceKey {
                group: group.into(),
                kind: kind.into(),
                namespace,
                name: named.name.clone(),
            },
            version,
        ))
    }

    /// The cluster of that object, if it is another one than that of the application.
    pub fn hub(&self) -> Option<&str> {
        match self {
            Self::Windlass => None,
            Self::ArgoCd(named) | Self::Flux(named) => named.cluster.as_deref(),
        }
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Windlass => "windlass",
            Self::ArgoCd(_) => "Argo CD",
            Self::Flux(_) => "Flux",
        }
    }

    /// An error if its object has no valid name.
    pub(super) fn check(&self) -> Result<(), Invalid> {
        match self {
            Self::ArgoCd(named) | Self::Flux(named)
                if !(is_label(&named.namespace) && is_label(&named.name.replace('.', "-"))) =>
            {
                Err(invalid(format_args!(
                    "`{}/{}` is not a valid namespace and name",
                    named.namespace, named.name
                )))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn filled(&self, fill: impl Fn(&str) -> String) -> Self {
        let named = |named: &Named| Named {
            cluster: named.cluster.clone(),
            namespace: fill(&named.namespace),
            name: fill(&named.name),
        };
        match self {
            Self::Windlass => Self::Windlass,
            Self::ArgoCd(object) => Self::ArgoCd(named(object)),
            Self::Flux(object) => Self::Flux(named(object)),
        }
    }
}
