//! Directories of plain manifests.

use super::inputs::Inputs;
use crate::domain::manifest::Manifest;
use crate::domain::{Invalid, yaml};

/// All manifests of the files, and the keys that are repeated in them.
pub(super) fn all(inputs: &Inputs) -> Result<(Vec<Manifest>, Vec<String>), Invalid> {
    let (mut found, mut doubled) = (Vec::<Manifest>::new(), Vec::new());
    let mut nodes = 0;
    for (path, content) in &inputs.files {
        let read = manifests(path, content, &|text| inputs.parse(text, path))?;
        let values = read.iter().map(|manifest| yaml::nodes(&manifest.value));
        nodes += values.sum::<usize>();
        if nodes > yaml::MOST_NODES {
            return Err(Invalid(format!(
                "{}: its manifests have more than {} values: split it",
                inputs.directory,
                yaml::MOST_NODES
            )));
        }
        found.extend(read);
        doubled.extend(repeated(path, content));
    }
    Ok((found, doubled))
}

/// The keys that a file repeats in a mapping, each as `path:line: KEY`.
pub(super) fn repeated(path: &str, content: &[u8]) -> Vec<String> {
    let found = yaml::repeated(&String::from_utf8_lossy(content)).into_iter();
    found
        .map(|one| format!("{path}:{}: `{}`", one.line, one.key))
        .collect()
}

/// The manifests of a file. The error of one that holds something else says how to leave it out.
pub(super) fn manifests(
    path: &str,
    content: &[u8],
    parse: &dyn Fn(&str) -> Result<Vec<Manifest>, Invalid>,
) -> Result<Vec<Manifest>, Invalid> {
    let text = String::from_utf8_lossy(content);
    parse(&text).map_err(|Invalid(why)| {
        let is_other = yaml::documents(&text).is_ok_and(|all| {
            let is_one = |key: &str| all.iter().all(|document| document[key].is_string());
            !is_one("apiVersion") || !is_one("kind")
        });
        match is_other {
            true => Invalid(format!(
                "{why}. If it is no manifest, leave it out: by `exclude: [{path}]` in windlass.yaml, or by a kustomization.yaml that lists the others"
            )),
            false => Invalid(why),
        }
    })
}
