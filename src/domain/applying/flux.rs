//! Flux's kustomize-controller: server-side apply by force, after it has taken
//! over what kubectl wrote.

use serde_json::Value;

use super::{NotAutomatic, says, set};
use crate::domain::Live;
use crate::domain::catalog::Named;
use crate::domain::ownership::{AdoptableFields, Entry, written_by};

const NAME: &str = "kustomize.toolkit.fluxcd.io/name";
const NAMESPACE: &str = "kustomize.toolkit.fluxcd.io/namespace";
const RECONCILE: &str = "kustomize.toolkit.fluxcd.io/reconcile";
const PRUNE: &str = "kustomize.toolkit.fluxcd.io/prune";
const SSA: &str = "kustomize.toolkit.fluxcd.io/ssa";
const FORCE: &str = "kustomize.toolkit.fluxcd.io/force";

/// A Kustomization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flux {
    name: String,
    namespace: String,
    prune: bool,
    force: bool,
    suspended: bool,
}

impl Flux {
    pub(super) fn of(named: &Named, object: Option<&Live>) -> Self {
        let spec = |field: &str| object.map(|object| object["spec"][field] == true);
        Self {
            name: named.name.clone(),
            namespace: named.namespace.clone(),
            prune: spec("prune").unwrap_or(true),
            force: spec("force").unwrap_or_default(),
            suspended: spec("suspend").unwrap_or_default(),
        }
    }

    pub(super) fn not_automatic(&self) -> Option<NotAutomatic> {
        self.suspended.then_some(NotAutomatic::Suspended)
    }

    pub(super) fn mark(&self, value: &mut Value) {
        set(value, "labels", NAME, &self.name);
        set(value, "labels", NAMESPACE, &self.namespace);
    }

    pub(super) fn keeps(&self, live: &Live) -> Option<String> {
        if !self.prune {
            return Some("`spec.prune` of its Kustomization is off".into());
        }
        let mark = |name: &str, value: &str| {
            says(live, name, value).then(|| format!("it is marked `{name}: {value}`"))
        };
        let labels = &live["metadata"]["labels"];
        if labels[NAME] != self.name.as_str() || labels[NAMESPACE] != self.namespace.as_str() {
            return Some("it does not have the labels of its Kustomization".into());
        }
        mark(PRUNE, "disabled")
            .or_else(|| mark(RECONCILE, "disabled"))
            .or_else(|| mark(SSA, "Ignore"))
    }

    pub(super) fn recreates(&self, wanted: &Value, live: &Live) -> bool {
        self.force || says(wanted, FORCE, "enabled") || says(live, FORCE, "enabled")
    }
}

pub(super) fn leaves(wanted: &Value, live: Option<&Live>) -> Option<String> {
    let either = |name: &str, value: &str| {
        let marked = says(wanted, name, value) || live.is_some_and(|live| says(live, name, value));
        marked.then(|| format!("it is marked `{name}: {value}`"))
    };
    let only_new = || {
        let marked = live.is_some() && says(wanted, SSA, "IfNotPresent");
        marked.then(|| format!("it exists, and is marked `{SSA}: IfNotPresent`"))
    };
    either(RECONCILE, "disabled")
        .or_else(|| either(SSA, "Ignore"))
        .or_else(only_new)
}

/// What kubectl wrote in any way, and the controller before it used server-side apply. Not with
/// `ssa: Merge`.
pub(super) fn takes_over(wanted: &Value, live: &Live) -> Option<AdoptableFields> {
    if says(wanted, SSA, "Merge") || says(live, SSA, "Merge") {
        return None;
    }
    written_by(live, |entry: &Entry| {
        entry.manager.starts_with("kubectl")
            || !entry.applies
                && (entry.manager.starts_with("before-first-apply")
                    || entry.manager.starts_with("kustomize-controller"))
    })
}
