//! Effects of an apply that its diff does not show.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Writer;
use super::managed::{applied_in, entries, entries_where, owned_by};
use crate::domain::Live;
use crate::domain::fieldset::{self, FieldPath};

/// Changed lists of objects that we newly own as a whole: items of others are removed.
pub fn replaced_lists(before: &Value, after: &Value, manager: &str) -> Vec<FieldPath> {
    let ours = applied_in(before, manager);
    // In a list that we own already, others cannot add items without taking it over.
    let whole: Vec<_> = applied_in(after, manager)
        .leaves()
        .into_iter()
        .filter(|path| !ours.leaves().contains(path))
        .collect();
    let list = |path: &FieldPath| {
        let now = fieldset::lookup(after, path)?.as_array()?;
        let was = fieldset::lookup(before, path)?;
        (now.iter().any(Value::is_object) && was != &Value::Array(now.clone())).then_some(())
    };
    whole
        .into_iter()
        .filter(|path| list(path).is_some())
        .collect()
}

/// What admission added to an object, as far as it can be found: entries of labels, annotations and
/// data, and items of lists, that nobody owns. (The API server's own defaults are fields, not
/// entries.)
pub fn admitted(after: &Value) -> Vec<FieldPath> {
    owned_by(after, |_| true).unowned_entries(after)
}

/// The fields that others changed and a sync would change back, by manager.
pub fn changed_by_others(live: &Live, predicted: &Value) -> BTreeMap<String, Vec<FieldPath>> {
    let mut found: BTreeMap<String, Vec<FieldPath>> = BTreeMap::new();
    for entry in entries_where(live, |entry| {
        entry.writer() != Writer::Windlass && entry.subresource.as_deref() != Some("status")
    }) {
        for path in entry.fields.leaves() {
            let (now, then) = (
                fieldset::lookup(live, &path),
                fieldset::lookup(predicted, &path),
            );
            if now.is_some() && now != then {
                found.entry(entry.manager.clone()).or_default().push(path);
            }
        }
    }
    found
}

/// The fields that are no longer in Git and that stay, since others own them too.
pub fn kept(before: &Value, after: &Value, manager: &str) -> BTreeMap<String, Vec<FieldPath>> {
    let dropped = applied_in(before, manager).difference(&applied_in(after, manager));
    let mut found: BTreeMap<String, Vec<FieldPath>> = BTreeMap::new();
    for path in dropped
        .leaves()
        .into_iter()
        .filter(|path| fieldset::lookup(after, path).is_some())
    {
        for entry in entries(after)
            .into_iter()
            .filter(|entry| entry.manager != manager && entry.fields.contains(&path))
        {
            found.entry(entry.manager).or_default().push(path.clone());
        }
    }
    found
}
