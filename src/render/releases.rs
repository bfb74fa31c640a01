//! Flux's HelmReleases among rendered objects: what their charts make is added to
//! the objects of the application.
//!
//! One that cannot be rendered (a chart that may not be fetched, a version that
//! is a range, values from a Secret) says so in an annotation and stops nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::complete::{MOST_WANTED, Wanted, What};
use super::declared::Declaration;
use super::dependencies::{Dependency, chart_version, is_exact};
use super::inputs::{Chart, How, Inputs};
use super::remote::FETCHED;
use super::source::Links;
use super::{NotRendered, Release, Renderer};
use crate::domain::Invalid;
use crate::domain::build::Place;
use crate::domain::build::release::{self, HelmRelease};
use crate::domain::manifest::Manifest;

impl Renderer {
    /// The manifests with those of their HelmReleases. `namespace`: of objects that name none.
    pub(super) async fn with_releases(
        &self,
        mut manifests: Vec<Manifest>,
        cluster: &Release,
    ) -> Result<Vec<Manifest>, NotRendered> {
        let releases = manifests.iter_mut();
        for release in releases.filter(|manifest| release::is_release(&manifest.key)) {
            release.normalise(true, &cluster.namespace);
        }
        let mut installed = Vec::new();
        let mut unknown: BTreeMap<usize, String> = BTreeMap::new();
        let all = manifests.iter().enumerate();
        let all = all.filter(|(_, manifest)| release::is_release(&manifest.key));
        for (count, (at, manifest)) in all.enumerate() {
            let found = match HelmRelease::of(manifest, &manifests, &cluster.namespace) {
                Ok(_) if count >= MOST_WANTED => Err(Invalid(format!(
                    "more than {MOST_WANTED} HelmReleases: split the application"
                ))
                .into()),
                Ok(of) => self.installed(&of, cluster).await,
                Err(why) => Err(Invalid(why).into()),
            };
            match found {
                Ok(found) => installed.extend(found),
                Err(NotRendered::Invalid(Invalid(why))) => drop(unknown.insert(at, why)),
                Err(other) => return Err(other),
            }
        }
        for (at, why) in unknown {
            release::note(&mut manifests[at].value, why);
        }
        manifests.extend(installed);
        Ok(manifests)
    }

    /// What a HelmRelease installs.
    async fn installed(
        &self,
        of: &HelmRelease,
        cluster: &Release,
    ) -> Result<Vec<Manifest>, NotRendered> {
        let inputs = chart_inputs(of)?;
        let made = Box::pin(self.render(&inputs, Some(cluster.clone()))).await?;
        let made = match &of.post {
            None => made,
            Some(post) => {
                let inputs = post_inputs(&inputs, post, &made);
                Box::pin(self.render(&inputs, None)).await?
            }
        };
        let mark = |manifest: &Manifest| {
            let mut manifest = manifest.clone();
            of.mark(&mut manifest.value);
            let namespace = manifest.value["metadata"]["namespace"].as_str();
            manifest.key.namespace = namespace.map(Into::into);
            manifest
        };
        Ok(made.iter().map(mark).collect())
    }
}

impl Inputs {
    /// Whether HelmReleases may be among what it renders to, which are rendered as well.
    pub(super) fn may_have_releases(&self) -> bool {
        let by_flux = self.declaration.as_ref().is_some_and(Declaration::is_flux);
        let has = |content: &Arc<[u8]>| {
            let group = release::GROUP.as_bytes();
            content.windows(group.len()).any(|part| part == group)
        };
        by_flux && self.files.values().any(has)
    }
}

fn chart_inputs(of: &HelmRelease) -> Result<Inputs, Invalid> {
    let Place::Chart {
        repository,
        name,
        version,
    } = &of.chart
    else {
        return Err(Invalid("it has no chart".into()));
    };
    let at = format!("HelmRelease {}/{}", of.namespace, of.name);
    if !is_exact(version) {
        return Err(Invalid(format!(
            "`{version}` is no exact version of the chart `{name}`: which one runs cannot be told from Git"
        )));
    }
    let wanted = Dependency {
        name: name.clone(),
        version: version.clone(),
        repository: repository.clone(),
    };
    let directory = format!("{FETCHED}{name}");
    let what = What::Chart {
        chart: chart_version(&at, &wanted)?,
        into: directory.clone(),
        instead: "make the chart a part of the repository".into(),
    };
    let hash = hex::encode(Sha256::digest(format!("{of:?}")));
    Ok(Inputs {
        how: How::Helm(Box::new(Chart {
            directory: directory.clone(),
            values: Vec::new(),
            options: of.options.clone(),
        })),
        directory,
        files: BTreeMap::new(),
        declaration: None,
        links: Links::new(),
        wanted: vec![Wanted::new(&at, what)],
        inflations: Vec::new(),
        ksops: Vec::new(),
        hash: format!("release {hash}"),
    })
}

/// The inputs of the kustomization that changes what a chart made.
fn post_inputs(chart: &Inputs, post: &Value, made: &[Manifest]) -> Inputs {
    let directory = ".windlass-post".to_string();
    let all: Vec<_> = made
        .iter()
        .map(|manifest| manifest.value.to_string())
        .collect();
    let file =
        |name: &str, text: String| (format!("{directory}/{name}"), Arc::from(text.into_bytes()));
    let files = [
        file("kustomization.yaml", post.to_string()),
        file("all.yaml", all.join("\n---\n")),
    ];
    let digest = hex::encode(Sha256::digest(all.concat()));
    Inputs {
        how: How::Kustomize,
        files: BTreeMap::from(files),
        declaration: None,
        links: Links::new(),
        wanted: Vec::new(),
        inflations: Vec::new(),
        ksops: Vec::new(),
        hash: format!("{} {post} {digest}", chart.hash),
        directory,
    }
}
