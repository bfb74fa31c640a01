//! The App as GitHub knows it: what it may do and hears, against what its manifest asks for.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::registration::{MANIFEST, PREVIEW_ONLY};
use super::{GitHub, Result};

/// What the App is on GitHub.
pub struct RegisteredApp {
    /// `slug[bot]`.
    pub login: String,
    permissions: BTreeMap<String, String>,
    events: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Manifest {
    default_permissions: BTreeMap<String, String>,
    #[serde(default)]
    default_events: BTreeSet<String>,
}

impl GitHub {
    pub async fn app(&self) -> Result<RegisteredApp> {
        #[derive(Deserialize)]
        struct Answer {
            slug: Option<String>,
            #[serde(default)]
            permissions: BTreeMap<String, String>,
            #[serde(default)]
            events: BTreeSet<String>,
        }
        let (answer, _): (Answer, _) = self.as_app("/app", "read the App").await?;
        Ok(RegisteredApp {
            login: format!("{}[bot]", answer.slug.unwrap_or_default()),
            permissions: answer.permissions,
            events: answer.events,
        })
    }
}

impl RegisteredApp {
    /// The permissions and events of the manifest that it does not have.
    pub fn lacks(&self, preview_only: bool) -> (Vec<String>, Vec<String>) {
        let text = match preview_only {
            true => PREVIEW_ONLY,
            false => MANIFEST,
        };
        let manifest: Manifest = serde_json::from_str(text).expect("the manifests are tested");
        let has = |name: &String, access: &String| {
            let has = self.permissions.get(name).map(String::as_str);
            matches!(
                (has, access.as_str()),
                (Some("write" | "admin"), _) | (Some("read"), "read")
            )
        };
        let permissions = manifest.default_permissions.iter();
        let permissions = permissions.filter(|(name, access)| !has(name, access));
        let events = manifest.default_events.difference(&self.events);
        (
            permissions
                .map(|(name, access)| format!("{name}: {access}"))
                .collect(),
            events.cloned().collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_manifests_ask_for_is_compared() {
        let app = |permissions: &[(&str, &str)], events: &[&str]| RegisteredApp {
            login: "windlass[bot]".into(),
            permissions: permissions
                .iter()
                .map(|(name, access)| (name.to_string(), access.to_string()))
                .collect(),
            events: events.iter().map(ToString::to_string).collect(),
        };
        let few = app(
            &[
                ("checks", "read"),
                ("contents", "write"),
                ("metadata", "read"),
                ("pull_requests", "write"),
            ],
            &["push"],
        );
        let (permissions, events) = few.lacks(false);
        assert!(
            permissions.contains(&"checks: write".into()),
            "{permissions:?}"
        );
        assert!(
            !permissions.contains(&"contents: write".into()),
            "{permissions:?}"
        );
        assert!(events.contains(&"issue_comment".into()) && !events.contains(&"push".into()));
        assert!(few.lacks(true).0.contains(&"checks: write".into()));
    }
}
