//! The order in which objects are applied.

use super::ResourceKey;

/// The stage of a sync in which an object is applied: definitions, objects that others refer to, the rest, and at last
/// objects that could block the rest (webhooks, aggregated APIs).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ApplyStage {
    Definitions,
    References,
    Workloads,
    Gatekeepers,
}

pub fn apply_stage(key: &ResourceKey) -> ApplyStage {
    match key.kind.as_str() {
        "CustomResourceDefinition" | "Namespace" => ApplyStage::Definitions,
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
        | "LimitRange" => ApplyStage::References,
        kind if kind.ends_with("Class") => ApplyStage::References,
        "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration" | "APIService" => {
            ApplyStage::Gatekeepers
        }
        _ => ApplyStage::Workloads,
    }
}
