//! Taking over what tools that do not come back left in an object.

use serde_json::Value;

use super::managed::{applied_in, entries_where, owned_by};
use super::{Entry, Writer, is_a_person};
use crate::domain::fieldset::FieldSet;

/// What tools that do not come back left in an object: their fields stay for ever unless they are taken over.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AdoptableFields {
    /// By whom.
    pub managers: Vec<String>,
    /// Every field that they own.
    pub fields: FieldSet,
    /// Items that people added by hand to lists of ours.
    pub added: FieldSet,
}

/// None: there is nothing to take over. `manager`: our own; what another application of ours had is handed over too.
/// `let_go`: the tools that reconciled the object before do not come back to it.
pub fn leftovers(live: &Value, manager: &str, let_go: bool) -> Option<AdoptableFields> {
    let mut found = AdoptableFields::default();
    let added_by_hand = |entry: &Entry| {
        entry.writer() == Writer::Person && entry.subresource.is_none() && !entry.applies
    };
    let is_left = |entry: &Entry| {
        let left = match entry.writer() {
            Writer::Leftover => true,
            Writer::Reconciler => let_go,
            Writer::Windlass => entry.manager != manager && entry.applies,
            _ => false,
        };
        left && entry.subresource.is_none()
    };
    let others = entries_where(live, |entry| added_by_hand(entry) || is_left(entry));
    if others.is_empty() {
        return None;
    }
    let ours = applied_in(live, manager);
    for entry in others {
        if added_by_hand(&entry) {
            found.added = found.added.union(&ours.items_added_by(&entry.fields));
        }
        if is_left(&entry) {
            found.fields = found.fields.union(&entry.fields);
            found.managers.push(entry.manager);
        }
    }
    (!found.managers.is_empty() || !found.added.is_empty()).then_some(found)
}

/// What a manager wrote by updates: the way that Argo CD applies in by default. What its next one leaves out goes.
pub fn updated_by(live: &Value, manager: &str) -> Option<AdoptableFields> {
    let fields = owned_by(live, |entry| {
        entry.manager == manager && !entry.applies && entry.subresource.is_none()
    });
    (!fields.is_empty()).then(|| AdoptableFields {
        managers: vec![manager.into()],
        fields,
        added: FieldSet::default(),
    })
}

/// `managedFields` after the leftovers moved to us: their entries are gone and ours has their fields too, so that what
/// Git does not have goes with the next apply.
pub fn adopted(live: &Value, leftovers: &AdoptableFields, manager: &str) -> Value {
    let all = live["metadata"]["managedFields"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let ours = |entry: &Value| {
        entry["manager"] == manager
            && entry["operation"] == "Apply"
            && entry["subresource"].is_null()
    };
    let left = |entry: &Value| {
        entry["subresource"].is_null()
            && entry["manager"]
                .as_str()
                .is_some_and(|name| leftovers.managers.iter().any(|left| left == name))
    };
    let mine = all
        .iter()
        .find(|entry| ours(entry))
        .map(|entry| FieldSet::parse(&entry["fieldsV1"]))
        .unwrap_or_default();
    let mut kept: Vec<Value> = all
        .iter()
        .filter(|entry| !left(entry) && !ours(entry))
        .cloned()
        .collect();
    for entry in &mut kept {
        if entry["manager"].as_str().is_some_and(is_a_person) && entry["subresource"].is_null() {
            entry["fieldsV1"] = FieldSet::parse(&entry["fieldsV1"])
                .difference(&leftovers.added)
                .to_json();
        }
    }
    kept.retain(|entry| {
        entry["fieldsV1"]
            .as_object()
            .is_none_or(|fields| !fields.is_empty())
    });
    kept.push(serde_json::json!({
        "manager": manager,
        "operation": "Apply",
        "apiVersion": live["apiVersion"],
        "fieldsType": "FieldsV1",
        "fieldsV1": mine.union(&leftovers.fields).union(&leftovers.added).to_json(),
    }));
    Value::Array(kept)
}
