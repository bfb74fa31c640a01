//! Flux's post-build variable substitution (`spec.postBuild` of its Kustomization),
//! and other fields of it that change the rendered objects.
//!
//! Facts: fluxcd.io "Post build variable substitution"; the syntax is that of
//! github.com/fluxcd/pkg/envsubst. Flux substitutes in the YAML text of each
//! object, so a value that is only a variable may become a number.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// The changes that a Kustomization makes to rendered objects.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transforms {
    /// Variables with their values; None: no substitution.
    variables: Option<BTreeMap<String, String>>,
    /// Some variables come from ConfigMaps or Secrets, which are not read here.
    from_elsewhere: bool,
    /// Further fields of the Kustomization that change objects and are not evaluated here.
    pub others: Vec<&'static str>,
}

/// The label or annotation that excludes an object from substitution.
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

    /// Substitutes an object's variables. Returns the names of variables with unknown values, which
    /// stay in the text.
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

    /// The names of variables with unknown values in an object after [`Self::fill`].
    pub fn unknown(&self, filled: &Value) -> BTreeSet<String> {
        // On a copy: a second substitution would replace an escaped `$${name}`.
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
                let parsed = (filled != *text)
                    .then(|| serde_yaml::from_str::<Value>(&filled).ok())
                    .flatten();
                *value = match parsed {
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
            // `$${name}` is the escaped form of `${name}`.
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

/// Replaces values that contain unknown variables by the live values.
pub fn use_live_values(wanted: &mut Value, live: &Value) {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => {
            for (key, value) in wanted.iter_mut() {
                if let Some(live) = live.get(key) {
                    use_live_values(value, live);
                }
            }
        }
        (Value::Array(wanted), Value::Array(live)) => {
            for (index, item) in wanted.iter_mut().enumerate() {
                let same = live
                    .iter()
                    .find(|other| item["name"].is_string() && other["name"] == item["name"]);
                if let Some(live) = same.or_else(|| live.get(index)) {
                    use_live_values(item, live);
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
        use_live_values(&mut object, &json!({"data": {"a": "us-1", "b": "there"}}));
        assert_eq!(object, json!({"data": {"a": "eu-1", "b": "there"}}));
        let mut left = json!({"metadata": {"annotations": {SUBSTITUTE: "disabled"}}, "data": {"a": "${REGION}"}});
        assert!(known.fill(&mut left).is_empty() && left["data"]["a"] == "${REGION}");
    }
}
