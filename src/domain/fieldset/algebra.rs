//! Operations on two sets: union, difference, and removal of what others share.

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

    /// The members that `other` does not have.
    pub fn difference(&self, other: &Self) -> Self {
        let mut out = Self {
            members: self.members.difference(&other.members).cloned().collect(),
            children: BTreeMap::new(),
        };
        for (element, child) in &self.children {
            let remaining = other
                .children
                .get(element)
                .map_or_else(|| child.clone(), |theirs| child.difference(theirs));
            if !remaining.is_empty() {
                out.children.insert(element.clone(), remaining);
            }
        }
        out
    }

    /// The members that can be removed while `others` stays: without the members of `others`, and
    /// without maps and items in which `others` has members. (structured-merge-diff prunes like
    /// that: `EnsureNamedFieldsAreMembers`.)
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
            let remaining = others
                .children
                .get(element)
                .map_or_else(|| child.clone(), |theirs| child.without_shared(theirs));
            if !remaining.is_empty() {
                out.children.insert(element.clone(), remaining);
            }
        }
        out
    }

    /// The items that `theirs` adds to our lists: lists with items in this set.
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
