//! The order in which objects are applied.

use super::ResourceKey;

/// The stage of a sync in which an object is applied: definitions, objects that others refer to,
/// the rest, and at last objects that could block the rest (webhooks, aggregated APIs).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ApplyPhase {
    Definitions,
    References,
    Workloads,
    Gatekeepers,
}

pub fn apply_phase(key: &ResourceKey) -> ApplyPhase {
    match key.kind.as_str() {
        "CustomResourceDefinition" | "Namespace" => ApplyPhase::Definitions,
        "ClusterRole"
        | "ClusterRoleBinding"
        | "ServiceAccount"
        | "Role"
        | "RoleBinding"
        | "Secret"
        | "ConfigMap"
        | "PersistentVolume"
        | "PersistentVolumeClaim"
        | "ResourceQuota"
        | "LimitRange" => ApplyPhase::References,
        kind if kind.ends_with("Class") => ApplyPhase::References,
        "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration" | "APIService" => {
            ApplyPhase::Gatekeepers
        }
        _ => ApplyPhase::Workloads,
    }
}
