//! Sets that follow from two sets: union, difference, and what of the one the other shares.

use std::collections::BTreeMap;

use super::{Element, FieldSet};

impl FieldSet {
    pub fn union(&self, other: &Self) -> Self {
        let mut out = self.clone();
        out.members.extend(other.members.iter().cloned());
        for (element, child) in &other.children {
            let merged = out
                .children
                .get(element)
                .map_or_else(|| child.clone(), |mine| mine.union(child));
            out.children.insert(element.clone(), merged);
        }
        out
    }

    /// The members that `other` has not.
    pub fn difference(&self, other: &Self) -> Self {
        let mut out = Self {
            members: self.members.difference(&other.members).cloned().collect(),
            children: BTreeMap::new(),
        };
        for (element, child) in &self.children {
            let left = other
                .children
                .get(element)
                .map_or_else(|| child.clone(), |theirs| child.difference(theirs));
            if !left.is_empty() {
                out.children.insert(element.clone(), left);
            }
        }
        out
    }

    /// The members that go with this set while `others` stays: not what is in `others`, and no map or item of a list in
    /// which `others` has something. (structured-merge-diff prunes like that: `EnsureNamedFieldsAreMembers`.)
    pub fn without_shared(&self, others: &Self) -> Self {
        let members = self
            .members
            .iter()
            .filter(|element| !others.has(element))
            .cloned()
            .collect();
        let mut out = Self {
            members,
            children: BTreeMap::new(),
        };
        for (element, child) in &self.children {
            let left = others
                .children
                .get(element)
                .map_or_else(|| child.clone(), |theirs| child.without_shared(theirs));
            if !left.is_empty() {
                out.children.insert(element.clone(), left);
            }
        }
        out
    }

    /// What `theirs` adds to lists of ours: items that are not in this set, of lists that have items in it.
    pub fn items_added_by(&self, theirs: &Self) -> Self {
        let is_item = |element: &Element| matches!(element, Element::Key(_) | Element::Value(_));
        let list = self.members.iter().chain(self.children.keys()).any(is_item);
        let mut added = Self::default();
        for element in theirs.members.iter().chain(theirs.children.keys()) {
            let below = theirs.children.get(element);
            if is_item(element) && list && !self.has(element) {
                if theirs.members.contains(element) {
                    added.members.insert(element.clone());
                }
                if let Some(below) = below {
                    added.children.insert(element.clone(), below.clone());
                }
            } else if let (Some(mine), Some(below)) = (self.children.get(element), below) {
                let inside = mine.items_added_by(below);
                if !inside.is_empty() {
                    added.children.insert(element.clone(), inside);
                }
            }
        }
        added
    }
}
