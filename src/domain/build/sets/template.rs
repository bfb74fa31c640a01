//! A set's template with its parameters: by names in double braces, or by Go's templates.

use serde_json::{Map, Value};

use super::generators::lookup;
use super::{MOST_TEXT, Parameters, go, items};

/// How texts are filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    /// `{{path.basename}}`: a name that there is not stays as it is.
    Names,
    /// Go's templates (`goTemplate: true`).
    Go {
        /// A parameter that there is not is an error.
        strict: bool,
    },
}

impl Engine {
    pub(super) fn of(set: &Value) -> Self {
        match set["spec"]["goTemplate"] == true {
            true => Self::Go {
                strict: items(&set["spec"]["goTemplateOptions"])
                    .contains(&"missingkey=error".into()),
            },
            false => Self::Names,
        }
    }

    /// A value with every text in it filled in.
    pub(super) fn fill(self, value: &Value, parameters: &Parameters) -> Result<Value, String> {
        Ok(match value {
            Value::String(text) => self.fill_text(text, parameters)?.into(),
            Value::Array(items) => {
                let filled = items.iter().map(|item| self.fill(item, parameters));
                Value::Array(filled.collect::<Result<_, _>>()?)
            }
            Value::Object(fields) => {
                let mut filled = Map::new();
                for (name, value) in fields {
                    let name = self.fill_text(name, parameters)?;
                    filled.insert(name, self.fill(value, parameters)?);
                }
                Value::Object(filled)
            }
            other => other.clone(),
        })
    }

    pub(super) fn fill_text(self, text: &str, parameters: &Parameters) -> Result<String, String> {
        match self {
            _ if !text.contains("{{") => Ok(text.into()),
            Self::Names => by_names(text, parameters),
            Self::Go { strict } => go::fill(text, parameters, strict),
        }
    }
}

/// An error if a text becomes too long.
pub(super) fn bounded(text: &str) -> Result<(), String> {
    match text.len() > MOST_TEXT {
        true => Err(format!(
            "a text of its template becomes longer than {} KiB",
            MOST_TEXT >> 10
        )),
        false => Ok(()),
    }
}

fn by_names(text: &str, parameters: &Parameters) -> Result<String, String> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let Some((name, after)) = after.split_once("}}") else {
            return Ok(out + "{{" + after);
        };
        match named(name.trim(), parameters) {
            Some(value) => out.push_str(&value),
            None => out.push_str(&format!("{{{{{name}}}}}")),
        }
        bounded(&out)?;
        rest = after;
    }
    Ok(out + rest)
}

/// `path` is the path itself, and `path[0]` its first name.
fn named(name: &str, parameters: &Parameters) -> Option<String> {
    let (prefix, last) = name
        .rsplit_once('.')
        .map_or(("", name), |(at, last)| (at, last));
    let below = |part: &str| match prefix {
        "" => format!("path.{part}"),
        prefix => format!("{prefix}.path.{part}"),
    };
    let found = if last == "path" {
        lookup(parameters, &below("path"))
    } else if let Some(index) = last.strip_prefix("path[") {
        lookup(
            parameters,
            &below(&format!("segments.{}", index.trim_end_matches(']'))),
        )
    } else {
        lookup(parameters, name)
    };
    match found? {
        Value::String(text) => Some(text.clone()),
        Value::Object(_) | Value::Array(_) | Value::Null => None,
        other => Some(other.to_string()),
    }
}
