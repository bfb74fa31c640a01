//! What other controllers do to an application's objects: autoscalers set
//! replicas, and Argo CD or Flux changes what it applies.

use std::collections::BTreeSet;

use serde_json::Value;

use super::new_kinds::{checked, definition};
use super::overlay::overlay;
use super::recreate::changes;
use super::refusal::{NEW_DEFINITION, dry_run_merge, refused};
use super::review::review;
use super::{AppScope, ClusterResult, Prediction, Request, side};
use crate::cluster::{self, Applied};
use crate::domain::applying::{Applying, Method, replaced, three_way};
use crate::domain::build::release;
use crate::domain::catalog::Reconciler;
use crate::domain::external::flux;
use crate::domain::manifest::{Manifest, ResourceKey};
use crate::domain::mask::Mask;
use crate::domain::ownership::ManagedBy;
use crate::domain::plan::{self, Confidence, Side};
use crate::domain::substitute::{Transforms, Unfilled};
use crate::domain::{Live, contracts, fieldset, ownership};

impl AppScope<'_> {
    /// How one of the objects is applied: what a HelmRelease installs by helm-controller.
    pub async fn applying_of(&self, manifest: &Manifest) -> ClusterResult<Option<&Applying>> {
        let by_helm = manifest.installed_by.is_some() && !self.applies();
        if by_helm {
            Ok(Some(&Applying::Helm))
        } else {
            self.applying().await
        }
    }

    /// Whether an object's manager is the stage's own Argo CD Application or Flux Kustomization.
    pub fn is_managed_by_its_reconciler(&self, manager: &ManagedBy) -> bool {
        is_of(&self.target.stage.reconcile, manager)
    }

    /// Whether an object's manager is taken to have let go of it.
    pub fn is_released(&self, manager: &ManagedBy) -> bool {
        self.released.is_some_and(|by| is_of(by, manager))
    }
}

/// Whether an object's manager is this Argo CD Application or Flux Kustomization.
fn is_of(reconciler: &Reconciler, manager: &ManagedBy) -> bool {
    match (reconciler, manager) {
        (
            Reconciler::ArgoCd(own),
            ManagedBy::ArgoCd {
                application,
                namespace,
            },
        ) => {
            *application == own.name
                && namespace
                    .as_ref()
                    .is_none_or(|namespace| *namespace == own.namespace)
        }
        (
            Reconciler::Flux(own),
            ManagedBy::Flux {
                kind: "Kustomization",
                name,
                namespace,
            },
        ) => *name == own.name && *namespace == own.namespace,
        _ => false,
    }
}

/// What a Kustomization's source follows in the place of a branch, in words.
pub async fn pinned(scope: &AppScope<'_>) -> ClusterResult<Option<String>> {
    let Reconciler::Flux(_) = scope.target.stage.reconcile else {
        return Ok(None);
    };
    let Some(theirs) = scope.theirs().await? else {
        return Ok(None);
    };
    Ok(scope.source_of(theirs).await?.and_then(flux::pinned))
}

/// Leaves the number of replicas to an autoscaler: also if it has set none, or zero, so that nobody
/// holds the field; and if Git has just handed it over, so that the server's default of one replica
/// deletes no pods meanwhile. `applied`: the object as it was applied last, if it was.
pub async fn leave_replicas(
    scope: &AppScope<'_>,
    mut request: Request,
    set: &[Manifest],
    applied: Option<&Value>,
) -> ClusterResult<Request> {
    let path = contracts::replicas();
    let key = request.manifest.key.clone();
    // Argo CD and Flux set what Git has.
    if !scope.applies() {
        return Ok(request);
    }
    if !request.manifest.value["spec"]["template"].is_object() && key.kind != "Rollout" {
        return Ok(request);
    }
    let wanted = fieldset::lookup(&request.write.payload, &path).cloned();
    // Git changes the count, or hands it over. The placeholder from the index does not have it: what
    // it stands for is as it was applied.
    let before = applied.and_then(|applied| fieldset::lookup(applied, &path));
    if before.is_some() && wanted.as_ref() != before {
        request = request.with_whole_live(scope).await?;
    }
    let Some(live) = &request.live else {
        return Ok(request);
    };
    let Some(now) = fieldset::lookup(live, &path).cloned() else {
        return Ok(request);
    };
    let is_ours = ownership::applies(live, &scope.manager(), &path);
    if wanted.as_ref() == Some(&now) || wanted.is_none() && !is_ours {
        return Ok(request);
    }
    let Some(scaler) = autoscaler(scope, &key, set).await? else {
        return Ok(request);
    };
    // What was ours and is in no apply any more gets the server's default.
    match is_ours {
        true => request.write.payload["spec"]["replicas"] = now,
        false => drop(fieldset::remove(&mut request.write.payload, &path)),
    }
    request
        .notes
        .released
        .push((scaler, vec![path.to_string()]));
    Ok(request)
}

/// What sets the replicas of an object, among the manifests or in the cluster.
async fn autoscaler(
    scope: &AppScope<'_>,
    key: &ResourceKey,
    set: &[Manifest],
) -> ClusterResult<Option<String>> {
    let named = |kind: &str, name: &Value| format!("{kind} {}", name.as_str().unwrap_or_default());
    let own = |manifest: &&Manifest| {
        manifest.key.namespace == key.namespace && contracts::scales(&manifest.value, key)
    };
    if let Some(own) = set.iter().find(own) {
        return Ok(Some(named(&own.key.kind, &own.value["metadata"]["name"])));
    }
    for (group, version, kind) in [
        ("autoscaling", "v2", "HorizontalPodAutoscaler"),
        ("keda.sh", "v1alpha1", "ScaledObject"),
    ] {
        let found = match scope
            .cluster
            .all(group, version, kind, key.namespace.as_deref())
            .await
        {
            Err(cluster::Error::Forbidden { .. }) => continue,
            other => other?,
        };
        if let Some(found) = found.iter().find(|scaler| contracts::scales(scaler, key)) {
            return Ok(Some(named(kind, &found["metadata"]["name"])));
        }
    }
    Ok(None)
}

/// What Argo CD or Flux makes of an object that windlass has no right to dry-run: from the manifest
/// and the live object.
pub async fn without_right(
    scope: &AppScope<'_>,
    manifest: &Manifest,
    live: Option<Live>,
    set: &[Manifest],
) -> ClusterResult<Prediction> {
    let request = Request::new(manifest, live);
    let request = match request.clone().with_whole_live(scope).await {
        Err(cluster::Error::Forbidden { message, .. }) => {
            return Ok(request.refused_unseen(message));
        }
        other => other?,
    };
    let mut request = as_the_reconciler_applies(scope, request, set).await?;
    let payload = &request.write.payload;
    let mut object = match &request.live {
        Some(live) => ownership::without_dropped(live, payload, &scope.manager_of(manifest)),
        None => Live::new(Value::Object(Default::default())),
    };
    overlay(&mut object, payload);
    request.notes.unverified = Some("windlass may not try it in the cluster".into());
    let predicted = request.predicts(Side::Object(object, Confidence::Static));
    Ok(review(scope, set, predicted))
}

/// The manifest as Argo CD or Flux changes it before they apply it, as far as that is known here.
pub async fn as_the_reconciler_applies(
    scope: &AppScope<'_>,
    mut request: Request,
    set: &[Manifest],
) -> ClusterResult<Request> {
    if scope.applies() {
        return Ok(request);
    }
    let applying = scope.applying_of(&request.manifest).await?;
    if let (Some(applying), Some(live)) = (applying, &request.live) {
        let (key, payload) = (&request.manifest.key, &mut request.write.payload);
        applying.mark_as_live(payload, live);
        applying.leave_ignored(key, payload, live);
        request.notes.unverified = unread(applying, key);
    }
    let Some((transforms, unknown)) = unknown(scope, &request.manifest, set).await? else {
        return Ok(request);
    };
    if !unknown.is_empty() {
        if let Some(live) = &request.live {
            let payload = &mut request.write.payload;
            Unfilled::of(payload).take_live(payload, live);
        }
        let names: Vec<_> = unknown.iter().map(|name| format!("${{{name}}}")).collect();
        request.notes.unverified = Some(format!(
            "Flux fills in {} from sources that windlass does not read",
            names.join(", ")
        ));
    } else if !transforms.others.is_empty() {
        let fields = transforms.others.join(", ");
        request.notes.unverified = Some(format!(
            "Flux changes it before applying it ({fields} of the Kustomization), which this preview does not compute"
        ));
    }
    Ok(request)
}

/// What a Kustomization changes, and the variables of a manifest whose values are not known. None:
/// windlass applies it, or no Kustomization does.
async fn unknown(
    scope: &AppScope<'_>,
    manifest: &Manifest,
    set: &[Manifest],
) -> ClusterResult<Option<(Transforms, BTreeSet<String>)>> {
    let declared = scope.target.declared.as_ref();
    let declared = declared.map(|by| &by.transforms);
    let Some(transforms) = scope.transforms(declared).await? else {
        return Ok(None);
    };
    let unknown = match &manifest.installed_by {
        Some(of) => {
            let names = release::variables(of, set);
            transforms.fill_only(&names, &mut manifest.value.clone())
        }
        None => transforms.unknown(&manifest.value),
    };
    Ok(Some((transforms, unknown)))
}

/// The texts of a manifest whose values are not known.
pub async fn unfilled(
    scope: &AppScope<'_>,
    manifest: &Manifest,
    set: &[Manifest],
) -> ClusterResult<Unfilled> {
    let texts = match scope.applies() {
        true => Unfilled::default(),
        false => Unfilled::of(&manifest.value),
    };
    if texts.is_empty() {
        return Ok(texts);
    }
    Ok(match unknown(scope, manifest, set).await? {
        Some((_, names)) if !names.is_empty() => texts,
        _ => Unfilled::default(),
    })
}

/// Which rules for ignored fields this does not evaluate.
fn unread(applying: &Applying, key: &ResourceKey) -> Option<String> {
    let unread = applying.unread(key);
    (!unread.is_empty()).then(|| {
        format!(
            "Argo CD ignores {} (`ignoreDifferences`), which this preview does not evaluate",
            unread.join(", ")
        )
    })
}

/// An object that the stage's reconciler does not apply.
pub async fn left_alone(
    scope: &AppScope<'_>,
    request: &Request,
) -> ClusterResult<Option<Prediction>> {
    let Some(applying) = scope.applying_of(&request.manifest).await? else {
        return Ok(None);
    };
    let live = request.live.as_ref();
    let Some(why) = applying.leaves(&request.write.payload, live) else {
        return Ok(None);
    };
    let mut request = request.clone();
    request
        .notes
        .warnings
        .push(format!("Flux does not apply it: {why}"));
    let after = side(request.live.clone());
    Ok(Some(request.predicts(after)))
}

/// An object that Argo CD merges itself as kubectl does, or replaces: the server only checks the
/// result.
pub async fn client_side(
    scope: &AppScope<'_>,
    request: &Request,
    set: &[Manifest],
) -> ClusterResult<Option<Prediction>> {
    let Some(applying) = scope.applying_of(&request.manifest).await? else {
        return Ok(None);
    };
    let (wanted, key) = (&request.write.payload, &request.manifest.key);
    let Some(live) = &request.live else {
        return Ok(None);
    };
    let object = match applying.method(wanted) {
        Method::ServerSide => return Ok(None),
        Method::Recreate => return recreated_each_time(scope, request).await.map(Some),
        Method::Replace => replaced(wanted, live),
        Method::Merge => {
            let last = live.annotation(ownership::LAST_APPLIED);
            let last: Option<Value> = last.and_then(|text| serde_json::from_str(text).ok());
            three_way(&key.group, &key.kind, last.as_ref(), wanted, live)
        }
    };
    if let Some(predicted) = by_new_definition(scope, request, set, &object).await? {
        return Ok(Some(predicted));
    }
    let request = request.clone();
    let predicted = match dry_run_merge(scope, &request.manifest, live, &object).await? {
        Applied::Object(object) => request.predicts(Side::Object(object, Confidence::Server)),
        Applied::Refused(refusal) => refused(scope, request, set, refusal).await?,
        _ => request.predicts(Side::Object(Live::new(object), Confidence::Simulated)),
    };
    Ok(Some(predicted))
}

/// An object whose definition changes with it: the server would still drop what only the new one has.
async fn by_new_definition(
    scope: &AppScope<'_>,
    request: &Request,
    set: &[Manifest],
    object: &Value,
) -> ClusterResult<Option<Prediction>> {
    let mut manifest = request.manifest.clone();
    let Some(definition) =
        definition(set, &manifest.key).filter(|_| !manifest.key.group.is_empty())
    else {
        return Ok(None);
    };
    if !changes(scope, definition).await? {
        return Ok(None);
    }
    manifest.value = object.clone();
    let Ok(value) = checked(scope, definition, &manifest, request.live.as_ref()).await else {
        return Ok(None);
    };
    let mut request = request.clone();
    request.notes.unverified = Some(NEW_DEFINITION.into());
    Ok(Some(
        request.predicts(Side::Object(value, Confidence::Simulated)),
    ))
}

/// An object that Argo CD deletes and creates again with every sync.
async fn recreated_each_time(scope: &AppScope<'_>, request: &Request) -> ClusterResult<Prediction> {
    let manifest = &request.manifest;
    let (key, version) = (&manifest.key, &manifest.version);
    let mut request = request.clone();
    match scope.cluster.probe(key, version, &manifest.value).await? {
        Ok(mut after) => {
            plan::without_allocated(&mut after, &manifest.value);
            request.write.recreate = true;
            request.notes.recreate =
                Some("its sync options have Force=true and Replace=true".into());
            Ok(request.predicts(Side::Object(after, Confidence::Server)))
        }
        Err(refusal) => {
            let message = Mask::scrub(&refusal.message, &manifest.value);
            Ok(request.refused(message))
        }
    }
}
