//! One object's line of a plan: its action and its diff.

use std::borrow::Cow;

use serde_json::Value;

use super::diff::{Diff, Style};
use super::{Action, Comparison, Confidence, Notes, Side};
use crate::domain::manifest::{ResourceKey, without_metadata, without_server_fields};
use crate::domain::mask::{Mask, Masked, MaskedPair};
use crate::domain::{APPLICATION_ANNOTATION, OWNER_LABEL};

/// One object's line of a plan. Holds no secret data.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub key: ResourceKey,
    /// The API version that it was dry-run with, without the group.
    pub version: String,
    pub action: Action,
    pub confidence: Confidence,
    pub before: Option<Masked>,
    pub after: Option<Masked>,
    /// Why the change cannot be made.
    pub problem: Option<String>,
    pub notes: Notes,
    /// Keyed digests of masked values that differ: part of the plan's digest, never shown.
    pub hidden: Vec<String>,
}

impl Change {
    /// The change of a comparison. Secret data is masked here.
    pub(super) fn new(mask: &Mask, comparison: Comparison) -> Self {
        let Comparison {
            key,
            before,
            after,
            notes,
        } = comparison;
        let confidence = confidence(&before, &after);
        let (old, new) = (
            before.object().map(|object| without_server_fields(object)),
            after.object().map(|object| without_server_fields(object)),
        );
        let version = version(new.as_ref().or(old.as_ref()));
        if let Side::Refused(why) = after {
            let action = if old.is_some() {
                Action::Configure
            } else {
                Action::Create
            };
            return Self {
                key,
                version,
                action,
                confidence,
                before: None,
                after: None,
                problem: Some(why),
                notes,
                hidden: vec![],
            };
        }
        let action = action(old.as_ref(), new.as_ref(), &notes);
        let MaskedPair {
            before,
            after,
            digests,
        } = mask.pair(old, new);
        Self {
            key,
            version,
            action,
            confidence,
            before,
            after,
            problem: None,
            notes,
            hidden: digests,
        }
    }

    /// Whether the object stays as it is.
    pub fn is_nothing(&self) -> bool {
        self.action == Action::Unchanged && self.problem.is_none() && self.notes.adopted.is_empty()
    }

    /// The change as a unified diff of YAML, without file headers.
    pub fn diff(&self) -> String {
        let [diff] = self.diffs([Style {
            context: 3,
            places: true,
        }]);
        diff
    }

    /// One diff for each style.
    pub fn diffs<const N: usize>(&self, styles: [Style; N]) -> [String; N] {
        // Nobody decides about our own marks: they are no part of what is read.
        let (before, after) = (self.before.as_deref(), self.after.as_deref());
        let (before, after) = (before.map(without_marks), after.map(without_marks));
        let diff = Diff::new(before.as_deref(), after.as_deref());
        styles.map(|style| diff.shown(style))
    }

    /// Whether nothing but our own marks differs.
    pub fn is_marks_only(&self) -> bool {
        match (self.before.as_deref(), self.after.as_deref()) {
            (Some(before), Some(after)) => {
                self.action == Action::Configure
                    && self.problem.is_none()
                    && self.hidden.is_empty()
                    && without_marks(before) == without_marks(after)
            }
            _ => false,
        }
    }

    /// Whether the object is a hook.
    pub fn is_hook(&self) -> bool {
        self.notes.hook.is_some()
    }
}

/// An object without the label and the annotation by which we know our own.
fn without_marks(object: &Value) -> Cow<'_, Value> {
    without_metadata(
        object,
        &[
            ("labels", OWNER_LABEL),
            ("annotations", APPLICATION_ANNOTATION),
        ],
    )
}

/// The lower confidence of the two sides.
fn confidence(before: &Side, after: &Side) -> Confidence {
    match (before, after) {
        (Side::Object(_, a), Side::Object(_, b)) => (*a).max(*b),
        (Side::Object(_, confidence), _) | (_, Side::Object(_, confidence)) => *confidence,
        _ => Confidence::Server,
    }
}

/// The API version of an object, without the group.
fn version(object: Option<&Value>) -> String {
    let api_version = object
        .and_then(|value| value["apiVersion"].as_str())
        .unwrap_or_default();
    api_version
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .to_string()
}

fn action(old: Option<&Value>, new: Option<&Value>, notes: &Notes) -> Action {
    match (old, new) {
        (None, None) => Action::Unchanged,
        (None, Some(_)) => Action::Create,
        (Some(_), None) => Action::Prune,
        (Some(_), Some(_)) if notes.recreate.is_some() || notes.hook.is_some() => Action::Recreate,
        (Some(old), Some(new)) if old == new => Action::Unchanged,
        (Some(_), Some(_)) => Action::Configure,
    }
}

/// How many lines a diff adds and removes.
pub fn size(diff: &str) -> (usize, usize) {
    let count = |sign| diff.lines().filter(|line| line.starts_with(sign)).count();
    (count('+'), count('-'))
}
