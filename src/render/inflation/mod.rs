//! Charts in kustomizations: entries of `helmCharts`, and generators of the same kind.
//!
//! kustomize would run helm, which would fetch what is not there. Here each entry is a run of helm by
//! itself, as the entry asks for it (github.com/kubernetes-sigs/kustomize,
//! HelmChartInflationGenerator). Its objects become a resource of the kustomization, and kustomize
//! reads a copy that does not have the entry.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};

mod read;
mod values;

use super::chart::differs;
use super::complete::{Wanted, within};
use super::inputs::{Chart, How, Inputs};
use super::{NotRendered, Renderer};
use crate::domain::catalog::HelmOptions;
use crate::domain::{Invalid, yaml};
use values::Precedence;

/// What an entry may have. `configHome`, `debug` and `devel` are about kustomize's own helm.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) version: Option<String>,
    pub(super) repo: Option<String>,
    release_name: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) values_file: Option<String>,
    pub(super) additional_values_files: Vec<String>,
    values_inline: Map<String, Value>,
    values_merge: Precedence,
    #[serde(rename = "includeCRDs")]
    include_crds: bool,
    skip_hooks: bool,
    skip_tests: bool,
    api_versions: Vec<String>,
    kube_version: Option<String>,
    name_template: Option<String>,
    debug: bool,
    devel: bool,
}

/// An entry of a kustomization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inflation {
    /// Where it is, as `path:line`.
    pub(super) at: String,
    /// The kustomization.
    pub(super) file: String,
    pub(super) entry: Entry,
    /// The element of `generators` that it is; None: it is one of `helmCharts`.
    pub(super) generator: Option<String>,
    /// The chart's directory.
    pub(super) chart: String,
    /// The values files in their order, the first one of which the entry's values are merged with.
    pub(super) values: Vec<String>,
    /// The release's namespace. None: that of the kustomization that names this one.
    pub(super) namespace: Option<String>,
}

impl Entry {
    pub(super) fn read(value: &Value) -> Result<Self, String> {
        let entry = Self::deserialize(value).map_err(|error| error.to_string())?;
        if entry.name.is_empty() {
            return Err("a chart has no `name`".into());
        }
        if entry.name_template.is_some() {
            return Err(format!(
                "`nameTemplate` of the chart `{}` is not supported: write the name as `releaseName`",
                entry.name
            ));
        }
        let texts = [&entry.release_name, &entry.namespace, &entry.kube_version];
        let texts = texts.into_iter().flatten().chain(&entry.api_versions);
        if let Some(text) = texts.into_iter().find(|text| text.starts_with('-')) {
            return Err(format!("`{text}` would be an option of helm"));
        }
        let files = entry
            .values_file
            .iter()
            .chain(&entry.additional_values_files);
        if let Some(file) = files.into_iter().find(|file| file.contains(',')) {
            return Err(format!("`{file}` would be several files for helm"));
        }
        Ok(entry)
    }
}

impl Renderer {
    /// The inputs of a kustomization with the objects of its charts in the place of their entries.
    pub(super) async fn inflate<'a>(
        &self,
        inputs: &'a Inputs,
    ) -> Result<Cow<'a, Inputs>, NotRendered> {
        if inputs.inflations.is_empty() {
            return Ok(Cow::Borrowed(inputs));
        }
        let runs = inputs.inflations.iter().enumerate();
        let runs = runs.map(|(number, inflation)| self.objects(inputs, number, inflation));
        let objects = futures::future::try_join_all(runs).await?;
        let mut inflated = inputs.clone();
        for (number, (inflation, objects)) in inputs.inflations.iter().zip(objects).enumerate() {
            let name = format!("windlass-chart-{number}.yaml");
            let path = beside(&inflation.file, &name);
            inflated.files.insert(path, Arc::from(objects.into_bytes()));
            let text = String::from_utf8_lossy(&inflated.files[&inflation.file]).into_owned();
            let text = with_resources(&text, inflation.generator.as_deref(), &[name]);
            let text = text.map_err(|why| Invalid(format!("{}: {why}", inflation.file)))?;
            let file = inflation.file.clone();
            inflated.files.insert(file, Arc::from(text.into_bytes()));
        }
        Ok(Cow::Owned(inflated))
    }

    /// The objects of a chart, as a file of kustomize.
    async fn objects(
        &self,
        inputs: &Inputs,
        number: usize,
        inflation: &Inflation,
    ) -> Result<String, NotRendered> {
        let Inflation { at, entry, .. } = inflation;
        let name = &entry.name;
        let mut inputs = inputs.clone();
        let values = inflation.values_in(&mut inputs, number)?;
        inputs.how = How::Helm(Box::new(Chart {
            directory: inflation.chart.clone(),
            values: values.clone(),
            options: HelmOptions::default(),
        }));
        let release = entry.release_name.as_deref();
        let arguments = |default| inflation.template(release.unwrap_or(default), &values);
        let (first, later) = (arguments("release-name"), arguments("another-name"));
        let printed = match self.template(&inputs, &first, &later).await? {
            Ok(printed) => printed,
            Err(template) if release.is_none() => {
                let why = format!(
                    "{at}: the chart `{name}` needs a `releaseName`: {template} has the name in it, which would be another one each time"
                );
                return Err(Invalid(why).into());
            }
            Err(template) => {
                let why = format!("{at}: the chart `{name}`: {}", differs(&template));
                return Err(Invalid(why).into());
            }
        };
        let documents = yaml::documents(&printed);
        let documents = documents
            .map_err(|error| Invalid(format!("{at}: the chart `{name}` renders to {error}")))?;
        let mut text = String::new();
        documents.into_iter().for_each(|one| mark(one, &mut text));
        Ok(text)
    }
}

impl Inflation {
    /// The same in a base, whose files are in a folder.
    pub(super) fn within(&self, folder: &str, wanted: &Wanted) -> Self {
        let inside = |path: &String| within(folder, path);
        Self {
            at: format!("{}: {}", wanted.at, self.at),
            file: inside(&self.file),
            chart: inside(&self.chart),
            values: self.values.iter().map(inside).collect(),
            namespace: self.namespace.clone().or_else(|| wanted.namespace.clone()),
            ..self.clone()
        }
    }

    /// The arguments of `helm template`.
    fn template(&self, release: &str, values: &[String]) -> Vec<String> {
        let entry = &self.entry;
        let mut arguments = vec![
            "template".into(),
            release.into(),
            format!("./{}", self.chart),
        ];
        let mut add = |name: &str, value: &str| arguments.extend([name.into(), value.into()]);
        if let Some(namespace) = &self.namespace {
            add("--namespace", namespace);
        }
        values
            .iter()
            .for_each(|file| add("--values", &format!("./{file}")));
        let apis = entry.api_versions.iter();
        apis.for_each(|api| add("--api-versions", api));
        if let Some(version) = &entry.kube_version {
            add("--kube-version", version);
        }
        for (is_set, flag) in [
            (entry.include_crds, "--include-crds"),
            (entry.skip_tests, "--skip-tests"),
            (entry.skip_hooks, "--no-hooks"),
        ] {
            arguments.extend(is_set.then(|| flag.to_string()));
        }
        arguments
    }
}

/// Adds an object of a chart, or the items of a list, to the text of a file. kustomize leaves the
/// namespaces of what bears this mark.
fn mark(mut object: Value, text: &mut String) {
    const MARK: &str = "internal.config.kubernetes.io/helm-generated";
    let is_list = object["kind"]
        .as_str()
        .is_some_and(|kind| kind.ends_with("List"));
    let items = object.get_mut("items").and_then(Value::as_array_mut);
    if let Some(items) = items.filter(|_| is_list) {
        std::mem::take(items)
            .into_iter()
            .for_each(|item| mark(item, text));
        return;
    }
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    if !object["metadata"]["annotations"].is_object() {
        object["metadata"]["annotations"] = json!({});
    }
    object["metadata"]["annotations"][MARK] = "true".into();
    text.push_str(&format!("---\n{object}\n"));
}

/// A kustomization with files in the place of an element of `generators`, or else in that of its
/// `helmCharts`.
pub(super) fn with_resources(
    text: &str,
    generator: Option<&str>,
    files: &[String],
) -> Result<String, String> {
    let mut documents = yaml::documents(text)?;
    let Some(Value::Object(fields)) = documents.first_mut() else {
        return Err("it is no object".into());
    };
    match (generator, fields.get_mut("generators")) {
        (Some(taken), Some(Value::Array(all))) => {
            all.retain(|one| one.as_str() != Some(taken));
        }
        _ => {
            fields.remove("helmCharts");
            fields.remove("helmGlobals");
        }
    }
    let resources = fields.entry("resources").or_insert(Value::Null);
    if !resources.is_array() {
        *resources = json!([]);
    }
    if let Some(all) = resources.as_array_mut() {
        all.extend(files.iter().map(|file| Value::from(file.as_str())));
    }
    Ok(documents[0].to_string())
}

/// The path of a file beside another one.
fn beside(file: &str, name: &str) -> String {
    match file.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/{name}"),
        None => name.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_strictly() {
        for (entry, expected) in [
            (json!({"name": "a", "includeCRDs": true}), ""),
            (json!({"version": "1"}), "a chart has no `name`"),
            (
                json!({"name": "a", "relase": "b"}),
                "unknown field `relase`",
            ),
            (
                json!({"name": "a", "nameTemplate": "b"}),
                "`nameTemplate` of the chart `a` is not supported",
            ),
            (
                json!({"name": "a", "namespace": "--post-renderer=x"}),
                "would be an option of helm",
            ),
            (
                json!({"name": "a", "valuesMerge": "deep"}),
                "unknown variant `deep`",
            ),
        ] {
            let said = Entry::read(&entry).err().unwrap_or_default();
            assert!(
                said.contains(expected) && said.is_empty() == expected.is_empty(),
                "{said}"
            );
        }
    }
}
