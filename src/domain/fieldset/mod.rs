//! Sets of field paths, as the API server keeps them in `managedFields`.
//!
//! The format is `fieldsV1` of structured-merge-diff: a trie whose keys are
//! path elements (`f:` a field, `k:` an item of a list by its keys, `v:` an
//! item of a set by its value, `i:` an item by its position) and in which `.`
//! says that the path so far is itself a member. A leaf is a member.
//!
//! `path`: one path. `fields_v1`: the format of a set. `algebra`: operations on two
//! sets. `object`: reading and removing paths in an object. `unowned`: entries of an
//! object that are in no set.

use std::collections::{BTreeMap, BTreeSet};

mod algebra;
mod fields_v1;
mod object;
mod path;
#[cfg(test)]
mod tests;
mod unowned;

pub use object::{lookup, position, remove};
pub use path::{Element, FieldPath, of_pointer};

/// A set of paths.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSet {
    members: BTreeSet<Element>,
    children: BTreeMap<Element, FieldSet>,
}

impl FieldSet {
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.children.is_empty()
    }

    pub fn insert(&mut self, path: &FieldPath) {
        let Some((last, parents)) = path.0.split_last() else {
            return;
        };
        let mut set = self;
        for element in parents {
            set = set.children.entry(element.clone()).or_default();
        }
        set.members.insert(last.clone());
    }

    pub fn contains(&self, path: &FieldPath) -> bool {
        let Some((last, parents)) = path.0.split_last() else {
            return false;
        };
        let mut set = self;
        for element in parents {
            let Some(child) = set.children.get(element) else {
                return false;
            };
            set = child;
        }
        set.members.contains(last)
    }

    /// Whether the path, something below it, or a leaf above it is in the set.
    pub fn touches(&self, path: &FieldPath) -> bool {
        let mut set = self;
        for element in &path.0 {
            match set.children.get(element) {
                Some(child) => set = child,
                None => return set.members.contains(element),
            }
        }
        true
    }

    /// The members that have no member below them.
    pub fn leaves(&self) -> Vec<FieldPath> {
        let mut paths = Vec::new();
        self.walk(&FieldPath::default(), &mut |path, leaf| {
            if leaf {
                paths.push(path);
            }
        });
        paths
    }

    fn walk(&self, at: &FieldPath, visit: &mut impl FnMut(FieldPath, bool)) {
        let elements: BTreeSet<_> = self.members.iter().chain(self.children.keys()).collect();
        for element in elements {
            let (path, child) = (at.child(element), self.children.get(element));
            if self.members.contains(element) {
                visit(path.clone(), child.is_none());
            }
            if let Some(child) = child {
                child.walk(&path, visit);
            }
        }
    }

    /// Whether an element, or something below it, is in the set.
    fn has(&self, element: &Element) -> bool {
        self.members.contains(element) || self.children.contains_key(element)
    }
}
