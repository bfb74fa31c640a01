//! Sets of paths in the format `fieldsV1`.

use serde_json::{Map, Value};

use super::FieldSet;
use super::path::{Element, Scalar};
use crate::domain::canonical_json;

impl FieldSet {
    /// Parses `fieldsV1`. Unknown elements are skipped.
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
