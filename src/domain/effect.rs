//! What a change means for what runs: the sentences that a reviewer would
//! otherwise have to work out from a diff.

use std::collections::BTreeSet;

use serde_json::Value;

use super::manifest::ResourceKey;
use super::plan::{Action, Change, Plan};

/// A sentence about one change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    pub key: ResourceKey,
    pub text: String,
    /// Data is lost, or may be.
    pub grave: bool,
}

/// How many pods a plan replaces.
pub fn pods_rolled(plan: &Plan) -> i64 {
    plan.effective().filter(|change| rolls(change)).map(replicas).sum()
}

pub fn effects(plan: &Plan) -> Vec<Effect> {
    let read = read(plan);
    plan.effective().filter(|change| change.problem.is_none() && !change.is_hook()).flat_map(|change| of(&read, change)).collect()
}

fn of(read: &BTreeSet<(Option<&str>, &str)>, change: &Change) -> Vec<Effect> {
    let mut found = Vec::new();
    let mut add = |text: String, grave| found.push(Effect { key: change.key.clone(), text, grave });
    let kind = change.key.kind.as_str();
    match change.action {
        // Scaled to nothing, there is none to replace.
        Action::Configure if rolls(change) && replicas(change) == 0 => {}
        Action::Configure if rolls(change) => add(rollout(change), false),
        Action::Configure
            if kind == "ConfigMap"
                && !is_hashed(&change.key.name)
                && !read.contains(&(change.key.namespace.as_deref(), &change.key.name)) =>
        {
            add("no pod is restarted by it: what was read at start stays until the next rollout".into(), false);
        }
        Action::Recreate if matches!(kind, "PersistentVolumeClaim" | "PersistentVolume") => {
            add("its data goes with it, unless the volume's reclaim policy is Retain".into(), true);
        }
        Action::Recreate if change.notes.alone => add("its pods go on meanwhile, and belong to the new one".into(), false),
        Action::Recreate if matches!(kind, "Deployment" | "StatefulSet" | "DaemonSet") && replicas(change) > 0 => {
            add(format!("its {} pods end before new ones start", replicas(change)), true);
        }
        Action::Recreate | Action::Prune if kind == "CustomResourceDefinition" => add("every object of its kind goes with it".into(), true),
        Action::Prune if kind == "Namespace" => add("everything in it goes with it".into(), true),
        Action::Prune if matches!(kind, "PersistentVolumeClaim" | "PersistentVolume") => {
            add("its data goes with it, unless the volume's reclaim policy is Retain".into(), true)
        }
        Action::Prune if matches!(kind, "Deployment" | "StatefulSet" | "ReplicaSet") && replicas(change) > 0 => {
            add(format!("its {} pods end", replicas(change)), false)
        }
        _ => {}
    }
    found
}

/// Whether a workload's pods are replaced by a change: their template differs.
pub fn replaces_pods(before: &Value, after: &Value) -> bool {
    let (before, after, kind) = (&before["spec"]["template"], &after["spec"]["template"], &after["kind"]);
    matches!(kind.as_str(), Some("Deployment" | "StatefulSet" | "DaemonSet")) && before.is_object() && before != after
}

/// What the PodDisruptionBudgets that hold for a workload's pods allow just now.
pub fn budget(workload: &Value, budgets: &[Value]) -> Vec<String> {
    let labels = &workload["spec"]["template"]["metadata"]["labels"];
    let selects = |budget: &&Value| {
        let selector = budget["spec"]["selector"]["matchLabels"].as_object();
        selector.is_some_and(|selector| !selector.is_empty() && selector.iter().all(|(name, value)| &labels[name] == value))
    };
    let line = |budget: &Value| {
        let name = budget["metadata"]["name"].as_str().unwrap_or_default();
        let (allowed, healthy) = (budget["status"]["disruptionsAllowed"].as_i64()?, budget["status"]["currentHealthy"].as_i64()?);
        Some(match allowed {
            0 => format!("PodDisruptionBudget {name}: none of {healthy} healthy pods may be evicted now"),
            _ => format!("PodDisruptionBudget {name}: {allowed} of {healthy} healthy pods may be evicted now"),
        })
    };
    budgets.iter().filter(selects).filter_map(line).collect()
}

fn rolls(change: &Change) -> bool {
    let sides = change.before.as_ref().zip(change.after.as_ref());
    change.action == Action::Configure && sides.is_some_and(|(before, after)| replaces_pods(before, after))
}

fn replicas(change: &Change) -> i64 {
    let of = |side: &Option<Value>| side.as_ref().and_then(|value| value["spec"]["replicas"].as_i64());
    if change.key.kind == "DaemonSet" {
        return 1;
    }
    of(&change.before).or_else(|| of(&change.after)).unwrap_or(1)
}

fn rollout(change: &Change) -> String {
    let after = change.after.as_ref();
    let spec = |path: &str| after.and_then(|value| value.pointer(path)).cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
    let pods = replicas(change);
    let pods = if change.key.kind == "DaemonSet" {
        "a pod on every node".to_string()
    } else {
        format!("{pods} pod{}", if pods == 1 { "" } else { "s" })
    };
    if change.key.kind == "Deployment" {
        if spec("/spec/strategy/type") == "Recreate" {
            return format!("replaces {pods}: all end before new ones start (strategy Recreate)");
        }
        let (surge, down) = (spec("/spec/strategy/rollingUpdate/maxSurge"), spec("/spec/strategy/rollingUpdate/maxUnavailable"));
        return match surge.is_null() {
            true => format!("rolls {pods}"),
            false => format!("rolls {pods}, at most {} more and {} fewer at a time", text(&surge), text(&down)),
        };
    }
    if spec("/spec/updateStrategy/type") == "OnDelete" {
        return format!("changes {pods} only when somebody deletes them (strategy OnDelete)");
    }
    format!("rolls {pods}, one after another")
}

/// Kustomize appends a hash of the content to generated names: such an object never changes, and who reads it rolls.
fn is_hashed(name: &str) -> bool {
    name.rsplit_once('-').is_some_and(|(_, end)| {
        end.len() == 10 && end.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) && end.bytes().any(|b| b.is_ascii_digit())
    })
}

/// All that the pods of workloads that roll with a plan name, by namespace: the ConfigMaps that they read are among it.
fn read(plan: &Plan) -> BTreeSet<(Option<&str>, &str)> {
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
        names(change.after.as_ref().map_or(&Value::Null, |after| &after["spec"]["template"]), &mut named);
        found.extend(named.into_iter().map(|name| (change.key.namespace.as_deref(), name)));
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::mask::Mask;
    use crate::domain::plan::{Comparison, Proof, Side};

    fn deployment(image: &str) -> Side {
        let value = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 3,
            "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
            "template": {"spec": {"containers": [{"name": "a", "image": image, "envFrom": [{"configMapRef": {"name": "web"}}]}]}}}});
        Side::Object(value, Proof::Server)
    }

    fn config(value: &str) -> Side {
        Side::Object(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"}, "data": {"a": value}}), Proof::Server)
    }

    fn plan(comparisons: Vec<(&str, Side, Side)>) -> Plan {
        let key = |kind: &str| ResourceKey { group: String::new(), kind: kind.into(), namespace: None, name: "web".into() };
        Plan::new(&Mask::new(b"t"), comparisons.into_iter().map(|(kind, before, after)| Comparison::new(key(kind), before, after)))
    }

    #[test]
    fn rollouts_and_silent_configuration_are_told() {
        let texts = |plan: &Plan| effects(plan).into_iter().map(|effect| effect.text).collect::<Vec<_>>();
        let rolled = plan(vec![("Deployment", deployment("a"), deployment("b"))]);
        assert_eq!(texts(&rolled), ["rolls 3 pods, at most 25% more and 0 fewer at a time"]);
        assert_eq!(pods_rolled(&rolled), 3);
        let silent = plan(vec![("ConfigMap", config("1"), config("2"))]);
        assert_eq!(texts(&silent).len(), 1);
        let both = plan(vec![("ConfigMap", config("1"), config("2")), ("Deployment", deployment("a"), deployment("b"))]);
        assert_eq!(texts(&both).len(), 1);
        assert!(is_hashed("web-5m9k2h8fc7") && !is_hashed("web-production"));
        assert_eq!(texts(&plan(vec![("Namespace", config("1"), Side::Absent)])), ["everything in it goes with it"]);
    }
}
