//! Why an object does not fit a schema, in the API server's words.

use std::fmt;

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};

use crate::domain::fieldset::of_pointer;

/// Why an object does not fit a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The schema has no such field.
    Unknown(String),
    /// A field, and its error.
    Invalid(String, String),
    /// The definition has no such version, or is invalid.
    Definition(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(path) => write!(f, "unknown field \"{}\"", path.trim_start_matches('.')),
            Self::Invalid(path, why) => write!(f, "{path}: {why}"),
            Self::Definition(why) => f.write_str(why),
        }
    }
}

/// Problems as one line, in the API server's format.
pub fn listed(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

/// From a validator's error. The value is left out: it may be secret.
impl From<ValidationError<'_>> for Problem {
    fn from(error: ValidationError<'_>) -> Self {
        Self::Invalid(path(&error), reason(&error))
    }
}

/// The path of the field that is wrong or missing.
fn path(error: &ValidationError<'_>) -> String {
    let mut path = of_pointer(&error.instance_path().to_string());
    if let Kind::Required { property } = error.kind() {
        path.push_str(&format!(".{}", property.as_str().unwrap_or_default()));
    }
    path
}

fn reason(error: &ValidationError<'_>) -> String {
    match error.kind() {
        Kind::Required { .. } => "Required value".into(),
        Kind::Type {
            kind: TypeKind::Single(wanted),
        } => format!("Invalid type: must be {wanted}"),
        Kind::Type {
            kind: TypeKind::Multiple(wanted),
        } => format!("Invalid type: must be {}", joined(wanted.iter(), " or ")),
        Kind::Enum { options } => format!(
            "Unsupported value: supported values: {}",
            joined(options.as_array().into_iter().flatten(), ", ")
        ),
        Kind::Minimum { limit } => format!("Invalid value: must be at least {limit}"),
        Kind::Maximum { limit } => format!("Invalid value: must be at most {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("Invalid value: must be more than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("Invalid value: must be less than {limit}"),
        Kind::MinLength { limit } => format!("Invalid value: must be at least {limit} characters"),
        Kind::MaxLength { limit } => format!("Too long: may not be more than {limit} characters"),
        Kind::MinItems { limit } => format!("Invalid value: must have at least {limit} items"),
        Kind::MaxItems { limit } => format!("Too many: must have at most {limit} items"),
        Kind::MinProperties { limit } => {
            format!("Invalid value: must have at least {limit} properties")
        }
        Kind::MaxProperties { limit } => format!("Too many: must have at most {limit} properties"),
        Kind::MultipleOf { multiple_of } => {
            format!("Invalid value: must be a multiple of {multiple_of}")
        }
        Kind::Pattern { pattern } => format!("Invalid value: must match `{pattern}`"),
        Kind::Format { format } => format!("Invalid value: must be of the format {format}"),
        Kind::UniqueItems => "Invalid value: has an item twice".into(),
        Kind::AnyOf { .. } => {
            "Invalid value: must be one of several forms, and is none (anyOf)".into()
        }
        Kind::OneOfNotValid { .. } => {
            "Invalid value: must be one of several forms, and is none (oneOf)".into()
        }
        Kind::OneOfMultipleValid { .. } => {
            "Invalid value: must be just one of several forms (oneOf)".into()
        }
        Kind::Not { .. } => "Invalid value: is of a form that is ruled out (not)".into(),
        _ => format!("Invalid value: {}", error.masked()),
    }
}

fn joined<T: fmt::Display>(all: impl Iterator<Item = T>, separator: &str) -> String {
    all.map(|item| item.to_string())
        .collect::<Vec<_>>()
        .join(separator)
}
