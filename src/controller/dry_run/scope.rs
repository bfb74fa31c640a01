//! The scope of one application's dry-runs: whose rights are used, what it may touch, and its
//! manifests with their namespaces set.

use std::collections::BTreeMap;

use base64::Engine as _;
use serde_json::Value;

use super::ClusterResult;
use super::new_kinds::definition;
use crate::cluster::{self, Cluster};
use crate::controller::Result;
use crate::domain::applying::{self, Applying};
use crate::domain::build::release;
use crate::domain::catalog::{Reconciler, Target};
use crate::domain::external::{argocd, flux};
use crate::domain::fence::Fence;
use crate::domain::manifest::{Manifest, ResourceKey};
use crate::domain::plan::{Comparison, Side};
use crate::domain::sops::Keys;
use crate::domain::substitute::{Transforms, Variables};
use crate::domain::{Live, TargetKey, contracts};
use crate::render::Renderer;

/// The scope of one application's dry-runs.
pub struct AppScope<'a> {
    /// A client with the rights of the application's project, or of the preview account.
    pub cluster: Cluster,
    /// A client with the rights of a sync, to check those rights.
    pub syncing: Cluster,
    /// The cluster of the object of Argo CD or Flux that applies the stage: often the same.
    pub hub: Cluster,
    /// The same with windlass's own rights, to make requests to it: whoever may change an Application
    /// has Argo CD's rights, so that no project's account is to have that.
    pub requesting: Cluster,
    /// The host of GitHub's repositories. None: it is not known, and whoever reads has their own
    /// rights.
    pub github_host: Option<&'a str>,
    pub key: &'a TargetKey,
    pub target: &'a Target,
    /// The value of our label on its objects.
    pub owner: &'a str,
    /// Evaluates what a pull request adds.
    pub renderer: &'a Renderer,
    /// What decrypts its Secrets.
    pub keys: &'a Keys,
    /// Which objects it may manage.
    pub fence: Fence,
    /// Whether live objects may be shown. Not to the author of a pull request that adds the
    /// application, who could otherwise read any object by naming it.
    pub shows_live: bool,
    /// Somebody allowed it to take over existing objects.
    pub adopts: bool,
    /// Another reconciler that is taken to have let go of the objects.
    pub released: Option<&'a Reconciler>,
    /// The object of Argo CD or Flux that applies the stage; read once.
    pub theirs: tokio::sync::OnceCell<Option<Live>>,
    /// The GitRepository of the stage's Flux Kustomization; read once.
    pub source: tokio::sync::OnceCell<Option<Live>>,
    /// How the stage's Flux Kustomization changes the rendered manifests; read once.
    pub transforms: tokio::sync::OnceCell<Option<LiveTransforms>>,
    /// How Argo CD or Flux applies the stage; read once.
    pub applying: tokio::sync::OnceCell<Option<Applying>>,
}

impl AppScope<'_> {
    /// The field manager that applies the application's objects; dry-runs use the same one.
    pub fn manager(&self) -> String {
        match &self.target.stage.reconcile {
            Reconciler::Windlass => self.key.field_manager(),
            // Their controllers' own names: argo-cd common/common.go; kustomize-controller's default.
            Reconciler::ArgoCd(_) => "argocd-controller".into(),
            Reconciler::Flux(_) => "kustomize-controller".into(),
        }
    }

    /// The field manager that applies one of them: what a HelmRelease installs is helm-controller's.
    pub fn manager_of(&self, manifest: &Manifest) -> String {
        match manifest.installed_by {
            Some(_) if !self.applies() => "helm-controller".into(),
            _ => self.manager(),
        }
    }

    /// Whether windlass applies, or only previews.
    pub fn applies(&self) -> bool {
        self.target.stage.reconcile == Reconciler::Windlass
    }

    /// How Flux changes manifests that were rendered by the base's Kustomization, or the head's; None
    /// if Flux does not apply them, or nothing is known of its object.
    pub async fn transforms(
        &self,
        declared: Option<&Transforms>,
    ) -> ClusterResult<Option<Transforms>> {
        if !matches!(self.target.stage.reconcile, Reconciler::Flux(_)) {
            return Ok(None);
        }
        // The author of a new application may not read what is live.
        if !self.shows_live {
            return Ok(declared.cloned());
        }
        let read = || self.read_live_transforms();
        let live = self.transforms.get_or_try_init(read).await?;
        let Some((live, found)) = live else {
            return Ok(declared.cloned());
        };
        let all = declared.map_or_else(|| live.clone(), |declared| declared.with_live(live));
        // What the change adds to the sources was not read.
        let are_read = declared.is_none_or(|declared| declared.has_sources_of(live));
        Ok(Some(match found {
            Some(found) if are_read => all.with_variables(found.clone()),
            _ => all,
        }))
    }

    /// What the live Kustomization says, with the variables that it takes from elsewhere.
    async fn read_live_transforms(&self) -> ClusterResult<Option<LiveTransforms>> {
        // Without the right to read it, what Git says is what is known.
        let Some(live) = self.theirs().await? else {
            return Ok(None);
        };
        Ok(Some((Transforms::of(live), self.variables(live).await?)))
    }

    /// What a Kustomization fills in from elsewhere. None: nothing.
    async fn variables(&self, live: &Live) -> ClusterResult<Option<Variables>> {
        let from = live["spec"]["postBuild"]["substituteFrom"].as_array();
        let Some(from) = from.filter(|from| !from.is_empty()) else {
            return Ok(None);
        };
        let mut sources = Vec::new();
        for source in from {
            sources.push(self.config_map(source, live).await?);
        }
        Ok(Some(Variables::of(sources)))
    }

    /// The values of a ConfigMap that a Kustomization names. None: it is none, or not to be read.
    async fn config_map(
        &self,
        source: &Value,
        kustomization: &Live,
    ) -> ClusterResult<Option<BTreeMap<String, String>>> {
        let namespace = kustomization["metadata"]["namespace"].as_str();
        let key = ResourceKey {
            group: String::new(),
            kind: "ConfigMap".into(),
            namespace: namespace.map(Into::into),
            name: source["name"].as_str().unwrap_or_default().into(),
        };
        // What is shown must be the application's to see.
        let is_seen = source["kind"] == "ConfigMap"
            && self.hub.name == self.cluster.name
            && self.fence.covers(&key).is_ok();
        if !is_seen {
            return Ok(None);
        }
        let config = self.if_readable(&key, "v1").await?;
        Ok(config.map(|config| {
            let data = config["data"].as_object().into_iter().flatten();
            // A value has one line, as Flux has it.
            let value = |value: &Value| Some(value.as_str()?.replace('\n', ""));
            data.filter_map(|(name, text)| Some((name.clone(), value(text)?)))
                .collect()
        }))
    }

    /// How Argo CD or Flux applies the stage; None if windlass does.
    pub async fn applying(&self) -> ClusterResult<Option<&Applying>> {
        let read = async || {
            let reconciler = &self.target.stage.reconcile;
            let Some((key, _)) = reconciler.object() else {
                return Ok(None);
            };
            let object = self.theirs().await?;
            let settings = match reconciler {
                Reconciler::ArgoCd(_) => self.settings(&key, object).await?,
                _ => None,
            };
            let (home, settings) = (&self.target.destination.namespace, settings.as_ref());
            Ok::<_, cluster::Error>(Applying::of(reconciler, home, object, settings))
        };
        Ok(self.applying.get_or_try_init(read).await?.as_ref())
    }

    /// Argo CD's settings, if they can be read: in its own namespace, which the Application names.
    async fn settings(
        &self,
        application: &ResourceKey,
        object: Option<&Live>,
    ) -> ClusterResult<Option<Live>> {
        let home = object.and_then(|object| object["status"]["controllerNamespace"].as_str());
        let key = ResourceKey {
            group: String::new(),
            kind: "ConfigMap".into(),
            namespace: home
                .map(str::to_string)
                .or_else(|| application.namespace.clone()),
            name: applying::SETTINGS.into(),
        };
        self.if_readable(&key, "v1").await
    }

    /// The object of Argo CD or Flux, if it can be read and is this repository's.
    pub(super) async fn theirs(&self) -> ClusterResult<Option<&Live>> {
        let read = async || {
            let Some((key, version)) = self.target.stage.reconcile.object() else {
                return Ok(None);
            };
            let live = self.if_readable(&key, version).await?;
            Ok::<_, cluster::Error>(match live {
                Some(live) if self.is_ours(&live).await? => Some(live),
                _ => None,
            })
        };
        Ok(self.theirs.get_or_try_init(read).await?.as_ref())
    }

    /// Whether an object of Argo CD or Flux may be read for this repository: what is known of another
    /// repository's is not this one's to see. A URL of another host than GitHub's may be a mirror's;
    /// Flux's other sources do not tell whose they are.
    pub async fn is_ours(&self, live: &Live) -> ClusterResult<bool> {
        let repo = &self.key.repo;
        let Some(host) = self.github_host else {
            return Ok(true);
        };
        if let Reconciler::ArgoCd(_) = self.target.stage.reconcile {
            return Ok(self.is_of_argo_cd(live) || argocd::may_mirror(live, repo, host));
        }
        let source = self.source_of(live).await?;
        Ok(source.is_none_or(|source| flux::may_mirror(source, repo, host)))
    }

    /// The GitRepository of the stage's Kustomization, if it has one that can be read.
    pub(super) async fn source_of(&self, theirs: &Live) -> ClusterResult<Option<&Live>> {
        let read = async || match flux::source(theirs) {
            Some((key, version)) => self.if_readable(&key, version).await,
            None => Ok(None),
        };
        Ok(self.source.get_or_try_init(read).await?.as_ref())
    }

    /// Whether an Application renders this repository, or the charts that it declares there.
    pub fn is_of_argo_cd(&self, live: &Live) -> bool {
        let declared = self.target.declared.as_ref();
        let charts = declared.map_or(&[][..], |declared| &declared.charts);
        argocd::is_of(live, (&self.key.repo, self.github_host), charts)
    }

    async fn if_readable(&self, key: &ResourceKey, version: &str) -> ClusterResult<Option<Live>> {
        match self.hub.live(key, version).await {
            Err(cluster::Error::Forbidden { .. }) => Ok(None),
            other => other,
        }
    }
}

/// What a live Kustomization says, and the values of its variables from elsewhere, if all are known.
pub type LiveTransforms = (Transforms, Option<Variables>);

/// An application's manifests with their namespaces set.
#[derive(Debug, Default)]
pub struct Settled {
    pub manifests: Vec<Manifest>,
    /// The manifests that the project does not allow, each with the reason. They are not dry-run.
    pub outside: Vec<Outside>,
}

#[derive(Debug)]
pub struct Outside {
    pub manifest: Manifest,
    pub why: String,
}

/// The manifests outside the fence as refusals in a plan.
pub fn refusals<'a>(outside: impl IntoIterator<Item = &'a Outside>) -> Vec<Comparison> {
    let refusal = |outside: &Outside| {
        Comparison::new(
            outside.manifest.key.clone(),
            Side::Absent,
            Side::Refused(outside.why.clone()),
        )
    };
    outside.into_iter().map(refusal).collect()
}

/// Sets namespaces by discovery, separates manifests outside the fence, and labels the rest as the
/// application's.
pub async fn normalize(scope: &AppScope<'_>, manifests: &[Manifest]) -> Result<Settled> {
    let declared = scope.target.declared.as_ref();
    let declared = declared.map(|by| &by.transforms);
    normalize_by(scope, manifests, declared).await
}

/// The same for manifests that were rendered by this version of the application's Kustomization.
pub async fn normalize_by(
    scope: &AppScope<'_>,
    manifests: &[Manifest],
    declared: Option<&Transforms>,
) -> Result<Settled> {
    let transforms = scope.transforms(declared).await?;
    let mut settled = Settled::default();
    for manifest in manifests {
        let mut manifest = manifest.clone();
        // What stays encrypted is refused later, with the reason. Argo CD applies it as it is.
        if !matches!(scope.target.stage.reconcile, Reconciler::ArgoCd(_)) {
            let _ = scope.keys.decrypt(&mut manifest);
        }
        let kind = scope
            .cluster
            .kind(&manifest.key.group, &manifest.version, &manifest.key.kind)
            .await?;
        let namespaced = kind.map_or_else(
            || is_namespaced(manifests, &manifest.key),
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
        if let Some(applying) = scope.applying_of(&manifest).await? {
            applying.mark(&manifest.key, &mut manifest.value);
        }
        if let Some(transforms) = &transforms {
            match &manifest.installed_by {
                // A chart made it: only what its HelmRelease has is filled in.
                Some(of) => {
                    let names = release::variables(of, manifests);
                    transforms.fill_only(&names, &mut manifest.value);
                }
                None => drop(transforms.fill(&mut manifest.value)),
            }
        }
        string_data(&mut manifest);
        contracts::leave(&manifest.key, &mut manifest.value);
        settled.manifests.push(manifest);
    }
    Ok(settled)
}

fn is_namespaced(manifests: &[Manifest], key: &ResourceKey) -> bool {
    definition(manifests, key)
        .is_none_or(|definition| definition.value["spec"]["scope"] != "Cluster")
}

/// Moves a Secret's `stringData` into `data`, as the server does: otherwise the plan could not
/// compare it.
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
