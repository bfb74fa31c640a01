//! Flux's post-build variable substitution (`spec.postBuild` of its Kustomization),
//! and other fields of it that change the rendered objects.
//!
//! Facts: fluxcd.io "Post build variable substitution"; the syntax is that of
//! github.com/fluxcd/pkg/envsubst. Flux substitutes in the YAML text of each
//! object, so a value that is only a variable may become a number.

mod unfilled;
mod variables;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

pub use unfilled::Unfilled;
pub use variables::Variables;

/// The changes that a Kustomization makes to rendered objects.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transforms {
    /// Variables with their values; None: no substitution.
    variables: Option<BTreeMap<String, String>>,
    /// The ConfigMaps and Secrets that some come from, which are not read here.
    sources: Value,
    from_elsewhere: bool,
    /// It substitutes though it has no variables: defaults count.
    always: bool,
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
                // A value has one line, as Flux has it.
                .map(|(name, value)| (name.clone(), text(value).replace('\n', "")))
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
            sources: build["substituteFrom"].clone(),
            from_elsewhere: build["substituteFrom"]
                .as_array()
                .is_some_and(|from| !from.is_empty()),
            always: build["substituteStrategy"] == "Always",
            others: others.into_iter().filter(|field| is_set(field)).collect(),
        }
    }

    /// As the file in Git says, with what only the live object has: a kustomization may have added
    /// that.
    pub fn with_live(&self, live: &Self) -> Self {
        let mut merged = self.clone();
        merged.from_elsewhere |= live.from_elsewhere;
        merged.others = live.others.clone();
        merged.others.retain(|field| !self.others.contains(field));
        merged.variables = merged.variables.or_else(|| live.variables.clone());
        merged
    }

    /// Whether it takes variables from the places of the live one, which may have been added to the
    /// file.
    pub fn has_sources_of(&self, live: &Self) -> bool {
        self.sources.is_null() || self.sources == live.sources
    }

    /// With the values of variables from elsewhere. Those of the Kustomization itself win.
    pub fn with_variables(mut self, found: Variables) -> Self {
        let mut values = found.values;
        values.extend(self.variables.take().unwrap_or_default());
        Self {
            variables: Some(values),
            from_elsewhere: !found.are_all,
            ..self
        }
    }

    /// Substitutes an object's variables. Returns the names of variables with unknown values, which
    /// stay in the text.
    pub fn fill(&self, object: &mut Value) -> BTreeSet<String> {
        self.fill_by(object, false, None)
    }

    /// The same for some variables only; everything else stays.
    pub fn fill_only(&self, names: &BTreeSet<String>, object: &mut Value) -> BTreeSet<String> {
        self.fill_by(object, false, Some(names))
    }

    /// Substitutes the variables with values in the Kustomization. Others, which may come from
    /// elsewhere, and escapes stay for [`Self::fill`].
    pub fn fill_known(&self, object: &mut Value) {
        self.fill_by(object, true, None);
    }

    /// The names of variables with unknown values in an object after [`Self::fill`].
    pub fn unknown(&self, filled: &Value) -> BTreeSet<String> {
        // On a copy: a second substitution would replace an escaped `$${name}`.
        self.fill(&mut filled.clone())
    }

    fn fill_by(
        &self,
        object: &mut Value,
        partly: bool,
        only: Option<&BTreeSet<String>>,
    ) -> BTreeSet<String> {
        let mut filling = Filling {
            variables: match &self.variables {
                Some(variables) => variables,
                None => return BTreeSet::new(),
            },
            from_elsewhere: self.from_elsewhere,
            partly,
            only,
            unknown: BTreeSet::new(),
            depth: MOST_DEPTH,
            room: MOST_FILLED,
        };
        let metadata = &object["metadata"];
        let is_disabled = |map: &str| metadata[map][SUBSTITUTE] == "disabled";
        // Without any variable Flux substitutes nothing, unless it is told to do it always.
        let has_none = filling.variables.is_empty() && !self.from_elsewhere && !self.always;
        if has_none || is_disabled("labels") || is_disabled("annotations") {
            return BTreeSet::new();
        }
        filling.walk(object);
        filling.unknown
    }
}

/// One substitution.
struct Filling<'a> {
    variables: &'a BTreeMap<String, String>,
    from_elsewhere: bool,
    /// Only known variables; everything else stays.
    partly: bool,
    /// Only these; None: all.
    only: Option<&'a BTreeSet<String>>,
    unknown: BTreeSet<String>,
    /// How deep defaults may still be in each other, and how many bytes may still be filled in: what
    /// is beyond that stays.
    depth: usize,
    room: usize,
}

/// Bounds on what one substitution makes.
const MOST_DEPTH: usize = 16;
const MOST_FILLED: usize = 1 << 20;

impl Filling<'_> {
    fn walk(&mut self, value: &mut Value) {
        match value {
            Value::Object(map) => {
                if map.keys().any(|key| key.contains("${")) {
                    let fields = std::mem::take(map).into_iter();
                    *map = fields
                        .map(|(key, value)| (self.text(&key), value))
                        .collect();
                }
                map.values_mut().for_each(|value| self.walk(value));
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.walk(item)),
            Value::String(text) if text.contains("${") => {
                let filled = self.text(text);
                let parsed = (filled != *text)
                    .then(|| serde_yaml::from_str::<Value>(&filled).ok())
                    .flatten();
                *value = match parsed {
                    Some(scalar @ (Value::Number(_) | Value::Bool(_) | Value::Null)) => scalar,
                    _ => Value::String(filled),
                };
            }
            _ => {}
        }
    }

    fn text(&mut self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, after) = rest.split_at(at);
            let Some(end) = closing(after) else { break };
            let (whole, inside) = (&after[..=end], &after[2..end]);
            rest = &after[end + 1..];
            if self
                .only
                .is_some_and(|only| !only.contains(name_of(inside)))
            {
                out.push_str(before);
                out.push_str(whole);
                continue;
            }
            // `$${name}` is the escaped form of `${name}`.
            if let Some(escaped) = before.strip_suffix('$') {
                out.push_str(if self.partly { before } else { escaped });
                out.push_str(whole);
                continue;
            }
            out.push_str(before);
            match self.value(inside) {
                Some(value) if value.len() <= self.room => {
                    self.room -= value.len();
                    out.push_str(&value);
                }
                Some(_) => {
                    self.unknown.insert(name_of(inside).into());
                    out.push_str(whole);
                }
                None => out.push_str(whole),
            }
        }
        out.push_str(rest);
        out
    }

    /// The value of what stands between the braces; None: it is not known, or stays.
    fn value(&mut self, inside: &str) -> Option<String> {
        let name = name_of(inside).to_string();
        let operation = &inside[name.len()..];
        let mut signs = [":-", ":=", ":+", ":?", "-", "=", "+", "?"].iter();
        let default = signs.find_map(|sign| operation.strip_prefix(sign));
        let known = self.variables.get(&name);
        if self.partly && known.is_none() {
            return None;
        }
        let value = match known {
            Some(value) => value.as_str(),
            None if self.from_elsewhere => {
                self.unknown.insert(name);
                return None;
            }
            None => "",
        };
        match (operation, default) {
            ("", _) => Some(value.into()),
            ("^^", _) => Some(value.to_uppercase()),
            (",,", _) => Some(value.to_lowercase()),
            (_, Some(_)) if !value.is_empty() => Some(value.into()),
            (_, Some(default)) if self.depth > 0 => {
                self.depth -= 1;
                let filled = self.text(default);
                self.depth += 1;
                Some(filled)
            }
            // Other functions of its syntax are not evaluated here.
            _ => {
                self.unknown.insert(name);
                None
            }
        }
    }
}

/// The variable of what stands between the braces.
fn name_of(inside: &str) -> &str {
    let is_other = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    &inside[..inside.find(is_other).unwrap_or(inside.len())]
}

/// The names of all variables in a value, also of those that are escaped.
pub fn names_in(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Object(map) => map.values().flat_map(names_in).collect(),
        Value::Array(items) => items.iter().flat_map(names_in).collect(),
        Value::String(text) => {
            let parts = text.split("${").skip(1);
            let names = parts.map(|part| name_of(part).to_string());
            names.filter(|name| !name.is_empty()).collect()
        }
        _ => BTreeSet::new(),
    }
}

/// Where the brace closes that a text begins with, after `$`.
fn closing(text: &str) -> Option<usize> {
    let mut open = 0;
    text.bytes().enumerate().find_map(|(at, byte)| {
        match byte {
            b'{' => open += 1,
            b'}' => open -= 1,
            _ => {}
        }
        (byte == b'}' && open == 0).then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_filled_in_has_bounds() {
        let long = json!({"spec": {"postBuild": {"substitute": {"X": "x".repeat(10_000)}}}});
        let mut object = json!({"a": "${X}".repeat(1_000), "${X:0}": 1});
        let unknown = Transforms::of(&long).fill(&mut object);
        assert_eq!(unknown.into_iter().collect::<Vec<_>>(), ["X"]);
        assert!(object.to_string().len() < 2 * MOST_FILLED);
        let deep = format!("{}x{}", "${A:=".repeat(5_000), "}".repeat(5_000));
        let mut object = json!({"a": deep});
        let unknown = Transforms::of(&long).fill(&mut object);
        assert_eq!(unknown.into_iter().collect::<Vec<_>>(), ["A"]);
    }

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
            ("${OTHER:=${REGION}}-b", json!("eu-1-b")),
            ("${REGION^^}", json!("EU-1")),
            ("${NONE:-y}", json!("y")),
            ("${OTHER}", Value::Null),
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
        let mut partly = json!({"data": {"a": "${REGION} $${REGION} ${TOKEN:=x}"}});
        from.fill_known(&mut partly);
        assert_eq!(partly["data"]["a"], "eu-1 $${REGION} ${TOKEN:=x}");
        let none = Transforms::of(&json!({"spec": {"postBuild": {}}}));
        let mut object_of_none = json!({"a": "${REGION:=x}"});
        none.fill(&mut object_of_none);
        assert_eq!(object_of_none["a"], "${REGION:=x}");
        let mut left = json!({"metadata": {"annotations": {SUBSTITUTE: "disabled"}}, "data": {"a": "${REGION}"}});
        assert!(known.fill(&mut left).is_empty() && left["data"]["a"] == "${REGION}");
    }
}
