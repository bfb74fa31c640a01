//! Fields that somebody else holds with another value, and what becomes of each.

use std::fmt;

use serde_json::Value;

use super::managed::{applied_by, entries};
use super::{Entry, FieldRules, Writer};
use crate::domain::contracts;
use crate::domain::fieldset::{self, Element, FieldPath, FieldSet};

/// A field that somebody else holds with another value, as the API server refuses a server-side apply for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    pub manager: String,
    pub applies: bool,
    pub subresource: Option<String>,
    pub field: FieldPath,
}

impl Conflict {
    /// Reads one cause of a 409: `conflict with "kubectl" with subresource "scale" using apps/v1`; of a manager that
    /// applies, `conflict with "kubectl"` alone.
    pub fn parse(message: &str, field: &str) -> Option<Self> {
        let quoted =
            |after: &str| Some(message.split_once(after)?.1.split('"').next()?.to_string());
        Some(Self {
            manager: quoted("conflict with \"")?,
            applies: !message.contains(" using "),
            subresource: quoted("with subresource \""),
            field: FieldPath::parse(field)?,
        })
    }

    pub fn writer(&self) -> Writer {
        let (manager, subresource) = (self.manager.clone(), self.subresource.clone());
        Entry {
            manager,
            applies: self.applies,
            subresource,
            time: None,
            fields: FieldSet::default(),
        }
        .writer()
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (held by {})", self.field, self.manager)
    }
}

/// The fields of a Secret's data that others hold and that we would set, whether the values are the same or not: the API
/// server conflicts only over different ones, and so would tell whoever guesses.
pub fn claims_on_data(live: &Value, payload: &Value, manager: &str) -> Vec<Conflict> {
    let all = entries(live);
    let ours = applied_by(&all, manager);
    let mut found = Vec::new();
    for name in payload["data"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name)
    {
        let field = FieldPath(vec![
            Element::Field("data".into()),
            Element::Field(name.clone()),
        ]);
        if ours.contains(&field) {
            continue;
        }
        let holder = all
            .iter()
            .find(|entry| entry.writer() != Writer::Windlass && entry.fields.touches(&field));
        found.extend(holder.map(|entry| Conflict {
            manager: entry.manager.clone(),
            applies: entry.applies,
            subresource: entry.subresource.clone(),
            field: field.clone(),
        }));
    }
    found
}

/// What becomes of each conflict.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resolution {
    /// Taken: ours before, left behind by a tool that does not come back, or a rule says so.
    pub take: Vec<Conflict>,
    /// Not applied: the other's to set.
    pub release: Vec<Conflict>,
    /// Nobody has decided: nothing is applied until somebody does.
    pub undecided: Vec<Conflict>,
}

/// Decides conflicts. `applied` is the object as we applied it last, if we did: what was in it is ours. `let_go`: the tools
/// that reconciled the object before do not come back to it.
pub fn resolve(
    conflicts: Vec<Conflict>,
    kind: &str,
    name: &str,
    applied: Option<&Value>,
    rules: &FieldRules,
    let_go: bool,
) -> Resolution {
    let mut resolution = Resolution::default();
    for conflict in conflicts {
        let replicas = conflict.field.starts_with(&["spec", "replicas"]);
        let ours =
            applied.is_some_and(|applied| fieldset::lookup(applied, &conflict.field).is_some());
        let place = match conflict.writer() {
            Writer::Autoscaler if replicas => &mut resolution.release,
            _ if contracts::fills_in(&conflict.manager, kind, &conflict.field) => {
                &mut resolution.release
            }
            Writer::Leftover | Writer::Windlass => &mut resolution.take,
            Writer::Reconciler if let_go => &mut resolution.take,
            _ if ours || rules.takes(kind, name, &conflict.field) => &mut resolution.take,
            _ => &mut resolution.undecided,
        };
        place.push(conflict);
    }
    resolution
}
