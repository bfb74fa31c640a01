//! The charts of a kustomization, and the files that they need.

use serde_json::Value;

use super::super::complete::{Wanted, What};
use super::super::dependencies::{Dependency, chart_version, is_exact, line};
use super::super::inputs::Walk;
use super::super::source::join;
use super::{Entry, Inflation};
use crate::domain::{Invalid, yaml};

/// The kind of a generator that is a chart.
const GENERATOR: &str = "HelmChartInflationGenerator";
/// The directory of charts if none is named.
const CHART_HOME: &str = "charts";

/// An entry as it is written.
struct Written {
    entry: Value,
    /// The file that it stands in.
    file: String,
    /// The directory of charts, relative to that of the kustomization.
    home: String,
    /// The element of `generators`.
    generator: Option<String>,
}

impl Walk<'_> {
    /// Reads the files of a kustomization's charts; what is elsewhere is wanted.
    pub(in crate::render) fn charts(
        &mut self,
        directory: &str,
        file: &str,
        document: &Value,
    ) -> Result<(), Invalid> {
        if !document["helmChartInflationGenerator"].is_null() {
            return Err(Invalid(format!(
                "{file}: `helmChartInflationGenerator` is not supported: `kustomize edit fix` makes `helmCharts` of it"
            )));
        }
        let home = |of: &Value| of["chartHome"].as_str().unwrap_or(CHART_HOME).to_string();
        let all = document["helmCharts"].as_array().into_iter().flatten();
        let mut all: Vec<_> = all
            .map(|entry| Written {
                entry: entry.clone(),
                file: file.into(),
                home: home(&document["helmGlobals"]),
                generator: None,
            })
            .collect();
        for (named, file, documents) in self.generators(directory, file, document)? {
            if documents.iter().any(|object| object["kind"] != GENERATOR) {
                continue;
            }
            all.extend(documents.into_iter().map(|mut entry| Written {
                home: home(&entry),
                entry: {
                    let more = ["apiVersion", "kind", "metadata", "chartHome", "configHome"];
                    let fields = entry.as_object_mut().into_iter();
                    fields.for_each(|fields| fields.retain(|key, _| !more.contains(&key.as_str())));
                    entry
                },
                file: file.clone(),
                generator: Some(named.clone()),
            }));
        }
        let mut all = all.into_iter();
        all.try_for_each(|written| self.chart_of(directory, file, written))
    }

    /// The generators: how each is named, the file that it stands in, and its objects.
    pub(in crate::render) fn generators(
        &mut self,
        directory: &str,
        file: &str,
        document: &Value,
    ) -> Result<Vec<(String, String, Vec<Value>)>, Invalid> {
        let mut found = Vec::new();
        let all = document["generators"].as_array().into_iter().flatten();
        for named in all.filter_map(Value::as_str) {
            let path = match join(directory, named) {
                Some(path) => Some(self.real(&path)?),
                None => None,
            };
            let path = path.filter(|path| self.source.has_file(path));
            let text = match &path {
                Some(path) => {
                    self.file(path)?;
                    String::from_utf8_lossy(&self.files[path]).into_owned()
                }
                None => named.to_string(),
            };
            if let Ok(documents) = yaml::documents(&text)
                && !documents.is_empty()
            {
                let file = path.unwrap_or_else(|| file.into());
                found.push((named.to_string(), file, documents));
            }
        }
        Ok(found)
    }

    fn chart_of(&mut self, directory: &str, file: &str, written: Written) -> Result<(), Invalid> {
        let entry = Entry::read(&written.entry);
        let entry = entry.map_err(|why| Invalid(format!("{}: {why}", written.file)))?;
        let at = line(&written.file, &self.files[&written.file], &entry.name);
        let (chart, wanted) = self.place(directory, &at, &written, &entry)?;
        match wanted {
            Some(wanted) => self.want(wanted)?,
            None => self.chart(&chart)?,
        }
        let mut values = vec![format!("{chart}/values.yaml")];
        if let Some(own) = &entry.values_file {
            values = vec![self.values_of(directory, &at, own)?];
        }
        for more in &entry.additional_values_files {
            values.push(self.values_of(directory, &at, more)?);
        }
        let inflation = Inflation {
            namespace: entry.namespace.clone().or_else(|| self.namespace.clone()),
            generator: written.generator,
            file: file.into(),
            at,
            entry,
            chart,
            values,
        };
        self.add_inflation(inflation)
    }

    /// Where kustomize looks for a chart; and what is to be fetched if it is not there.
    fn place(
        &mut self,
        directory: &str,
        at: &str,
        written: &Written,
        entry: &Entry,
    ) -> Result<(String, Option<Wanted>), Invalid> {
        let Entry {
            name,
            version,
            repo,
            ..
        } = entry;
        let below = match (version, repo) {
            (Some(version), Some(_)) => format!("{}/{name}-{version}/{name}", written.home),
            _ => format!("{}/{name}", written.home),
        };
        let chart = join(directory, &below).ok_or_else(|| {
            Invalid(format!(
                "{at}: the charts in `{}` are not in this repository",
                written.home
            ))
        })?;
        let chart = self.real(&chart)?;
        if self.source.is_directory(&chart) {
            return Ok((chart, None));
        }
        let Some(repo) = repo else {
            return Err(Invalid(format!(
                "{at}: the chart `{name}` is not in `{chart}`: commit it there, or name its `repo` and `version`"
            )));
        };
        let version = version.clone().unwrap_or_default();
        if !is_exact(&version) {
            return Err(Invalid(format!(
                "{at}: `{version}` is no exact version of the chart `{name}`: write one, as in `version: 1.2.3`"
            )));
        }
        let dependency = Dependency {
            name: name.clone(),
            version,
            repository: repo.clone(),
        };
        let what = What::Chart {
            chart: chart_version(at, &dependency)?,
            instead: format!("commit the chart to {chart}"),
            into: chart.clone(),
        };
        Ok((chart, Some(Wanted::new(at, what))))
    }

    fn values_of(&mut self, directory: &str, at: &str, named: &str) -> Result<String, Invalid> {
        if let Some(path) = join(directory, named) {
            let path = self.real(&path)?;
            if self.file(&path)? {
                return Ok(path);
            }
        }
        Err(Invalid(format!(
            "{at}: the values file `{named}` is not in this repository"
        )))
    }

    /// A kustomization is copied once: its charts have one namespace.
    fn add_inflation(&mut self, new: Inflation) -> Result<(), Invalid> {
        let is_same = |known: &&Inflation| (&known.file, &known.entry) == (&new.file, &new.entry);
        let known = self.inflations.iter().find(is_same);
        match known {
            Some(known) if known.namespace != new.namespace => Err(Invalid(format!(
                "{}: the chart `{}` would be rendered for two namespaces, which kustomizations above it have: write its `namespace`",
                new.at, new.entry.name
            ))),
            Some(_) => Ok(()),
            None => {
                self.inflations.push(new);
                Ok(())
            }
        }
    }
}
