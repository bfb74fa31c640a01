//! Applications that an object of Argo CD or Flux declares: what they read, and
//! the changes that the object makes to a kustomization and to rendered objects.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::complete::{Wanted, What};
use super::dependencies::{Dependency, chart_version, is_exact, line};
use super::inputs::{Chart, How, Inputs, Walk};
use super::kustomize::{files_of, is_kustomization};
use super::remote::FETCHED;
use super::source::{Source, join};
use crate::domain::build::{Build, Place, Written, flux};
use crate::domain::catalog::{RenderSource, is_manifest};
use crate::domain::manifest::Manifest;
use crate::domain::substitute::Transforms;
use crate::domain::{Invalid, yaml};

/// The object of Argo CD or Flux that says how an application is rendered.
#[derive(Debug, Clone)]
pub(super) struct Declaration {
    pub(super) file: String,
    /// The file's text, or that of the object if an ApplicationSet makes it.
    pub(super) text: String,
    pub(super) is_made: bool,
    pub(super) object: Value,
    pub(super) build: Build,
}

/// The inputs of an application as its object in this tree says; None: the tree does not have it.
pub(super) fn declared(
    tree: &Source<'_>,
    source: &RenderSource,
    written: &Written,
) -> Result<Option<Inputs>, Invalid> {
    let file = &written.file;
    let text = tree.text(file);
    let text = text.map_err(|error| Invalid(format!("{file}: {error}")))?;
    let Some(text) = text else {
        return Ok(None);
    };
    let object = match written.made_by {
        Some(_) => {
            let objects = tree.objects();
            let objects = objects.map_err(|error| Invalid(format!("{file}: {error}")))?;
            objects.made(written)?.cloned()
        }
        None => written.find(&text)?,
    };
    let Some(object) = object else {
        return Ok(None);
    };
    let build = written.build(&object)?;
    let by = Declaration {
        file: file.clone(),
        // The file is the same for all that a set makes.
        text: match written.made_by {
            Some(_) => yaml::print(&object),
            None => text,
        },
        is_made: written.made_by.is_some(),
        object,
        build,
    };
    let others = by.build.beside.iter().map(|build| {
        let by = Declaration {
            build: build.clone(),
            ..by.clone()
        };
        of_source(tree, source, written, by)
    });
    let others = others.collect::<Result<_, _>>()?;
    Ok(Some(of_source(tree, source, written, by)?.beside(others)))
}

/// The inputs of one of the sources that are rendered.
fn of_source(
    tree: &Source<'_>,
    source: &RenderSource,
    written: &Written,
    by: Declaration,
) -> Result<Inputs, Invalid> {
    let mut walk = Walk::new(tree);
    let build = &by.build;
    let place = |directory: &str| RenderSource {
        directory: directory.into(),
        helm: build.helm.clone(),
        written: None,
        ..source.clone()
    };
    let (directory, how) = match &build.place {
        Place::Directory(directory) => {
            let how = walk.directory(&place(directory), build, written)?;
            (directory.clone(), how)
        }
        Place::Chart { name, .. } => {
            let directory = format!("{FETCHED}{name}");
            let at = line(&by.file, by.text.as_bytes(), name);
            let how = walk.chart_elsewhere(&place(&directory), &build.place, at)?;
            (directory, how)
        }
    };
    let releases = walk.releases(&by.object, written)?;
    Ok(walk.inputs(&directory, how, Some(by)).with(releases))
}

impl Walk<'_> {
    fn directory(
        &mut self,
        place: &RenderSource,
        build: &Build,
        written: &Written,
    ) -> Result<How, Invalid> {
        let directory = &place.directory;
        self.source.check_submodules(directory)?;
        if !self.source.is_directory(directory) {
            return Err(Invalid(format!(
                "{}: {} {}: its path `{directory}` is not in this repository",
                written.file, written.key.kind, written.key.name
            )));
        }
        let by_flux = written.key.group == flux::GROUP;
        // Flux runs no helm on a directory.
        let how = match by_flux && is_kustomization(self.source, directory) {
            true => {
                self.kustomization(directory)?;
                How::Kustomize
            }
            false => self.application(place)?,
        };
        if how == How::Plain {
            let mut all = self.source.under(directory);
            let jsonnet = all.find(|path| path.ends_with(".jsonnet") && !by_flux);
            if let Some(path) = jsonnet {
                return Err(Invalid(format!(
                    "{path}: Argo CD evaluates jsonnet, which windlass does not: what it makes is not known here"
                )));
            }
            let below = format!("{directory}/");
            let counts = |path: &String| {
                let path = path.strip_prefix(&below).unwrap_or(path);
                build.files.counts(path)
            };
            self.files.retain(|path, _| counts(path));
        }
        self.with_additions(how, directory, build)
    }

    /// A chart that is not in this repository. Its values files may be.
    fn chart_elsewhere(
        &mut self,
        place: &RenderSource,
        chart: &Place,
        at: String,
    ) -> Result<How, Invalid> {
        let Place::Chart {
            repository,
            name,
            version,
        } = chart
        else {
            return Ok(How::Plain);
        };
        if !is_exact(version) {
            return Err(Invalid(format!(
                "{at}: `{version}` is no exact version of the chart `{name}`: which one runs cannot be told from Git; write one, as in `1.2.3`"
            )));
        }
        let wanted = Dependency {
            name: name.clone(),
            version: version.clone(),
            repository: repository.clone(),
        };
        let what = What::Chart {
            chart: chart_version(&at, &wanted)?,
            into: place.directory.clone(),
            instead: "commit the chart".into(),
        };
        self.want(Wanted::new(&at, what))?;
        Ok(How::Helm(Box::new(Chart {
            values: self.values(place, &place.directory)?,
            directory: place.directory.clone(),
            options: place.helm.clone(),
        })))
    }

    /// Reads what is added to a kustomization. Plain manifests become one if anything is added.
    fn with_additions(&mut self, how: How, directory: &str, build: &Build) -> Result<How, Invalid> {
        let additions = &build.additions;
        if additions.is_empty() {
            return Ok(how);
        }
        for component in &additions.components {
            let path = join(directory, component);
            let path = path.filter(|path| self.source.is_directory(path));
            let path = path.ok_or_else(|| {
                Invalid(format!(
                    "{directory}: the component `{component}` is not in this repository"
                ))
            })?;
            self.kustomization(&path)?;
        }
        let below = format!("{directory}/");
        match how {
            How::Plain => {
                let files = self.files.keys();
                let files = files.filter_map(|path| path.strip_prefix(&below));
                let files: Vec<_> = files.filter(|path| is_manifest(path)).collect();
                let text = json!({"kind": "Kustomization", "resources": files});
                Ok(How::Generated(text.to_string()))
            }
            How::Helm(_) => Err(Invalid(format!(
                "{directory}: it is a chart, to which nothing can be added as to a kustomization"
            ))),
            how => Ok(how),
        }
    }
}

impl Inputs {
    /// With other sources that are rendered.
    pub(super) fn beside(mut self, others: Vec<Self>) -> Self {
        if others.is_empty() {
            return self;
        }
        let mut hash = Sha256::new();
        hash.update(&self.hash);
        others.iter().for_each(|other| hash.update(&other.hash));
        self.hash = hex::encode(hash.finalize());
        self.beside = others;
        self
    }

    /// All sources that are rendered, each without the others.
    pub(super) fn sources(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.beside)
    }

    /// Whether what is rendered is deleted with the object that declares it; None: none does.
    pub fn deletes(&self) -> Option<bool> {
        self.declaration.as_ref().map(|by| by.build.deletes)
    }

    /// What its Kustomization fills in, if one declares the application.
    pub fn transforms(&self) -> Option<&Transforms> {
        self.declaration.as_ref().map(|by| &by.build.transforms)
    }

    /// The kustomization that is built in the place of the one in Git: with what a reconciler adds.
    /// None: nothing is added.
    pub(super) fn changed_kustomization(&self) -> Result<Option<(String, String)>, Invalid> {
        let additions = self.declaration.as_ref().map(|by| &by.build.additions);
        let Some(additions) = additions.filter(|additions| !additions.is_empty()) else {
            return Ok(None);
        };
        let mut present = files_of(&self.directory).filter(|path| self.files.contains_key(path));
        let (file, text) = match (&self.how, present.next()) {
            (How::Generated(text), _) => (
                format!("{}/kustomization.yaml", self.directory),
                text.clone(),
            ),
            (_, Some(file)) => {
                let text = String::from_utf8_lossy(&self.files[&file]).into_owned();
                (file, text)
            }
            (_, None) => return Ok(None),
        };
        let told = |why: String| Invalid(format!("{file}: {why}"));
        let documents = yaml::documents(&text).map_err(told)?;
        let document = documents
            .first()
            .cloned()
            .unwrap_or_else(|| Value::Object(Default::default()));
        let added = additions
            .add_to(&document)
            .map_err(|Invalid(why)| told(why))?;
        Ok(Some((file, added)))
    }

    /// The manifests of a text, as whoever applies them changes them.
    pub(super) fn parse(&self, text: &str, file: &str) -> Result<Vec<Manifest>, Invalid> {
        match &self.declaration {
            Some(by) => Manifest::parse_changed(text, file, &|object| by.build.finish(object)),
            None => Manifest::parse_all(text, file),
        }
    }
}
