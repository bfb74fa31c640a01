//! Fields that other managers hold: they are taken, released, ignored, or wait for a decision.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Request;
use super::scope::AppScope;
use crate::domain::fieldset::{self, FieldPath};
use crate::domain::manifest::Manifest;
use crate::domain::ownership::{self, Conflict, Writer};
use crate::domain::plan::Fields;

/// Removes the fields from the payload that `ignore` rules leave to others and that others hold.
pub fn ignore(scope: &AppScope<'_>, mut request: Request) -> Request {
    let key = &request.manifest.key;
    let Some(live) = &request.live else {
        return request;
    };
    let ignored = scope.target.fields.ignored(&key.kind, &key.name);
    if ignored.is_empty() {
        return request;
    }
    let entries = ownership::entries(live);
    for path in ignored {
        let path = path.spelled_as_in(live);
        let held = entries
            .iter()
            .any(|entry| entry.writer() != Writer::Windlass && entry.fields.touches(&path));
        if held && fieldset::remove(&mut request.write.payload, &path) {
            request.notes.ignored.push(path.to_string());
        }
    }
    request
}

/// Resolves conflicts in the payload; the message says why that is not possible.
pub fn decide(
    scope: &AppScope<'_>,
    mut request: Request,
    conflicts: Vec<Conflict>,
    applied: Option<&Value>,
    abandoned: bool,
) -> (Request, Option<String>) {
    let key = &request.manifest.key;
    let resolution = ownership::resolve(
        conflicts,
        &key.kind,
        &key.name,
        applied,
        &scope.target.fields,
        abandoned,
    );
    if !resolution.undecided.is_empty() {
        request.notes.undecided = grouped(resolution.undecided.iter());
        return (request, Some(undecided(scope, &resolution.undecided)));
    }
    for conflict in &resolution.release {
        fieldset::remove(&mut request.write.payload, &conflict.field);
    }
    // Leftovers are taken over as a whole, which the plan notes separately.
    let is_listed = |conflict: &&Conflict| {
        !matches!(
            conflict.writer(),
            Writer::Leftover | Writer::Windlass | Writer::Reconciler
        )
    };
    request.notes.taken = grouped(resolution.take.iter().filter(is_listed));
    request
        .notes
        .released
        .extend(grouped(resolution.release.iter()));
    if !resolution.take.is_empty() {
        request.write.force = true;
        // Forced only on the version that was observed.
        if let Some(version) = request
            .live
            .as_ref()
            .map(|live| live["metadata"]["resourceVersion"].clone())
        {
            request.write.payload["metadata"]["resourceVersion"] = version;
        }
    }
    (request, None)
}

pub fn undecided(scope: &AppScope<'_>, conflicts: &[Conflict]) -> String {
    let fields: Vec<_> = conflicts.iter().map(Conflict::to_string).collect();
    let rule = format!("{{ path: '{}' }}", conflicts[0].field);
    format!(
        "others own fields that Git sets to another value: {}. Decide in windlass.yaml, under the application {}: `take: [{rule}]` (or `/take` here) overwrites them, `ignore: [{rule}]` leaves them",
        fields.join(", "),
        scope.key.application
    )
}

fn grouped<'a>(conflicts: impl Iterator<Item = &'a Conflict>) -> Fields {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for conflict in conflicts {
        found
            .entry(conflict.manager.clone())
            .or_default()
            .push(conflict.field.to_string());
    }
    found.into_iter().collect()
}

/// Paths as text; those of secret data are summed up as `.data`.
pub fn fields(found: BTreeMap<String, Vec<FieldPath>>, manifest: &Manifest) -> Fields {
    let is_public = |path: &FieldPath| {
        manifest.key.kind != "Secret"
            || !(path.starts_with(&["data"]) || path.starts_with(&["stringData"]))
    };
    let mut fields = Vec::new();
    for (manager, paths) in found {
        let hidden = paths.iter().any(|path| !is_public(path));
        let mut texts: Vec<_> = paths
            .iter()
            .filter(|path| is_public(path))
            .map(FieldPath::to_string)
            .collect();
        if hidden {
            texts.push(".data".into());
        }
        fields.push((manager, texts));
    }
    fields
}
