//! What windlass does otherwise than the object of Argo CD or Flux says that an application has now.

use serde_json::Value;

use crate::domain::build::argocd;

/// What becomes other with a move. An entry does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Differs {
    /// It is synced by people, or suspended; windlass syncs by itself.
    SyncsByItself,
    /// What leaves Git stays; windlass deletes it.
    Prunes,
    /// What people change stays; windlass sets it back.
    Heals,
    /// This field of it is not read.
    Unread(&'static str),
}

/// Fields that say how objects are applied, and that windlass has nothing for.
const OF_ARGO_CD: [&str; 2] = [
    "/spec/syncPolicy/managedNamespaceMetadata",
    "/spec/syncPolicy/syncOptions",
];
const OF_FLUX: [&str; 6] = [
    "/spec/decryption",
    "/spec/deletionPolicy",
    "/spec/force",
    "/spec/healthCheckExprs",
    "/spec/healthChecks",
    "/spec/serviceAccountName",
];
/// What windlass does anyway.
const USUAL: [&str; 2] = ["ServerSideApply=true", "ApplyOutOfSyncOnly=true"];

/// Of the object that declares an application.
pub fn differs(object: &Value) -> Vec<Differs> {
    let (spec, is_argo_cd) = (&object["spec"], object["kind"] == argocd::KIND);
    let automated = &spec["syncPolicy"]["automated"];
    let by_hand = match is_argo_cd {
        true => automated.is_null() || automated["enabled"] == false,
        false => spec["suspend"] == true,
    };
    let prunes = match is_argo_cd {
        true => automated["prune"] == true,
        false => spec["prune"] == true,
    };
    let heals = !is_argo_cd || automated["selfHeal"] == true;
    let found = [
        (by_hand, Differs::SyncsByItself),
        // Whoever syncs by hand chooses that each time.
        (!(prunes || is_argo_cd && by_hand), Differs::Prunes),
        (!heals && !by_hand, Differs::Heals),
    ];
    let fields = match is_argo_cd {
        true => &OF_ARGO_CD[..],
        false => &OF_FLUX[..],
    };
    let unread = fields.iter().filter(|field| is_set(object.pointer(field)));
    let found = found.into_iter().filter(|(holds, _)| *holds);
    found
        .map(|(_, what)| what)
        .chain(unread.map(|field| Differs::Unread(field)))
        .collect()
}

fn is_set(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::Array(items)) => items
            .iter()
            .any(|item| !USUAL.iter().any(|usual| item == usual)),
        Some(Value::Object(fields)) => !fields.is_empty(),
        Some(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Each row: an object, and what becomes other.
    #[test]
    fn what_becomes_other_is_named() {
        let argo_cd =
            |policy: Value| json!({"kind": "Application", "spec": {"syncPolicy": policy}});
        let flux = |spec: Value| json!({"kind": "Kustomization", "spec": spec});
        let options = Differs::Unread("/spec/syncPolicy/syncOptions");
        for (object, expected) in [
            (argo_cd(json!(null)), vec![Differs::SyncsByItself]),
            (
                argo_cd(json!({"automated": {"enabled": false, "prune": true}})),
                vec![Differs::SyncsByItself],
            ),
            (
                argo_cd(
                    json!({"automated": {}, "syncOptions": ["Replace=true", "ServerSideApply=true"]}),
                ),
                vec![Differs::Prunes, Differs::Heals, options],
            ),
            (
                argo_cd(
                    json!({"automated": {"prune": true, "selfHeal": true}, "syncOptions": ["ServerSideApply=true"]}),
                ),
                vec![],
            ),
            (flux(json!({"prune": true, "force": false})), vec![]),
            (
                flux(json!({"suspend": true, "serviceAccountName": "team"})),
                vec![
                    Differs::SyncsByItself,
                    Differs::Prunes,
                    Differs::Unread("/spec/serviceAccountName"),
                ],
            ),
        ] {
            assert_eq!(differs(&object), expected, "{object}");
        }
    }
}
