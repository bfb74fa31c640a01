//! Which configuration the pods that roll read.

use std::collections::BTreeSet;

use serde_json::Value;

use super::rollout::rolls;
use crate::domain::plan::Plan;

/// All that the pods of workloads that roll with a plan name, by namespace: the ConfigMaps that they read are among it.
pub(super) fn named_by_pods(plan: &Plan) -> BTreeSet<(Option<&str>, &str)> {
    fn names<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("name").and_then(Value::as_str));
                map.values().for_each(|below| names(below, found));
            }
            Value::Array(items) => items.iter().for_each(|item| names(item, found)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    for change in plan.effective().filter(|change| rolls(change)) {
        let mut named = Vec::new();
        names(
            change
                .after
                .as_ref()
                .map_or(&Value::Null, |after| &after["spec"]["template"]),
            &mut named,
        );
        found.extend(
            named
                .into_iter()
                .map(|name| (change.key.namespace.as_deref(), name)),
        );
    }
    found
}

/// Kustomize appends a hash of the content to generated names: such an object never changes, and who reads it rolls.
pub(super) fn is_hashed(name: &str) -> bool {
    name.rsplit_once('-').is_some_and(|(_, end)| {
        end.len() == 10
            && end
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            && end.bytes().any(|b| b.is_ascii_digit())
    })
}
