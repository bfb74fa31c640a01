//! One path from the root of an object, in the API server's format.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::domain::canonical_json;

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
pub struct Scalar(pub(super) String);

impl Scalar {
    pub(super) fn of(value: &Value) -> Self {
        Self(canonical_json(value))
    }

    pub(super) fn is(&self, value: &Value) -> bool {
        self.0 == canonical_json(value)
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

/// A path from the root of an object, printed as the API server prints it:
/// `.spec.containers[name="shop"].image`.
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
    /// Parses the API server's format, as in the causes of a conflict. None: not a path. The server
    /// does not quote names that contain a dot (annotations), so [`super::lookup`] also tries
    /// several fields joined.
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

    pub(super) fn child(&self, element: &Element) -> Self {
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

/// A JSON pointer (RFC 6901) as the API server prints paths: `/spec/ports/0` is `.spec.ports[0]`.
pub fn of_pointer(pointer: &str) -> String {
    let part = |part: &str| match part.parse::<usize>() {
        Ok(index) => format!("[{index}]"),
        Err(_) => format!(".{}", part.replace("~1", "/").replace("~0", "~")),
    };
    pointer.split('/').skip(1).map(part).collect()
}

/// The position of the closing bracket, ignoring quoted text.
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
