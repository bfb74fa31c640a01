//! Applications that objects of Argo CD or Flux in the repository declare: `discover: flux`.
//!
//! The objects are read as they are written, in any file of the tree. What a
//! kustomization makes of them (patches, generated objects) is not computed, but
//! for their namespace.
//!
//! `raw` (the entries of the file as written), `objects` (the objects of a tree), `made`
//! (what the ApplicationSets among them make).

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::images::RawImage;
use super::pattern::{APPLICATION, Found, Pattern, STAGE, fill};
use super::rule::name_of;
use super::{
    Catalog, Declared, Destination, FILE, HEALTH_TIMEOUT, Named, Reconciler, Stage, Target,
};
use crate::domain::build::{Build, Place, Written, argocd, flux, sets};
use crate::domain::manifest::is_label;
use crate::domain::ownership::FieldRules;
use crate::domain::sync::DriftMode;
use crate::domain::{Invalid, Name, RepoName, directories_of, wildcard};

mod made;
mod objects;
mod raw;

pub use objects::Objects;
pub(super) use raw::RawDiscovers;

/// Whose objects declare applications.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum By {
    ArgoCd,
    Flux,
}

/// One entry of `discover`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Discover {
    by: By,
    /// The directories whose files count, at any depth. None: all files.
    pub(super) under: Option<Pattern>,
    /// The stage of all that is found. None: `under` or `label` names it, or there is only one.
    pub(super) stage: Option<Name>,
    /// The label of an object whose value is its stage.
    pub(super) label: Option<String>,
    /// Files that do not count; `*` stands for any text.
    pub(super) exclude: Vec<String>,
    /// The clusters that the objects deploy to, beside their own.
    pub(super) clusters: Vec<Spoke>,
    pub(super) images: Vec<(String, RawImage)>,
}

/// A cluster that objects of another one deploy to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spoke {
    pub(super) known: sets::Cluster,
    /// The name in windlass's settings.
    pub(super) cluster: String,
}

impl Catalog {
    /// Whether it names objects of the tree to be found.
    pub fn discovers(&self) -> bool {
        !self.discover.is_empty()
    }

    /// The clusters that stages, the objects of other reconcilers and `discover` name.
    pub fn cluster_names(&self) -> impl Iterator<Item = &str> {
        let stages = self.stages.iter();
        let of_stages = stages.clone().flat_map(Stage::cluster_names);
        let hubs = stages.filter_map(|stage| stage.reconcile.hub());
        let spokes = self.discover.iter().flat_map(|entry| &entry.clusters);
        let spokes = spokes.map(|spoke| spoke.cluster.as_str());
        of_stages.chain(hubs).chain(spokes)
    }

    /// The clusters of Argo CD, as ApplicationSets choose them.
    pub fn clusters_of_argo_cd(&self) -> Vec<sets::Cluster> {
        let entries = self.discover.iter();
        let entries = entries.filter(|entry| entry.by == By::ArgoCd);
        let mut known: Vec<sets::Cluster> = Vec::new();
        for spoke in entries.flat_map(|entry| &entry.clusters) {
            if !known.iter().any(|other| other.name == spoke.known.name) {
                known.push(spoke.known.clone());
            }
        }
        known
    }

    /// A message if `discover` finds nothing among all of these applications of a repository.
    pub fn undiscovered(&self, targets: &[&Target], repo: &RepoName) -> Option<String> {
        let is_found = targets.iter().any(|target| target.declared.is_some());
        (self.discovers() && !is_found).then(|| {
            format!(
                "{FILE}: `discover` finds no object whose source is {repo}: a Flux Kustomization names a GitRepository with this repository's URL, an Argo CD Application has it as `repoURL`"
            )
        })
    }

    /// The applications that the objects of a tree declare. Each belongs to the first entry of
    /// `discover` that finds it.
    pub(super) fn discovered(
        &self,
        objects: &Objects,
        repo: &RepoName,
    ) -> Result<Vec<Target>, Invalid> {
        let mut targets = Vec::new();
        for by in [By::ArgoCd, By::Flux] {
            let entries = self.discover.iter().filter(|entry| entry.by == by);
            let entries: Vec<_> = entries.collect();
            if entries.is_empty() {
                continue;
            }
            for (written, object) in objects.of(by, repo)? {
                let of = entries.iter().find_map(|entry| {
                    let (stage, at) = entry.finds(&self.stages, &written.file, object)?;
                    Some((*entry, stage, at))
                });
                let Some((entry, stage, at)) = of else {
                    continue;
                };
                targets.extend(entry.target(stage, at, &written, object)?);
            }
        }
        Ok(targets)
    }
}

impl By {
    /// The namespace that its objects are in where no file says one.
    fn home(self) -> &'static str {
        match self {
            Self::ArgoCd => argocd::NAMESPACE,
            Self::Flux => flux::NAMESPACE,
        }
    }
}

impl Discover {
    /// The stage of an object in a file, and the placeholders of its path; None: it does not count.
    fn finds<'a>(
        &self,
        stages: &'a [Stage],
        file: &str,
        object: &Value,
    ) -> Option<(&'a Stage, Found)> {
        let named = |name: &str| stages.iter().find(|stage| stage.name.as_str() == name);
        if self.exclude.iter().any(|pattern| wildcard(pattern, file)) {
            return None;
        }
        let found = match &self.under {
            None => Found::new(),
            Some(under) => directories_of(file)
                .find_map(|path| under.find(path, &|name| named(name).is_some()))?,
        };
        let labels = &object["metadata"]["labels"];
        let stage = match (&self.stage, &self.label, found.get(STAGE)) {
            (Some(name), ..) => named(name.as_str()),
            (None, Some(label), _) => labels[label].as_str().and_then(named),
            (None, None, Some(name)) => named(name),
            // The file has only one.
            (None, None, None) => stages.first(),
        };
        Some((stage?, found))
    }

    /// The object that applies it, and the namespace of objects that name none.
    fn applied(
        &self,
        written: &Written,
        hub: &str,
        object: &Value,
        build: Option<&Build>,
    ) -> (Reconciler, String) {
        let named = Named {
            cluster: written.remote.is_some().then(|| hub.to_string()),
            namespace: written.namespace.clone(),
            name: written.name.clone(),
        };
        let (reconcile, namespace) = match self.by {
            By::Flux => {
                let namespace = build.and_then(|build| build.additions.namespace.as_deref());
                (Reconciler::Flux(named), namespace)
            }
            By::ArgoCd => {
                let spec = match &object["spec"]["template"]["spec"] {
                    Value::Null => &object["spec"],
                    // Of a set that cannot be evaluated.
                    of_set => of_set,
                };
                let namespace = spec["destination"]["namespace"].as_str();
                let namespace = namespace.filter(|namespace| !namespace.contains("{{"));
                (Reconciler::ArgoCd(named), namespace)
            }
        };
        let namespace = namespace.unwrap_or(&written.namespace);
        (reconcile, namespace.to_string())
    }

    /// The object with what is known of the cluster that it deploys to, and windlass's name of that
    /// cluster: its own, if another one is not known.
    fn deployed(&self, written: &Written, hub: &str, object: &Value) -> (Written, String) {
        let remote = written.remote_of(object).and_then(|remote| {
            let is = |spoke: &&Spoke| {
                spoke.known.name == remote || spoke.known.server.as_deref() == Some(&remote)
            };
            Some((self.clusters.iter().find(is)?.cluster.clone(), remote))
        });
        let Some((cluster, remote)) = remote else {
            return (written.clone(), hub.to_string());
        };
        let remote = Some(remote);
        let written = Written {
            remote,
            ..written.clone()
        };
        (written, cluster)
    }

    /// The name of an application: the same whatever other objects there are.
    fn name(&self, written: &Written) -> Option<Name> {
        let (namespace, name) = (&written.namespace, &written.name);
        let title = match namespace == self.by.home() {
            true => name.clone(),
            false => format!("{namespace}-{name}"),
        };
        name_of(&title).ok()
    }

    /// The application of an object. None: its names are no names, as in a template. An object that
    /// cannot be read otherwise is one too: its rendering says why.
    fn target(
        &self,
        stage: &Stage,
        mut found: Found,
        written: &Written,
        object: &Value,
    ) -> Result<Option<Target>, Invalid> {
        let (written, cluster) = &self.deployed(written, &stage.cluster, object);
        let build = written.build(object).ok();
        let (reconcile, namespace) = self.applied(written, &stage.cluster, object, build.as_ref());
        let Some(application) = self.name(written).filter(|_| is_label(&namespace)) else {
            return Ok(None);
        };
        if reconcile.check().is_err() {
            return Ok(None);
        }
        found.insert(APPLICATION.into(), application.to_string());
        found.insert(STAGE.into(), stage.name.to_string());
        let image = |(image, raw): &(String, RawImage)| raw.rule(image, |text| fill(text, &found));
        let path = match build.as_ref().map(|build| &build.place) {
            Some(Place::Directory(directory)) => directory.clone(),
            _ => written.file.clone(),
        };
        let (helm, transforms) = build
            .map(|build| (build.helm, build.transforms))
            .unwrap_or_default();
        Ok(Some(Target {
            application,
            stage: Stage {
                reconcile,
                ..stage.clone()
            },
            one_of: None,
            path,
            destination: Destination {
                cluster: cluster.clone(),
                namespace,
            },
            images: self
                .images
                .iter()
                .map(image)
                .collect::<Result<_, Invalid>>()?,
            chart: None,
            exclude: Vec::new(),
            helm,
            declared: Some(Declared {
                written: written.clone(),
                charts: argocd::charts(object),
                transforms,
            }),
            fields: FieldRules::default(),
            drift: DriftMode::default(),
            depends_on: Vec::new(),
            health_timeout: HEALTH_TIMEOUT,
        }))
    }
}

#[cfg(test)]
mod tests;
