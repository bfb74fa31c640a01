//! The file that `--projects` names: from raw settings to valid projects.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::pattern::{KindGrant, Pattern};
use super::project::Project;
use crate::domain::{Invalid, RepoName, yaml};

impl Project {
    /// Reads the file that `--projects` names.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, Invalid> {
        let raw: RawProjects = yaml::parse(text).map_err(Invalid)?;
        raw.projects
            .into_iter()
            .map(|(name, raw)| raw.validate(name))
            .collect()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProjects {
    projects: BTreeMap<String, RawProject>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProject {
    repositories: Vec<RepoName>,
    #[serde(default = "any")]
    clusters: Vec<String>,
    #[serde(default = "any")]
    namespaces: Vec<String>,
    #[serde(default, rename = "otherNamespaces")]
    other_namespaces: Vec<String>,
    #[serde(default)]
    kinds: Vec<String>,
    #[serde(default, rename = "serviceAccount")]
    service_account: Option<String>,
    #[serde(default)]
    sops: RawSops,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawSops {
    #[serde(rename = "ageKeyFile")]
    age_key_file: Option<PathBuf>,
}

fn any() -> Vec<String> {
    vec!["*".into()]
}

impl RawProject {
    fn validate(self, name: String) -> Result<Project, Invalid> {
        let patterns = |field: &str, all: Vec<String>| {
            let legal = |text: &String| {
                !text.is_empty()
                    && text.bytes().all(|b| {
                        b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.*".contains(&b)
                    })
            };
            match all.iter().find(|text| !legal(text)) {
                Some(bad) => Err(Invalid(format!(
                    "project `{name}`: `{bad}` in `{field}` is neither a name nor a pattern such as `*-staging`"
                ))),
                None => Ok(all.into_iter().map(Pattern).collect()),
            }
        };
        if self.repositories.is_empty() {
            return Err(Invalid(format!("project `{name}` names no repository")));
        }
        for kind in &self.kinds {
            let start = kind.strip_prefix("*").unwrap_or(kind);
            let legal = kind == "*"
                || start
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-./".contains(&b))
                    && !start.is_empty();
            if !legal {
                return Err(Invalid(format!(
                    "project `{name}`: `{kind}` is not a kind: write `Kind`, `Kind.group`, `*.group` or `*`"
                )));
            }
        }
        Ok(Project {
            repositories: self.repositories,
            clusters: patterns("clusters", self.clusters)?,
            namespaces: patterns("namespaces", self.namespaces)?,
            other_namespaces: patterns("otherNamespaces", self.other_namespaces)?,
            kinds: self.kinds.into_iter().map(KindGrant).collect(),
            service_account: self.service_account.map(|text| text.parse()).transpose()?,
            age_keys: self.sops.age_key_file,
            name,
        })
    }
}
