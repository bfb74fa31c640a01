//! An application that another reconciler deploys: its status, read from the Argo CD
//! `Application` or the Flux `Kustomization`, and what is written there to have it reconciled now.
//!
//! [`argocd`] and [`flux`] know their fields; the types that both fill are here.

use serde_json::Value;

use super::CommitSha;
use super::health::Assessment;

pub mod argocd;
pub mod flux;

/// The status that another reconciler reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalStatus {
    /// What it applied last. None: nothing yet, or nothing that can be compared with Git.
    pub applied: Option<Applied>,
    /// Whether the cluster agrees with what it applied.
    pub synced: bool,
    pub health: Assessment,
    /// Whether that health is the health of all that it applied.
    pub assesses_objects: bool,
    /// Why it failed: somebody has to change something.
    pub failed: Option<Failure>,
    /// What it is about to do, or what keeps it from it.
    pub waits: Option<String>,
}

/// Why a reconciler failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub why: String,
    /// The commit that it failed at. None: whatever the commit is.
    pub at: Option<CommitSha>,
}

/// What another reconciler applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// A commit of the config repository.
    Commit(CommitSha),
    /// Something of elsewhere, such as a chart. Of the config repository it reads nothing: there is
    /// only its object.
    Elsewhere,
}

/// Why an application that another reconciler deploys is not synced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waits {
    /// Its object does not exist.
    Missing {
        application: String,
    },
    NothingApplied,
    At(CommitSha),
    /// Its object is what Git declared before.
    OldObject,
    /// In its own words.
    Says(String),
    /// It is another repository's.
    OtherSource,
}

/// Why nothing is requested of another reconciler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The cluster's words: windlass lacks the right.
    Forbidden(String),
    /// The API server does not take the request, for this reason.
    NotTaken(String),
    /// Its object has another repository as its source, which is not windlass's to sync.
    OtherSource,
    /// Another stage has the same object.
    Shared,
    /// It does not exist.
    Missing,
    /// It, or its source, is suspended.
    Suspended,
}

/// How far a request to another reconciler is.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Its object does not have the request: a merge patch adds it.
    Patch(Value),
    /// It is to be carried out, or another one is.
    Pending,
    Done,
}

/// Whether two values are equal, but for what is empty: Go programs leave that out.
fn is_alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(fields), Value::Object(others)) => {
            let names = fields.keys().chain(others.keys());
            names
                .into_iter()
                .all(|name| is_alike(&one[name], &other[name]))
        }
        (Value::Array(items), Value::Array(others)) => {
            items.len() == others.len()
                && items
                    .iter()
                    .zip(others)
                    .all(|(item, other)| is_alike(item, other))
        }
        _ => one == other || is_empty(one) && is_empty(other),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
    }
}

/// Whether the live object is still what Git declared before, in something that Git declares
/// otherwise now. What a kustomization patches on its way into the cluster is neither.
pub fn is_outdated(live: &Value, before: &Value, now: &Value) -> bool {
    if is_alike(before, now) {
        return false;
    }
    if let (Value::Object(olds), Value::Object(news)) = (before, now) {
        let mut names = olds.keys().chain(news.keys());
        return names.any(|name| is_outdated(&live[name], &before[name], &now[name]));
    }
    if let (Value::Array(olds), Value::Array(news)) = (before, now)
        && olds.len() == news.len()
    {
        let mut pairs = olds.iter().zip(news).enumerate();
        return pairs.any(|(at, (old, new))| is_outdated(&live[at], old, new));
    }
    is_alike(live, before)
}

/// A merge patch that refuses to change an object that somebody else changed since it was read.
fn patch(live: &super::Live, mut patch: Value) -> Value {
    patch["metadata"]["resourceVersion"] = live.resource_version().into();
    patch
}

/// A text field; empty if there is none.
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_outdated_while_it_has_what_git_had() {
        let spec = |version: &str, more: Value| json!({"source": {"chart": "web", "targetRevision": version, "helm": more}, "sources": [{"a": 1}]});
        let (old, new) = (spec("1", json!({"a": 1})), spec("2", json!({"a": 1})));
        assert!(!is_outdated(&old, &old, &old));
        assert!(is_outdated(&old, &old, &new));
        assert!(!is_outdated(&new, &old, &new));
        // A kustomization sets the version itself.
        assert!(!is_outdated(&spec("3", json!({"a": 1})), &old, &new));
        // Something is taken out, or comes.
        let less = spec("1", json!({}));
        assert!(is_outdated(&old, &old, &less) && !is_outdated(&less, &old, &less));
        assert!(is_outdated(&less, &less, &old) && !is_outdated(&old, &less, &old));
        // What is empty is left out.
        let with = spec("1", json!({"a": 1, "skipCrds": false, "valueFiles": []}));
        assert!(!is_outdated(&old, &old, &with) && is_alike(&old, &with));
    }
}
