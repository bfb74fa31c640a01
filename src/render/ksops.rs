//! KSOPS in kustomizations: a generator that prints the files that it names, decrypted
//! (github.com/viaduct-ai/kustomize-sops).
//!
//! The program is not run. Its files are resources of the kustomization instead, encrypted as they
//! are: what decrypts Secrets afterwards decrypts these too. A base from elsewhere keeps its
//! generators, which kustomize then refuses.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;

use super::inflation::with_resources;
use super::inputs::{Inputs, Walk};
use super::remote::Base;
use crate::domain::{Invalid, yaml};

/// The kind of the generator.
const KIND: &str = "ksops";
/// What its objects may ask of kustomize, which depends on what is encrypted.
const OPTIONS: [&str; 2] = [
    "kustomize.config.k8s.io/needs-hash",
    "kustomize.config.k8s.io/behavior",
];

/// A generator of a kustomization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Generator {
    /// The kustomization.
    file: String,
    /// The element of `generators` that it is.
    named: String,
    /// As it names them: from the kustomization's directory.
    files: Vec<String>,
}

impl Walk<'_> {
    /// Reads the files of a kustomization's generators of this kind.
    pub(super) fn ksops(
        &mut self,
        directory: &str,
        file: &str,
        document: &Value,
    ) -> Result<(), Invalid> {
        for (named, at, documents) in self.generators(directory, file, document)? {
            if documents.iter().any(|object| object["kind"] != KIND) {
                continue;
            }
            let mut files = Vec::new();
            for object in &documents {
                files.extend(files_of(object).map_err(|why| Invalid(format!("{at}: {why}")))?);
            }
            for encrypted in &files {
                let path = match Base::parse(encrypted) {
                    None => self.reference(directory, &at, encrypted)?,
                    Some(_) => None,
                };
                let Some(path) = path else {
                    return Err(Invalid(format!(
                        "{at}: `{encrypted}` is no file of this repository, as {KIND} reads them"
                    )));
                };
                let text = String::from_utf8_lossy(&self.files[&path]).into_owned();
                if let Some(option) = OPTIONS.iter().find(|option| has_option(&text, option)) {
                    return Err(Invalid(format!(
                        "{at}: `{encrypted}` has the annotation `{option}`, by which its name or its data depend on what is encrypted: windlass renders before it decrypts"
                    )));
                }
            }
            let generator = Generator {
                file: file.into(),
                named,
                files,
            };
            if !self.ksops.contains(&generator) {
                self.ksops.push(generator);
            }
        }
        Ok(())
    }
}

/// The files that a generator names.
fn files_of(object: &Value) -> Result<Vec<String>, String> {
    let known = ["apiVersion", "kind", "metadata", "files"];
    let fields = object.as_object().into_iter().flatten();
    let mut others = fields
        .map(|(name, _)| name)
        .filter(|name| !known.contains(&name.as_str()));
    if let Some(other) = others.next() {
        return Err(format!(
            "`{other}` of {KIND} is not supported: name encrypted Secrets in `files`"
        ));
    }
    let files = object["files"].as_array().into_iter().flatten();
    Ok(files
        .filter_map(|file| file.as_str().map(str::to_string))
        .collect())
}

fn has_option(text: &str, option: &str) -> bool {
    let all = yaml::documents(text).unwrap_or_default();
    all.iter()
        .any(|object| !object["metadata"]["annotations"][option].is_null())
}

/// The inputs of a kustomization with the files of these generators as resources.
pub(super) fn as_resources(inputs: &Inputs) -> Result<Cow<'_, Inputs>, Invalid> {
    if inputs.ksops.is_empty() {
        return Ok(Cow::Borrowed(inputs));
    }
    let mut changed = inputs.clone();
    for Generator { file, named, files } in &inputs.ksops {
        let text = String::from_utf8_lossy(&changed.files[file]).into_owned();
        let text = with_resources(&text, Some(named), files);
        let text = text.map_err(|why| Invalid(format!("{file}: {why}")))?;
        changed
            .files
            .insert(file.clone(), Arc::from(text.into_bytes()));
    }
    Ok(Cow::Owned(changed))
}
