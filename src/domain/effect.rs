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
    plan.effective()
        .filter(|change| rolls(change))
        .map(replicas)
        .sum()
}

pub fn effects(plan: &Plan) -> Vec<Effect> {
    let context = Context {
        read: read(plan),
        all: plan
            .effective()
            .filter(|change| change.problem.is_none() && !change.is_hook())
            .collect(),
    };
    context
        .all
        .iter()
        .flat_map(|change| of(&context, change))
        .collect()
}

/// The plan that a change is a part of.
struct Context<'a> {
    /// All that pods of workloads that roll name, by namespace.
    read: BTreeSet<(Option<&'a str>, &'a str)>,
    all: Vec<&'a Change>,
}

impl<'a> Context<'a> {
    /// What goes when this comes, under another name: the same kind, in the same place, with the same containers.
    fn predecessor(&self, change: &Change) -> Option<&'a Change> {
        fn containers(value: &Option<Value>) -> Option<BTreeSet<&str>> {
            let containers =
                value.as_ref()?["spec"]["template"]["spec"]["containers"].as_array()?;
            Some(
                containers
                    .iter()
                    .map(|one| one["name"].as_str().unwrap_or_default())
                    .collect(),
            )
        }
        let own = containers(&change.after)?;
        self.all.iter().copied().find(|one| {
            let beside =
                one.key.kind == change.key.kind && one.key.namespace == change.key.namespace;
            beside
                && one.action == Action::Prune
                && containers(&one.before).is_some_and(|theirs| theirs == own)
        })
    }
}

fn of(context: &Context<'_>, change: &Change) -> Vec<Effect> {
    let mut found = Vec::new();
    let mut add = |text: String, grave| {
        found.push(Effect {
            key: change.key.clone(),
            text,
            grave,
        })
    };
    let kind = change.key.kind.as_str();
    if let Some(text) = scaling(change) {
        add(text, false);
    }
    match change.action {
        Action::Create if let Some(old) = context.predecessor(change) => {
            add(
                format!(
                    "comes for {}, which goes once this is healthy: until then both run",
                    old.key
                ),
                false,
            );
            if after(change)["spec"]["volumeClaimTemplates"].is_array() {
                add(
                    format!(
                        "its claims are new and empty: the data of {} stays in claims of that name",
                        old.key
                    ),
                    true,
                );
            }
        }
        Action::Create | Action::Configure if let Some((target, least, most)) = scaled(change) => {
            add(
                format!(
                    "keeps {target} between {least} and {most} pods, whatever Git says of its replicas"
                ),
                false,
            );
        }
        // Scaled to nothing, there is none to replace.
        Action::Configure if rolls(change) && replicas(change) == 0 => {}
        Action::Configure if rolls(change) => add(rollout(change), false),
        Action::Configure
            if kind == "ConfigMap"
                && !is_hashed(&change.key.name)
                && !context
                    .read
                    .contains(&(change.key.namespace.as_deref(), &change.key.name)) =>
        {
            add(
                "no pod is restarted by it: what was read at start stays until the next rollout"
                    .into(),
                false,
            );
        }
        Action::Recreate if matches!(kind, "PersistentVolumeClaim" | "PersistentVolume") => {
            add(
                "its data goes with it, unless the volume's reclaim policy is Retain".into(),
                true,
            );
        }
        Action::Recreate if change.notes.alone => add(
            "its pods go on meanwhile, and belong to the new one".into(),
            false,
        ),
        Action::Recreate
            if matches!(kind, "Deployment" | "StatefulSet" | "DaemonSet")
                && replicas(change) > 0 =>
        {
            add(format!("{} before new ones start", they_end(change)), true);
        }
        Action::Recreate if kind == "Service" => {
            add(
                "nothing is reached by it until it is there anew, and its address changes".into(),
                true,
            );
        }
        Action::Recreate if kind == "Job" => add("it runs once more".into(), false),
        Action::Recreate | Action::Prune if kind == "CustomResourceDefinition" => {
            add("every object of its kind goes with it".into(), true)
        }
        Action::Prune if kind == "Namespace" => add("everything in it goes with it".into(), true),
        Action::Prune if matches!(kind, "PersistentVolumeClaim" | "PersistentVolume") => add(
            "its data goes with it, unless the volume's reclaim policy is Retain".into(),
            true,
        ),
        Action::Prune
            if matches!(kind, "Deployment" | "StatefulSet" | "ReplicaSet")
                && replicas(change) > 0 =>
        {
            let comes = context.all.iter().any(|one| one.action != Action::Prune);
            let when = if comes {
                " once the rest of the change is healthy"
            } else {
                ""
            };
            add(format!("{}{when}", they_end(change)), false)
        }
        _ => {}
    }
    found
}

/// Whether a workload's pods are replaced by a change: their template differs.
pub fn replaces_pods(before: &Value, after: &Value) -> bool {
    let (before, after, kind) = (
        &before["spec"]["template"],
        &after["spec"]["template"],
        &after["kind"],
    );
    matches!(
        kind.as_str(),
        Some("Deployment" | "StatefulSet" | "DaemonSet")
    ) && before.is_object()
        && before != after
}

/// What the PodDisruptionBudgets that hold for a workload's pods allow just now.
pub fn budget(workload: &Value, budgets: &[Value]) -> Vec<String> {
    let labels = &workload["spec"]["template"]["metadata"]["labels"];
    let selects = |budget: &&Value| {
        let selector = budget["spec"]["selector"]["matchLabels"].as_object();
        selector.is_some_and(|selector| {
            !selector.is_empty() && selector.iter().all(|(name, value)| &labels[name] == value)
        })
    };
    let line = |budget: &Value| {
        let name = budget["metadata"]["name"].as_str().unwrap_or_default();
        let (allowed, healthy) = (
            budget["status"]["disruptionsAllowed"].as_i64()?,
            budget["status"]["currentHealthy"].as_i64()?,
        );
        Some(match allowed {
            0 => format!(
                "PodDisruptionBudget {name}: none of {healthy} healthy pods may be evicted now"
            ),
            _ => format!(
                "PodDisruptionBudget {name}: {allowed} of {healthy} healthy pods may be evicted now"
            ),
        })
    };
    budgets.iter().filter(selects).filter_map(line).collect()
}

fn rolls(change: &Change) -> bool {
    let sides = change.before.as_ref().zip(change.after.as_ref());
    change.action == Action::Configure
        && sides.is_some_and(|(before, after)| replaces_pods(before, after))
}

fn replicas_of(side: &Option<Value>) -> Option<i64> {
    side.as_ref()?["spec"]["replicas"].as_i64()
}

fn replicas(change: &Change) -> i64 {
    if change.key.kind == "DaemonSet" {
        return 1;
    }
    replicas_of(&change.before)
        .or_else(|| replicas_of(&change.after))
        .unwrap_or(1)
}

fn pods(count: i64) -> String {
    format!("{count} pod{}", if count == 1 { "" } else { "s" })
}

/// That a workload's pods end.
fn they_end(change: &Change) -> String {
    match replicas(change) {
        1 => "its pod ends".into(),
        count => format!("its {count} pods end"),
    }
}

fn after(change: &Change) -> &Value {
    change.after.as_ref().unwrap_or(&Value::Null)
}

/// How many pods come or end by a changed number of replicas.
fn scaling(change: &Change) -> Option<String> {
    let (before, after) = (replicas_of(&change.before)?, replicas_of(&change.after)?);
    let runs = matches!(
        change.key.kind.as_str(),
        "Deployment" | "StatefulSet" | "ReplicaSet"
    );
    match after - before {
        _ if !runs || change.action != Action::Configure => None,
        0 => None,
        more if more > 0 => Some(format!(
            "{} more: {after} in the place of {before}",
            pods(more)
        )),
        -1 => Some(format!("1 pod ends: {after} in the place of {before}")),
        fewer => Some(format!(
            "{} end: {after} in the place of {before}",
            pods(-fewer)
        )),
    }
}

/// What an autoscaler scales, and its bounds.
fn scaled(change: &Change) -> Option<(String, i64, i64)> {
    let spec = &after(change)["spec"];
    let (least, most) = match change.key.kind.as_str() {
        "HorizontalPodAutoscaler" => (
            spec["minReplicas"].as_i64().unwrap_or(1),
            spec["maxReplicas"].as_i64()?,
        ),
        // KEDA's defaults: keda.sh/docs, ScaledObject specification.
        "ScaledObject" => (
            spec["minReplicaCount"].as_i64().unwrap_or(0),
            spec["maxReplicaCount"].as_i64().unwrap_or(100),
        ),
        _ => return None,
    };
    let target = &spec["scaleTargetRef"];
    Some((
        format!(
            "{} {}",
            target["kind"].as_str().unwrap_or("Deployment"),
            target["name"].as_str()?
        ),
        least,
        most,
    ))
}

fn rollout(change: &Change) -> String {
    let after = change.after.as_ref();
    let spec = |path: &str| {
        after
            .and_then(|value| value.pointer(path))
            .cloned()
            .unwrap_or_default()
    };
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_string)
    };
    let pods = match change.key.kind.as_str() {
        "DaemonSet" => "a pod on every node".to_string(),
        _ => pods(replicas(change)),
    };
    if change.key.kind == "Deployment" {
        if spec("/spec/strategy/type") == "Recreate" {
            return format!("replaces {pods}: all end before new ones start (strategy Recreate)");
        }
        let (surge, down) = (
            spec("/spec/strategy/rollingUpdate/maxSurge"),
            spec("/spec/strategy/rollingUpdate/maxUnavailable"),
        );
        return match surge.is_null() {
            true => format!("rolls {pods}"),
            false => format!(
                "rolls {pods}, at most {} more and {} fewer at a time",
                text(&surge),
                text(&down)
            ),
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
        end.len() == 10
            && end
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            && end.bytes().any(|b| b.is_ascii_digit())
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
        Side::Object(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"}, "data": {"a": value}}),
            Proof::Server,
        )
    }

    fn named(kind: &str, name: &str, spec: Value) -> (ResourceKey, Side) {
        let key = ResourceKey {
            group: String::new(),
            kind: kind.into(),
            namespace: None,
            name: name.into(),
        };
        (
            key,
            Side::Object(
                json!({"kind": kind, "metadata": {"name": name}, "spec": spec}),
                Proof::Server,
            ),
        )
    }

    #[test]
    fn order_and_interruption_are_told() {
        type Named = Option<(ResourceKey, Side)>;
        let told = |sides: Vec<(Named, Named)>| {
            let comparisons = sides.into_iter().map(|(before, after)| {
                let key = before.as_ref().or(after.as_ref()).unwrap().0.clone();
                let side = |one: Named| one.map_or(Side::Absent, |(_, side)| side);
                Comparison::new(key, side(before), side(after))
            });
            let plan = Plan::new(&Mask::new(b"t"), comparisons);
            effects(&plan)
                .into_iter()
                .map(|one| format!("{}: {}", one.key, one.text))
                .collect::<Vec<_>>()
        };
        let web = |name: &str, replicas: i64| {
            Some(named(
                "Deployment",
                name,
                json!({"replicas": replicas, "template": {"spec": {"containers": [{"name": "web", "image": name}]}}}),
            ))
        };
        assert_eq!(
            told(vec![(web("old", 2), None), (None, web("new", 2))]),
            [
                "Deployment new: comes for Deployment old, which goes once this is healthy: until then both run",
                "Deployment old: its 2 pods end once the rest of the change is healthy"
            ]
        );
        assert_eq!(
            told(vec![(web("old", 1), None)]),
            ["Deployment old: its pod ends"]
        );
        let scaled = |replicas| Some(named("Deployment", "web", json!({"replicas": replicas})));
        assert_eq!(
            told(vec![(scaled(4), scaled(1))]),
            ["Deployment web: 3 pods end: 1 in the place of 4"]
        );
        assert_eq!(
            told(vec![(scaled(1), scaled(2))]),
            ["Deployment web: 1 pod more: 2 in the place of 1"]
        );
        let scaler =
            json!({"maxReplicas": 9, "scaleTargetRef": {"kind": "Deployment", "name": "web"}});
        assert_eq!(
            told(vec![(
                None,
                Some(named("HorizontalPodAutoscaler", "web", scaler))
            )]),
            [
                "HorizontalPodAutoscaler web: keeps Deployment web between 1 and 9 pods, whatever Git says of its replicas"
            ]
        );
    }

    fn plan(comparisons: Vec<(&str, Side, Side)>) -> Plan {
        let key = |kind: &str| ResourceKey {
            group: String::new(),
            kind: kind.into(),
            namespace: None,
            name: "web".into(),
        };
        Plan::new(
            &Mask::new(b"t"),
            comparisons
                .into_iter()
                .map(|(kind, before, after)| Comparison::new(key(kind), before, after)),
        )
    }

    #[test]
    fn rollouts_and_silent_configuration_are_told() {
        let texts = |plan: &Plan| {
            effects(plan)
                .into_iter()
                .map(|effect| effect.text)
                .collect::<Vec<_>>()
        };
        let rolled = plan(vec![("Deployment", deployment("a"), deployment("b"))]);
        assert_eq!(
            texts(&rolled),
            ["rolls 3 pods, at most 25% more and 0 fewer at a time"]
        );
        assert_eq!(pods_rolled(&rolled), 3);
        let silent = plan(vec![("ConfigMap", config("1"), config("2"))]);
        assert_eq!(texts(&silent).len(), 1);
        let both = plan(vec![
            ("ConfigMap", config("1"), config("2")),
            ("Deployment", deployment("a"), deployment("b")),
        ]);
        assert_eq!(texts(&both).len(), 1);
        assert!(is_hashed("web-5m9k2h8fc7") && !is_hashed("web-production"));
        assert_eq!(
            texts(&plan(vec![("Namespace", config("1"), Side::Absent)])),
            ["everything in it goes with it"]
        );
    }
}
