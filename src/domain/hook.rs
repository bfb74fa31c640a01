//! Hooks: objects that run once for each change of an application, before or after
//! everything else.
//!
//! Helm's and Argo CD's annotations are understood, so charts and manifests need
//! no others. A hook is an ordinary object in a wave of its own, with one
//! difference: an annotation ([`RUN`]) says what it ran for, and a hook that ran
//! for something else is deleted and created again. Success is recorded in the
//! `Application`, so a hook that is deleted afterwards (by its time-to-live, for
//! example) does not run again.

use serde_json::Value;

pub use super::labels::RUN;
use super::labels::{HOOK, WAVE};
use super::manifest::Manifest;
use crate::domain::Live;

const HELM: &str = "helm.sh/hook";
const ARGO: &str = "argocd.argoproj.io/hook";

/// The waves of hooks are outside the range of waves in annotations.
const FAR: i64 = 1 << 40;

/// When a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Before,
    After,
}

/// A hook, as the annotations of an object define it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// None: never by windlass (deletions, rollbacks and tests of Helm; what Argo CD skips).
    pub when: Option<When>,
    /// Only at the first sync, or only at later ones.
    pub only: Option<Only>,
    weight: i64,
    /// It is deleted after it succeeded.
    pub deleted_after_success: bool,
    /// The annotation's value, for people.
    pub words: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Only {
    First,
    Later,
}

impl Hook {
    /// None: an ordinary object.
    pub fn of(value: &Value) -> Option<Self> {
        // Helm installs definitions by hooks and never deletes them: they are ordinary objects
        // here.
        if value["kind"] == "CustomResourceDefinition" {
            return None;
        }
        let annotations = Annotations(&value["metadata"]["annotations"]);
        if let Some(words) = annotations.text(HOOK) {
            Some(Self::of_windlass(words, &annotations))
        } else if let Some(words) = annotations.text(HELM) {
            Self::of_helm(words, &annotations)
        } else {
            Some(Self::of_argo_cd(annotations.text(ARGO)?, &annotations))
        }
    }

    fn of_windlass(words: &str, annotations: &Annotations<'_>) -> Self {
        let when = match words {
            "before" => Some(When::Before),
            "after" => Some(When::After),
            _ => None,
        };
        Self {
            when,
            only: None,
            weight: annotations.number(WAVE),
            deleted_after_success: false,
            words: words.into(),
        }
    }

    fn of_helm(words: &str, annotations: &Annotations<'_>) -> Option<Self> {
        let (before, after) = (
            ["pre-install", "pre-upgrade"],
            ["post-install", "post-upgrade"],
        );
        let any = |of: [&str; 2]| of.map(|word| has(words, word));
        let (when, [first, later]) = match (any(before), any(after)) {
            (found, _) if found != [false, false] => (Some(When::Before), found),
            (_, found) if found != [false, false] => (Some(When::After), found),
            // Helm 2 installs definitions by this hook: they are ordinary objects here.
            _ if has(words, "crd-install") => return None,
            _ => (None, [true, true]),
        };
        let only = match (first, later) {
            (true, false) => Some(Only::First),
            (false, true) => Some(Only::Later),
            _ => None,
        };
        Some(Self {
            when,
            only,
            weight: annotations.number("helm.sh/hook-weight"),
            deleted_after_success: annotations
                .text("helm.sh/hook-delete-policy")
                .is_some_and(|text| has(text, "hook-succeeded")),
            words: words.into(),
        })
    }

    fn of_argo_cd(words: &str, annotations: &Annotations<'_>) -> Self {
        let when = if has(words, "PreSync") {
            Some(When::Before)
        } else if has(words, "PostSync") {
            Some(When::After)
        } else if has(words, "Sync") {
            // Argo CD runs it together with the other objects. The closest that can be waited for
            // is before them.
            Some(When::Before)
        } else {
            None
        };
        Self {
            when,
            only: None,
            weight: annotations.number("argocd.argoproj.io/sync-wave"),
            deleted_after_success: annotations
                .text("argocd.argoproj.io/hook-delete-policy")
                .is_some_and(|text| has(text, "HookSucceeded")),
            words: words.into(),
        }
    }

    /// Whether it runs in this sync. `first`: the application was never synced before.
    pub fn runs(&self, first: bool) -> bool {
        self.when.is_some()
            && match self.only {
                None => true,
                Some(Only::First) => first,
                Some(Only::Later) => !first,
            }
    }

    pub fn wave(&self) -> i64 {
        match self.when {
            Some(When::After) => FAR + self.weight,
            _ => -FAR + self.weight,
        }
    }
}

/// The annotations of an object.
struct Annotations<'a>(&'a Value);

impl<'a> Annotations<'a> {
    fn text(&self, name: &str) -> Option<&'a str> {
        self.0[name]
            .as_str()
            .map(str::trim)
            .filter(|text| !text.is_empty())
    }

    fn number(&self, name: &str) -> i64 {
        self.text(name)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0i64)
            .clamp(-1_000_000, 1_000_000)
    }
}

/// Whether a comma-separated list contains a word.
fn has(text: &str, word: &str) -> bool {
    text.split(',').any(|item| item.trim() == word)
}

/// Splits an application's manifests into hooks and ordinary objects.
pub fn split(manifests: Vec<Manifest>) -> (Vec<(Manifest, Hook)>, Vec<Manifest>) {
    let (mut hooks, mut ordinary) = (Vec::new(), Vec::new());
    for mut manifest in manifests {
        // Only windlass sets this annotation.
        if let Some(Value::Object(annotations)) =
            manifest.value.pointer_mut("/metadata/annotations")
        {
            annotations.remove(RUN);
        }
        match Hook::of(&manifest.value) {
            Some(hook) => hooks.push((manifest, hook)),
            None => ordinary.push(manifest),
        }
    }
    (hooks, ordinary)
}

/// What a hook runs for: the first digits of the inputs' digest.
pub fn run_of(inputs: &str) -> String {
    inputs.chars().take(12).collect()
}

/// The hook as it is applied for a run.
pub fn for_run(manifest: &Manifest, run: &str) -> Manifest {
    let mut manifest = manifest.clone();
    manifest.value["metadata"]["annotations"][RUN] = run.into();
    // A Job that is deleted before windlass saw it succeed would run again. So windlass deletes it
    // itself.
    if let Some(spec) = manifest.value["spec"].as_object_mut() {
        spec.remove("ttlSecondsAfterFinished");
    }
    manifest
}

/// Whether an object is a Job with a time-to-live, which Kubernetes deletes after it ended.
pub fn has_time_to_live(value: &Value) -> bool {
    value["kind"] == "Job"
        && value["apiVersion"] == "batch/v1"
        && value["spec"]["ttlSecondsAfterFinished"].is_number()
}

/// Whether a hook may replace a live object: an earlier run of the application's hook, or a hook of
/// another tool. `owner`: the application's owner label.
pub fn may_replace(live: &Live, owner: &str) -> bool {
    let ours = live.is_owned_by(owner) && run(live).is_some();
    ours || matches!(live["kind"].as_str(), Some("Job" | "Pod")) && Hook::of(live).is_some()
}

/// What a live object ran for.
pub fn run(value: &Value) -> Option<&str> {
    value["metadata"]["annotations"][RUN].as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn annotations_of_others_are_understood() {
        let hook =
            |annotations: Value| Hook::of(&json!({"metadata": {"annotations": annotations}}));
        let helm = |words: &str| hook(json!({"helm.sh/hook": words, "helm.sh/hook-weight": "-5"}));
        let both = helm("pre-install,pre-upgrade").unwrap();
        assert_eq!(
            (both.when, both.only, both.runs(true), both.runs(false)),
            (Some(When::Before), None, true, true)
        );
        assert!(
            both.wave() < -1_000_000
                && both.wave()
                    < helm("pre-install")
                        .map(|h| Hook { weight: 0, ..h }.wave())
                        .unwrap()
        );
        let first = helm("post-install").unwrap();
        assert_eq!(
            (first.when, first.runs(true), first.runs(false)),
            (Some(When::After), true, false)
        );
        assert!(!helm("pre-upgrade").unwrap().runs(true));
        assert_eq!(helm("pre-delete").unwrap().when, None);
        assert_eq!(helm("crd-install"), None);
        assert_eq!(
            hook(json!({"argocd.argoproj.io/hook": "PostSync"}))
                .unwrap()
                .when,
            Some(When::After)
        );
        assert_eq!(
            hook(json!({"argocd.argoproj.io/hook": "Skip"}))
                .unwrap()
                .when,
            None
        );
        assert_eq!(
            hook(json!({"windlass.dev/hook": "before"})).unwrap().when,
            Some(When::Before)
        );
        assert_eq!(hook(json!({})), None);
        let definition = json!({"kind": "CustomResourceDefinition", "metadata": {"annotations": {"helm.sh/hook": "pre-install"}}});
        assert_eq!(Hook::of(&definition), None);
        assert!(
            hook(json!({"helm.sh/hook": "post-upgrade", "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded"}))
                .unwrap()
                .deleted_after_success
        );
    }
}
