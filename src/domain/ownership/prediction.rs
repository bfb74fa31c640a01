//! Predicts a server-side apply if the API server cannot dry-run it.

use serde_json::Value;

use super::AdoptableFields;
use super::managed::{applied_in, owned_by};
use crate::domain::Live;
use crate::domain::fieldset::{self, Element, FieldPath, FieldSet};

/// The live object without the fields that a server-side apply of the payload would remove. Lists
/// are merged by their items' names. A field is removed with everything in it, including defaults,
/// unless others own a part of it.
pub fn without_dropped(live: &Live, payload: &Value, manager: &str) -> Live {
    let mut object = live.clone();
    let others = owned_by(live, |entry| entry.manager != manager);
    for path in applied_in(live, manager).leaves() {
        let prefixes = (1..=path.0.len()).map(|length| FieldPath(path.0[..length].to_vec()));
        let mut dropped = prefixes.filter(|prefix| fieldset::lookup(payload, prefix).is_none());
        if let Some(whole) = dropped.find(|dropped| *dropped == path || !others.touches(dropped)) {
            fieldset::remove(&mut object, &whole);
        }
    }
    object
}

/// The fields of all managers except us and those whose fields are adopted.
pub fn of_others(live: &Live, manager: &str, taken_over: &AdoptableFields) -> FieldSet {
    owned_by(live, |entry| {
        entry.manager != manager && !taken_over.managers.contains(&entry.manager)
    })
    .difference(&taken_over.added)
}

/// Fields of a live object's spec that nobody owns (except managers whose fields are adopted) and
/// that a new object would not have: the server's defaults for a former configuration. Items of
/// lists are not searched.
pub fn outdated_defaults(live: &Live, fresh: &Value, taken_over: &[String]) -> FieldSet {
    fn walk(
        live: &Value,
        fresh: &Value,
        at: &mut FieldPath,
        owned: &FieldSet,
        found: &mut FieldSet,
    ) {
        for (name, below) in live.as_object().into_iter().flatten() {
            at.0.push(Element::Field(name.clone()));
            let newly = &fresh[name];
            if !owned.touches(at) && newly.is_null() {
                found.insert(at);
            }
            if newly.is_object() || found.contains(at) {
                walk(below, newly, at, owned, found);
            }
            at.0.pop();
        }
    }
    let mut owned = owned_by(live, |entry| !taken_over.contains(&entry.manager));
    // `strategy: {}` in a manifest owns only the empty map, not the server's defaults in it.
    for strategy in ["strategy", "updateStrategy"] {
        let mut empty = FieldSet::default();
        empty.insert(&FieldPath(
            ["spec", strategy]
                .map(|name| Element::Field(name.into()))
                .into(),
        ));
        owned = owned.difference(&empty);
    }
    let mut found = FieldSet::default();
    walk(
        &live["spec"],
        &fresh["spec"],
        &mut FieldPath(vec![Element::Field("spec".into())]),
        &owned,
        &mut found,
    );
    found
}
