//! How Argo CD and Flux apply what Git has: what a preview of a stage that they
//! reconcile has to reproduce besides the manifests.
//!
//! Read from their own objects, the Argo CD `Application` and the Flux
//! `Kustomization`. [`three_way`]: Argo CD's client-side apply.
//!
//! Facts: argo-cd 3.2 `util/argo/resource_tracking.go` and gitops-engine
//! `pkg/sync/sync_context.go`; kustomize-controller 1.9
//! `internal/controller/kustomization_controller.go` and fluxcd/pkg/ssa;
//! helm-controller 1.6 `internal/action` and helm 4.2 `pkg/kube/client.go`. `make
//! test-peers` compares all of it with what they do.

mod argo_cd;
mod flux;
mod helm;
mod ignored;
mod three_way;

use serde_json::Value;

use super::build::release;
use super::catalog::Reconciler;
use super::manifest::ResourceKey;
use super::ownership::AdoptableFields;
use crate::domain::Live;
pub use argo_cd::{ArgoCd, SETTINGS};
pub use flux::Flux;
pub use three_way::{merge_key, replaced, three_way};

/// How another reconciler applies the objects of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applying {
    ArgoCd(ArgoCd),
    Flux(Flux),
    /// Flux's helm-controller, what a HelmRelease installs.
    Helm,
}

/// Why nothing is synced without a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAutomatic {
    /// Its Application is synced by people.
    Manual,
    /// Its Kustomization is suspended.
    Suspended,
}

/// How it writes an object that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    ServerSide,
    /// [`three_way`].
    Merge,
    /// What Git does not have goes.
    Replace,
    /// Deleted and created again, with every sync.
    Recreate,
}

impl Applying {
    /// `object`: the reconciler's own object, if it exists. `settings`: Argo CD's ConfigMap
    /// [`SETTINGS`], if it can be read. None: windlass applies the stage.
    pub fn of(
        reconciler: &Reconciler,
        namespace: &str,
        object: Option<&Live>,
        settings: Option<&Live>,
    ) -> Option<Self> {
        Some(match reconciler {
            Reconciler::Windlass => return None,
            Reconciler::ArgoCd(named) => {
                Self::ArgoCd(ArgoCd::of(named, namespace, object, settings))
            }
            Reconciler::Flux(named) => Self::Flux(Flux::of(named, object)),
        })
    }

    /// Adds the labels and annotations by which it finds its objects again.
    pub fn mark(&self, key: &ResourceKey, value: &mut Value) {
        match self {
            Self::ArgoCd(argo_cd) => argo_cd.mark(key, value),
            Self::Flux(flux) => flux.mark(value),
            // The rendering has marked it.
            Self::Helm => {}
        }
    }

    /// The marks as a live object has them, where the reconciler's settings are not known.
    pub fn mark_as_live(&self, value: &mut Value, live: &Live) {
        if let Self::ArgoCd(argo_cd) = self {
            argo_cd.mark_as_live(value, live);
        }
    }

    /// Why it does not apply an object.
    pub fn leaves(&self, wanted: &Value, live: Option<&Live>) -> Option<String> {
        match self {
            Self::ArgoCd(_) | Self::Helm => None,
            Self::Flux(_) => flux::leaves(wanted, live),
        }
    }

    /// Why it does not delete an object that is no longer in Git.
    pub fn keeps(&self, live: &Live) -> Option<String> {
        match self {
            Self::ArgoCd(argo_cd) => argo_cd.keeps(live),
            // Of the objects that a Kustomization is for, a HelmRelease installed some.
            Self::Flux(_) if release::release_of_live(live).is_some() => helm::keeps(live),
            Self::Flux(flux) => flux.keeps(live),
            Self::Helm => helm::keeps(live),
        }
    }

    /// Why it deletes no object that is no longer in Git if Git has no other.
    pub fn keeps_last(&self) -> Option<String> {
        match self {
            Self::ArgoCd(argo_cd) => argo_cd.keeps_last(),
            Self::Flux(_) | Self::Helm => None,
        }
    }

    /// Why it does not delete an object with the object of its own that declares it.
    pub fn keeps_at_end(&self, live: &Live) -> Option<String> {
        match self {
            Self::ArgoCd(_) => argo_cd::keeps_at_end(live),
            Self::Flux(_) | Self::Helm => self.keeps(live),
        }
    }

    /// Why nothing is synced without a person, if so.
    pub fn not_automatic(&self) -> Option<NotAutomatic> {
        match self {
            Self::ArgoCd(argo_cd) => argo_cd.not_automatic(),
            Self::Flux(flux) => flux.not_automatic(),
            Self::Helm => None,
        }
    }

    /// Whether it syncs by itself, and then only if an object differs from Git.
    pub fn syncs_for_differences_alone(&self) -> bool {
        match self {
            Self::ArgoCd(argo_cd) => argo_cd.syncs_for_differences_alone(),
            Self::Flux(_) | Self::Helm => false,
        }
    }

    /// Whether it creates the namespace of its objects.
    pub fn creates(&self, namespace: &str) -> bool {
        match self {
            Self::ArgoCd(argo_cd) => argo_cd.creates(namespace),
            Self::Flux(_) | Self::Helm => false,
        }
    }

    /// Sets the fields that it leaves as they are, whatever Git has.
    pub fn leave_ignored(&self, key: &ResourceKey, wanted: &mut Value, live: &Live) {
        if let Self::ArgoCd(argo_cd) = self {
            argo_cd.leave_ignored(key, wanted, live);
        }
    }

    /// Whether its sync may change an object that Git does not change.
    pub fn sets_back(&self, key: &ResourceKey) -> bool {
        match self {
            Self::ArgoCd(argo_cd) => argo_cd.sets_back(key),
            Self::Flux(_) | Self::Helm => false,
        }
    }

    /// Expressions of its rules for ignored fields that windlass does not evaluate.
    pub fn unread<'a>(&'a self, key: &'a ResourceKey) -> Vec<&'a str> {
        match self {
            Self::ArgoCd(argo_cd) => argo_cd.unread(key),
            Self::Flux(_) | Self::Helm => Vec::new(),
        }
    }

    /// Whether it applies nothing for what differs between the two.
    pub fn ignores(&self, key: &ResourceKey, before: &Live, after: &Live) -> bool {
        match self {
            Self::ArgoCd(argo_cd) => argo_cd.ignores(key, before, after),
            Self::Flux(_) | Self::Helm => false,
        }
    }

    /// Whether it recreates an object that the server refuses to update.
    pub fn recreates(&self, wanted: &Value, live: &Live) -> bool {
        match self {
            Self::ArgoCd(argo_cd) => argo_cd.recreates(wanted),
            Self::Flux(flux) => flux.recreates(wanted, live),
            Self::Helm => false,
        }
    }

    /// The annotation that allows that. None: there is none.
    pub fn permission(&self) -> Option<&'static str> {
        match self {
            Self::ArgoCd(_) => Some("argocd.argoproj.io/sync-options: Force=true,Replace=true"),
            Self::Flux(_) => Some("kustomize.toolkit.fluxcd.io/force: enabled"),
            Self::Helm => None,
        }
    }

    pub fn method(&self, wanted: &Value) -> Method {
        match self {
            Self::ArgoCd(argo_cd) => argo_cd.method(wanted),
            Self::Flux(_) | Self::Helm => Method::ServerSide,
        }
    }

    /// Whether it compares an object by the schema that the cluster has before it syncs anything.
    pub fn compares_by_schema(&self) -> bool {
        match self {
            Self::ArgoCd(argo_cd) => argo_cd.compares_by_schema(),
            Self::Flux(_) | Self::Helm => false,
        }
    }

    /// The fields of former managers that it takes over: what is not in Git is removed.
    pub fn takes_over(&self, wanted: &Value, live: &Live) -> Option<AdoptableFields> {
        match self {
            Self::ArgoCd(_) => argo_cd::takes_over(live),
            Self::Flux(_) => flux::takes_over(wanted, live),
            Self::Helm => None,
        }
    }
}

/// Sets a label (`labels`) or an annotation (`annotations`).
fn set(value: &mut Value, map: &str, name: &str, text: &str) {
    if !value["metadata"][map].is_object() {
        value["metadata"][map] = Value::Object(Default::default());
    }
    value["metadata"][map][name] = text.into();
}

/// Whether an object says something in one of its annotations or labels, in capitals or not.
fn says(object: &Value, name: &str, wanted: &str) -> bool {
    ["annotations", "labels"].iter().any(|map| {
        object["metadata"][*map][name]
            .as_str()
            .is_some_and(|text| text.eq_ignore_ascii_case(wanted))
    })
}

#[cfg(test)]
mod tests;
