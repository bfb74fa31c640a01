//! One entry of `applications`: a pattern of paths, and the settings of the
//! applications that it matches.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::images::RawImage;
use super::pattern::{APPLICATION, CLUSTER, Found, Pattern, STAGE, fill, names_in};
use super::tree::Tree;
use super::{HelmOptions, OneOf, Stage, invalid};
use crate::domain::ownership::FieldRules;
use crate::domain::sync::DriftMode;
use crate::domain::{Invalid, Name, wildcard};

/// One entry of `applications`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    /// The application's name, with placeholders. None: `{application}`.
    pub(super) name: Option<String>,
    /// The stage of everything that it matches. None: the path has it.
    pub(super) stage: Option<Name>,
    pub(super) pattern: Pattern,
    /// Paths that it does not match; `*` stands for any text.
    pub(super) exclude: Vec<String>,
    pub(super) namespace: String,
    pub(super) images: Vec<(String, RawImage)>,
    pub(super) chart: Option<String>,
    /// Its texts have placeholders.
    pub(super) helm: HelmOptions,
    pub(super) fields: FieldRules,
    pub(super) drift: DriftMode,
    pub(super) depends_on: Vec<Name>,
    pub(super) health_timeout: Duration,
}

/// A path that a rule matches.
pub(super) struct Match<'a> {
    pub(super) application: Name,
    pub(super) stage: &'a Stage,
    found: Found,
}

impl Rule {
    /// The application and stage of a path. None: the rule does not match. An error: it matches, and
    /// the result is invalid.
    pub(super) fn find<'a>(
        &self,
        stages: &'a [Stage],
        path: &str,
    ) -> Option<Result<Match<'a>, Invalid>> {
        let found = self.find_anywhere(stages, path)?;
        // A directory for a cluster that the stage does not have is none of its applications.
        match &found {
            Ok(found) if found.missing_cluster().is_some() => None,
            _ => Some(found),
        }
    }

    /// The same, also where the path is for a cluster that the stage does not have.
    pub(super) fn find_anywhere<'a>(
        &self,
        stages: &'a [Stage],
        path: &str,
    ) -> Option<Result<Match<'a>, Invalid>> {
        let named = |name: &str| stages.iter().find(|stage| stage.name.as_str() == name);
        let found = self.pattern.find(path, &|name| named(name).is_some())?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-/".contains(&b);
        let is_odd = |value: &String| value.starts_with('-') || !value.bytes().all(plain);
        if found.values().any(is_odd) {
            return None;
        }
        if self.exclude.iter().any(|pattern| wildcard(pattern, path)) {
            return None;
        }
        let stage = match (&self.stage, found.get(STAGE)) {
            (Some(name), _) => named(name.as_str()),
            (None, Some(name)) => named(name),
            // The file has only one.
            (None, None) => stages.first(),
        }?;
        let name = match &self.name {
            Some(name) => fill(name, &found),
            None => found.get(APPLICATION)?.clone(),
        };
        let application = name_of(&name).map_err(|Invalid(why)| {
            invalid(format_args!("`{path}`: {why}, or give a `name:` for it"))
        });
        Some(application.map(|application| Match {
            application,
            stage,
            found,
        }))
    }

    /// Whether a directory, or a file, can be an application by this rule. With a chart elsewhere
    /// it may hold no values at all; where a pattern goes to any depth, a part of an application is
    /// none by itself.
    pub(super) fn counts(&self, tree: &Tree, path: &str) -> bool {
        match self.pattern.is_of_files() || self.chart.is_some() {
            true => true,
            false => tree.can_be(path) && !(self.pattern.is_deep() && tree.is_part(path)),
        }
    }

    /// Refuses placeholders that the path does not have.
    pub(super) fn check_placeholders(&self) -> Result<(), Invalid> {
        let mut known = self.pattern.placeholders();
        known.extend([APPLICATION, CLUSTER, STAGE]);
        let images = self.images.iter();
        let images = images.flat_map(|(image, raw)| [image.as_str(), &raw.source]);
        let helm = self.helm.texts();
        let texts = [self.namespace.as_str()].into_iter().chain(images);
        let texts = texts.chain(self.chart.as_deref());
        // The name is made before the clusters are told apart.
        if let Some(name) = &self.name
            && names_in(name).contains(&CLUSTER)
            && !self.pattern.placeholders().contains(CLUSTER)
        {
            return Err(invalid(format_args!(
                "`name: {name}`: the path `{}` has no `{{cluster}}`",
                self.pattern.text
            )));
        }
        let texts = texts.chain(self.name.as_deref());
        for text in texts.chain(helm) {
            if let Some(unknown) = names_in(text)
                .into_iter()
                .find(|name| !known.contains(name))
            {
                return Err(invalid(format_args!(
                    "`{text}`: the path `{}` has no `{{{unknown}}}`",
                    self.pattern.text
                )));
            }
        }
        Ok(())
    }
}

impl Match<'_> {
    /// The cluster that the path names, if the stage has several and not that one.
    pub(super) fn missing_cluster(&self) -> Option<&str> {
        let clusters = &self.stage.clusters;
        let named = self.found.get(CLUSTER).filter(|_| !clusters.is_empty())?;
        let has = clusters.iter().any(|one| one.cluster.as_str() == named);
        (!has).then_some(named)
    }

    /// The stage's clusters that the path is for: the one that it names, or else all of them. None:
    /// the stage has only one.
    pub(super) fn clusters(&self) -> Vec<Option<&OneOf>> {
        let named = self.found.get(CLUSTER);
        let mut all = self.stage.each_cluster();
        all.retain(|one| {
            one.is_none_or(|one| named.is_none_or(|name| one.cluster.as_str() == name))
        });
        all
    }

    /// A text with its placeholders replaced; `{application}` is the application's name.
    pub(super) fn fill(&self, text: &str, one: Option<&OneOf>) -> String {
        let mut found = self.found.clone();
        // Where the stage has one cluster, it may be a placeholder of the path's own.
        let cluster = one.map_or(self.stage.cluster.as_str(), |one| one.cluster.as_str());
        found.entry(CLUSTER.into()).or_insert(cluster.into());
        found.insert(APPLICATION.into(), self.application.to_string());
        found.insert(STAGE.into(), self.stage.name.to_string());
        fill(text, &found)
    }

    /// A path with its placeholders replaced; `{application}` is as the directory is written.
    pub(super) fn fill_path(&self, text: &str, one: Option<&OneOf>) -> String {
        self.fill(&fill(text, &self.found), one)
    }
}

/// The name for what stands in a path: in lower case, with dashes in the place of other characters. A
/// long one is cut, and told from others by the beginning of its digest.
pub(super) fn name_of(text: &str) -> Result<Name, Invalid> {
    let dashed = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() => c,
        _ => '-',
    };
    let name: String = text.chars().map(dashed).collect();
    let words: Vec<_> = name.split('-').filter(|word| !word.is_empty()).collect();
    let name = words.join("-");
    if name.len() <= LONGEST {
        return name.parse();
    }
    let digest = hex::encode(Sha256::digest(text));
    let kept = name[..LONGEST - DIGITS - 1].trim_end_matches('-');
    format!("{kept}-{}", &digest[..DIGITS]).parse()
}

/// The most characters of a name, and how many of them are a digest in one that was cut.
const LONGEST: usize = 40;
const DIGITS: usize = 10;
