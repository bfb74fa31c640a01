//! The files of an application that an image may be set in.

use super::inputs::{How, Inputs, read};
use super::source::Source;
use crate::domain::Invalid;
use crate::domain::catalog::{KUSTOMIZATIONS, RenderSource, is_manifest, is_own};
use crate::domain::edit::{Files, Kind};
use crate::domain::image::NamedPlace;
use crate::git::EntryMode;

/// The files of an application that an edit may change.
pub fn editable(tree: &Source<'_>, source: &RenderSource) -> Result<Files, Invalid> {
    let inputs = read(tree, source)?;
    let inputs = inputs.ok_or_else(|| Invalid(format!("{} is not there", source.directory)))?;
    let is_link = |path: &str| {
        let entry = tree.listing().get(path);
        entry.is_none_or(|(mode, _)| mode != EntryMode::File)
    };
    let mut files = inputs.editable(is_link);
    for place in &source.named {
        let place = NamedPlace {
            file: format!("{}/{}", files.place, place.file),
            ..place.clone()
        };
        if !files.own.contains_key(&place.file)
            && !is_link(&place.file)
            && let Some(content) = tree.content(&place.file)?
            && let Ok(text) = String::from_utf8(content)
        {
            files.own.insert(place.file.clone(), (Kind::Named, text));
        }
        files.named.push(place);
    }
    Ok(files)
}

impl Inputs {
    /// The files that may be edited, and those that it reads elsewhere. `is_link`: paths of symbolic
    /// links, which are not edited.
    fn editable(&self, is_link: impl Fn(&str) -> bool) -> Files {
        let mut files = Files {
            place: self.directory.clone(),
            ..Files::default()
        };
        if let Some(by) = self.declaration.as_ref().filter(|by| !by.is_made) {
            let file = (Kind::Manifests, by.text.clone());
            files.own.insert(by.file.clone(), file);
        }
        self.sources()
            .for_each(|one| one.editable_of_source(&is_link, &mut files));
        files
    }

    fn editable_of_source(&self, is_link: impl Fn(&str) -> bool, files: &mut Files) {
        if let How::Helm(chart) = &self.how {
            let own = |path: &&String| is_own(&self.directory, path) && !is_link(path);
            let last = chart.values.iter().rfind(own).cloned();
            files.last_values = files.last_values.take().or(last);
        }
        for (path, content) in &self.files {
            let (Some(kind), Ok(text)) = (self.kind_of(path), std::str::from_utf8(content)) else {
                continue;
            };
            let side = match is_own(&self.directory, path) && !is_link(path) {
                true => &mut files.own,
                false => &mut files.elsewhere,
            };
            side.insert(path.clone(), (kind, text.into()));
        }
    }

    /// None: it is no file that an image stands in, as a template.
    fn kind_of(&self, path: &str) -> Option<Kind> {
        let name = path.rsplit('/').next().unwrap_or(path);
        match &self.how {
            How::Helm(chart) => {
                let is_values = chart.values.iter().any(|values| values == path)
                    || path.strip_prefix(chart.directory.as_str()) == Some("/values.yaml");
                is_values.then_some(Kind::Values)
            }
            _ if self
                .inflations
                .iter()
                .any(|one| one.values.iter().any(|values| values == path)) =>
            {
                Some(Kind::Values)
            }
            _ if self.inflations.iter().any(|one| is_own(&one.chart, path)) => None,
            _ if KUSTOMIZATIONS.contains(&name) => Some(Kind::Kustomization),
            _ => is_manifest(path).then_some(Kind::Manifests),
        }
    }
}
