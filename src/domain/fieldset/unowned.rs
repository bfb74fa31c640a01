//! Entries and items of an object that are not in a set.

use serde_json::{Map, Value};

use super::object::has_keys;
use super::path::Scalar;
use super::{Element, FieldPath, FieldSet};

impl FieldSet {
    /// The entries of labels, annotations and data, and the items of lists with items in this set,
    /// that are not in it.
    pub fn unowned_entries(&self, value: &Value) -> Vec<FieldPath> {
        let mut found = Vec::new();
        self.unowned(value, &FieldPath::default(), &mut found);
        found
    }

    fn unowned(&self, value: &Value, at: &FieldPath, found: &mut Vec<FieldPath>) {
        match value {
            Value::Object(map) => self.unowned_in_map(map, at, found),
            Value::Array(items) => self.unowned_in_list(items, at, found),
            _ => {}
        }
    }

    fn unowned_in_map(&self, map: &Map<String, Value>, at: &FieldPath, found: &mut Vec<FieldPath>) {
        let entries = matches!(at.0.last(), Some(Element::Field(name)) if ["labels", "annotations", "data"].contains(&name.as_str()));
        for (key, below) in map
            .iter()
            .filter(|(key, _)| !matches!(key.as_str(), "status" | "managedFields"))
        {
            let element = Element::Field(key.clone());
            match self.children.get(&element) {
                Some(child) => child.unowned(below, &at.child(&element), found),
                None if entries && !self.has(&element) => found.push(at.child(&element)),
                None => {}
            }
        }
    }

    fn unowned_in_list(&self, items: &[Value], at: &FieldPath, found: &mut Vec<FieldPath>) {
        let keys: Vec<_> = self
            .members
            .iter()
            .chain(self.children.keys())
            .filter(|element| matches!(element, Element::Key(_)))
            .collect();
        for item in items.iter().filter(|_| !keys.is_empty()) {
            let mine = keys
                .iter()
                .find(|element| matches!(element, Element::Key(keys) if has_keys(item, keys)));
            match (mine, keys[0]) {
                (Some(element), _) => {
                    if let Some(child) = self.children.get(*element) {
                        child.unowned(item, &at.child(element), found);
                    }
                }
                // Identified by the same keys as its owned neighbours.
                (None, Element::Key(like)) => {
                    let named = like
                        .keys()
                        .map(|name| (name.clone(), Scalar::of(&item[name])))
                        .collect();
                    found.push(at.child(&Element::Key(named)));
                }
                _ => {}
            }
        }
    }
}
