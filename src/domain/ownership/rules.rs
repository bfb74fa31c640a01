//! Rules of `windlass.yaml` about fields that others own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::Invalid;
use crate::domain::fieldset::FieldPath;

/// A rule of `windlass.yaml` that names fields of objects: `{ kind: Deployment, name: api, path:
/// .spec.replicas }`. Without a kind or name it applies to all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FieldRule {
    /// The kind of the objects; all by default.
    #[serde(default)]
    pub kind: Option<String>,
    /// The name of the object; all by default.
    #[serde(default)]
    pub name: Option<String>,
    /// As `kubectl` and the API server print it:
    /// `.spec.template.spec.containers[name="app"].resources`.
    pub path: String,
}

impl FieldRule {
    pub fn check(&self) -> Result<FieldPath, Invalid> {
        FieldPath::parse(&self.path).filter(|path| !path.0.is_empty()).ok_or_else(|| {
            Invalid(format!(
                "`{}` is not a field's path: write it as `.spec.replicas` or `.spec.containers[name=\"app\"].image`",
                self.path
            ))
        })
    }

    fn matches(&self, kind: &str, name: &str) -> bool {
        self.kind.as_deref().is_none_or(|wanted| wanted == kind)
            && self.name.as_deref().is_none_or(|wanted| wanted == name)
    }
}

/// An application's rules about fields that others own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldRules {
    /// Left to their owners: neither applied nor compared.
    pub ignore: Vec<FieldRule>,
    /// Taken over from their owners.
    pub take: Vec<FieldRule>,
}

impl FieldRules {
    pub fn ignored(&self, kind: &str, name: &str) -> Vec<FieldPath> {
        self.ignore
            .iter()
            .filter(|rule| rule.matches(kind, name))
            .filter_map(|rule| rule.check().ok())
            .collect()
    }

    pub(super) fn takes(&self, kind: &str, name: &str, field: &FieldPath) -> bool {
        let covers = |rule: &FieldRule| rule.check().is_ok_and(|path| field.0.starts_with(&path.0));
        self.take
            .iter()
            .any(|rule| rule.matches(kind, name) && covers(rule))
    }
}
