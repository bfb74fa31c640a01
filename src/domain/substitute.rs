//! Variables that Flux fills in after rendering (`spec.postBuild` of its
//! Kustomization), and what else of it changes what is applied.
//!
//! Facts: fluxcd.io "Post build variable substitution"; the syntax is that of
//! github.com/fluxcd/pkg/envsubst. Flux fills in the text of each object as
//! YAML, so a value that is nothing but a variable may become a number.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What a Kustomization does to what was rendered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transforms {
    /// Variables with their values; None: it fills in none.
    variables: Option<BTreeMap<String, String>>,
    /// Some come from ConfigMaps or Secrets, which are not read here.
    from_elsewhere: bool,
    /// Fields of the Kustomization that change objects and are not worked out here.
    pub others: Vec<&'static str>,
}

/// An object by this label or annotation is left as it is.
const SUBSTITUTE: &str = "kustomize.toolkit.fluxcd.io/substitute";

impl Transforms {
    pub fn of(kustomization: &Value) -> Self {
        let spec = &kustomization["spec"];
        let build = &spec["postBuild"];
        let text = |value: &Value| {
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_string)
        };
        let variables = build.is_object().then(|| {
            build["substitute"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, value)| (name.clone(), text(value)))
                .collect()
        });
        let is_set = |field: &&'static str| match &spec[*field] {
            Value::Array(items) => !items.is_empty(),
            Value::Object(fields) => !fields.is_empty(),
            Value::String(text) => !text.is_empty(),
            _ => false,
        };
        let others = [
            "targetNamespace",
            "namePrefix",
            "nameSuffix",
            "commonMetadata",
            "patches",
            "images",
            "components",
        ];
        Self {
            variables,
            from_elsewhere: build["substituteFrom"]
                .as_array()
                .is_some_and(|from| !from.is_empty()),
            others: others.into_iter().filter(|field| is_set(field)).collect(),
        }
    }

    /// Fills in an object's variables; the names of those whose values are not known here, which stay as they are.
    pub fn fill(&self, object: &mut Value) -> BTreeSet<String> {
        let mut unknown = BTreeSet::new();
        let Some(variables) = &self.variables else {
            return unknown;
        };
        let metadata = &object["metadata"];
        if ["labels", "annotations"]
            .iter()
            .any(|map| metadata[*map][SUBSTITUTE] == "disabled")
        {
            return unknown;
        }
        self.walk(object, variables, &mut unknown);
        unknown
    }

    /// The names of variables in an object that was filled in whose values are not known here.
    pub fn unknown(&self, filled: &Value) -> BTreeSet<String> {
        // On a copy: what was `$${name}` would be filled in by a second time.
        self.fill(&mut filled.clone())
    }

    fn walk(
        &self,
        value: &mut Value,
        variables: &BTreeMap<String, String>,
        unknown: &mut BTreeSet<String>,
    ) {
        match value {
            Value::Object(map) => map
                .values_mut()
                .for_each(|value| self.walk(value, variables, unknown)),
            Value::Array(items) => items
                .iter_mut()
                .for_each(|item| self.walk(item, variables, unknown)),
            Value::String(text) if text.contains("${") => {
                let filled = self.text(text, variables, unknown);
                let read = (filled != *text)
                    .then(|| serde_yaml::from_str::<Value>(&filled).ok())
                    .flatten();
                *value = match read {
                    Some(scalar @ (Value::Number(_) | Value::Bool(_))) => scalar,
                    _ => Value::String(filled),
                };
            }
            _ => {}
        }
    }

    fn text(
        &self,
        text: &str,
        variables: &BTreeMap<String, String>,
        unknown: &mut BTreeSet<String>,
    ) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, after) = rest.split_at(at);
            let Some(end) = after.find('}') else { break };
            let (whole, inside) = (&after[..=end], &after[2..end]);
            rest = &after[end + 1..];
            // `$${name}` is `${name}` when it is done.
            if let Some(before) = before.strip_suffix('$') {
                out.push_str(before);
                out.push_str(whole);
                continue;
            }
            out.push_str(before);
            let name: String = inside
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            let operation = &inside[name.len()..];
            let default = [":-", ":=", "-", "="]
                .iter()
                .find_map(|sign| operation.strip_prefix(sign));
            match (variables.get(&name), operation, default) {
                (Some(value), "", _) => out.push_str(value),
                (Some(value), _, Some(default)) => {
                    out.push_str(if value.is_empty() { default } else { value })
                }
                (None, _, Some(default)) if !self.from_elsewhere => out.push_str(default),
                (None, "", _) if !self.from_elsewhere => {}
                _ => {
                    unknown.insert(name);
                    out.push_str(whole);
                }
            }
        }
        out.push_str(rest);
        out
    }
}

/// Puts what is live in the place of values with variables that are not known.
pub fn as_it_is(wanted: &mut Value, live: &Value) {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => {
            for (key, value) in wanted.iter_mut() {
                if let Some(live) = live.get(key) {
                    as_it_is(value, live);
                }
            }
        }
        (Value::Array(wanted), Value::Array(live)) => {
            for (index, item) in wanted.iter_mut().enumerate() {
                let same = live
                    .iter()
                    .find(|one| item["name"].is_string() && one["name"] == item["name"]);
                if let Some(live) = same.or_else(|| live.get(index)) {
                    as_it_is(item, live);
                }
            }
        }
        (wanted @ Value::String(_), live)
            if wanted.as_str().is_some_and(|text| text.contains("${")) && !live.is_null() =>
        {
            *wanted = live.clone();
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn variables_are_filled_in_as_flux_does() {
        let transforms = |more: Value| {
            let mut spec = json!({"postBuild": {"substitute": {"REGION": "eu-1", "COUNT": "3", "NONE": ""}}, "patches": [{"patch": "x"}]});
            if let (Some(build), Some(more)) = (spec["postBuild"].as_object_mut(), more.as_object())
            {
                build.extend(more.clone());
            }
            Transforms::of(&json!({"spec": spec}))
        };
        let known = transforms(json!({}));
        assert_eq!(known.others, ["patches"]);
        for (text, filled) in [
            ("${REGION}", json!("eu-1")),
            ("a-${REGION}-${COUNT}", json!("a-eu-1-3")),
            ("${COUNT}", json!(3)),
            ("${OTHER:=x}", json!("x")),
            ("${NONE:-y}", json!("y")),
            ("${OTHER}", json!("")),
            ("$${REGION}", json!("${REGION}")),
            ("$REGION", json!("$REGION")),
        ] {
            let mut object = json!({"spec": {"a": [text]}});
            assert!(known.fill(&mut object).is_empty(), "{text}");
            assert!(known.unknown(&object).is_empty());
            assert_eq!(object["spec"]["a"][0], filled, "{text}");
        }
        let from = transforms(json!({"substituteFrom": [{"kind": "Secret", "name": "s"}]}));
        let mut object = json!({"data": {"a": "${REGION}", "b": "${TOKEN}"}});
        assert_eq!(
            from.fill(&mut object).into_iter().collect::<Vec<_>>(),
            ["TOKEN"]
        );
        as_it_is(&mut object, &json!({"data": {"a": "us-1", "b": "there"}}));
        assert_eq!(object, json!({"data": {"a": "eu-1", "b": "there"}}));
        let mut left = json!({"metadata": {"annotations": {SUBSTITUTE: "disabled"}}, "data": {"a": "${REGION}"}});
        assert!(known.fill(&mut left).is_empty() && left["data"]["a"] == "${REGION}");
    }
}
