//! Adopting the fields that a former tool owns in an object.

use serde_json::Value;

use super::managed::{applied_in, entries_where};
use super::{Entry, Writer, is_a_person};
use crate::domain::Live;
use crate::domain::fieldset::{Element, FieldPath, FieldSet};

/// The annotation with the manifest of the last client-side apply.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The fields that former tools own in an object. Unless they are adopted, nothing ever removes
/// them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AdoptableFields {
    /// The managers that own them.
    pub managers: Vec<String>,
    /// Every field that they own.
    pub fields: FieldSet,
    /// Items that people added manually to our lists.
    pub added: FieldSet,
}

/// The fields to adopt; None: there are none. `manager`: our own field manager. Fields of another
/// application of ours are adopted too. `let_go`: Helm, Argo CD or Flux no longer reconcile the
/// object.
pub fn leftovers(live: &Live, manager: &str, let_go: bool) -> Option<AdoptableFields> {
    let mut found = AdoptableFields::default();
    let added_by_hand = |entry: &Entry| {
        entry.writer() == Writer::Person && entry.subresource.is_none() && !entry.applies
    };
    let is_adoptable = |entry: &Entry| {
        let adoptable = match entry.writer() {
            Writer::Leftover => true,
            Writer::Reconciler => let_go,
            Writer::Windlass => entry.manager != manager && entry.applies,
            _ => false,
        };
        adoptable && entry.subresource.is_none()
    };
    let others = entries_where(live, |entry| added_by_hand(entry) || is_adoptable(entry));
    if others.is_empty() {
        return None;
    }
    let ours = applied_in(live, manager);
    for entry in others {
        if added_by_hand(&entry) {
            found.added = found.added.union(&ours.items_added_by(&entry.fields));
        }
        if is_adoptable(&entry) {
            found.fields = found.fields.union(&entry.fields);
            found.managers.push(entry.manager);
        }
    }
    (!found.managers.is_empty() || !found.added.is_empty()).then_some(found)
}

/// The fields that matching managers own.
pub fn written_by(live: &Live, matters: impl Fn(&Entry) -> bool) -> Option<AdoptableFields> {
    let entries = entries_where(live, |entry| entry.subresource.is_none() && matters(entry));
    let mut found = AdoptableFields::default();
    for entry in entries {
        found.fields = found.fields.union(&entry.fields);
        found.managers.push(entry.manager);
    }
    (!found.managers.is_empty()).then_some(found)
}

/// The fields of whoever wrote the record of the last client-side apply.
pub fn last_applied_by(live: &Live) -> Option<AdoptableFields> {
    let record = FieldPath(
        ["metadata", "annotations", LAST_APPLIED]
            .map(|name| Element::Field(name.into()))
            .into(),
    );
    let owns = |entry: &Entry| !entry.applies && entry.fields.contains(&record);
    let managers: Vec<_> = entries_where(live, |entry| entry.subresource.is_none())
        .into_iter()
        .filter(owns)
        .map(|entry| entry.manager)
        .collect();
    written_by(live, |entry| {
        !entry.applies && managers.contains(&entry.manager)
    })
}

/// `managedFields` after the adoption: the former managers' entries are removed and ours has their fields too. So our next
/// apply removes the fields that are not in Git.
pub fn adopted(live: &Live, leftovers: &AdoptableFields, manager: &str) -> Value {
    let all = live["metadata"]["managedFields"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let ours = |entry: &Value| {
        entry["manager"] == manager
            && entry["operation"] == "Apply"
            && entry["subresource"].is_null()
    };
    let is_adopted = |entry: &Value| {
        entry["subresource"].is_null()
            && entry["manager"]
                .as_str()
                .is_some_and(|name| leftovers.managers.iter().any(|manager| manager == name))
    };
    let mine = all
        .iter()
        .find(|entry| ours(entry))
        .map(|entry| FieldSet::parse(&entry["fieldsV1"]))
        .unwrap_or_default();
    let mut kept: Vec<Value> = all
        .iter()
        .filter(|entry| !is_adopted(entry) && !ours(entry))
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
