//! Where Git has an object, or a field of it: for whoever has to fix a refusal.

use serde_json::Value;

use super::inputs::Inputs;
use crate::domain::catalog::is_own;
use crate::domain::fieldset::{Element, FieldPath};
use crate::domain::manifest::{FileLine, ResourceKey};
use crate::domain::{edit, yaml};

impl Inputs {
    /// Where an object is defined, or a field of it. Names that kustomize changes (by a prefix or a
    /// hash) and templates of charts are not found.
    pub fn locate(&self, key: &ResourceKey, field: Option<&FieldPath>) -> Option<FileLine> {
        // The application's own directory comes first: its author knows the patches there.
        let files = self.sources().flat_map(|one| {
            let own = |path: &String| is_own(&one.directory, path);
            one.files
                .iter()
                .map(move |(path, content)| (own(path), path, content))
        });
        let (own, others): (Vec<_>, Vec<_>) = files.partition(|(is_own, ..)| *is_own);
        own.into_iter()
            .chain(others)
            .find_map(|(_, path, content)| {
                let text = std::str::from_utf8(content).ok()?;
                let mut line = 1;
                for document in edit::split_documents(text) {
                    // Only parse documents that mention kind and name: most files are about something
                    // else.
                    let may_define = document.contains(&key.kind) && document.contains(&key.name);
                    let parsed = if may_define {
                        yaml::documents(document).ok()
                    } else {
                        None
                    };
                    let is = |value: &Value| {
                        value["kind"] == key.kind.as_str()
                            && value["metadata"]["name"] == key.name.as_str()
                    };
                    if parsed.is_some_and(|all| all.iter().any(is)) {
                        let line = line + line_in(document, field);
                        let path = path.clone();
                        return Some(FileLine { path, line });
                    }
                    line += document.matches('\n').count();
                }
                None
            })
    }
}

/// The line of a field in an object's text, from 0; without the field, of the object itself.
fn line_in(document: &str, field: Option<&FieldPath>) -> usize {
    let name = field.and_then(|field| match field.0.last()? {
        Element::Field(name) => Some(format!("{name}:")),
        _ => None,
    });
    let named = |name: &String| {
        let has = |line: &str| {
            let words = line.split([' ', '{', ',', '"', '\'']);
            words
                .into_iter()
                .any(|word| word.starts_with(name.as_str()))
        };
        document.lines().position(has)
    };
    let is_empty = |line: &&str| line.trim().is_empty() || line.starts_with(['#', '-']);
    let object = || document.lines().take_while(is_empty).count();
    name.as_ref().and_then(named).unwrap_or_else(object)
}
