//! Objects with a change of an immutable field: which field it is, and what
//! would be lost by recreating the object. windlass recreates it if Git allows
//! exactly that change; never a PersistentVolumeClaim, whose data would be
//! deleted.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{AppScope, ClusterResult, Prediction, Request};
use crate::cluster;
use crate::domain::applying::Applying;
use crate::domain::labels::RECREATE;
use crate::domain::manifest::{Manifest, ResourceKey};
use crate::domain::plan::{self, Confidence, Side};
use crate::domain::{Live, canonical_json, health};

/// An immutable field differs: the object has to be recreated, if somebody allows exactly that.
pub async fn recreated(
    scope: &AppScope<'_>,
    request: Request,
    message: String,
    after: Live,
) -> ClusterResult<Prediction> {
    let mut request = request.with_whole_live(scope).await?;
    let manifest = &request.manifest;
    let Some(live) = &request.live else {
        return Ok(request.refused(message));
    };
    let differs = immutable(&manifest.key, live, &after);
    let why = match differs.is_empty() {
        true => message,
        false => differs
            .iter()
            .map(|(path, is, wanted)| format!("{path} cannot be changed from {is} to {wanted}"))
            .collect::<Vec<_>>()
            .join(", "),
    };
    if let Some(applying) = scope.applying_of(&request.manifest).await? {
        return Ok(recreated_by(applying, request, why, after));
    }
    if manifest.key.is_core("PersistentVolumeClaim") {
        return Ok(request.refused(format!(
            "{why}. windlass never recreates a claim, because that would delete its data: set the field in Git to the live value"
        )));
    }
    let is_set = manifest.key.kind == "StatefulSet" && manifest.key.group == "apps";
    request.write.alone = is_set && live["spec"]["selector"] == after["spec"]["selector"];
    request.notes.alone = request.write.alone;
    let mut words = vec![];
    if request.write.alone {
        words.push("its pods keep running, and the new object takes them over".to_string());
    }
    for (path, is, _) in differs
        .iter()
        .filter(|(path, ..)| is_set && path.ends_with(".storage"))
    {
        words.push(format!(
            "existing claims keep {is} ({path}): grow each of them by hand"
        ));
    }
    let permission = permission(manifest);
    if manifest.value["metadata"]["annotations"][RECREATE] != permission.as_str() {
        let words: String = words.iter().map(|words| format!("; {words}")).collect();
        return Ok(request.refused(format!(
            "{why}. It can only be deleted and created again{words}. To allow that for just this change, annotate it with `{RECREATE}: {permission}`"
        )));
    }
    request.write.recreate = true;
    request.notes.recreate = Some(why);
    request
        .notes
        .warnings
        .extend(words.into_iter().skip(usize::from(request.write.alone)));
    Ok(request.predicts(Side::Object(after, Confidence::Server)))
}

/// The same where Argo CD or Flux applies the object: it is recreated if an annotation of theirs says
/// so.
fn recreated_by(applying: &Applying, mut request: Request, why: String, after: Live) -> Prediction {
    let payload = &request.write.payload;
    let recreates = |live| applying.recreates(payload, live);
    if !request.live.as_ref().is_some_and(recreates) {
        let allow = match applying.permission() {
            Some(permission) => format!("To allow that, annotate it with `{permission}`"),
            None => "helm never does that: delete it by hand, or give it another name".into(),
        };
        return request.refused(format!(
            "{why}. It can only be deleted and created again. {allow}"
        ));
    }
    request.write.recreate = true;
    request.notes.recreate = Some(why);
    request.predicts(Side::Object(after, Confidence::Server))
}

/// The digest that permits one change: of the wanted object. Of a Secret, only the names of its
/// keys count.
fn permission(manifest: &Manifest) -> String {
    let mut value = manifest.value.clone();
    if let Some(object) = value.as_object_mut() {
        object.remove("metadata");
        if manifest.key.is_core("Secret") {
            let keys: Vec<_> = object
                .get("data")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .map(|(name, _)| name.clone())
                .collect();
            object.insert("data".into(), keys.into());
        }
    }
    hex::encode(&Sha256::digest(format!("{}{}", manifest.key, canonical_json(&value)))[..5])
}

/// The immutable fields that differ, for kinds whose refusal names none; each with its live and its
/// wanted value, shortened.
fn immutable(key: &ResourceKey, live: &Live, after: &Value) -> Vec<(String, String, String)> {
    // kubernetes pkg/apis/apps/validation: ValidateStatefulSetUpdate; core:
    // ValidatePersistentVolumeClaimUpdate.
    let fields: &[&str] = match key.kind.as_str() {
        "StatefulSet" => &[
            ".spec.volumeClaimTemplates",
            ".spec.serviceName",
            ".spec.selector",
            ".spec.podManagementPolicy",
        ],
        "PersistentVolumeClaim" => &[".spec"],
        _ => return Vec::new(),
    };
    let short = |value: &Value| {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_string);
        text.chars().take(80).collect::<String>()
    };
    let wanted = |path: &str| {
        fields.iter().any(|field| path.starts_with(field))
            && !path.contains(".status")
            && path != ".spec.volumeName"
    };
    let all = plan::differences(live, after)
        .into_iter()
        .filter(|(path, _, wanted_value)| wanted(path) && !wanted_value.is_null());
    all.map(|(path, is, wanted)| (path, short(&is), short(&wanted)))
        .collect()
}

/// Whether a definition among the manifests differs from the live one.
pub async fn changes(scope: &AppScope<'_>, definition: &Manifest) -> ClusterResult<bool> {
    let live = match scope
        .cluster
        .live(&definition.key, &definition.version)
        .await
    {
        Err(cluster::Error::Forbidden { .. }) => return Ok(true),
        other => other?,
    };
    let versions = |definition: &Value| -> BTreeMap<String, Value> {
        let all = definition["spec"]["versions"]
            .as_array()
            .into_iter()
            .flatten();
        all.map(|version| (version["name"].to_string(), version["schema"].clone()))
            .collect()
    };
    // The server fills in names and more, but nothing of a schema.
    let same = |live: &Live| {
        versions(&definition.value) == versions(live)
            && health::is_within(&definition.value["spec"], &live["spec"])
    };
    Ok(live.is_none_or(|live| !same(&live)))
}
