//! The images of an entry of windlass.yaml: who may announce one, and where it is set.

use schemars::JsonSchema;
use serde::Deserialize;

use super::FILE;
use super::placeholders::unguarded;
use crate::domain::fieldset::FieldPath;
use crate::domain::image::{self, NamedPlace};
use crate::domain::{Invalid, RepoName};

/// The repository whose CI may announce an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRule {
    pub image: String,
    pub source: RepoName,
    /// Where it is set besides the places that are found.
    pub at: Vec<NamedPlace>,
    /// The workflow whose runs may announce it, as [`ImageRule::workflow_pattern`] completes it.
    pub workflow: Option<String>,
    /// The branches and tags whose runs may; empty: all.
    pub refs: Vec<String>,
}

impl ImageRule {
    /// Whether only runs of workflows may announce it.
    pub fn is_for_runs(&self) -> bool {
        self.workflow.is_some() || !self.refs.is_empty()
    }

    /// The workflow as GitHub names it: `owner/name/.github/workflows/FILE@REF`.
    pub fn workflow_pattern(&self) -> Option<String> {
        let workflow = self.workflow.as_ref()?;
        let of = match workflow.starts_with(".github/") {
            true => format!("{}/", self.source),
            false => String::new(),
        };
        let at = if workflow.contains('@') { "" } else { "@*" };
        Some(format!("{of}{workflow}{at}"))
    }
}

/// An image that is promoted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawImage {
    /// The repository whose CI may announce the image, as `owner/name`.
    pub(super) source: String,
    /// Where the image is set besides `image:` fields, entries of a kustomization and values of a
    /// chart, which are found.
    #[serde(default)]
    pub(super) at: Vec<RawPlace>,
    /// The workflow on GitHub whose runs may announce the image, and nobody else:
    /// `.github/workflows/build.yaml` of the source, or one of another repository and at a ref, as in
    /// `acme/ci/.github/workflows/image.yaml@refs/tags/v*`; `*` stands for any text.
    #[serde(default)]
    pub(super) workflow: Option<String>,
    /// The branches and tags whose runs may announce the image, and nobody else:
    /// `refs/heads/main`, `refs/tags/v*`.
    #[serde(default)]
    pub(super) refs: Vec<String>,
}

/// A value in a file that has an image: a reference, a text with one, its tag or its digest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPlace {
    /// A YAML or JSON file, by its path in the application's directory.
    pub(super) file: String,
    /// The value in it: `.worker.image`, `.spec.env[name="IMAGE"].value`, `.args[1]`.
    pub(super) path: String,
}

impl RawImage {
    /// `fill`: fills in placeholders.
    pub(super) fn rule(
        &self,
        image: &str,
        fill: impl Fn(&str) -> String,
    ) -> Result<ImageRule, Invalid> {
        let image = image::image_name(&fill(image))?;
        let place = |raw: &RawPlace| {
            let path = FieldPath::parse(&raw.path).filter(|path| !path.0.is_empty());
            let path = path.ok_or_else(|| {
                Invalid(format!(
                    "{FILE}: `{image}`: `{}` is not a value's path: write it as `.worker.image` or `.args[1]`",
                    raw.path
                ))
            })?;
            let file = fill(&raw.file);
            if file.is_empty() || file.split('/').any(|part| matches!(part, "" | "." | "..")) {
                return Err(Invalid(format!(
                    "{FILE}: `{image}`: `{file}` is no path of a file in the application's directory"
                )));
            }
            let image = image.clone();
            Ok(NamedPlace { image, file, path })
        };
        Ok(ImageRule {
            source: fill(&self.source).parse()?,
            at: self.at.iter().map(place).collect::<Result<_, Invalid>>()?,
            workflow: self.workflow.as_deref().map(&fill),
            refs: self.refs.iter().map(|text| fill(text)).collect(),
            image: image.clone(),
        })
    }

    pub(super) fn unguarded(self) -> Self {
        let place = |raw: RawPlace| RawPlace {
            file: unguarded(&raw.file),
            path: unguarded(&raw.path),
        };
        Self {
            source: unguarded(&self.source),
            at: self.at.into_iter().map(place).collect(),
            workflow: self.workflow.as_deref().map(unguarded),
            refs: self.refs.iter().map(|text| unguarded(text)).collect(),
        }
    }
}
