//! The charts that a chart depends on: beside it, in this repository, or elsewhere in the version of
//! its `Chart.lock`.

use serde_json::Value;

use super::complete::{MOST_WANTED, Wanted, What};
use super::inputs::Walk;
use super::remote::ChartVersion;
use super::source::join;
use crate::domain::{Invalid, yaml};

/// A dependency as `Chart.yaml` and `Chart.lock` have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dependency {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) repository: String,
}

impl Dependency {
    fn is_of(&self, other: &Self) -> bool {
        let place = |of: &Self| of.repository.trim_end_matches('/').to_string();
        self.name == other.name && place(self) == place(other)
    }
}

/// The dependencies that a file lists.
pub(super) fn dependencies(file: &str, content: &[u8]) -> Result<Vec<Dependency>, Invalid> {
    let documents = yaml::documents(&String::from_utf8_lossy(content))
        .map_err(|error| Invalid(format!("{file}: {error}")))?;
    let all = documents.first().map(|document| &document["dependencies"]);
    let all = all.and_then(Value::as_array).into_iter().flatten();
    // A version that looks like a number is one.
    let text = |value: &Value| match value {
        Value::Number(number) => number.to_string(),
        other => other.as_str().unwrap_or_default().to_string(),
    };
    Ok(all
        .map(|dependency| Dependency {
            name: text(&dependency["name"]),
            version: text(&dependency["version"]),
            repository: text(&dependency["repository"]),
        })
        .collect())
}

/// Whether a version names one release: `1.2.3`, `v1.2.3-rc.1`.
pub(super) fn is_exact(version: &str) -> bool {
    let version = version.strip_prefix('v').unwrap_or(version);
    let end = version.find(['-', '+']).unwrap_or(version.len());
    let (numbers, more) = version.split_at(end);
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_word = |c: char| c.is_ascii_alphanumeric() || "-+.".contains(c);
    numbers.split('.').count() == 3
        && numbers.split('.').all(is_number)
        && more.chars().all(is_word)
}

/// `path:line` of the first line with a text.
pub(super) fn line(file: &str, content: &[u8], text: &str) -> String {
    let content = String::from_utf8_lossy(content);
    let found = content.lines().position(|line| line.contains(text));
    found.map_or_else(|| file.into(), |at| format!("{file}:{}", at + 1))
}

/// A version of a chart elsewhere, if that is how it is named.
pub(super) fn chart_version(at: &str, dependency: &Dependency) -> Result<ChartVersion, Invalid> {
    let Dependency {
        name,
        version,
        repository,
    } = dependency;
    let is_word = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(is_word) {
        return Err(Invalid(format!("{at}: `{name}` is no name of a chart")));
    }
    if repository.starts_with(['@', '~']) || repository.starts_with("alias:") {
        return Err(Invalid(format!(
            "{at}: `{repository}` is a name on its author's machine: write the repository's URL"
        )));
    }
    Ok(ChartVersion {
        repository: repository.trim_end_matches('/').into(),
        name: name.clone(),
        version: version.clone(),
    })
}

impl Walk<'_> {
    /// Reads the charts in this repository that a chart depends on; those elsewhere are wanted.
    pub(super) fn depends(&mut self, chart: &str) -> Result<(), Invalid> {
        let about = format!("{chart}/Chart.yaml");
        for dependency in dependencies(&about, &self.files[&about])? {
            let Dependency {
                name, repository, ..
            } = &dependency;
            let beside = self.real(&format!("{chart}/charts/{name}"))?;
            let vendored = self.source.is_directory(&beside)
                || self.source.under(&format!("{chart}/charts")).any(|path| {
                    path.rsplit('/').next().is_some_and(|file| {
                        file.starts_with(&format!("{name}-")) && file.ends_with(".tgz")
                    })
                });
            if vendored {
                continue;
            }
            if let Some(path) = repository.strip_prefix("file://") {
                let path = join(chart, path).ok_or_else(|| {
                    Invalid(format!("{about}: `{repository}` is not in this repository"))
                })?;
                self.chart(&path)?;
                continue;
            }
            let at = line(&about, &self.files[&about], name);
            let instead = format!("run `helm dependency build {chart}` and commit its charts/");
            if repository.is_empty() {
                return Err(Invalid(format!(
                    "{at}: the chart `{name}` is not in this repository: {instead}"
                )));
            }
            let version = self.locked(chart, &at, &dependency)?;
            let version = chart_version(
                &at,
                &Dependency {
                    version,
                    ..dependency.clone()
                },
            )?;
            let into = format!("{chart}/charts/{name}-{}", version.version);
            let chart = version;
            let what = What::Chart {
                chart,
                into,
                instead,
            };
            self.want(Wanted::new(&at, what))?;
        }
        Ok(())
    }

    pub(super) fn want(&mut self, wanted: Wanted) -> Result<(), Invalid> {
        if self.wanted.len() >= MOST_WANTED {
            return Err(Invalid(format!(
                "{}: more than {MOST_WANTED} charts and bases from elsewhere: split the application",
                wanted.at
            )));
        }
        if !self.wanted.iter().any(|other| other.what == wanted.what) {
            self.wanted.push(wanted);
        }
        Ok(())
    }

    /// The exact version of a dependency: of `Chart.lock`, or of `Chart.yaml` where there is none.
    fn locked(&self, chart: &str, at: &str, wanted: &Dependency) -> Result<String, Invalid> {
        let Dependency { name, version, .. } = wanted;
        let (file, update) = (
            format!("{chart}/Chart.lock"),
            format!("run `helm dependency update {chart}` and commit {chart}/Chart.lock"),
        );
        let Some(lock) = self.files.get(&file) else {
            return match is_exact(version) {
                true => Ok(version.clone()),
                false => Err(Invalid(format!(
                    "{at}: `{version}` is no exact version of the chart `{name}`: {update}, or write one, as in `version: 1.2.3`"
                ))),
            };
        };
        let locked = dependencies(&file, lock)?;
        let mut locked = locked.iter().filter(|locked| locked.is_of(wanted));
        let same =
            |one: &str, other: &str| one.trim_start_matches('v') == other.trim_start_matches('v');
        let found = match is_exact(version) {
            true => locked.find(|locked| same(&locked.version, version)),
            false => locked.find(|locked| is_exact(&locked.version)),
        };
        found.map(|found| found.version.clone()).ok_or_else(|| {
            Invalid(format!(
                "{at}: {file} does not have `{name}` as Chart.yaml does: {update}"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_versions_are_told_from_ranges() {
        for version in [
            "1.2.3",
            "v1.2.3",
            "1.2.3-rc.1",
            "1.2.3+build-5",
            "0.0.1-0.2+x",
        ] {
            assert!(is_exact(version), "{version}");
        }
        for range in [
            "",
            "1.2",
            "^1.2.3",
            "1.2.x",
            "~1.2.3",
            ">=1.0.0",
            "1.2.3 || 1.2.4",
            "1.2.3/..",
            "*",
        ] {
            assert!(!is_exact(range), "{range}");
        }
    }
}
