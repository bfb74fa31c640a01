//! Patterns for clusters, namespaces and kinds in the settings.

use super::OWN_GROUP;
use crate::domain::wildcard;

/// A name in which `*` matches any text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(pub(super) String);

impl Pattern {
    pub fn any() -> Self {
        Self("*".into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a plain name without `*`.
    pub fn is_exact(&self) -> bool {
        !self.0.contains('*')
    }

    /// Whether some text matches both patterns.
    pub(super) fn meets(&self, other: &Self) -> bool {
        fn meet(a: &[u8], b: &[u8]) -> bool {
            match (a.split_first(), b.split_first()) {
                (None, None) => true,
                (Some((b'*', rest)), _) if meet(rest, b) => true,
                (_, Some((b'*', rest))) if meet(a, rest) => true,
                (Some((b'*', _)), Some((_, rest))) => meet(a, rest),
                (Some((_, rest)), Some((b'*', _))) => meet(rest, b),
                (Some((x, a)), Some((y, b))) => x == y && meet(a, b),
                _ => false,
            }
        }
        meet(self.0.as_bytes(), other.0.as_bytes())
    }

    pub fn matches(&self, text: &str) -> bool {
        wildcard(&self.0, text)
    }
}

pub(super) fn any_matches(patterns: &[Pattern], text: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(text))
}

/// `Kind.group` (`Kind` alone for the core group), `*.group` for all kinds of a group, `*` for all kinds.
/// The suffixes `/conversion` and `/pod-security` grant dangerous features of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindGrant(pub(super) String);

impl KindGrant {
    pub(super) fn covers(&self, name: &str) -> bool {
        match self.0.as_str() {
            // windlass's own kinds have to be granted by name.
            "*" => !name.ends_with(&format!(".{OWN_GROUP}")),
            text => match text.strip_prefix("*.") {
                Some(group) => name
                    .split('/')
                    .next()
                    .and_then(|name| name.split_once('.'))
                    .is_some_and(|(_, of)| of == group),
                None => text == name,
            },
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}
