//! One application, asked about: whose rights are used, what it may touch, and its manifests with
//! their namespaces settled.

use base64::Engine as _;
use serde_json::Value;

use super::Asked;
use super::new_kinds::definition;
use crate::cluster::{self, Cluster};
use crate::controller::Result;
use crate::domain::catalog::{Reconciler, Target};
use crate::domain::fence::Fence;
use crate::domain::manifest::{Manifest, ResourceKey};
use crate::domain::ownership::ManagedBy;
use crate::domain::plan::{Comparison, Side};
use crate::domain::substitute::Transforms;
use crate::domain::{ApplicationKey, contracts};
use crate::render::Renderer;

/// One application, asked about.
pub struct AppScope<'a> {
    /// Acts with the rights that the application's project has, or as the identity of previews.
    pub cluster: Cluster,
    /// Acts with the rights that a sync has: for what those are.
    pub syncing: Cluster,
    pub key: &'a ApplicationKey,
    pub target: &'a Target,
    /// The value of our label on its objects.
    pub owner: &'a str,
    /// Where what a pull request brings is evaluated.
    pub renderer: &'a Renderer,
    /// What of a cluster it may have to do with.
    pub fence: Fence,
    /// The base has it: what is live of one that only a pull request has is not shown, or whoever writes the pull request
    /// could read what he names.
    pub in_base: bool,
    /// Somebody said that it may take over what is there.
    pub adopts: bool,
    /// What the stage's Kustomization of Flux does to what was rendered, once that was read.
    pub transforms: tokio::sync::OnceCell<Option<Transforms>>,
}

impl AppScope<'_> {
    /// Under which name the application's objects are applied: the very one, so that a prediction is what will happen.
    pub fn manager(&self) -> String {
        match &self.target.stage.reconcile {
            Reconciler::Windlass => self.key.field_manager(),
            // Their controllers' own names: argo-cd common/common.go, and kustomize-controller's default.
            Reconciler::ArgoCd(_) => "argocd-controller".into(),
            Reconciler::Flux(_) => "kustomize-controller".into(),
        }
    }

    /// Whether windlass applies, or only looks.
    pub fn applies(&self) -> bool {
        self.target.stage.reconcile == Reconciler::Windlass
    }

    /// What Flux does to what was rendered; None where it is not Flux that applies, or its object is not there.
    pub async fn transforms(&self) -> Asked<Option<&Transforms>> {
        let Some((key, version)) = self
            .target
            .stage
            .reconcile
            .object()
            .filter(|_| matches!(self.target.stage.reconcile, Reconciler::Flux(_)))
        else {
            return Ok(None);
        };
        let read = async || {
            Ok::<_, cluster::Error>(
                self.cluster
                    .live(&key, version)
                    .await?
                    .map(|object| Transforms::of(&object)),
            )
        };
        Ok(self.transforms.get_or_try_init(read).await?.as_ref())
    }

    /// Whether it is just the stage's own reconciler that keeps an object.
    pub fn is_kept_by_its_own(&self, keeper: &ManagedBy) -> bool {
        match (&self.target.stage.reconcile, keeper) {
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
}

/// An application's manifests with their namespaces settled.
#[derive(Debug, Default)]
pub struct Settled {
    pub manifests: Vec<Manifest>,
    /// Those that are not the application's to have, each with the reason. Nothing is asked about them.
    pub outside: Vec<Outside>,
}

#[derive(Debug)]
pub struct Outside {
    pub manifest: Manifest,
    pub why: String,
}

/// What is outside, as a plan tells it.
pub fn refusals<'a>(outside: impl IntoIterator<Item = &'a Outside>) -> Vec<Comparison> {
    let refusal = |one: &Outside| {
        Comparison::new(
            one.manifest.key.clone(),
            Side::Absent,
            Side::Refused(one.why.clone()),
        )
    };
    outside.into_iter().map(refusal).collect()
}

/// Settles namespaces by discovery, keeps out what lies outside the fence, and marks the rest as the application's.
pub async fn normalize(scope: &AppScope<'_>, manifests: &[Manifest]) -> Result<Settled> {
    let mut settled = Settled::default();
    for manifest in manifests {
        let mut manifest = manifest.clone();
        let kind = scope
            .cluster
            .kind(&manifest.key.group, &manifest.version, &manifest.key.kind)
            .await?;
        let namespaced = kind.map_or_else(
            || scope_of(manifests, &manifest.key),
            |(_, namespaced)| namespaced,
        );
        manifest.normalise(namespaced, &scope.target.destination.namespace);
        if let Err(why) = scope.fence.check(&manifest) {
            settled.outside.push(Outside {
                manifest,
                why: why.to_string(),
            });
            continue;
        }
        if scope.applies() {
            contracts::default_labels(&manifest.key, &mut manifest.value);
            manifest.label(scope.key, scope.owner);
        }
        if let Some(transforms) = scope.transforms().await? {
            transforms.fill(&mut manifest.value);
        }
        string_data(&mut manifest);
        contracts::leave(&manifest.key, &mut manifest.value);
        settled.manifests.push(manifest);
    }
    Ok(settled)
}

fn scope_of(manifests: &[Manifest], key: &ResourceKey) -> bool {
    definition(manifests, key)
        .is_none_or(|definition| definition.value["spec"]["scope"] != "Cluster")
}

/// A Secret's `stringData` as the server stores it: write-only text would hide what changes.
pub fn string_data(manifest: &mut Manifest) {
    if !manifest.key.is_core("Secret") {
        return;
    }
    let Some(Value::Object(text)) = manifest
        .value
        .as_object_mut()
        .and_then(|object| object.remove("stringData"))
    else {
        return;
    };
    if !manifest.value["data"].is_object() {
        manifest.value["data"] = Value::Object(Default::default());
    }
    for (key, value) in text {
        if let Some(value) = value.as_str() {
            manifest.value["data"][key] = base64::engine::general_purpose::STANDARD
                .encode(value)
                .into();
        }
    }
}
