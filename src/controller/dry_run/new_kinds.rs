//! Objects whose namespace or kind is created by the same change.

use super::refusal::NO_RIGHT;
use super::scope::AppScope;
use super::{ClusterResult, Prediction, Request};
use crate::domain::Live;
use crate::domain::build::release;
use crate::domain::manifest::{Manifest, ResourceKey};
use crate::domain::mask::Mask;
use crate::domain::plan::{Confidence, Side};
use crate::domain::schema;

/// The namespace does not exist yet: the object is dry-run in `default` instead, so that at least
/// errors of the object itself are found.
pub async fn in_another_namespace(
    scope: &AppScope<'_>,
    mut request: Request,
    set: &[Manifest],
) -> ClusterResult<Prediction> {
    let manifest = &request.manifest;
    let namespace = manifest.key.namespace.clone().unwrap_or_default();
    let applying = scope.applying_of(manifest).await?;
    let by_others = applying.is_some_and(|applying| applying.creates(&namespace));
    if !by_others && !brings_namespace(set, &namespace) {
        return Ok(request.refused(format!(
            "namespace `{namespace}` does not exist: create it, or add it to the application's manifests"
        )));
    }
    let mut elsewhere = manifest.clone();
    elsewhere.key.namespace = Some("default".into());
    elsewhere.value["metadata"]["namespace"] = "default".into();
    let after = match scope
        .cluster
        .probe(&elsewhere.key, &manifest.version, &elsewhere.value)
        .await?
    {
        Err(refusal) if refusal.invalid => {
            let why = Mask::scrub(&refusal.message, &manifest.value);
            return Ok(request.refused(why));
        }
        Ok(mut object) => {
            object["metadata"]["namespace"] = namespace.clone().into();
            object
        }
        Err(_) => manifest.as_live(),
    };
    let comes = match by_others {
        true => "is created by Argo CD before it (`CreateNamespace=true`)",
        false => "comes with this change",
    };
    request.notes.unverified = Some(format!(
        "its namespace `{namespace}` {comes}: quotas, limits and security labels there are not known yet"
    ));
    Ok(request.predicts(Side::Object(after, Confidence::Simulated)))
}

/// The kind is created by the change: its definition says what is valid.
pub async fn by_its_definition(
    scope: &AppScope<'_>,
    mut request: Request,
    set: &[Manifest],
) -> ClusterResult<Prediction> {
    let manifest = &request.manifest;
    if let Some(release) = manifest.installed_by.as_ref().filter(|_| !scope.applies())
        && release::needs_kind(release, set)
    {
        let why = format!(
            "the cluster serves no {} of {}: helm fails before it applies anything. Put the CustomResourceDefinition into the chart's `crds/` with `upgrade.crds: CreateReplace`, or into another release that comes first",
            manifest.key.kind,
            manifest.api_version()
        );
        return Ok(request.refused(why));
    }
    let Some(definition) = definition(set, &manifest.key) else {
        let (kind, version) = (&manifest.key.kind, manifest.api_version());
        let why = match scope.cluster.served_as(&manifest.key.group, kind).await? {
            Some(served) => {
                format!("the cluster does not serve {kind} as {version}: it is served as {served}")
            }
            None => format!(
                "the cluster serves no {kind} of {version}: install its CustomResourceDefinition first"
            ),
        };
        return Ok(request.refused(why));
    };
    // The server cannot dry-run the object yet: without this check a missing right would only show
    // in the sync.
    let plural = definition.value["spec"]["names"]["plural"]
        .as_str()
        .unwrap_or_default();
    if scope.applies()
        && !scope
            .syncing
            .may_apply(
                &manifest.key.group,
                plural,
                manifest.key.namespace.as_deref(),
            )
            .await?
    {
        let group = &manifest.key.group;
        let why = format!("windlass may not apply {plural}.{group} ({NO_RIGHT})");
        return Ok(request.refused(why));
    }
    let value = match checked(scope, definition, manifest, None).await {
        Ok(value) => value,
        Err(why) => {
            let why = Mask::scrub(&why, &manifest.value);
            return Ok(request.refused(why));
        }
    };
    request.notes.unverified =
        Some("its kind comes with this change: checked against the definition there".into());
    Ok(request.predicts(Side::Object(value, Confidence::Simulated)))
}

/// Checks an object by the definition's schema and its validation rules. A rule may run for ever: a
/// jailed child process evaluates them.
pub async fn checked(
    scope: &AppScope<'_>,
    definition: &Manifest,
    manifest: &Manifest,
    live: Option<&Live>,
) -> std::result::Result<Live, String> {
    let value =
        schema::check(&definition.value, manifest).map_err(|problems| schema::listed(&problems))?;
    if let Some(schema) = schema::ruled(&definition.value, manifest) {
        scope
            .renderer
            .broken_rules(schema, &value, live.map(|live| &**live))
            .await?;
    }
    Ok(Live::new(value))
}

/// Whether one object is the namespace of another, or the definition of its kind.
pub fn makes_possible(one: &Manifest, other: &ResourceKey) -> bool {
    let one = std::slice::from_ref(one);
    let mut namespace = other.namespace.iter();
    namespace.any(|namespace| brings_namespace(one, namespace)) || definition(one, other).is_some()
}

/// Whether a namespace is among the manifests.
pub fn brings_namespace(set: &[Manifest], name: &str) -> bool {
    set.iter()
        .any(|one| one.key.is_core("Namespace") && one.key.name == name)
}

/// The definition of a kind among the manifests.
pub fn definition<'a>(manifests: &'a [Manifest], key: &ResourceKey) -> Option<&'a Manifest> {
    manifests.iter().find(|manifest| {
        let spec = &manifest.value["spec"];
        manifest.key.kind == "CustomResourceDefinition"
            && spec["group"] == key.group.as_str()
            && spec["names"]["kind"] == key.kind.as_str()
    })
}
