//! Helm charts: the files that one reads, and what it must not depend on.
//!
//! A rendering is reproducible: it depends only on the files, the release's name
//! and namespace, and the APIs that the cluster serves, which are stored with the
//! revision. Each chart is rendered twice, the second time with another value of
//! `now`. If the outputs differ (dates, random values, certificates), the chart
//! is refused. Inside an archived chart `now` is not replaced.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::dependencies::{Dependency, dependencies};
use super::inputs::{How, Inputs, Walk};
use super::run::{MOST_TIME, Program};
use super::source::join;
use super::{MOST_LINKS, NotRendered, Release, Renderer};
use crate::domain::catalog::HelmOptions;
use crate::domain::catalog::is_own;
use crate::domain::manifest::Manifest;
use crate::domain::{Invalid, yaml};

type Files = BTreeMap<String, Arc<[u8]>>;

/// The file of the values that stand in no file of the tree.
const INLINE: &str = ".windlass-fetched/values.yaml";
/// The template function that reads from the cluster. Here there is none, so it finds nothing.
const LOOKUP: &str = "lookup";
/// The replacement for `now` (text/template, sprig).
const ANOTHER_TIME: &str = "(toDate \"2006-01-02T15:04:05Z07:00\" \"2001-02-03T04:05:06Z\")";

/// How a chart is rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chart {
    pub(super) directory: String,
    /// The values files, in their order.
    pub(super) values: Vec<String>,
    pub(super) options: HelmOptions,
}

impl Renderer {
    pub(super) async fn helm(
        &self,
        inputs: &Inputs,
        chart: &Chart,
        release: &Release,
    ) -> Result<(Vec<Manifest>, Vec<String>), NotRendered> {
        let (directory, arguments) = (&inputs.directory, template(chart, release));
        match self.template(inputs, &arguments, &arguments).await? {
            Ok(printed) => {
                let manifests = self.parse(&printed, inputs).await?;
                Ok((manifests, repeated(&printed)))
            }
            Err(template) => Err(Invalid(format!("{directory}: {}", differs(&template))).into()),
        }
    }

    /// What a chart renders to; or the template that renders otherwise at another time, or by
    /// other arguments.
    pub(super) async fn template(
        &self,
        inputs: &Inputs,
        arguments: &[String],
        others: &[String],
    ) -> Result<Result<String, String>, NotRendered> {
        let later = inputs.with_function("now", ANOTHER_TIME);
        let (first, second) = tokio::join!(
            self.run(inputs, Program::Helm, arguments, MOST_TIME),
            self.run(&later, Program::Helm, others, MOST_TIME)
        );
        let (first, second) = (first?, second?);
        Ok(match differing_template(&first, &second) {
            Some(template) => Err(template),
            None => Ok(first),
        })
    }

    /// The template of a chart that calls `lookup`, by helm's name; None: none does.
    pub async fn looks_up(
        &self,
        inputs: &Inputs,
        release: Release,
    ) -> Result<Option<String>, NotRendered> {
        let How::Helm(chart) = &inputs.how else {
            return Ok(None);
        };
        let inputs = &*self.complete(inputs).await?;
        let failing = inputs.with_function(LOOKUP, "fail");
        if failing.files == inputs.files {
            return Ok(None);
        }
        let key = self.key(inputs, Some(&release));
        let arguments = template(chart, &release);
        let find = async {
            match self
                .run(&failing, Program::Helm, &arguments, MOST_TIME)
                .await
            {
                Ok(_) => Ok(Arc::from("")),
                // The chart renders with the real `lookup`, so this failure is a call of it.
                Err(NotRendered::Invalid(Invalid(why))) => {
                    Ok(Arc::from(failed_template(&why).unwrap_or(&chart.directory)))
                }
                Err(other) => Err(other),
            }
        };
        let found = self
            .shared
            .lookups
            .try_get_with(key, find)
            .await
            .map_err(|error: Arc<NotRendered>| (*error).clone())?;
        Ok(Some(found.to_string()).filter(|template| !template.is_empty()))
    }
}

/// Why a chart is refused, one template of which differs each time.
pub(super) fn differs(template: &str) -> String {
    format!(
        "{template} renders differently each time: take dates, random values and generated certificates out of it"
    )
}

/// The arguments of `helm template`.
fn template(chart: &Chart, release: &Release) -> Vec<String> {
    let options = &chart.options;
    let words = [
        "template",
        options.release.as_deref().unwrap_or(&release.name),
        // Not an option, whatever it is called.
        &format!("./{}", chart.directory),
        "--namespace",
        options.namespace.as_deref().unwrap_or(&release.namespace),
        "--skip-tests",
    ];
    let mut arguments: Vec<_> = words.map(str::to_string).into();
    if !options.skip_crds {
        arguments.push("--include-crds".into());
    }
    let version = options.kube_version.as_ref();
    let version = version.unwrap_or(&release.kubernetes);
    arguments.extend(["--kube-version".into(), version.clone()]);
    for api in release.apis.iter().chain(&options.api_versions) {
        arguments.extend(["--api-versions".into(), api.clone()]);
    }
    for file in &chart.values {
        arguments.extend(["--values".into(), format!("./{file}")]);
    }
    if options.inline.is_some() {
        arguments.extend(["--values".into(), format!("./{INLINE}")]);
    }
    for (path, value) in &options.set {
        arguments.extend(["--set-json".into(), format!("{path}={value}")]);
    }
    arguments
}

/// The template that helm's message names: `web/templates/config.yaml:5:12`.
fn failed_template(error: &str) -> Option<&str> {
    let word = error
        .split_whitespace()
        .find(|word| word.contains("/templates/"))?;
    word.trim_start_matches(['(', '"']).split(':').next()
}

impl Walk<'_> {
    /// Reads all files of a chart, and the charts in this repository that it depends on.
    pub(super) fn chart(&mut self, chart: &str) -> Result<(), Invalid> {
        if !self.visited.insert(chart.into()) {
            return Ok(());
        }
        self.source.check_submodules(chart)?;
        let about = format!("{chart}/Chart.yaml");
        if !self.source.has_file(&about) {
            return Err(Invalid(format!(
                "{chart} is not a chart: it has no Chart.yaml"
            )));
        }
        self.all_under(chart)?;
        self.depends(chart)
    }
}

impl Walk<'_> {
    /// Reads all files under a directory, also through links to directories.
    fn all_under(&mut self, directory: &str) -> Result<(), Invalid> {
        let paths: Vec<_> = self.source.under(directory).collect();
        for path in paths {
            let real = self.real(&path)?;
            if real == path {
                self.file(&path)?;
            } else if is_own(&real, directory) {
                return Err(Invalid(format!(
                    "{path} is a symbolic link to a directory that it is in"
                )));
            } else if self.visited.insert(real.clone()) {
                self.all_under(&real)?;
            }
        }
        Ok(())
    }
}

impl Inputs {
    /// The files for a program. Dependencies in this repository are copied to where helm expects
    /// them.
    pub(super) fn layout(&self) -> Files {
        let mut files = self.files.clone();
        if let How::Generated(text) = &self.how {
            let file = format!("{}/kustomization.yaml", self.directory);
            files.insert(file, Arc::from(text.as_bytes()));
        }
        // What cannot be read was refused when the inputs were read.
        if let Ok(Some((file, text))) = self.changed_kustomization() {
            files.insert(file, Arc::from(text.into_bytes()));
        }
        let How::Helm(chart) = &self.how else {
            return files;
        };
        let Chart {
            directory, options, ..
        } = &**chart;
        if let Some(values) = &options.inline {
            files.insert(INLINE.into(), Arc::from(values.to_string().into_bytes()));
        }
        let mut pending = vec![(directory.clone(), directory.clone())];
        for _ in 0..MOST_LINKS {
            let Some((chart, copied_to)) = pending.pop() else {
                break;
            };
            let about = format!("{chart}/Chart.yaml");
            let Some(content) = self.files.get(&about) else {
                continue;
            };
            for Dependency {
                name, repository, ..
            } in dependencies(&about, content).unwrap_or_default()
            {
                let Some(path) = repository
                    .strip_prefix("file://")
                    .and_then(|path| join(&chart, path))
                else {
                    continue;
                };
                // A chart's name has to be a single directory name.
                let Some(to) =
                    join(&copied_to, &format!("charts/{name}")).filter(|_| !name.contains('/'))
                else {
                    continue;
                };
                let prefix = format!("{path}/");
                for (file, content) in self
                    .files
                    .iter()
                    .filter(|(file, _)| file.starts_with(&prefix))
                {
                    files.insert(format!("{to}/{}", &file[prefix.len()..]), content.clone());
                }
                pending.push((path, to));
            }
        }
        files
    }

    /// The same files, with a template function replaced. Values files are included, since charts
    /// may evaluate them as templates.
    fn with_function(&self, name: &str, other: &str) -> Self {
        let is_template = |path: &str| {
            path.contains("/templates/") || path.ends_with(".yaml") || path.ends_with(".yml")
        };
        let replaced = |(path, content): (&String, &Arc<[u8]>)| {
            let text = std::str::from_utf8(content)
                .ok()
                .filter(|text| is_template(path) && text.contains(name));
            let text = text.map(|text| Arc::from(replace_function(text, name, other).into_bytes()));
            (path.clone(), text.unwrap_or_else(|| content.clone()))
        };
        Self {
            files: self.files.iter().map(replaced).collect(),
            ..self.clone()
        }
    }
}

/// Replaces a function's name in the actions of a template, but not in its text, strings or
/// comments.
fn replace_function(text: &str, name: &str, other: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        let (before, action) = rest.split_at(start);
        out.push_str(before);
        let mut at = 2;
        out.push_str("{{");
        let word = |c: char| c.is_alphanumeric() || c == '_';
        while at < action.len() && !action[at..].starts_with("}}") {
            let tail = &action[at..];
            let quoted = |open: char, escapes: bool| {
                let mut escaped = false;
                let end = tail[1..].find(|c| {
                    let ends = c == open && !escaped;
                    escaped = escapes && c == '\\' && !escaped;
                    ends
                });
                end.map_or(tail.len(), |end| end + 2)
            };
            let next = tail.chars().next().unwrap_or_default();
            let length = match next {
                '"' | '\'' => quoted(next, true),
                '`' => quoted('`', false),
                '/' if tail.starts_with("/*") => tail.find("*/").map_or(tail.len(), |end| end + 2),
                c if word(c) || matches!(c, '.' | '$') => tail
                    .find(|c| !(word(c) || matches!(c, '.' | '$')))
                    .unwrap_or(tail.len()),
                c => c.len_utf8(),
            };
            let token = &tail[..length];
            out.push_str(if token == name { other } else { token });
            at += length;
        }
        rest = &action[at..];
    }
    out.push_str(rest);
    out
}

/// The keys that templates repeat, each with the template: the lines are those of the output.
fn repeated(printed: &str) -> Vec<String> {
    let found = yaml::repeated(printed).into_iter();
    let lines: Vec<_> = printed.lines().collect();
    let template = |line: usize| {
        let mut above = lines[..line.min(lines.len())].iter().rev();
        above
            .find_map(|line| line.strip_prefix("# Source: "))
            .unwrap_or_default()
    };
    found
        .map(|one| format!("{}: `{}`", template(one.line), one.key))
        .collect()
}

/// The first template in which two renderings of a chart differ.
fn differing_template(first: &str, second: &str) -> Option<String> {
    if first == second {
        return None;
    }
    let mut template = String::new();
    let (mut a, mut b) = (first.lines(), second.lines());
    loop {
        match (a.next(), b.next()) {
            (Some(x), Some(y)) if x == y => {
                if let Some(source) = x.strip_prefix("# Source: ") {
                    template = source.into();
                }
            }
            _ => return Some(template),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_replaced_in_actions_only() {
        for (text, expected) in [
            ("a: {{ now }}", "a: {{ X }}"),
            (
                "a: {{- now | date \"2006\" -}} now",
                "a: {{- X | date \"2006\" -}} now",
            ),
            (
                "{{ (now).Unix }}{{ $now }}{{ .now }}{{ .Values.now }}{{ nowhere }}",
                "{{ (X).Unix }}{{ $now }}{{ .now }}{{ .Values.now }}{{ nowhere }}",
            ),
            (
                "{{ \"now }} \\\" now\" }}{{ `now` }}{{/* now }} */}}{{ now }}",
                "{{ \"now }} \\\" now\" }}{{ `now` }}{{/* now }} */}}{{ X }}",
            ),
            ("{{ if now", "{{ if X"),
            ("{{ \"open", "{{ \"open"),
            ("é {{ \"é\" }} {{ é now }}", "é {{ \"é\" }} {{ é X }}"),
        ] {
            assert_eq!(replace_function(text, "now", "X"), expected);
        }
        assert_eq!(
            failed_template(
                "web: helm: web/templates/a.yaml:5:12\n  executing \"web/templates/a.yaml\" at <fail>"
            ),
            Some("web/templates/a.yaml")
        );
    }
}
