//! Field conflicts of server-side apply, and how each is resolved.

use std::fmt;

use serde_json::Value;

use super::managed::{applied_by, entries};
use super::{Entry, FieldRules, Writer};
use crate::domain::Live;
use crate::domain::contracts;
use crate::domain::fieldset::{self, Element, FieldPath, FieldSet};

/// A field that another manager owns with another value: the API server refuses a server-side apply
/// for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    pub manager: String,
    pub applies: bool,
    pub subresource: Option<String>,
    pub field: FieldPath,
}

impl Conflict {
    /// Parses one cause of a 409: `conflict with "kubectl" with subresource "scale" using apps/v1`.
    /// If the manager uses server-side apply, it is only `conflict with "kubectl"`.
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

/// The fields of a Secret's data that others own and that we would set, whatever the values are.
/// The API server reports a conflict only for different values, which would confirm a guess.
pub fn claims_on_data(live: &Live, payload: &Value, manager: &str) -> Vec<Conflict> {
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

/// How each conflict is resolved.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resolution {
    /// Taken over: we owned the field before, a former tool owns it, or a rule says so.
    pub take: Vec<Conflict>,
    /// Left to the other manager, and not applied.
    pub release: Vec<Conflict>,
    /// Nobody has decided: the object is not applied until somebody does.
    pub undecided: Vec<Conflict>,
}

/// Resolves conflicts. `applied`: the object that we applied last, whose fields are ours. `let_go`:
/// Helm, Argo CD or Flux no longer reconcile the object.
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
        let decided = match conflict.writer() {
            Writer::Autoscaler if replicas => &mut resolution.release,
            _ if contracts::fills_in(&conflict.manager, kind, &conflict.field) => {
                &mut resolution.release
            }
            Writer::Leftover | Writer::Windlass => &mut resolution.take,
            Writer::Reconciler if let_go => &mut resolution.take,
            _ if ours || rules.takes(kind, name, &conflict.field) => &mut resolution.take,
            _ => &mut resolution.undecided,
        };
        decided.push(conflict);
    }
    resolution
}
