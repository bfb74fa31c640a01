//! Kustomizations: the files that they refer to, and running kustomize.

use serde_json::Value;

use super::inputs::{Inputs, Walk};
use super::run::{MOST_TIME, Program};
use super::source::{Source, join};
use super::{NotRendered, Renderer};
use crate::domain::manifest::Manifest;
use crate::domain::{Invalid, yaml};

const KUSTOMIZATIONS: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

pub(super) fn is_kustomization(source: &Source<'_>, directory: &str) -> bool {
    KUSTOMIZATIONS
        .iter()
        .any(|name| source.has_file(&format!("{directory}/{name}")))
}

impl Renderer {
    pub(super) async fn kustomize(&self, inputs: &Inputs) -> Result<Vec<Manifest>, NotRendered> {
        let arguments = ["build".into(), inputs.directory.clone()];
        let out = self
            .run(inputs, Program::Kustomize, &arguments, MOST_TIME)
            .await?;
        Ok(self.parse(&out, &inputs.directory).await?)
    }
}

impl Walk<'_> {
    pub(super) fn kustomization(&mut self, directory: &str) -> Result<(), Invalid> {
        if !self.visited.insert(directory.into()) {
            return Ok(());
        }
        let join_file = |name: &&&str| {
            if directory.is_empty() {
                name.to_string()
            } else {
                format!("{directory}/{name}")
            }
        };
        let present: Vec<_> = KUSTOMIZATIONS
            .iter()
            .map(|name| join_file(&name))
            .filter(|path| self.source.has_file(path))
            .collect();
        let [file] = &present[..] else {
            return Err(Invalid(format!(
                "{directory}: {} kustomization files, but there must be exactly one",
                present.len()
            )));
        };
        self.file(file)?;
        let text = String::from_utf8_lossy(&self.files[file]).into_owned();
        let documents =
            yaml::documents(&text).map_err(|error| Invalid(format!("{file}: {error}")))?;
        for document in &documents {
            for reference in
                references(document).map_err(|why| Invalid(format!("{file}: {why}")))?
            {
                self.reference(directory, file, &reference)?;
            }
        }
        Ok(())
    }

    fn reference(&mut self, directory: &str, file: &str, reference: &str) -> Result<(), Invalid> {
        let outside = || {
            Invalid(format!(
                "{file} refers to `{reference}`, which is not in this repository: remote bases and files are not read; put a copy beside it"
            ))
        };
        let remote =
            reference.contains("://") || reference.contains('?') || reference.starts_with("git@");
        let path = join(directory, reference)
            .filter(|_| !remote)
            .ok_or_else(outside)?;
        self.source.check_submodules(&path)?;
        if self.source.is_directory(&path) {
            return self.kustomization(&path);
        }
        if self.file(&path)? {
            Ok(())
        } else {
            Err(outside())
        }
    }
}

/// Every path that a kustomization refers to. An error: it uses a field that is not supported.
fn references(document: &Value) -> Result<Vec<String>, String> {
    for field in ["helmCharts", "helmChartInflationGenerator", "helmGlobals"] {
        if !document[field].is_null() {
            return Err(format!(
                "`{field}` is not supported: make the chart an application of its own"
            ));
        }
    }
    let mut found = Vec::new();
    // Some fields may hold inline YAML instead of a path.
    let mut add = |value: &Value| {
        if let Some(text) = value.as_str()
            && !text.contains('\n')
        {
            found.push(text.to_string());
        }
    };
    let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for field in [
        "resources",
        "bases",
        "components",
        "crds",
        "configurations",
        "transformers",
        "generators",
        "validators",
        "patchesStrategicMerge",
    ] {
        items(&document[field]).iter().for_each(&mut add);
    }
    for field in ["patches", "patchesJson6902", "replacements"] {
        items(&document[field])
            .iter()
            .for_each(|patch| add(&patch["path"]));
    }
    add(&document["openapi"]["path"]);
    for field in ["configMapGenerator", "secretGenerator"] {
        for generator in items(&document[field]) {
            items(&generator["envs"]).iter().for_each(&mut add);
            add(&generator["env"]);
            for entry in items(&generator["files"]) {
                let text = entry.as_str().unwrap_or_default();
                add(&Value::String(
                    text.split_once('=').map_or(text, |(_, path)| path).into(),
                ));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_name_a_file_is_followed() {
        let document = serde_json::json!({
            "resources": ["a.yaml", "https://example.com/b"], "patches": [{"path": "p.yaml"}, {"patch": "x: 1"}],
            "patchesStrategicMerge": ["s.yaml", "inline:\n  yaml: 1"], "configMapGenerator": [{"files": ["k=f.txt", "g.txt"], "envs": [".env"]}],
            "openapi": {"path": "o.json"},
        });
        assert_eq!(
            references(&document).unwrap(),
            [
                "a.yaml",
                "https://example.com/b",
                "s.yaml",
                "p.yaml",
                "o.json",
                ".env",
                "f.txt",
                "g.txt"
            ]
        );
        assert!(references(&serde_json::json!({"helmCharts": [{}]})).is_err());
    }
}
