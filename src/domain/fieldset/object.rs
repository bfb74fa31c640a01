//! Paths applied to an object: what it has at one, and the object without some.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::path::Scalar;
use super::{Element, FieldPath, FieldSet};

/// What an object has at a path.
pub fn lookup<'a>(value: &'a Value, path: &FieldPath) -> Option<&'a Value> {
    let mut at = value;
    let mut rest = &path.0[..];
    while let Some((element, after)) = rest.split_first() {
        match find(at, element) {
            Some(below) => (at, rest) = (below, after),
            // A field's name with dots in it was read as several.
            None => return dotted(at, rest),
        }
    }
    Some(at)
}

/// A field whose name holds dots, as annotations' names do: the API server prints it without
/// quotes.
fn dotted<'a>(value: &'a Value, rest: &[Element]) -> Option<&'a Value> {
    let (name, count) = dotted_name(value, rest)?;
    lookup(value.get(&name)?, &FieldPath(rest[count..].to_vec()))
}

impl FieldPath {
    /// The same path with the names that this object has: `acme.example/team` was read as two.
    pub fn spelled_as_in(&self, object: &Value) -> Self {
        let mut elements = Vec::new();
        let (mut at, mut rest) = (Some(object), &self.0[..]);
        while let Some((element, after)) = rest.split_first() {
            let here = at.filter(|here| find(here, element).is_none());
            let joined = here.and_then(|here| dotted_name(here, rest));
            let (element, count) = match joined {
                Some((name, count)) => (Element::Field(name), count),
                None => (element.clone(), rest.len() - after.len()),
            };
            at = at.and_then(|here| find(here, &element));
            elements.push(element);
            rest = &rest[count..];
        }
        Self(elements)
    }
}

/// The name of a field of the value that the first elements together spell, and how many they are.
fn dotted_name(value: &Value, rest: &[Element]) -> Option<(String, usize)> {
    let mut name = String::new();
    for (count, element) in (1..).zip(rest) {
        let Element::Field(part) = element else {
            return None;
        };
        if count > 1 {
            name.push('.');
        }
        name.push_str(part);
        if count > 1 && value.get(&name).is_some() {
            return Some((name, count));
        }
    }
    None
}

/// Takes one path out of an object. True: it was there.
pub fn remove(value: &mut Value, path: &FieldPath) -> bool {
    let Some((element, rest)) = path.0.split_first() else {
        return false;
    };
    // A field's name with dots in it was read as several.
    let (element, rest) = match find(value, element) {
        Some(_) => (element.clone(), rest),
        None => match dotted_name(value, &path.0) {
            Some((name, count)) => (Element::Field(name), &path.0[count..]),
            None => return false,
        },
    };
    if rest.is_empty() {
        take(value, &element);
        return true;
    }
    find_mut(value, &element).is_some_and(|below| remove(below, &FieldPath(rest.to_vec())))
}

impl FieldSet {
    /// Takes the set's paths out of an object: a leaf goes; what is a member with others below goes
    /// once nothing is left in it but the keys that it is found by.
    pub fn remove_from(&self, value: &mut Value) {
        // From the end, so that positions stay right.
        let elements: BTreeSet<_> = self.members.iter().chain(self.children.keys()).collect();
        for element in elements.into_iter().rev() {
            let member = self.members.contains(element);
            let gone = match (self.children.get(element), find_mut(value, element)) {
                (_, None) => false,
                (None, Some(_)) => member,
                (Some(child), Some(below)) => {
                    child.without_keys(element).remove_from(below);
                    member && only_keys(below, element)
                }
            };
            if gone {
                take(value, element);
            }
        }
    }

    /// Less the fields that an item of a list is found by: they go with the item or not at all.
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

/// The item of a list that an element of a path names.
pub fn position(items: &[Value], element: &Element) -> Option<usize> {
    match element {
        Element::Index(index) => (*index < items.len()).then_some(*index),
        Element::Value(value) => items.iter().position(|item| value.is(item)),
        Element::Key(keys) => items.iter().position(|item| has_keys(item, keys)),
        Element::Field(_) => None,
    }
}

/// Whether an item of a list is the one with these keys. A key that the item leaves out counts as
/// its default, as long as some key is there to tell.
pub(super) fn has_keys(item: &Value, keys: &BTreeMap<String, Scalar>) -> bool {
    let told = keys
        .iter()
        .filter_map(|(name, value)| Some((item.get(name)?, value)));
    let mut count = 0;
    told.inspect(|_| count += 1)
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
