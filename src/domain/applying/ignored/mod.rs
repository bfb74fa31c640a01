//! Fields that Argo CD does not compare (`ignoreDifferences`, of an Application and of Argo CD's
//! settings). What differs in them alone causes no sync; with `RespectIgnoreDifferences=true` a sync
//! leaves them as they are.
//!
//! Facts: argo-cd 3.2 `util/argo/normalizers/diff_normalizer.go`, `util/argo/managedfields` and
//! `controller/sync.go` (`normalizeTargetResources`).

mod paths;

use serde_json::{Map, Value, json};

use super::three_way::Schema;
use crate::domain::fieldset::{self, FieldPath};
use crate::domain::manifest::{ResourceKey, without_server_fields};
use crate::domain::ownership::owned_by_managers;
use crate::domain::{Live, wildcard, yaml};
use paths::Path;

/// A setting's name, followed by `all`, a kind, or a group and a kind (`apps_Deployment`).
const SETTING: &str = "resource.customizations.ignoreDifferences.";
/// The setting of before, one mapping by group and kind (`apps/Deployment`).
const SETTINGS: &str = "resource.customizations";

/// The rules of an Application and of its Argo CD.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IgnoredFields(Vec<Rule>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    group: String,
    kind: String,
    /// Empty: any.
    namespace: String,
    name: String,
    paths: Vec<Path>,
    /// Expressions of jq that are more than paths.
    unread: Vec<String>,
    /// Managers, whose fields are ignored.
    managers: Vec<String>,
}

impl IgnoredFields {
    /// `spec`: of the Application. `settings`: the data of Argo CD's ConfigMap.
    pub fn of(spec: &Value, settings: &Value) -> Self {
        let own = spec["ignoreDifferences"].as_array().into_iter().flatten();
        let own = own.map(|rule| {
            let text = |field: &str| rule[field].as_str().unwrap_or_default();
            let names = (text("namespace"), text("name"));
            Rule::new((text("group"), text("kind")), names, rule)
        });
        Self(own.chain(of_settings(settings)).collect())
    }

    /// The rules for an object.
    fn rules<'a>(&'a self, key: &'a ResourceKey) -> impl Iterator<Item = &'a Rule> {
        self.0.iter().filter(move |rule| rule.is_for(key))
    }

    /// Whether fields of an object are ignored.
    pub fn concerns(&self, key: &ResourceKey) -> bool {
        self.rules(key).next().is_some()
    }

    /// Expressions for an object that this does not evaluate.
    pub fn unread<'a>(&'a self, key: &'a ResourceKey) -> Vec<&'a str> {
        let all = self.rules(key).flat_map(|rule| &rule.unread);
        all.map(String::as_str).collect()
    }

    /// Both objects without what is ignored: the one that is wanted, and the live one.
    fn compared(&self, key: &ResourceKey, wanted: &Value, live: &Live) -> (Value, Value) {
        let (mut wanted, mut plain) = (wanted.clone(), Value::clone(live));
        for field in self.managed(key, &wanted, live) {
            fieldset::remove(&mut wanted, &field);
            fieldset::remove(&mut plain, &field);
        }
        for path in self.rules(key).flat_map(|rule| &rule.paths) {
            path.remove_from(&mut wanted);
            path.remove_from(&mut plain);
        }
        (wanted, plain)
    }

    /// Fields of trusted managers that would change.
    fn managed(&self, key: &ResourceKey, wanted: &Value, live: &Live) -> Vec<FieldPath> {
        let managers: Vec<_> = self.rules(key).flat_map(|rule| &rule.managers).collect();
        if managers.is_empty() {
            return Vec::new();
        }
        let fields = owned_by_managers(live, |manager| managers.iter().any(|one| *one == manager));
        let differs = |field: &FieldPath| {
            let (wanted, live) = (
                fieldset::lookup(wanted, field),
                fieldset::lookup(live, field),
            );
            wanted.is_some() && live.is_some() && wanted != live
        };
        fields.leaves().into_iter().filter(differs).collect()
    }

    /// Whether nothing that is compared differs.
    pub fn hides(&self, key: &ResourceKey, before: &Live, after: &Value) -> bool {
        let (after, before) = self.compared(key, after, before);
        without_server_fields(&after) == without_server_fields(&before)
    }

    /// What is applied where the fields are respected: they have the values of the live object, in
    /// whose lists items are found as a strategic merge finds them.
    pub fn as_live(&self, key: &ResourceKey, wanted: &mut Value, live: &Live) {
        if !self.concerns(key) {
            return;
        }
        let (mut compared, plain) = self.compared(key, wanted, live);
        restore(
            Schema::of(&key.group, &key.kind),
            "",
            &mut compared,
            &plain,
            live,
        );
        *wanted = compared;
    }
}

impl Rule {
    fn new((group, kind): (&str, &str), (namespace, name): (&str, &str), fields: &Value) -> Self {
        let texts = |field: &str| -> Vec<String> {
            let all = fields[field].as_array().into_iter().flatten();
            all.filter_map(Value::as_str).map(str::to_string).collect()
        };
        let pointers = texts("jsonPointers");
        let mut paths: Vec<_> = pointers
            .iter()
            .filter_map(|one| Path::of_pointer(one))
            .collect();
        let mut unread = Vec::new();
        for one in texts("jqPathExpressions") {
            match Path::of_jq(&one) {
                Some(path) => paths.push(path),
                None => unread.push(one),
            }
        }
        Self {
            group: group.into(),
            kind: kind.into(),
            namespace: namespace.into(),
            name: name.into(),
            paths,
            unread,
            managers: texts("managedFieldsManagers"),
        }
    }

    fn is_for(&self, key: &ResourceKey) -> bool {
        wildcard(&self.group, &key.group)
            && wildcard(&self.kind, &key.kind)
            && (self.name.is_empty() || self.name == key.name)
            && (self.namespace.is_empty() || Some(&self.namespace) == key.namespace.as_ref())
    }
}

/// The rules for all Applications.
fn of_settings(settings: &Value) -> Vec<Rule> {
    let mut rules = Vec::new();
    let mut add = |(group, kind): (&str, &str), text: &str| {
        if let Ok(fields) = yaml::parse::<Value>(text) {
            rules.push(Rule::new((group, kind), ("", ""), &fields));
        }
    };
    for (name, text) in settings.as_object().into_iter().flatten() {
        let text = text.as_str().unwrap_or_default();
        if let Some(of) = name.strip_prefix(SETTING) {
            match of {
                "all" => add(("*", "*"), text),
                _ => add(of.split_once('_').unwrap_or(("", of)), text),
            }
        } else if name == SETTINGS {
            let all: Value = yaml::parse(text).unwrap_or_default();
            for (of, customized) in all.as_object().into_iter().flatten() {
                let text = customized["ignoreDifferences"].as_str().unwrap_or_default();
                add(of.split_once('/').unwrap_or(("", of)), text);
            }
        }
    }
    rules
}

/// Sets in `into` what `live` has and `plain`, which is `live` without what is ignored, does not.
fn restore(schema: Schema<'_>, field: &str, into: &mut Value, plain: &Value, live: &Value) {
    match (&mut *into, plain, live) {
        _ if plain == live => {}
        (Value::Object(into), Value::Object(plain), Value::Object(live)) => {
            restore_fields(schema, into, plain, live);
        }
        (Value::Array(items), Value::Array(plain), Value::Array(live)) => {
            match schema.merge_key(field, live) {
                Some(key) => restore_items(schema, key, items, plain, live),
                None => *items = live.clone(),
            }
        }
        _ => *into = live.clone(),
    }
}

fn restore_fields(
    schema: Schema<'_>,
    into: &mut Map<String, Value>,
    plain: &Map<String, Value>,
    live: &Map<String, Value>,
) {
    for (name, live) in live {
        match plain.get(name) {
            Some(plain) if plain == live => {}
            Some(plain) => {
                let into = into.entry(name).or_insert_with(|| empty(live));
                restore(schema, name, into, plain, live);
            }
            None => drop(into.insert(name.clone(), live.clone())),
        }
    }
}

fn restore_items(
    schema: Schema<'_>,
    key: &str,
    into: &mut Vec<Value>,
    plain: &[Value],
    live: &[Value],
) {
    for live in live {
        let place = into.iter().position(|item| item[key] == live[key]);
        match (plain.iter().find(|item| item[key] == live[key]), place) {
            (Some(plain), _) if plain == live => {}
            (Some(plain), Some(place)) => restore(schema, "", &mut into[place], plain, live),
            // Git does not have the item: of it only this is applied, as their patch would.
            (Some(plain), None) => {
                let mut item = json!({key: live[key]});
                restore(schema, "", &mut item, plain, live);
                into.push(item);
            }
            (None, Some(place)) => into[place] = live.clone(),
            (None, None) => into.push(live.clone()),
        }
    }
}

fn empty(like: &Value) -> Value {
    match like {
        Value::Object(_) => json!({}),
        Value::Array(_) => json!([]),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests;
