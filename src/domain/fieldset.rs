//! Sets of field paths, as the API server keeps them in `managedFields`.
//!
//! The format is `fieldsV1` of structured-merge-diff: a trie whose keys are
//! path elements (`f:` a field, `k:` an item of a list by its keys, `v:` an
//! item of a set by its value, `i:` an item by its position) and in which `.`
//! says that the path so far is itself a member. A leaf is a member.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value};

use super::canonical_json;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Element {
    Field(String),
    /// Canonical JSON of the item's key fields, sorted by name.
    Key(BTreeMap<String, Scalar>),
    Value(Scalar),
    Index(usize),
}

/// A scalar by its canonical JSON text, so that it can be ordered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scalar(String);

impl Scalar {
    fn of(value: &Value) -> Self {
        Self(canonical_json(value))
    }

    fn is(&self, value: &Value) -> bool {
        self.0 == canonical_json(value)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

/// A path from the root of an object, printed as the API server prints it: `.spec.containers[name="shop"].image`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FieldPath(pub Vec<Element>);

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(keys) => {
                let keys: Vec<_> = keys
                    .iter()
                    .map(|(name, value)| format!("{name}={}", value.0))
                    .collect();
                write!(f, "[{}]", keys.join(","))
            }
            Self::Value(value) => write!(f, "[={}]", value.0),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|element| element.fmt(f))
    }
}

impl FieldPath {
    /// Reads what the API server prints, as in the causes of a conflict. None: not a path. Names of fields that hold a
    /// dot or a bracket (annotations) are printed without any quoting, so `candidates` are tried by [`lookup`] there.
    pub fn parse(text: &str) -> Option<Self> {
        let mut elements = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('.') {
                let end = after.find(['.', '[']).unwrap_or(after.len());
                elements.push(Element::Field(after[..end].to_string()));
                rest = &after[end..];
            } else {
                let inner = rest.strip_prefix('[')?;
                let end = closing(inner)?;
                elements.push(bracketed(&inner[..end])?);
                rest = &inner[end + 1..];
            }
        }
        Some(Self(elements))
    }

    fn child(&self, element: &Element) -> Self {
        Self(self.0.iter().cloned().chain([element.clone()]).collect())
    }

    pub fn starts_with(&self, fields: &[&str]) -> bool {
        self.0.len() >= fields.len()
            && self
                .0
                .iter()
                .zip(fields)
                .all(|(element, field)| matches!(element, Element::Field(name) if name == field))
    }
}

/// The position of the bracket that closes, past quoted text.
fn closing(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ']' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

fn bracketed(text: &str) -> Option<Element> {
    if let Some(value) = text.strip_prefix('=') {
        return Some(Element::Value(Scalar::of(
            &serde_json::from_str(value).ok()?,
        )));
    }
    if let Ok(index) = text.parse() {
        return Some(Element::Index(index));
    }
    let mut keys = BTreeMap::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let mut values = serde_json::Deserializer::from_str(after).into_iter::<Value>();
        let value = values.next()?.ok()?;
        let end = values.byte_offset();
        keys.insert(name.to_string(), Scalar::of(&value));
        rest = after[end..].trim_start_matches(',');
    }
    Some(Element::Key(keys))
}

/// A set of paths.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSet {
    members: BTreeSet<Element>,
    children: BTreeMap<Element, FieldSet>,
}

impl FieldSet {
    /// Reads `fieldsV1`; elements that are not understood are passed over.
    pub fn parse(fields: &Value) -> Self {
        let mut set = Self::default();
        for (key, below) in fields.as_object().into_iter().flatten() {
            let Some(element) = element(key) else {
                continue;
            };
            let Some(object) = below.as_object() else {
                continue;
            };
            if object.is_empty() || object.contains_key(".") {
                set.members.insert(element.clone());
            }
            let child = Self::parse(below);
            if !child.is_empty() {
                set.children.insert(element, child);
            }
        }
        set
    }

    /// As `fieldsV1`.
    pub fn to_json(&self) -> Value {
        let mut object = Map::new();
        for element in &self.members {
            object.insert(text(element), Value::Object(Map::new()));
        }
        for (element, child) in &self.children {
            let mut below = child.to_json();
            if self.members.contains(element)
                && let Some(below) = below.as_object_mut()
            {
                below.insert(".".into(), Value::Object(Map::new()));
            }
            object.insert(text(element), below);
        }
        Value::Object(object)
    }

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
        let shared = |element: &Element| {
            others.members.contains(element) || others.children.contains_key(element)
        };
        let members = self
            .members
            .iter()
            .filter(|element| !shared(element))
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
        let ours = |element: &Element| {
            self.members.contains(element) || self.children.contains_key(element)
        };
        let list = self.members.iter().chain(self.children.keys()).any(is_item);
        let mut added = Self::default();
        for element in theirs.members.iter().chain(theirs.children.keys()) {
            let below = theirs.children.get(element);
            if is_item(element) && list && !ours(element) {
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

    /// Entries of labels, annotations and data, and items of lists that have items in this set, that are not in it.
    pub fn unowned_entries(&self, value: &Value) -> Vec<FieldPath> {
        let mut found = Vec::new();
        self.unowned(value, &FieldPath::default(), &mut found);
        found
    }

    fn unowned(&self, value: &Value, at: &FieldPath, found: &mut Vec<FieldPath>) {
        let has = |element: &Element| {
            self.members.contains(element) || self.children.contains_key(element)
        };
        match value {
            Value::Object(map) => {
                let entries = matches!(at.0.last(), Some(Element::Field(name)) if ["labels", "annotations", "data"].contains(&name.as_str()));
                for (key, below) in map
                    .iter()
                    .filter(|(key, _)| !matches!(key.as_str(), "status" | "managedFields"))
                {
                    let element = Element::Field(key.clone());
                    match self.children.get(&element) {
                        Some(child) => child.unowned(below, &at.child(&element), found),
                        None if entries && !has(&element) => found.push(at.child(&element)),
                        None => {}
                    }
                }
            }
            Value::Array(items) => {
                let keys: Vec<_> = self
                    .members
                    .iter()
                    .chain(self.children.keys())
                    .filter(|element| matches!(element, Element::Key(_)))
                    .collect();
                for item in items.iter().filter(|_| !keys.is_empty()) {
                    let mine = keys.iter().find(
                        |element| matches!(element, Element::Key(keys) if has_keys(item, keys)),
                    );
                    match (mine, keys[0]) {
                        (Some(element), _) => {
                            if let Some(child) = self.children.get(*element) {
                                child.unowned(item, &at.child(element), found);
                            }
                        }
                        // Named as its owned neighbours are.
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
            _ => {}
        }
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

    /// Takes the set's paths out of an object: a leaf goes; what is a member with others below goes once nothing is
    /// left in it but the keys that it is found by.
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

fn element(key: &str) -> Option<Element> {
    let (kind, rest) = key.split_once(':')?;
    Some(match kind {
        "f" => Element::Field(rest.into()),
        "v" => Element::Value(Scalar::of(&serde_json::from_str(rest).ok()?)),
        "i" => Element::Index(rest.parse().ok()?),
        "k" => {
            let Value::Object(keys) = serde_json::from_str(rest).ok()? else {
                return None;
            };
            Element::Key(
                keys.iter()
                    .map(|(name, value)| (name.clone(), Scalar::of(value)))
                    .collect(),
            )
        }
        _ => return None,
    })
}

fn text(element: &Element) -> String {
    match element {
        Element::Field(name) => format!("f:{name}"),
        Element::Value(value) => format!("v:{}", value.0),
        Element::Index(index) => format!("i:{index}"),
        Element::Key(keys) => {
            let object: Map<_, _> = keys
                .iter()
                .map(|(name, value)| (name.clone(), value.json()))
                .collect();
            format!("k:{}", canonical_json(&Value::Object(object)))
        }
    }
}

/// Whether an item of a list is the one with these keys. A key that the item leaves out counts as its default, as long
/// as some key is there to tell.
fn has_keys(item: &Value, keys: &BTreeMap<String, Scalar>) -> bool {
    let told = keys
        .iter()
        .filter_map(|(name, value)| Some((item.get(name)?, value)));
    let mut count = 0;
    told.inspect(|_| count += 1)
        .all(|(mine, wanted)| wanted.is(mine))
        && count > 0
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

/// A field whose name holds dots: `metadata.annotations` of the API server's printing.
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

/// Takes one path out of an object, and what is left empty by that. True: it was there.
pub fn remove(value: &mut Value, path: &FieldPath) -> bool {
    let Some((element, rest)) = path.0.split_first() else {
        return false;
    };
    if rest.is_empty() {
        let there = find(value, element).is_some();
        take(value, element);
        return there;
    }
    find_mut(value, element).is_some_and(|below| remove(below, &FieldPath(rest.to_vec())))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    impl FieldSet {
        fn intersection(&self, other: &Self) -> Self {
            let mut out = Self {
                members: self.members.intersection(&other.members).cloned().collect(),
                children: BTreeMap::new(),
            };
            for (element, child) in &self.children {
                if let Some(theirs) = other.children.get(element) {
                    let both = child.intersection(theirs);
                    if !both.is_empty() {
                        out.children.insert(element.clone(), both);
                    }
                }
            }
            out
        }

        /// Every member.
        fn paths(&self) -> Vec<FieldPath> {
            let mut paths = Vec::new();
            self.walk(&FieldPath::default(), &mut |path, _| paths.push(path));
            paths
        }
    }

    #[test]
    fn what_nobody_owns_is_named() {
        let set = FieldSet::parse(
            &json!({"f:metadata": {"f:labels": {"f:a": {}}}, "f:spec": {"f:containers": {"k:{\"name\":\"app\"}": {".": {}, "f:env": {"k:{\"name\":\"A\"}": {".": {}}}}}}}),
        );
        let object = json!({"metadata": {"labels": {"a": "1", "injected": "2"}}, "spec": {"replicas": 1, "containers": [
            {"name": "app", "image": "x", "env": [{"name": "A"}, {"name": "B"}], "ports": [{"containerPort": 1}]}, {"name": "proxy"}]}});
        let found: Vec<_> = set
            .unowned_entries(&object)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            found,
            [
                ".metadata.labels.injected",
                ".spec.containers[name=\"app\"].env[name=\"B\"]",
                ".spec.containers[name=\"proxy\"]"
            ]
        );
    }

    fn recorded() -> Vec<Value> {
        serde_json::from_str(include_str!("../../tests/fixtures/managed_fields.json")).unwrap()
    }

    fn sets() -> Vec<FieldSet> {
        recorded()
            .iter()
            .flat_map(|object| {
                object["metadata"]["managedFields"]
                    .as_array()
                    .unwrap()
                    .clone()
            })
            .map(|entry| FieldSet::parse(&entry["fieldsV1"]))
            .collect()
    }

    #[test]
    fn what_a_real_server_recorded_is_read_and_written_back() {
        assert!(recorded().len() >= 10);
        for object in recorded() {
            for entry in object["metadata"]["managedFields"].as_array().unwrap() {
                let set = FieldSet::parse(&entry["fieldsV1"]);
                assert_eq!(
                    set.to_json(),
                    entry["fieldsV1"],
                    "{}",
                    object["metadata"]["name"]
                );
                for path in set.paths() {
                    assert_eq!(set.contains(&path), set.touches(&path));
                    // Status and what can only be written aside, what a manager owns is there.
                    if entry["subresource"].is_null() && !path.starts_with(&["stringData"]) {
                        assert!(lookup(&object, &path).is_some(), "{path} of {object}");
                    }
                    let plain = !path
                        .0
                        .iter()
                        .any(|e| matches!(e, Element::Field(name) if name.contains(['.', '['])));
                    if plain {
                        assert_eq!(
                            FieldPath::parse(&path.to_string()),
                            Some(path.clone()),
                            "{path}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn paths_read_as_the_server_prints_them() {
        let object = json!({"metadata": {"annotations": {"a.example/b.c": "x"}},
            "spec": {"ports": [{"port": 80, "name": "http"}, {"port": 81, "protocol": "UDP"}], "finalizers": ["a", "b"]}});
        for (text, found) in [
            (".metadata.annotations.a.example/b.c", Some(json!("x"))),
            (
                ".spec.ports[port=80,protocol=\"TCP\"].name",
                Some(json!("http")),
            ),
            (".spec.ports[port=81,protocol=\"TCP\"]", None),
            (".spec.finalizers[=\"b\"]", Some(json!("b"))),
            (".spec.finalizers[0]", Some(json!("a"))),
        ] {
            assert_eq!(
                lookup(&object, &FieldPath::parse(text).unwrap()).cloned(),
                found,
                "{text}"
            );
        }
        assert_eq!(FieldPath::parse("spec"), None);
        assert_eq!(
            FieldPath::parse(".a[name=\"x]\"].b").unwrap().to_string(),
            ".a[name=\"x]\"].b"
        );
    }

    #[test]
    fn items_in_our_lists_are_told_from_fields_beside_ours() {
        let ours = FieldSet::parse(
            &json!({"f:metadata": {"f:labels": {"f:a": {}}}, "f:spec": {"f:containers": {
            "k:{\"name\":\"app\"}": {".": {}, "f:name": {}, "f:env": {"k:{\"name\":\"A\"}": {".": {}, "f:name": {}}}}}}}),
        );
        let theirs = FieldSet::parse(
            &json!({"f:metadata": {"f:labels": {"f:b": {}}}, "f:spec": {"f:paused": {}, "f:containers": {
            "k:{\"name\":\"sidecar\"}": {".": {}, "f:image": {}},
            "k:{\"name\":\"app\"}": {"f:tty": {}, "f:env": {"k:{\"name\":\"B\"}": {".": {}, "f:name": {}}}, "f:ports": {"k:{\"p\":1}": {".": {}}}}}}}),
        );
        let expected = FieldSet::parse(&json!({"f:spec": {"f:containers": {
            "k:{\"name\":\"sidecar\"}": {".": {}, "f:image": {}},
            "k:{\"name\":\"app\"}": {"f:env": {"k:{\"name\":\"B\"}": {".": {}, "f:name": {}}}}}}}));
        assert_eq!(ours.items_added_by(&theirs), expected);
    }

    #[test]
    fn what_is_removed_leaves_what_others_hold() {
        let set = FieldSet::parse(&json!({"f:spec": {"f:replicas": {}, "f:env": {
            "k:{\"name\":\"A\"}": {".": {}, "f:name": {}, "f:value": {}},
            "k:{\"name\":\"B\"}": {".": {}, "f:name": {}, "f:value": {}}}}}));
        let mut object = json!({"spec": {"replicas": 2, "paused": true, "env": [
            {"name": "A", "value": "1"}, {"name": "B", "value": "2", "valueFrom": {"x": 1}}, {"name": "C"}]}});
        set.remove_from(&mut object);
        assert_eq!(
            object,
            json!({"spec": {"paused": true, "env": [{"name": "B", "valueFrom": {"x": 1}}, {"name": "C"}]}})
        );
    }

    #[test]
    fn a_map_that_others_have_a_part_of_does_not_go_with_its_former_owner() {
        let former = FieldSet::parse(
            &json!({"f:metadata": {"f:labels": {".": {}, "f:app": {}}}, "f:data": {".": {}, "f:a": {}, "f:b": {}},
            "f:spec": {"f:template": {"f:metadata": {"f:labels": {".": {}, "f:app": {}}}},
                "f:containers": {"k:{\"name\":\"x\"}": {".": {}, "f:name": {}, "f:image": {}}}}}),
        );
        // An apply records no map as a member, only what is in it.
        let now = FieldSet::parse(
            &json!({"f:metadata": {"f:labels": {"f:app": {}}}, "f:data": {"f:a": {}},
            "f:spec": {"f:template": {"f:metadata": {"f:labels": {"f:app": {}}}},
                "f:containers": {"k:{\"name\":\"x\"}": {".": {}, "f:name": {}, "f:image": {}}}}}),
        );
        let gone: Vec<_> = former
            .without_shared(&now)
            .paths()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(gone, [".data.b"]);
        let mut object =
            json!({"metadata": {"labels": {"app": "x"}}, "data": {"a": "1", "b": "2"}});
        former.without_shared(&now).remove_from(&mut object);
        assert_eq!(
            object,
            json!({"metadata": {"labels": {"app": "x"}}, "data": {"a": "1"}})
        );
    }

    proptest! {
        /// What others hold stays, whatever goes.
        #[test]
        fn what_is_shared_never_goes(a in 0usize..1000, b in 0usize..1000) {
            let sets = sets();
            let (former, others) = (&sets[a % sets.len()], &sets[b % sets.len()]);
            let gone = former.without_shared(others);
            prop_assert!(former.without_shared(former).is_empty());
            for path in gone.paths() {
                prop_assert!(former.contains(&path) && !others.contains(&path));
                prop_assert!(others.paths().iter().all(|other| !other.0.starts_with(&path.0)), "{path}");
            }
            for path in former.difference(others).leaves() {
                prop_assert!(gone.contains(&path) || others.paths().iter().any(|other| other.0.starts_with(&path.0)), "{path}");
            }
        }

        /// The algebra holds on what a real server recorded.
        #[test]
        fn union_and_difference_are_what_they_say(a in 0usize..1000, b in 0usize..1000) {
            let sets = sets();
            let (a, b) = (&sets[a % sets.len()], &sets[b % sets.len()]);
            prop_assert_eq!(a.union(b), b.union(a));
            prop_assert_eq!(a.union(a), a.clone());
            prop_assert!(a.difference(a).is_empty());
            let (left, both) = (a.difference(b), a.intersection(b));
            prop_assert_eq!(left.union(&both), a.clone());
            prop_assert!(left.intersection(b).is_empty());
            let of = |set: &FieldSet| set.paths().into_iter().collect::<BTreeSet<_>>();
            prop_assert_eq!(of(&a.union(b)), of(a).union(&of(b)).cloned().collect::<BTreeSet<_>>());
            prop_assert_eq!(of(&left), of(a).difference(&of(b)).cloned().collect::<BTreeSet<_>>());
            prop_assert!(a.leaves().iter().all(|path| a.contains(path)));
            let mut again = FieldSet::default();
            a.paths().iter().for_each(|path| again.insert(path));
            prop_assert_eq!(again, a.clone());
        }

        #[test]
        fn reading_a_path_never_panics(text in "\\PC{0,40}") {
            let _ = FieldPath::parse(&text);
        }
    }
}
