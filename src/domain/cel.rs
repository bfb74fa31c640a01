//! Conditions on an object in CEL, the expression language of Kubernetes: the
//! health rules of `windlass.yaml`, and the validation rules of definitions.
//!
//! The evaluator has no limits for cost or depth. Health rules come from the base
//! branch and are short. The rules of a pull request's definition are only
//! evaluated in a child process, which may be killed.

use kube_cel::{ErrorKind, Validator, compile_schema};
use serde_json::{Value, json};

use super::Invalid;

/// Limits for a health rule: a pull request's `windlass.yaml` is parsed too, and parsing must not
/// recurse deeply.
const MOST_CHARACTERS: usize = 1_000;
const MOST_OPERATORS: usize = 150;

/// A boolean expression over an object, which is `self` in it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct Condition(String);

impl TryFrom<String> for Condition {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl Condition {
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.len() > MOST_CHARACTERS {
            return Err(Invalid(format!(
                "an expression has at most {MOST_CHARACTERS} characters"
            )));
        }
        if text
            .chars()
            .filter(|c| "+-*/%<>=!&|?:.,[({".contains(*c))
            .count()
            > MOST_OPERATORS
        {
            return Err(Invalid(format!(
                "an expression has at most {MOST_OPERATORS} operators and brackets"
            )));
        }
        let condition = Self(text.to_string());
        match compile_schema(&condition.schema())
            .compilation_errors()
            .first()
        {
            Some(error) => Err(Invalid(format!(
                "`{text}` is not a CEL expression: {error}"
            ))),
            None => Ok(condition),
        }
    }

    fn schema(&self) -> Value {
        json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "x-kubernetes-validations": [{"rule": self.0}]})
    }

    /// Whether it holds. If a field is missing it does not; other errors are returned.
    pub fn holds(&self, object: &Value) -> Result<bool, String> {
        match Validator::new().validate(&self.schema(), object, None) {
            Ok(()) => Ok(true),
            Err(errors) => match errors.as_slice().first() {
                Some(error) if error.kind == ErrorKind::ValidationFailure => Ok(false),
                Some(error)
                    if error.message.contains("No such key")
                        || error.message.contains("no such key") =>
                {
                    Ok(false)
                }
                Some(error) => Err(error.message.clone()),
                None => Ok(false),
            },
        }
    }
}

/// The `x-kubernetes-validations` of a schema that an object breaks, each with its path. Rules that
/// compare with the object before (`oldSelf`) are skipped if there is none.
pub fn broken_rules(
    schema: &Value,
    object: &Value,
    before: Option<&Value>,
) -> Result<(), Vec<String>> {
    let Err(errors) = Validator::new().validate(schema, object, before) else {
        return Ok(());
    };
    let line = |path: &str, message: &str| {
        format!(
            "{}: Invalid value: {message}",
            if path.is_empty() { "the object" } else { path }
        )
    };
    // Other errors are limits of this evaluator, which the server may not have: they say nothing
    // about the object.
    let verdicts = errors
        .as_slice()
        .iter()
        .filter(|error| error.kind == ErrorKind::ValidationFailure);
    // A message is its author's text: control characters are removed, so that it stays one line.
    let flat = |text: &str| {
        text.chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect::<String>()
    };
    let lines: Vec<_> = verdicts
        .map(|error| flat(&line(&error.field_path, &error.message)))
        .collect();
    if lines.is_empty() { Ok(()) } else { Err(lines) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_hold_or_do_not() {
        let object = json!({"status": {"phase": "Ready", "conditions": [{"type": "Synced", "status": "True"}]}, "spec": {"size": 3}});
        for (text, expected) in [
            ("self.status.phase == 'Ready'", true),
            ("self.status.phase == 'Failed'", false),
            ("self.status.missing == 'x'", false),
            (
                "self.status.conditions.exists(c, c.type == 'Synced' && c.status == 'True')",
                true,
            ),
            ("has(self.spec.size) && self.spec.size > 2", true),
        ] {
            assert_eq!(
                Condition::parse(text).unwrap().holds(&object),
                Ok(expected),
                "{text}"
            );
        }
        assert!(Condition::parse("self.status.").is_err());
        assert!(Condition::parse(&"a".repeat(5_000)).is_err());
    }

    #[test]
    fn rules_of_a_definition_are_held() {
        let schema = json!({"type": "object", "properties": {"spec": {"type": "object",
            "x-kubernetes-validations": [{"rule": "self.min <= self.max", "message": "min is above max"}],
            "properties": {"min": {"type": "integer"}, "max": {"type": "integer"}}}}});
        assert_eq!(
            broken_rules(&schema, &json!({"spec": {"min": 1, "max": 2}}), None),
            Ok(())
        );
        let broken =
            broken_rules(&schema, &json!({"spec": {"min": 3, "max": 2}}), None).unwrap_err();
        assert_eq!(broken, ["spec: Invalid value: min is above max"]);
    }
}
