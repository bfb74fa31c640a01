//! The configuration that restarted pods read.

use std::collections::BTreeSet;

use serde_json::Value;

use super::rollout::rolls;
use crate::domain::plan::Plan;

/// All names in the pod templates of workloads that a plan rolls out, with their namespace. They
/// include the ConfigMaps that the pods read.
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

/// Whether a name ends in kustomize's hash of the content. Such an object never changes; its
/// readers roll out instead.
pub(super) fn is_hashed(name: &str) -> bool {
    name.rsplit_once('-').is_some_and(|(_, end)| {
        end.len() == 10
            && end
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            && end.bytes().any(|b| b.is_ascii_digit())
    })
}
