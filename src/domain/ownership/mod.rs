//! Who owns which field of a live object, and what we may do about it.
//!
//! For each manager, the API server keeps the set of fields that it set last
//! (`managedFields`). Three decisions follow from that: whether an object is still
//! as we applied it ([`ownership_hash`]), what happens to a field that somebody else
//! owns ([`resolve`]), and which fields of other tools we adopt
//! ([`AdoptableFields`]).
//!
//! `managed`: reads `managedFields`. `hash`: the digest of our fields. `conflicts`
//! and `rules`: fields that others own. `adoption` and `versions`: rewrite
//! `managedFields`. `managed_by`: objects of Helm, Argo CD and Flux. `prediction`:
//! computes an apply without the server. `side_effects`: effects of an apply that
//! its diff does not show. `unmanaged`: what people set beside Git.

use super::fieldset::FieldSet;

mod adoption;
mod conflicts;
mod hash;
mod managed;
mod managed_by;
mod prediction;
mod rules;
mod side_effects;
#[cfg(test)]
mod tests;
mod unmanaged;
mod versions;

pub use adoption::{
    AdoptableFields, LAST_APPLIED, adopted, last_applied_by, leftovers, written_by,
};
pub use conflicts::{Conflict, claims_on_data, resolve};
pub use hash::ownership_hash;
pub use managed::{applies, entries, owned_by_managers};
pub use managed_by::{ARGO_LABEL, ManagedBy, managed_by, was_reconciled, without_marks};
pub use prediction::{of_others, outdated_defaults, without_dropped};
pub use rules::{FieldRule, FieldRules};
pub use side_effects::{admitted, changed_by_others, kept, replaced_lists};
pub use unmanaged::{UnmanagedFields, unmanaged_fields};
pub use versions::{migrated_managed_fields, recorded_versions};

/// One entry of `managedFields`.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub manager: String,
    /// `Apply`, or `Update` for every other way to write.
    pub applies: bool,
    pub subresource: Option<String>,
    pub time: Option<String>,
    pub fields: FieldSet,
}

/// The kind of a manager, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// windlass, by its field manager.
    Windlass,
    /// A former writer, which does not reconcile the object: `kubectl apply`, `kubectl create`.
    Leftover,
    /// A person: `kubectl edit`, `kubectl scale`, `kubectl label` …
    Person,
    /// An autoscaler, which sets the number of replicas.
    Autoscaler,
    /// Helm, Argo CD or Flux. Whether it still reconciles the object is checked in the cluster
    /// ([`managed_by`]).
    Reconciler,
    Other,
}

/// The prefix of windlass's field managers.
pub const OURS: &str = "windlass/";

/// Whether a manager is kubectl or a console: OpenShift's and Headlamp in a browser, Lens, k9s.
fn is_a_person(manager: &str) -> bool {
    manager.starts_with("kubectl") || ["Mozilla", "node-fetch", "k9s"].contains(&manager)
}

/// The field managers of Helm, Flux and Argo CD: helm pkg/kube (the program's name),
/// kustomize-controller and helm-controller main.go, argo-cd common/common.go and, in older
/// versions, the program's name.
const RECONCILERS: [&str; 5] = [
    "helm",
    "helm-controller",
    "kustomize-controller",
    "argocd-controller",
    "argocd-application-controller",
];

impl Entry {
    pub fn writer(&self) -> Writer {
        match self.manager.as_str() {
            name if name.starts_with(OURS) => Writer::Windlass,
            // kubectl's managers: `kubectl apply`, the same server-side, `kubectl create`.
            // `before-first-apply` owns all fields from before the first server-side apply.
            "kubectl-client-side-apply" | "kubectl-create" | "before-first-apply" => {
                Writer::Leftover
            }
            "kubectl" if self.applies => Writer::Leftover,
            name if is_a_person(name) => Writer::Person,
            // KEDA's operator uses its program's name.
            "horizontal-pod-autoscaler"
            | "vpa-updater"
            | "vpa-recommender"
            | "keda-operator"
            | "keda" => Writer::Autoscaler,
            // Everything that scales and is not a person, such as the HorizontalPodAutoscaler
            // controller.
            _ if self.subresource.as_deref() == Some("scale") => Writer::Autoscaler,
            name if RECONCILERS.contains(&name) => Writer::Reconciler,
            _ => Writer::Other,
        }
    }
}
