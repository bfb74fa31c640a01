//! Applications that objects of Argo CD or Flux in the repository declare: `discover: flux`.
//!
//! The objects are read as they are written, in any file of the tree. What a
//! kustomization makes of them (patches, generated objects) is not computed, but
//! for their namespace.
//!
//! `raw` (the entries of the file as written), `objects` (the objects of a tree).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::pattern::{APPLICATION, Found, Pattern, STAGE, fill};
use super::raw::RawImage;
use super::rule::name_of;
use super::{
    Catalog, Declared, Destination, HEALTH_TIMEOUT, ImageRule, Named, Reconciler, Stage, Target,
    invalid,
};
use crate::domain::build::{Place, Written};
use crate::domain::ownership::FieldRules;
use crate::domain::sync::DriftMode;
use crate::domain::{Invalid, Name, RepoName, image, wildcard};

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
    pub(super) images: Vec<(String, RawImage)>,
}

impl Catalog {
    /// Whether it names objects of the tree to be found.
    pub fn discovers(&self) -> bool {
        !self.discover.is_empty()
    }

    /// The applications that the objects of a tree declare. Each belongs to the first entry of
    /// `discover` that finds it.
    pub(super) fn discovered(
        &self,
        objects: &Objects,
        repo: &RepoName,
    ) -> Result<Vec<Target>, Invalid> {
        let mut found = Vec::new();
        for by in [By::ArgoCd, By::Flux] {
            let entries: Vec<_> = self
                .discover
                .iter()
                .filter(|entry| entry.by == by)
                .collect();
            if entries.is_empty() {
                continue;
            }
            for (written, object) in objects.of(by, repo) {
                let of = entries.iter().find_map(|entry| {
                    let (stage, at) = entry.finds(&self.stages, &written.file, object)?;
                    Some((*entry, stage, at))
                });
                found.extend(of.map(|(entry, stage, at)| (entry, stage, at, written, object)));
            }
        }
        let mut count: BTreeMap<(&str, &Name), usize> = BTreeMap::new();
        for (_, stage, _, written, _) in &found {
            let of_name = count.entry((&written.key.name, &stage.name)).or_default();
            *of_name += 1;
        }
        let mut targets = Vec::new();
        for (entry, stage, at, written, object) in &found {
            let is_only = count[&(written.key.name.as_str(), &stage.name)] == 1;
            let name = match is_only {
                true => written.key.name.clone(),
                false => format!("{}-{}", written.namespace, written.key.name),
            };
            targets.push(entry.target(&name, stage, at, written, object)?);
        }
        Ok(targets)
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
            Some(under) => {
                let mut above = file.match_indices('/').map(|(at, _)| &file[..at]);
                above.find_map(|path| under.find(path, &|name| named(name).is_some()))?
            }
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

    fn target(
        &self,
        name: &str,
        stage: &Stage,
        found: &Found,
        written: &Written,
        object: &Value,
    ) -> Result<Target, Invalid> {
        let file = &written.file;
        let told = |Invalid(why)| invalid(format_args!("`{file}`: {why}"));
        let application = name_of(name).map_err(told)?;
        let mut found = found.clone();
        found.insert(APPLICATION.into(), application.to_string());
        found.insert(STAGE.into(), stage.name.to_string());
        let image = |(image, raw): &(String, RawImage)| {
            Ok(ImageRule {
                image: image::image_name(&fill(image, &found))?,
                source: fill(&raw.source, &found).parse()?,
            })
        };
        let build = written.build(object).map_err(told)?;
        let named = Named {
            namespace: written.namespace.clone(),
            name: written.key.name.clone(),
        };
        let (reconcile, namespace) = match self.by {
            By::Flux => (
                Reconciler::Flux(named),
                build.additions.namespace.as_deref(),
            ),
            By::ArgoCd => {
                let namespace = object["spec"]["destination"]["namespace"].as_str();
                (Reconciler::ArgoCd(named), namespace)
            }
        };
        let namespace = namespace.unwrap_or(&written.namespace);
        reconcile.check()?;
        Ok(Target {
            application,
            stage: Stage {
                reconcile,
                ..stage.clone()
            },
            path: match build.place {
                Place::Directory(directory) => directory,
                Place::Chart { .. } => file.clone(),
            },
            destination: Destination {
                cluster: stage.cluster.clone(),
                namespace: namespace.into(),
            },
            images: self
                .images
                .iter()
                .map(image)
                .collect::<Result<_, Invalid>>()?,
            chart: None,
            exclude: Vec::new(),
            helm: build.helm,
            declared: Some(Declared {
                written: written.clone(),
                transforms: build.transforms,
            }),
            fields: FieldRules::default(),
            drift: DriftMode::default(),
            depends_on: Vec::new(),
            health_timeout: HEALTH_TIMEOUT,
        })
    }
}

#[cfg(test)]
mod tests;
