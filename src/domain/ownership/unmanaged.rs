//! Fields that people set on managed objects beside those that Git has.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::managed::{entries_where, owned_by};
use super::{LAST_APPLIED, Writer};

/// `kubectl rollout restart` sets it in the pod template, and nobody keeps it in Git.
const RESTARTED: &str = "kubectl.kubernetes.io/restartedAt";
/// The most fields that are named of one object.
const MOST_FIELDS: usize = 10;

/// Fields of an object that a person set, and no manifest: a sync neither removes them nor brings
/// them back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnmanagedFields {
    /// The field manager that set them, such as `kubectl-edit`.
    pub by: String,
    /// Such as `.spec.template.spec.nodeSelector`; the first of many.
    pub fields: Vec<String>,
}

/// The fields of an object that people set beside ours.
pub fn unmanaged_fields(object: &Value) -> Vec<UnmanagedFields> {
    let theirs = entries_where(object, |entry| {
        entry.writer() == Writer::Person && entry.subresource.is_none()
    });
    if theirs.is_empty() {
        return Vec::new();
    }
    let ours = owned_by(object, |entry| {
        entry.writer() == Writer::Windlass && entry.applies
    });
    let found = theirs.into_iter().map(|entry| {
        let paths = entry.fields.difference(&ours).leaves().into_iter();
        let paths = paths.map(|path| path.to_string());
        let is_told = |path: &String| !path.ends_with(LAST_APPLIED) && !path.ends_with(RESTARTED);
        UnmanagedFields {
            by: entry.manager,
            fields: paths.filter(is_told).take(MOST_FIELDS).collect(),
        }
    });
    found.filter(|one| !one.fields.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_person_adds_is_named_and_what_git_has_is_not() {
        let entry = |manager: &str, operation: &str, fields: Value| json!({"manager": manager, "operation": operation, "fieldsV1": fields});
        let ours = json!({"f:spec": {"f:replicas": {}}});
        let of = |entries: Vec<Value>| {
            let object = json!({"metadata": {"managedFields": entries}});
            let found = unmanaged_fields(&object);
            let words = found
                .into_iter()
                .map(|one| format!("{}: {}", one.by, one.fields.join(" ")));
            words.collect::<Vec<_>>()
        };
        let windlass = || entry("windlass/shop/staging", "Apply", ours.clone());
        let restarted = json!({"f:spec": {"f:template": {"f:metadata": {"f:annotations": {format!("f:{RESTARTED}"): {}}}}}});
        let edited = json!({
            "f:metadata": {"f:labels": {"f:team": {}}},
            "f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:nodeSelector": {"f:disk": {}}}}},
        });
        let table = [
            ("nobody", vec![windlass()], vec![]),
            (
                "a person",
                vec![windlass(), entry("kubectl-edit", "Update", edited.clone())],
                vec!["kubectl-edit: .metadata.labels.team .spec.template.spec.nodeSelector.disk"],
            ),
            (
                "a restart",
                vec![windlass(), entry("kubectl-rollout", "Update", restarted)],
                vec![],
            ),
            (
                "a controller",
                vec![windlass(), entry("some-operator", "Update", edited)],
                vec![],
            ),
        ];
        for (what, entries, expected) in table {
            assert_eq!(of(entries), expected, "{what}");
        }
    }
}
