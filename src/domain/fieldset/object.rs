//! Paths in an object: looking up a value, and removing some.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::path::Scalar;
use super::{Element, FieldPath, FieldSet};

/// The value at a path.
pub fn lookup<'a>(value: &'a Value, path: &FieldPath) -> Option<&'a Value> {
    let mut at = value;
    let mut rest = &path.0[..];
    while let Some((element, after)) = rest.split_first() {
        match find(at, element) {
            Some(below) => (at, rest) = (below, after),
            // A field's name with dots may have been parsed as several fields.
            None => return dotted(at, rest),
        }
    }
    Some(at)
}

/// A field whose name contains dots, as in `metadata.annotations`.
fn dotted<'a>(value: &'a Value, rest: &[Element]) -> Option<&'a Value> {
    let mut name = String::new();
    for (count, element) in rest.iter().enumerate() {
        let Element::Field(part) = element else {
            return None;
        };
        if count > 0 {
            name.push('.');
        }
        name.push_str(part);
        if count > 0
            && let Some(found) = value.get(&name)
        {
            return lookup(found, &FieldPath(rest[count + 1..].to_vec()));
        }
    }
    None
}

/// Removes a path from an object. True: it existed.
pub fn remove(value: &mut Value, path: &FieldPath) -> bool {
    let Some((element, rest)) = path.0.split_first() else {
        return false;
    };
    if rest.is_empty() {
        let existed = find(value, element).is_some();
        take(value, element);
        return existed;
    }
    find_mut(value, element).is_some_and(|below| remove(below, &FieldPath(rest.to_vec())))
}

impl FieldSet {
    /// Removes the set's paths from an object. A member with children is removed if nothing is left in it, except the keys
    /// that identify it.
    pub fn remove_from(&self, value: &mut Value) {
        // From the end, so that indexes stay valid.
        let elements: BTreeSet<_> = self.members.iter().chain(self.children.keys()).collect();
        for element in elements.into_iter().rev() {
            let member = self.members.contains(element);
            let remove = match (self.children.get(element), find_mut(value, element)) {
                (_, None) => false,
                (None, Some(_)) => member,
                (Some(child), Some(below)) => {
                    child.without_keys(element).remove_from(below);
                    member && only_keys(below, element)
                }
            };
            if remove {
                take(value, element);
            }
        }
    }

    /// Without the key fields of a list's item: they are removed with the whole item or not at all.
    fn without_keys(&self, element: &Element) -> Self {
        let mut out = self.clone();
        if let Element::Key(keys) = element {
            out.members.retain(
                |member| !matches!(member, Element::Field(name) if keys.contains_key(name)),
            );
        }
        out
    }
}

fn only_keys(value: &Value, element: &Element) -> bool {
    match (value, element) {
        (Value::Object(object), Element::Key(keys)) => {
            object.keys().all(|name| keys.contains_key(name))
        }
        (Value::Object(object), _) => object.is_empty(),
        (Value::Array(items), _) => items.is_empty(),
        _ => false,
    }
}

/// The index of the list item that a path element names.
pub fn position(items: &[Value], element: &Element) -> Option<usize> {
    match element {
        Element::Index(index) => (*index < items.len()).then_some(*index),
        Element::Value(value) => items.iter().position(|item| value.is(item)),
        Element::Key(keys) => items.iter().position(|item| has_keys(item, keys)),
        Element::Field(_) => None,
    }
}

/// Whether an item of a list has these keys. A key that the item leaves out is assumed to match, as long as it has at
/// least one of them.
pub(super) fn has_keys(item: &Value, keys: &BTreeMap<String, Scalar>) -> bool {
    let present = keys
        .iter()
        .filter_map(|(name, value)| Some((item.get(name)?, value)));
    let mut count = 0;
    present
        .inspect(|_| count += 1)
        .all(|(mine, wanted)| wanted.is(mine))
        && count > 0
}

fn find<'a>(value: &'a Value, element: &Element) -> Option<&'a Value> {
    match (value, element) {
        (Value::Object(object), Element::Field(name)) => object.get(name),
        (Value::Array(items), element) => items.get(position(items, element)?),
        _ => None,
    }
}

fn find_mut<'a>(value: &'a mut Value, element: &Element) -> Option<&'a mut Value> {
    match (value, element) {
        (Value::Object(object), Element::Field(name)) => object.get_mut(name),
        (Value::Array(items), element) => {
            let at = position(items, element)?;
            items.get_mut(at)
        }
        _ => None,
    }
}

fn take(value: &mut Value, element: &Element) {
    match (value, element) {
        (Value::Object(object), Element::Field(name)) => {
            object.remove(name);
        }
        (Value::Array(items), element) => {
            if let Some(at) = position(items, element) {
                items.remove(at);
            }
        }
        _ => {}
    }
}
