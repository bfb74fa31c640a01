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
    /// Whether its object is what Git declares. It may have applied a new commit by an old object.
    pub is_as_declared: bool,
    /// Whether the cluster agrees with what it applied.
    pub synced: bool,
    pub health: Assessment,
    /// Whether that health is the health of all that it applied.
    pub assesses_objects: bool,
    /// Why it failed: somebody has to change something.
    pub failed: Option<String>,
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
    /// Its object is not what Git declares.
    OldObject,
}

/// Why nothing is requested of another reconciler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The cluster's words: windlass lacks the right.
    Forbidden(String),
    /// Its object has another repository as its source, which is not windlass's to sync.
    OtherSource,
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

/// Whether an object has all that another one says. What is empty says nothing: Go programs leave
/// it out. A list has to have the same items.
fn has_all(object: &Value, wanted: &Value) -> bool {
    match wanted {
        Value::Null => true,
        Value::String(text) if text.is_empty() => object.is_null() || object == wanted,
        Value::Object(fields) => fields
            .iter()
            .all(|(name, wanted)| has_all(&object[name], wanted)),
        Value::Array(items) if items.is_empty() => {
            object.as_array().is_none_or(|items| items.is_empty())
        }
        Value::Array(wanted) => object.as_array().is_some_and(|items| {
            items.len() == wanted.len()
                && items
                    .iter()
                    .zip(wanted)
                    .all(|(item, wanted)| has_all(item, wanted))
        }),
        _ => object == wanted,
    }
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
